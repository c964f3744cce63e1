"""Domains by name: engine, renderer, look and what is randomized. Plain data, light to import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from simgym.config.option import option, span
from simgym.errors import UsageError

from .draw import MAX_LAMPS
from .places import MAX_PLACE
from .tasks.chair_nav.config import ClutterRanges
from .terms import LiveTerms, Terms

MAX_DELAY_STEPS = 5
DRAWN_LOOKS = {"randomized": "look", "mistaken": "mistakes"}  # and the groups of their terms


@dataclass(frozen=True, kw_only=True)
class MountRanges(LiveTerms):
    """Terms of how the camera is mounted, each a range (lowest, highest); a range of zero width is exact."""

    camera_height_m: tuple[float, float] = span(
        (-0.05, 0.05), "of the camera", operation="add", live=True, unit="m", nominal=0
    )
    camera_pitch_deg: tuple[float, float] = span(
        (-5.0, 5.0),
        "of the camera, down positive",
        operation="add",
        live=True,
        unit="deg",
        low=-45.0,
        high=45.0,
        nominal=0,
    )
    camera_roll_deg: tuple[float, float] = span(
        (-1.5, 1.5), "of the camera", operation="add", live=True, unit="deg", low=-45.0, high=45.0, nominal=0
    )
    camera_yaw_deg: tuple[float, float] = span(
        (-3.0, 3.0),
        "of the camera, to the left",
        operation="add",
        live=True,
        unit="deg",
        low=-45.0,
        high=45.0,
        nominal=0,
    )
    focal_scale: tuple[float, float] = span(
        (0.93, 1.07), "focal length, so the field of view", operation="scale", low=0.2, nominal=1
    )


@dataclass(frozen=True, kw_only=True)
class PaintRanges(LiveTerms):
    """Terms of colours, textures and light, each a range (lowest, highest); a range of zero width is exact."""

    saturation: tuple[float, float] = span((0.0, 0.9), "of a colour", operation="set", live=True, low=0.0, high=1.0)
    brightness: tuple[float, float] = span((0.25, 1.0), "of a colour", operation="set", live=True, low=0.0, high=1.0)
    natural_probability: float = option(
        0.0,
        "share of the episodes in which rooms look lived in: colours, legs, books, pictures",
        low=0.0,
        high=1.0,
    )
    texture_probability: float = option(0.6, "share of the parts that are textured", low=0.0, high=1.0)
    texture_size_m: tuple[float, float] = span(
        (0.2, 1.5), "edge of one repeat", operation="set", live=True, unit="m", low=0.01
    )
    recolored: tuple[float, float] = span(
        (1.0, 1.0),
        "how far colours are from those of plain simulation, and what share of the textures is there",
        operation="set",
        live=True,
        low=0.0,
        high=1.0,
        nominal=0,
    )
    light_elevation_deg: tuple[float, float] = span(
        (25.0, 85.0), "above the horizon", operation="set", live=True, unit="deg", high=90.0, nominal=52.67
    )
    light_azimuth_deg: tuple[float, float] = span(
        (0.0, 360.0), "where it shines to", operation="set", live=True, unit="deg", nominal=55.01
    )
    light: tuple[float, float] = span(
        (0.2, 0.8), "directional intensity", operation="set", live=True, low=0.0, nominal=0.45
    )
    ambient: tuple[float, float] = span(
        (0.45, 0.9), "ambient intensity", operation="set", live=True, low=0.0, nominal=0.6
    )
    light_tint: tuple[float, float] = span(
        (0.8, 1.0), "of each colour channel", operation="scale", live=True, low=0.0, nominal=1
    )


@dataclass(frozen=True, kw_only=True)
class LookRanges(MountRanges, PaintRanges):
    """Terms of the randomized look."""

    textures: int = option(96, "size of the bank of procedural textures", low=1)


@dataclass(frozen=True, kw_only=True)
class MistakeRanges(MountRanges):
    """Terms of the mistaken look."""

    confusion: tuple[float, float] = span(
        (0.0, 0.6),
        "chance that a thing shows as another class",
        operation="set",
        live=True,
        low=0.0,
        high=1.0,
        nominal=0,
    )


@dataclass(frozen=True, kw_only=True)
class DynamicsRanges(LiveTerms):
    """Terms of physics, timing and noise, each a range (lowest, highest); a range of zero width is exact."""

    mass_scale: tuple[float, float] = span((0.8, 1.3), "mass of every link", operation="scale", low=0.1, nominal=1)
    wheel_friction_scale: tuple[float, float] = span(
        (0.6, 1.3), "friction of the wheels, or of the fingers", operation="scale", live=True, low=0.05, nominal=1
    )
    actuator_gain_scale: tuple[float, float] = span(
        (0.7, 1.3), "gain of the motors", operation="scale", live=True, low=0.05, nominal=1
    )
    actuator_lag_s: tuple[float, float] = span(
        (0.0, 0.15), "time constant of commands", operation="set", live=True, unit="s", low=0.0, nominal=0
    )
    action_delay_steps: tuple[int, int] = span(
        (0, 1), "whole control steps", operation="set", live=True, low=0, high=MAX_DELAY_STEPS, nominal=0
    )
    velocity_noise_m_s: tuple[float, float] = span(
        (0.0, 0.03),
        "standard deviation of the measured forward speed",
        operation="set",
        live=True,
        unit="m/s",
        low=0.0,
        nominal=0,
    )
    velocity_noise_rad_s: tuple[float, float] = span(
        (0.0, 0.08),
        "standard deviation of the measured yaw rate",
        operation="set",
        live=True,
        unit="rad/s",
        low=0.0,
        nominal=0,
    )


@dataclass(frozen=True, kw_only=True)
class RandomizationConfig:
    """What a draw may change. `enabled=false` is bit for bit the nominal world, seen in the domain's look."""

    enabled: bool = option(False, "one switch for all of it")
    look: LookRanges = option(LookRanges, "appearance and camera, for look=randomized")
    mistakes: MistakeRanges = option(MistakeRanges, "of goggles, for look=mistaken")
    clutter: ClutterRanges = option(ClutterRanges, "things that training in `sim` never sees")
    dynamics: DynamicsRanges = option(DynamicsRanges, "physics, timing and noise")


