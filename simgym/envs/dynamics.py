"""Randomized dynamics: masses, friction, motors, delay and noise, drawn for every episode around the nominal."""

from __future__ import annotations

import numpy as np

from .draw import Dynamics
from .terms import Drawing


def sample_dynamics(rng: np.random.Generator, terms: Drawing) -> tuple[Dynamics, dict[str, float]]:
    """Draw one row of the terms of `DynamicsRanges`, and the drawn values by name for ``info["draw"]``."""
    delay = int(terms.draw(rng, "action_delay_steps"))
    names = ("mass_scale", "wheel_friction_scale", "actuator_gain_scale", "actuator_lag_s")
    drawn = {name: float(terms.draw(rng, name)) for name in names}
    noise = [float(terms.draw(rng, name)) for name in ("velocity_noise_m_s", "velocity_noise_rad_s")]
    dynamics = Dynamics(
        **{name: np.array([value]) for name, value in drawn.items()},
        action_delay_steps=np.array([delay]),
        velocity_noise=np.array([noise]),
    )
    drawn |= {"action_delay_steps": delay, "velocity_noise_m_s": noise[0], "velocity_noise_rad_s": noise[1]}
    return dynamics, drawn
