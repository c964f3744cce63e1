"""ChairNav: drive to a chair. Batched arithmetic over worlds; knows no engine and no renderer."""

from __future__ import annotations

import math
from dataclasses import fields

import numba
import numpy as np

from simgym.config.option import check

from ... import geodesic
from ...config import RandomizationConfig
from ...draw import Dynamics, Layout
from ...engines import RobotState
from ...quaternion import wrap_angle, yaw
from ...robot import load_robot
from ...scene import Scene
from ...terms import Drawing
from .. import Onlooker, Outcome, Paced, Reflection
from ..measures import soft_spl, spl
from .config import ChairNavConfig, ClutterRanges, RewardConfig
from .expert import expert_command
from .layout import MAX_PATH_CELLS, Episode, LayoutSampler, build_bodies
from .privileged import MIRROR_ORDER, MIRROR_SIGNS, PRIVILEGED_DIM, privileged_view

TURNS = np.array([1.0, -1.0])  # signs in a mirror of forward speed and yaw rate
MAX_VELOCITY = 100.0  # m/s and rad/s: far beyond any robot here; Gymnasium's checker asks for finite bounds


@numba.njit(cache=True, parallel=False)
def count_pixels(segmentation: np.ndarray, first_body: int, counts: np.ndarray) -> None:
    """Count the pixels of bodies ``first_body ... first_body + C - 1`` in (n, H, W, 2) into ``counts`` (n, C)."""
    counts[:] = 0
    last = first_body + counts.shape[1]
    for w in range(segmentation.shape[0]):
        for i in range(segmentation.shape[1]):
            for j in range(segmentation.shape[2]):
                body = segmentation[w, i, j, 1]
                if first_body <= body < last:
                    counts[w, body - first_body] += 1