@dataclass(frozen=True, kw_only=True)
class ADRConfig:
    """Automatic domain randomization: in training the ranges grow as the policy copes (`simgym.envs.curriculum`)."""

    enabled: bool = option(False, "training starts in the nominal world; `domain.randomization` is what it grows into")
    boundary_probability: float = option(0.5, "share of the episodes at one end of one range", low=0.0, high=1.0)
    episodes: int = option(10, "at an end, after which it moves or stays", low=1)
    widen_at: float = option(0.8, "success rate from which on an end moves out", low=0.0, high=1.0)
    narrow_at: float = option(0.5, "success rate up to which an end moves in", low=0.0, high=1.0)
    step: float = option(0.1, "share of the full range by which an end moves", low=0.001, high=1.0)

    def __post_init__(self) -> None:
        if not self.narrow_at < self.widen_at:
            raise UsageError(
                f"domain.adr.narrow_at={self.narrow_at}: must be below domain.adr.widen_at={self.widen_at}"
            )


@dataclass(frozen=True, kw_only=True)
class PhotoRanges:
    """Ranges of the photo look, each (lowest, highest); drawn for a place, or for an episode in it."""

    light: tuple[float, float] = span((0.75, 1.2), "how much light there is, an episode", operation="scale", low=0.0)
    daylight: tuple[float, float] = span((0.0, 0.9), "directional intensity, an episode", operation="set", low=0.0)
    temperature_k: tuple[float, float] = span(
        (2900.0, 7500.0), "colour of the light, an episode", operation="set", unit="K", low=1500.0, high=15000.0
    )
    lamps: tuple[int, int] = span(
        (1, 4), "point lamps under the ceiling, a place", operation="set", low=0, high=MAX_LAMPS
    )
    lamp: tuple[float, float] = span((0.6, 1.3), "intensity of each, a place", operation="set", low=0.0)
    wear: tuple[float, float] = span(
        (0.0, 0.25), "how unevenly surfaces have darkened, an episode", operation="set", low=0.0, high=1.0
    )
    camera_height_m: tuple[float, float] = span((-0.03, 0.03), "of its mount, a place", operation="add", unit="m")
    camera_pitch_deg: tuple[float, float] = span(
        (-3.0, 3.0), "down positive, a place", operation="add", unit="deg", low=-45.0, high=45.0
    )
    camera_roll_deg: tuple[float, float] = span(
        (-1.5, 1.5), "of its mount, a place", operation="add", unit="deg", low=-45.0, high=45.0
    )
    camera_yaw_deg: tuple[float, float] = span(
        (-2.0, 2.0), "of its mount, a place", operation="add", unit="deg", low=-45.0, high=45.0
    )
    focal_scale: tuple[float, float] = span((0.95, 1.05), "focal length, a place", operation="scale", low=0.2)


