"""Randomized dynamics: masses, friction, motors, delay and noise, drawn for every episode around the nominal."""

from __future__ import annotations

import numpy as np

from .config import DynamicsRanges
from .draw import Dynamics


def sample_dynamics(rng: np.random.Generator, ranges: DynamicsRanges) -> tuple[Dynamics, dict[str, float]]:
    """Draw one row, and the drawn values by name for ``info["draw"]``."""
    delay = int(rng.integers(ranges.action_delay_steps[0], ranges.action_delay_steps[1] + 1))
    names = ("mass_scale", "wheel_friction_scale", "actuator_gain_scale", "actuator_lag_s")
    drawn = {name: float(rng.uniform(*getattr(ranges, name))) for name in names}
    noise = [float(rng.uniform(*bounds)) for bounds in (ranges.velocity_noise_m_s, ranges.velocity_noise_rad_s)]
    dynamics = Dynamics(
        **{name: np.array([value]) for name, value in drawn.items()},
        action_delay_steps=np.array([delay]),
        velocity_noise=np.array([noise]),
    )
    drawn |= {"action_delay_steps": delay, "velocity_noise_m_s": noise[0], "velocity_noise_rad_s": noise[1]}
    return dynamics, drawn
