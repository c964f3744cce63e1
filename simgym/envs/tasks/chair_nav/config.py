"""What can be configured of ChairNav. Plain data: knows nothing of Hydra, engines or renderers."""

from __future__ import annotations

from dataclasses import dataclass

from simgym.config.option import option, span

from ...terms import Terms
from ..config import TaskConfig


@dataclass(frozen=True, kw_only=True)
class LayoutConfig:
    """Ranges of one drawn room; each is (lowest, highest), both included."""

    room_side_m: tuple[float, float] = span((4.0, 9.0), "sides of the room", unit="m", low=2.0, high=9.5)
    chairs: tuple[int, int] = span((1, 3), "chairs in a room", low=1, high=8)
    obstacles: tuple[int, int] = span((0, 8), "tables, cabinets, boxes, bins and plants in a room", low=0, high=15)


@dataclass(frozen=True, kw_only=True)
class ClutterRanges(Terms):
    """Terms of what else stands and hangs in a room, each a range (lowest, highest), both included."""

    furniture: tuple[int, int] = span(
        (0, 0), "shelves, sofas, lamps, small things on the floor", operation="set", low=0, high=12, nominal=0
    )
    wall_items: tuple[int, int] = span(
        (0, 0), "flat boxes for doors, windows, posters", operation="set", low=0, high=12, nominal=0
    )
    doors: tuple[int, int] = span((0, 0), "doors with frame and handle", operation="set", low=0, high=4, nominal=0)
    windows: tuple[int, int] = span((0, 0), "windows with frame and sill", operation="set", low=0, high=4, nominal=0)
    pictures: tuple[int, int] = span((0, 0), "framed pictures and posters", operation="set", low=0, high=8, nominal=0)
    rugs: tuple[int, int] = span((0, 0), "rugs, which robots drive over", operation="set", low=0, high=4, nominal=0)
    cables: tuple[int, int] = span(
        (0, 0), "cables on the floor, which robots drive over", operation="set", low=0, high=4, nominal=0
    )


@dataclass(frozen=True, kw_only=True)
class RewardConfig:
    """Weights of the reward terms; the reward is their weighted sum."""

    progress: float = option(2.0, "a metre of geodesic distance gained", unit="1/m")
    success: float = option(5.0, "reaching a chair, once")
    collision: float = option(-5.0, "each control step with a collision")
    tightness: float = option(-0.1, "each control step where the way is too tight for planned ways")
    time: float = option(-0.03, "each control step")


@dataclass(frozen=True, kw_only=True)
class ChairNavConfig(TaskConfig):
    """Drive to a chair: the robot and its limits, what counts as success, the reward and the rooms."""

    name: str = option("ChairNav", "the task")
    robot: str = option("rover", "a robot that ships with simgym, or the path of a differential-drive URDF")
    camera: str | None = option(None, "a ROS camera_info YAML; the default is 80x60 pixels, 69 degrees wide")
    max_speed_m_s: float = option(0.5, "highest forward speed", unit="m/s", low=0.01, high=10.0)
    max_yaw_rate_rad_s: float = option(1.5, "highest yaw rate", unit="rad/s", low=0.01, high=20.0)
    control_rate_hz: float = option(5.0, "actions a second; a divisor of 20", unit="Hz", low=1.0, high=20.0)
    time_limit_s: float = option(40.0, "an episode is truncated after this", unit="s", low=1.0)
    success_distance_m: float = option(1.0, "from the base's centre to a chair's centre", unit="m", low=0.5, high=5.0)
    success_bearing_deg: float = option(
        30.0, "the chair lies at most so far off straight ahead", unit="deg", low=1.0, high=180.0
    )
    visible_share: float = option(0.005, "share of the pixels that must show that chair", low=0.0, high=1.0)
    collision: str = option("end", "what a collision does to the episode", choices=("end", "cost"))
    reward: RewardConfig = option(RewardConfig, "weights of the reward terms")
    layout: LayoutConfig = option(LayoutConfig, "what rooms are drawn")