@dataclass(frozen=True, kw_only=True)
class FlawRanges(LiveTerms):
    """Terms of the camera's flaws, each a range (lowest, highest), all off; see `simgym.envs.camera_flaws`.

    Those of the camera unit are drawn for a place (`look=photo`), all others, and in other looks all, for an episode.
    """

    lens_k1: tuple[float, float] = span(
        (0.0, 0.0),
        "radial distortion that calibration left, k1 of plumb_bob; of the unit",
        operation="set",
        low=-0.2,
        high=0.2,
    )
    lens_blur_px: tuple[float, float] = span(
        (0.0, 0.0), "standard deviation of the lens's blur; of the unit", operation="set", unit="px", low=0.0, high=0.8
    )
    vignetting: tuple[float, float] = span(
        (0.0, 0.0), "share of the light that is lost in the corners; of the unit", operation="set", low=0.0, high=1.0
    )
    exposure_ev: tuple[float, float] = span(
        (0.0, 0.0), "stops of brightness", operation="add", live=True, unit="EV", low=-4.0, high=4.0
    )
    exposure_drift_ev: tuple[float, float] = span(
        (0.0, 0.0), "standard deviation of its drift in time", operation="set", live=True, unit="EV", low=0.0, high=2.0
    )
    white_balance_ev: tuple[float, float] = span(
        (0.0, 0.0), "stops of red up and of blue down", operation="add", live=True, unit="EV", low=-2.0, high=2.0
    )
    white_balance_drift_ev: tuple[float, float] = span(
        (0.0, 0.0), "standard deviation of its drift in time", operation="set", live=True, unit="EV", low=0.0, high=1.0
    )
    read_noise: tuple[float, float] = span(
        (0.0, 0.0),
        "standard deviation in the dark, grey levels of 255; of the unit",
        operation="set",
        low=0.0,
        high=64.0,
    )
    shot_noise: tuple[float, float] = span(
        (0.0, 0.0),
        "what light adds to it, at white, grey levels of 255; of the unit",
        operation="set",
        low=0.0,
        high=64.0,
    )
    exposure_time_s: tuple[float, float] = span(
        (0.0, 0.0), "open shutter, so motion blur", operation="set", live=True, unit="s", low=0.0, high=0.1
    )
    readout_s: tuple[float, float] = span(
        (0.0, 0.0),
        "from the first row to the last, so rolling shutter; of the unit",
        operation="set",
        unit="s",
        low=0.0,
        high=0.1,
    )
    jpeg_loss: tuple[int, int] = span(
        (0, 0), "100 minus the quality of JPEG; 0 is no JPEG", operation="set", live=True, low=0, high=99
    )
    dropped: tuple[float, float] = span(
        (0.0, 0.0),
        "share of the frames that get lost; the last one shows again",
        operation="set",
        live=True,
        low=0.0,
        high=1.0,
    )
    stalled: tuple[float, float] = span(
        (0.0, 0.0),
        "chance that the camera repeats its frame for 3 steps",
        operation="set",
        live=True,
        low=0.0,
        high=1.0,
    )
    latency_steps: tuple[int, int] = span(
        (0, 0), "age of a frame in whole control steps", operation="set", live=True, low=0, high=5
    )


