"""What can be configured of Grasp. Plain data: knows nothing of Hydra, engines or renderers."""

from __future__ import annotations

from dataclasses import dataclass

from simgym.config.option import option, span
from simgym.errors import UsageError

from ..config import TaskConfig


@dataclass(frozen=True, kw_only=True)
class GraspLayoutConfig:
    """Ranges of what stands on the table; each is (lowest, highest), both included."""

    objects: tuple[int, int] = span((1, 5), "objects on the table", low=1, high=5)
    mass_kg: tuple[float, float] = span((0.05, 0.4), "of an object", unit="kg", low=0.01, high=1.0)
    friction: tuple[float, float] = span((0.6, 1.1), "sliding, of an object's surface", low=0.3, high=2.0)
    thin_ends: float = option(
        0.0,
        "share of the ends of things assembled by chance, in split=train, that are thin as a shaft",
        low=0.0,
        high=1.0,
    )
    meshes: str | None = option(None, "folder of .obj and .stl files, z up, that are drawn among the objects")
    mesh_unit_m: float = option(1.0, "what 1 is in these files; 0.001 for millimetres", unit="m", low=1e-6)
    mesh_share: float = option(0.5, "share of the objects that are from that folder", low=0.0, high=1.0)

    def __post_init__(self) -> None:
        idle = [name for name in ("mesh_unit_m", "mesh_share") if getattr(self, name) != getattr(type(self), name)]
        if self.meshes is None and idle:
            raise UsageError(f"env.layout.{idle[0]} does nothing without meshes: add env.layout.meshes=<folder>")


@dataclass(frozen=True, kw_only=True)
class GraspRewardConfig:
    """Weights of the reward terms; the reward is their weighted sum."""

    approach: float = option(2.0, "a metre by which the hand came nearer to a grasp", unit="1/m")
    grasp: float = option(1.0, "both fingers begin to hold an object (less 1 when they lose it)")
    lift: float = option(3.0, "the share of the height to lift that the held object rose")
    success: float = option(5.0, "an object held up long enough, once")
    collision: float = option(-5.0, "hitting the table or itself, once")
    time: float = option(-0.02, "each control step")


@dataclass(frozen=True, kw_only=True)
class GraspConfig(TaskConfig):
    """Take an object and lift it: the arm's limits, what counts as success, the reward and the objects."""

    name: str = option("Grasp", "the task")
    camera: str | None = option(None, "a ROS camera_info YAML; the default is 80x60 pixels, 69 degrees wide")
    view: str = option("wrist", "where the camera is", choices=("shoulder", "wrist"))
    max_speed_m_s: float = option(0.25, "of the hand along each axis", unit="m/s", low=0.01, high=0.5)
    max_yaw_rate_rad_s: float = option(1.5, "of the hand about the vertical", unit="rad/s", low=0.01, high=3.0)
    control_rate_hz: float = option(10.0, "actions a second; a divisor of 20", unit="Hz", low=4.0, high=20.0)
    time_limit_s: float = option(15.0, "an episode is truncated after this", unit="s", low=1.0)
    lift_m: float = option(0.10, "height that an object must reach with its lowest point", unit="m", low=0.01, high=0.3)
    hold_s: float = option(0.5, "how long it must be held up there", unit="s", low=0.0)
    collision_force_n: float = option(60.0, "of hand or arm on table or arm, ends it", unit="N", low=1.0)
    reward: GraspRewardConfig = option(GraspRewardConfig, "weights of the reward terms")
    layout: GraspLayoutConfig = option(GraspLayoutConfig, "what objects are drawn")
