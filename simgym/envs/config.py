"""Domains by name: engine, renderer, look and what is randomized. Plain data, light to import."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from simgym.config.option import check, option, span
from simgym.errors import UsageError

from .tasks.chair_nav.config import ClutterRanges

MAX_DELAY_STEPS = 5


@dataclass(frozen=True, kw_only=True)
class LookRanges:
    """Ranges of the randomized look, each (lowest, highest); a range of zero width is exact."""

    saturation: tuple[float, float] = span((0.0, 0.9), "of a colour: =U", low=0.0, high=1.0)
    brightness: tuple[float, float] = span((0.25, 1.0), "of a colour: =U", low=0.0, high=1.0)
    texture_probability: float = option(0.6, "share of the parts that are textured", low=0.0, high=1.0)
    texture_size_m: tuple[float, float] = span((0.2, 1.5), "edge of one repeat: =U", unit="m", low=0.01)
    light_elevation_deg: tuple[float, float] = span((25.0, 85.0), "above the horizon: =U", unit="deg", high=90.0)
    light: tuple[float, float] = span((0.2, 0.8), "directional intensity: =U", low=0.0)
    ambient: tuple[float, float] = span((0.45, 0.9), "ambient intensity: =U", low=0.0)
    light_tint: tuple[float, float] = span((0.8, 1.0), "of each colour channel: *U", low=0.0)
    camera_height_m: tuple[float, float] = span((-0.05, 0.05), "+U", unit="m")
    camera_pitch_deg: tuple[float, float] = span((-5.0, 5.0), "down positive: +U", unit="deg", low=-45.0, high=45.0)
    camera_roll_deg: tuple[float, float] = span((-1.5, 1.5), "+U", unit="deg", low=-45.0, high=45.0)
    camera_yaw_deg: tuple[float, float] = span((-3.0, 3.0), "+U", unit="deg", low=-45.0, high=45.0)
    focal_scale: tuple[float, float] = span((0.93, 1.07), "focal length, so the field of view: *U", low=0.2)
    textures: int = option(96, "size of the bank of procedural textures", low=1)


@dataclass(frozen=True, kw_only=True)
class DynamicsRanges:
    """Ranges, each (lowest, highest); a range of zero width is exact."""

    mass_scale: tuple[float, float] = span((0.8, 1.3), "mass of every link: *U", low=0.1)
    wheel_friction_scale: tuple[float, float] = span((0.6, 1.3), "friction of the wheels: *U", low=0.05)
    actuator_gain_scale: tuple[float, float] = span((0.7, 1.3), "gain of the motors: *U", low=0.05)
    actuator_lag_s: tuple[float, float] = span((0.0, 0.15), "time constant of commands: =U", unit="s", low=0.0)
    action_delay_steps: tuple[int, int] = span((0, 1), "whole control steps: =U", low=0, high=MAX_DELAY_STEPS)
    velocity_noise_m_s: tuple[float, float] = span(
        (0.0, 0.03), "standard deviation of the measured forward speed: =U", unit="m/s", low=0.0
    )
    velocity_noise_rad_s: tuple[float, float] = span(
        (0.0, 0.08), "standard deviation of the measured yaw rate: =U", unit="rad/s", low=0.0
    )


@dataclass(frozen=True, kw_only=True)
class RandomizationConfig:
    """What a draw may change. `enabled=false` is bit for bit the nominal world."""

    enabled: bool = option(False, "one switch for all of it")
    look: LookRanges = option(LookRanges, "appearance and camera, for look=randomized")
    clutter: ClutterRanges = option(ClutterRanges, "things that training in `sim` never sees")
    dynamics: DynamicsRanges = option(DynamicsRanges, "physics, timing and noise")


@dataclass(frozen=True, kw_only=True)
class DomainConfig:
    """Engine, renderer, look and randomization."""

    name: str = option("sim", "the domain")
    engine: str = option("mujoco", "the physics", choices=("mujoco", "bullet"))
    renderer: str = option("raster", "what draws the pixels", choices=("raster", "bullet"))
    look: str = option("canonical", "how the world appears", choices=("canonical", "randomized"))
    randomization: RandomizationConfig = option(RandomizationConfig, "what a draw may change")


DOMAINS = {
    "sim": DomainConfig(),
    "randomized": DomainConfig(
        name="randomized",
        look="randomized",
        randomization=RandomizationConfig(enabled=True, clutter=ClutterRanges(furniture=(0, 6), wall_items=(0, 8))),
    ),
}


def check_domain(domain: DomainConfig) -> None:
    """Raise UsageError naming the first value that is out of its bounds, or that was changed and would do nothing.

    What the domain's name implies may stand idle: `domain=randomized` can be switched off as a whole.
    """
    check(domain, "domain.")
    for key, value in _changed(domain, DOMAINS.get(domain.name, DOMAINS["sim"])):
        is_range = key.startswith("domain.randomization.") and key != "domain.randomization.enabled"
        if not domain.randomization.enabled and (is_range or (key, value) == ("domain.look", "randomized")):
            raise UsageError(
                f"{key}={value} does nothing while randomization is off: "
                "add domain.randomization.enabled=true, or take domain=randomized"
            )
        if domain.look == "canonical" and key.startswith("domain.randomization.look."):
            raise UsageError(f"{key}={value} does nothing in domain.look=canonical: add domain.look=randomized")


def _changed(config: Any, usual: Any, prefix: str = "domain.") -> Iterator[tuple[str, Any]]:
    """The dotted names and the values of ``config`` that differ from ``usual``."""
    for item in fields(config):
        value, other, key = getattr(config, item.name), getattr(usual, item.name), prefix + item.name
        if is_dataclass(value):
            yield from _changed(value, other, f"{key}.")
        elif value != other:
            yield key, value