@dataclass(frozen=True, kw_only=True)
class DomainConfig:
    """Engine, renderer, look, camera flaws and randomization."""

    name: str = option("sim", "the domain")
    engine: str = option("mujoco", "the physics", choices=("mujoco", "bullet"))
    renderer: str = option("raster", "what draws the pixels", choices=("raster", "bullet"))
    look: str = option("canonical", "how the world appears", choices=("canonical", "randomized", "mistaken", "photo"))
    place: int | None = option(
        0, "the building of look=photo; null is another one for every episode", low=0, high=MAX_PLACE
    )
    textures: str | None = option(None, "folder of pictures for look=photo; else its own are generated")
    photo: PhotoRanges = option(PhotoRanges, "places and what varies in them, for look=photo")
    flaws: FlawRanges = option(FlawRanges, "what the camera does to the picture")
    randomization: RandomizationConfig = option(RandomizationConfig, "what a draw may change")
    adr: ADRConfig = option(ADRConfig, "whether training grows into that step by step")

    @property
    def shown_look(self) -> str:
        """The look that is drawn: a randomized one needs randomization, or the world is the nominal one."""
        idle = self.look in DRAWN_LOOKS and not self.randomization.enabled
        return "canonical" if idle else self.look


STANDIN = DomainConfig(
    name="standin",
    engine="bullet",
    renderer="bullet",
    look="photo",
    flaws=FlawRanges(
        lens_k1=(-0.04, 0.04),
        lens_blur_px=(0.3, 0.6),
        vignetting=(0.1, 0.35),
        exposure_ev=(-0.4, 0.4),
        exposure_drift_ev=(0.05, 0.2),
        white_balance_ev=(-0.15, 0.15),
        white_balance_drift_ev=(0.0, 0.06),
        read_noise=(1.0, 3.0),
        shot_noise=(2.0, 6.0),
        exposure_time_s=(0.005, 0.03),
        readout_s=(0.01, 0.03),
        jpeg_loss=(10, 40),
        dropped=(0.0, 0.03),
        stalled=(0.0, 0.01),
        latency_steps=(0, 1),
    ),
    # A real robot differs from its model, but the same way every day: narrower than what training draws.
    randomization=RandomizationConfig(
        enabled=True,
        clutter=ClutterRanges(
            furniture=(1, 8), doors=(0, 2), windows=(0, 3), pictures=(1, 6), rugs=(0, 2), cables=(0, 2)
        ),
        dynamics=DynamicsRanges(
            mass_scale=(0.95, 1.1),
            wheel_friction_scale=(0.8, 1.1),
            actuator_gain_scale=(0.9, 1.1),
            actuator_lag_s=(0.02, 0.06),
            action_delay_steps=(0, 0),
            velocity_noise_m_s=(0.005, 0.015),
            velocity_noise_rad_s=(0.01, 0.04),
        ),
    ),
)
RANDOMIZED = DomainConfig(
    name="randomized",
    look="randomized",
    randomization=RandomizationConfig(enabled=True, clutter=ClutterRanges(furniture=(0, 6), wall_items=(0, 8))),
)
# For what stands between a camera and a policy: colours that occur, flaws of cameras, little else out of the ordinary.
LIFELIKE = DomainConfig(
    name="lifelike",
    look="randomized",
    flaws=FlawRanges(
        lens_k1=(-0.05, 0.05),
        lens_blur_px=(0.2, 0.7),
        vignetting=(0.0, 0.4),
        exposure_ev=(-0.6, 0.4),
        exposure_drift_ev=(0.0, 0.2),
        white_balance_ev=(-0.2, 0.2),
        white_balance_drift_ev=(0.0, 0.06),
        read_noise=(0.0, 4.0),
        shot_noise=(0.0, 8.0),
        exposure_time_s=(0.0, 0.035),
        readout_s=(0.0, 0.03),
        jpeg_loss=(0, 45),
        dropped=(0.0, 0.05),
        stalled=(0.0, 0.015),
        latency_steps=(0, 1),
    ),
    randomization=RandomizationConfig(
        enabled=True,
        look=LookRanges(
            natural_probability=0.75,
            brightness=(0.1, 1.0),
            ambient=(0.3, 0.9),
            texture_probability=0.5,
            camera_height_m=(-0.04, 0.04),
            camera_pitch_deg=(-4.0, 4.0),
            focal_scale=(0.94, 1.06),
        ),
        clutter=ClutterRanges(furniture=(0, 8), wall_items=(0, 8)),
        dynamics=DynamicsRanges(
            mass_scale=(0.9, 1.15),
            wheel_friction_scale=(0.7, 1.2),
            actuator_gain_scale=(0.85, 1.15),
            actuator_lag_s=(0.0, 0.08),
            action_delay_steps=(0, 0),
        ),
    ),
)
# What a policy sees behind goggles that err: the canonical look with mistakes, frames that come late or not at all.
MISTAKEN = replace(
    LIFELIKE,
    name="mistaken",
    look="mistaken",
    flaws=FlawRanges(
        lens_k1=LIFELIKE.flaws.lens_k1,
        readout_s=LIFELIKE.flaws.readout_s,
        dropped=LIFELIKE.flaws.dropped,
        stalled=LIFELIKE.flaws.stalled,
        latency_steps=LIFELIKE.flaws.latency_steps,
    ),
    randomization=replace(
        LIFELIKE.randomization,
        look=LookRanges(),
        mistakes=MistakeRanges(
            camera_height_m=LIFELIKE.randomization.look.camera_height_m,
            camera_pitch_deg=LIFELIKE.randomization.look.camera_pitch_deg,
            focal_scale=LIFELIKE.randomization.look.focal_scale,
            interval=("confusion",),
            interval_s=(1.0, 4.0),
        ),
    ),
)
# Grows from the nominal world, plain colours too, into the randomized one.
ADR = replace(
    RANDOMIZED,
    name="adr",
    randomization=replace(RANDOMIZED.randomization, look=LookRanges(recolored=(0.0, 1.0))),
    adr=ADRConfig(enabled=True),
)
DOMAINS = {
    "sim": DomainConfig(),
    "randomized": RANDOMIZED,
    "lifelike": LIFELIKE,
    "mistaken": MISTAKEN,
    "adr": ADR,
    "standin": STANDIN,
}


def term_groups(domain: DomainConfig) -> dict[str, Terms]:
    """The groups of terms of a domain, by what they are about."""
    ranges = domain.randomization
    look = getattr(ranges, DRAWN_LOOKS.get(domain.look, "look"))
    return {"look": look, "clutter": ranges.clutter, "dynamics": ranges.dynamics, "flaws": domain.flaws}


def with_term_groups(domain: DomainConfig, groups: Mapping[str, Any]) -> DomainConfig:
    """The domain with these groups of terms in the place of its own; by the names of `term_groups`."""
    ranges = dict(groups)
    flaws, look = ranges.pop("flaws", domain.flaws), DRAWN_LOOKS.get(domain.look, "look")
    ranges = {look if name == "look" else name: group for name, group in ranges.items()}
    return replace(domain, flaws=flaws, randomization=replace(domain.randomization, **ranges))