class ChairNav(Paced):
    """State and arithmetic of ``n`` episodes of ChairNav."""

    name = "ChairNav"
    measured, measured_unit = "velocity", "m/s, rad/s"
    mirror: Reflection | None = Reflection(TURNS, TURNS, MIRROR_SIGNS, MIRROR_ORDER)
    camera_yaw: int | None = None
    command_unit = "m/s, rad/s"
    measured_range = np.full(2, -MAX_VELOCITY, np.float32), np.full(2, MAX_VELOCITY, np.float32)
    action_dim = 2
    ignored: tuple[tuple[str, str], ...] = ()
    rest = np.zeros(2)
    reported = ("room", "chairs")
    privileged_dim = PRIVILEGED_DIM
    track_radius_m = 0.2
    overview_m = geodesic.SIDE_M
    # Above, a little aside, so that walls stand and hide almost nothing.
    onlooker = Onlooker((0.0, -5.0, 12.0), (0.0, -0.1, 0.0), 1.13)

    def __init__(self, config: ChairNavConfig, randomization: RandomizationConfig) -> None:
        """Raises UsageError where the configuration is impossible."""
        check(config, "env.")
        self.config, self.robot = config, load_robot(config.robot)
        clutter = randomization.clutter if randomization.enabled else ClutterRanges()
        robot = self.robot
        self.scene = Scene(build_bodies(config.layout, clutter), robot.links, robot.camera_link)
        self._sampler = LayoutSampler(self.scene, robot, config.layout, clutter, config.success_distance_m)
        self._first_chair = self.scene.body_index("chair0")
        self._path = np.zeros((MAX_PATH_CELLS, 2))

    @property
    def command_range(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest forward speed and yaw rate, each (2,)."""
        speed, turn = self.config.max_speed_m_s, self.config.max_yaw_rate_rad_s
        return np.array([0.0, -turn]), np.array([speed, turn])

    @property
    def usual_range(self) -> tuple[np.ndarray, np.ndarray]:
        """Between which measured speeds and yaw rates a robot usually drives, each (2,)."""
        return self.command_range

    def allocate(self, n: int) -> None:
        """Make room for ``n`` worlds."""
        chairs = self.config.layout.chairs[1]
        self.chairs = np.full((n, chairs, 2), np.inf)
        self.field = np.full((n, geodesic.N, geodesic.N), np.inf)
        self.blocked = np.zeros((n, geodesic.N, geodesic.N), bool)
        self.opaque = np.zeros_like(self.blocked)
        self.distance_m, self.shortest_m, self.start_m, self.path_m = (np.zeros(n) for _ in range(4))
        self.position = np.zeros((n, 2))
        self.steps, self.collisions = np.zeros(n, int), np.zeros(n, int)
        self.success = np.zeros(n, bool)
        self._pixels = np.zeros((n, chairs), np.int64)
        self._now, self._tight = np.zeros(n), np.zeros(n, bool)

    def sample(
        self,
        rng: np.random.Generator,
        split: str,
        seed: int,
        place: int | None = None,
        clutter: Drawing | None = None,
    ) -> tuple[Layout, Episode]:
        """Draw one layout; see `LayoutSampler.sample`."""
        return self._sampler.sample(rng, split, seed, place, clutter)

    def begin(self, world: int, layout: Layout, episode: Episode) -> None:
        """Start an episode in ``world``."""
        for name in ("chairs", "field", "blocked", "opaque"):
            getattr(self, name)[world] = getattr(episode, name)
        self.position[world] = layout.robot_pose[0, :2]
        self.distance_m[world] = geodesic.distance_at(episode.field, *layout.robot_pose[0, :2])
        self.start_m[world] = self.distance_m[world]
        self.shortest_m[world] = episode.shortest_m
        self.path_m[world] = self.steps[world] = self.collisions[world] = 0
        self.success[world] = False

    def command(self, action: np.ndarray) -> np.ndarray:
        """(n, 2) actions in [-1, 1] -> (n, 2) forward speed 0..max m/s and yaw rate rad/s."""
        limits = (self.config.max_speed_m_s, self.config.max_yaw_rate_rad_s)
        clipped = np.clip(action, -1, 1)
        return np.stack([(clipped[:, 0] + 1) / 2 * limits[0], clipped[:, 1] * limits[1]], axis=1)

    def action(self, command: np.ndarray) -> np.ndarray:
        """The inverse of `command`."""
        limits = (self.config.max_speed_m_s, self.config.max_yaw_rate_rad_s)
        return np.stack([command[:, 0] / limits[0] * 2 - 1, command[:, 1] / limits[1]], axis=1).astype(np.float32)

    def drive(self, command: np.ndarray, state: RobotState) -> np.ndarray:
        """(n, 2) wheel velocities, left and right, rad/s."""
        return self.robot.drive.wheel_velocity(command)

    def measure(self, state: RobotState) -> np.ndarray:
        """(n, 2) forward speed m/s and yaw rate rad/s."""
        return state.velocity

    def noise(self, dynamics: Dynamics) -> np.ndarray:
        """(2,) standard deviations of the measured velocity."""
        return dynamics.velocity_noise[0]

    def expert_action(self, state: RobotState) -> np.ndarray:
        """(n, 2) float32 actions of the scripted planner, which knows the floor plan."""
        poses = self.track(state)
        limits = (self.config.max_speed_m_s, self.config.max_yaw_rate_rad_s)
        commands = [
            expert_command(
                self.field[w], self.blocked[w], self.opaque[w], self.chairs[w], poses[w], *limits, self._path
            )
            for w in range(len(poses))
        ]
        return self.action(np.array(commands))

    def privileged(self, state: RobotState) -> np.ndarray:
        """(n, PRIVILEGED_DIM) float32 that only a simulator knows; see `privileged_view`."""
        out = np.zeros((len(self.steps), PRIVILEGED_DIM))
        poses = self.track(state)
        time_left = 1 - self.steps / self.max_steps
        for w in range(len(out)):
            privileged_view(self.field[w], self.blocked[w], poses[w], time_left[w], self._path, out[w])
        return out.astype(np.float32)

    def track(self, state: RobotState) -> np.ndarray:
        """(n, 3) x, y, yaw_rad of the bases."""
        return np.column_stack([state.link_pos[:, 0, :2], yaw(state.link_quat[:, 0])])

    def advance(self, state: RobotState, segmentation: np.ndarray) -> Outcome:
        """Judge one control step from the robot's state and what its camera sees (n, H, W, 2)."""
        self.steps += 1
        collided = state.collision | state.failed
        self.collisions += collided
        position = state.link_pos[:, 0, :2]
        self.path_m += np.hypot(*(position - self.position).T)
        self.position[:] = position
        geodesic.distances_at(self.field, position, self.distance_m, self._now)
        geodesic.marked_at(self.blocked, position, self._tight)
        progress = self.distance_m - self._now
        self.distance_m[:] = self._now
        self.success[:] = self._reached(state, segmentation) & (self.collisions == 0)
        terms = {
            "progress": progress,
            "success": self.success.astype(float),
            "collision": collided.astype(float),
            "tightness": self._tight.astype(float),
            "time": np.ones_like(progress),
        }
        weights = self.config.reward
        reward = sum(getattr(weights, term.name) * terms[term.name] for term in fields(RewardConfig))
        ends = collided if self.config.collision == "end" else state.failed
        terminated = self.success | ends
        return Outcome(np.asarray(reward), terms, terminated, ~terminated & (self.steps >= self.max_steps))

    def _reached(self, state: RobotState, segmentation: np.ndarray) -> np.ndarray:
        """(n,) bool: near a chair, facing it, and it is in the picture."""
        count_pixels(segmentation, self._first_chair, self._pixels)
        offset = self.chairs - self.position[:, None]  # (n, C, 2), inf for slots not used
        near = np.hypot(offset[..., 0], offset[..., 1]) <= self.config.success_distance_m
        offset = np.where(np.isfinite(offset), offset, 1.0)
        bearing = wrap_angle(np.arctan2(offset[..., 1], offset[..., 0]) - yaw(state.link_quat[:, 0])[:, None])
        facing = np.abs(bearing) <= math.radians(self.config.success_bearing_deg)
        visible = self._pixels >= self.config.visible_share * segmentation[0, ..., 0].size
        return (near & facing & visible).any(axis=1)

    def info(self) -> dict[str, np.ndarray]:
        """Measures of every running episode, as in Habitat (Anderson et al. 2018, Savva et al. 2019), each (n,)."""
        progress = 1 - self.distance_m / np.maximum(self.start_m, 1e-9)
        return {
            "is_success": self.success.copy(),
            "spl": spl(self.success, self.shortest_m, self.path_m),
            "soft_spl": soft_spl(progress, self.shortest_m, self.path_m),
            "distance_to_goal": self.distance_m.copy(),
            "collisions": self.collisions.copy(),
        }
