"""Grasp: take an object and lift it. Batched arithmetic over worlds; knows no engine and no renderer."""

from __future__ import annotations

import math
from dataclasses import fields

import numpy as np

from simgym.config.option import check

from ...arm import FINGERS, GRASP_POINT, HAND, HOME_RAD, Mount, load_panda
from ...config import RandomizationConfig
from ...draw import Dynamics, Layout
from ...engines import RobotState
from ...kinematics import Chain
from ...quaternion import conjugate, rotate, yaw
from ...scene import Contact, Scene
from ...terms import Drawing
from .. import Onlooker, Outcome, Paced, Reflection
from ..chair_nav.config import ClutterRanges
from .config import GraspConfig, GraspRewardConfig
from .expert import Seen, expert_command
from .layout import Episode, LayoutSampler, objects
from .meshes import read_meshes
from .objects import MAX_GRASPS
from .privileged import mirror_signs, privileged_dim, privileged_view
from .room import room_bodies

HOME = np.array(HOME_RAD)
OPEN_M = 0.08  # between the fingers, at most
REACH_M = ((0.28, -0.38, -0.03), (0.72, 0.38, 0.5))  # where the grasp point can be sent: lowest and highest x, y, z
MIRROR = np.array([1.0, -1.0, 1.0, -1.0, 1.0])  # signs of proprio and of actions, left for right
YAW_LIMIT_RAD = 1.75  # a gripper turned by half a turn is the same
LEASH_M, LEASH_RAD = 0.03, 0.3  # the target stays so near the hand: it cannot push harder and harder
TOUCH_N = 0.1  # of each finger on what it holds
FALLEN_M = -0.05  # lowest point of an object that lies on the table no longer
# Over the shoulder: the table, and the hand above what stands on it. At the wrist: along the fingers, with their tips.
CAMERAS = {
    "shoulder": Mount("panda_link0", (0.12, -0.44, 0.42), (0.0, 0.53, 0.86)),
    "wrist": Mount(HAND, (0.13, 0.0, 0.0), (0.0, -math.radians(120), 0.0)),
}


class Grasp(Paced):
    """State and arithmetic of ``n`` episodes of Grasp."""

    name = "Grasp"
    measured, measured_unit = "proprio", "m, m, m, rad, m"
    command_unit = "m/s, m/s, m/s, rad/s, m"
    action_dim = 5
    ignored: tuple[tuple[str, str], ...] = (
        ("domain.randomization.dynamics.velocity_noise", "an arm measures its joints exactly"),
    )
    reported = ("objects",)
    track_radius_m = 0.02
    overview_m = 2.0
    onlooker = Onlooker((1.5, -1.0, 0.9), (0.35, 0.0, 0.2), 0.9)

    def __init__(self, config: GraspConfig, randomization: RandomizationConfig) -> None:
        """Raises UsageError where the configuration is impossible, UserError without the Panda or for a bad mesh."""
        check(config, "env.")
        self.config, self.robot = config, load_panda(CAMERAS[config.view])
        at_wrist = config.view == "wrist"
        self.camera_yaw = 3 if at_wrist else None
        layout = config.layout
        meshes = () if layout.meshes is None else read_meshes(layout.meshes, layout.mesh_unit_m)
        clutter = randomization.clutter if randomization.enabled else ClutterRanges()
        things = objects(layout, meshes)
        contacts = [Contact(finger, thing.name) for thing in things for finger in FINGERS]
        contacts += [Contact("panda_link0", "table"), Contact("panda_link5", "panda_link0")]
        self.scene = Scene(room_bodies(clutter), self.robot.links, self.robot.camera_link, things, tuple(contacts))
        self._sampler = LayoutSampler(self.scene, layout, clutter, meshes)
        self._chain = Chain(self.robot)
        self._hand_link = self.robot.link_index(GRASP_POINT)
        self.privileged_dim = privileged_dim(len(things))
        self.mirror = Reflection(MIRROR, MIRROR, mirror_signs(len(things))) if at_wrist else None
        speed, turn = config.max_speed_m_s, config.max_yaw_rate_rad_s
        self.command_range = np.array([-speed] * 3 + [-turn, 0.0]), np.array([speed] * 3 + [turn, OPEN_M])
        self.rest = np.array([0.0, 0.0, 0.0, 0.0, OPEN_M])

    def allocate(self, n: int) -> None:
        """Make room for ``n`` worlds."""
        things = len(self.scene.objects)
        self.grasps = np.full((n, things, MAX_GRASPS, 4), np.nan)  # in the things' frames, as `Episode` has them
        self.half_m = np.zeros((n, things, 3))
        self.target = np.zeros((n, 4))  # x, y, z, yaw_rad where the grasp point is sent
        self.joint_target = np.zeros((n, len(self.robot.joints)))
        self.steps, self.collisions = np.zeros(n, int), np.zeros(n, int)
        self.success = np.zeros(n, bool)
        self.held_s = np.zeros(n)  # how long an object has been held up
        self.best_lift_m = np.zeros(n)
        self._distance_m, self._lift, self._holding = np.zeros(n), np.zeros(n), np.zeros(n)

    def sample(
        self,
        rng: np.random.Generator,
        split: str,
        seed: int,
        place: int | None = None,
        clutter: Drawing | None = None,
    ) -> tuple[Layout, Episode]:
        """Draw one layout; see `LayoutSampler.sample`. No place has objects of its own here."""
        layout, episode = self._sampler.sample(rng, split, seed, clutter)
        arm = HOME[None]
        for _ in range(5):
            arm = self._chain.solve(arm, episode.hand[None, :3], episode.hand[None, 3], HOME)
        layout.joint_pos = np.concatenate([arm, np.full((1, 2), OPEN_M / 2)], axis=1)
        return layout, episode

    def begin(self, world: int, layout: Layout, episode: Episode) -> None:
        """Start an episode in ``world``."""
        self.grasps[world], self.half_m[world], self.target[world] = episode.grasps, episode.half_m, episode.hand
        self.joint_target[world] = layout.joint_pos[0]
        self.steps[world] = self.collisions[world] = 0
        self.held_s[world] = self.best_lift_m[world] = self._lift[world] = self._holding[world] = 0
        self.success[world] = False
        self._distance_m[world] = np.nan  # known after the first step

    def command(self, action: np.ndarray) -> np.ndarray:
        """(n, 5) actions in [-1, 1] -> (n, 5) velocity of the hand m/s, yaw rate rad/s, opening m."""
        low, high = self.command_range
        return low + (np.clip(action, -1, 1) + 1) / 2 * (high - low)

    def action(self, command: np.ndarray) -> np.ndarray:
        """The inverse of `command`."""
        low, high = self.command_range
        return ((command - low) / (high - low) * 2 - 1).astype(np.float32)

    def drive(self, command: np.ndarray, state: RobotState) -> np.ndarray:
        """(n, 9) targets of the joints that move the hand as commanded from where it was sent before."""
        hand = self.measure(state).astype(float)
        moved = self.target + command[:, :4] * self.control_dt_s
        low = np.concatenate([hand[:, :3] - LEASH_M, hand[:, 3:4] - LEASH_RAD], axis=1)
        high = np.concatenate([hand[:, :3] + LEASH_M, hand[:, 3:4] + LEASH_RAD], axis=1)
        moved = np.clip(moved, low, high)
        self.target[:, :3] = np.clip(moved[:, :3], *REACH_M)
        self.target[:, 3] = np.clip(moved[:, 3], -YAW_LIMIT_RAD, YAW_LIMIT_RAD)
        arm = self.joint_target[:, :7]
        self.joint_target[:, :7] = self._chain.solve(arm, self.target[:, :3], self.target[:, 3], HOME)
        self.joint_target[:, 7:] = np.clip(command[:, 4:], 0, OPEN_M) / 2
        return self.joint_target

    def measure(self, state: RobotState) -> np.ndarray:
        """(n, 5) float32 proprio: x, y, z of the grasp point, its yaw, and the opening of the gripper."""
        quat = state.link_quat[:, self._hand_link]
        width = state.joint_pos[:, 7:].sum(1)
        return np.column_stack([state.link_pos[:, self._hand_link], yaw(quat), width]).astype(np.float32)

    @property
    def measured_range(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest values (5,) of `measure`."""
        high = np.array([2.0, 2.0, 2.0, np.pi, 0.1], np.float32)
        return np.array([-2.0, -2.0, -2.0, -np.pi, -0.02], np.float32), high

    @property
    def usual_range(self) -> tuple[np.ndarray, np.ndarray]:
        """Between which values (5,) of `measure` a hand usually is."""
        low, high = REACH_M
        return np.array([*low, -YAW_LIMIT_RAD, 0.0]), np.array([*high, YAW_LIMIT_RAD, OPEN_M])

    def track(self, state: RobotState) -> np.ndarray:
        """(n, 3) x, y, yaw_rad of the grasp point."""
        return self.measure(state)[:, [0, 1, 3]].astype(float)

    def noise(self, dynamics: Dynamics) -> np.ndarray:
        """(5,) standard deviations of what is measured: an arm knows its joints."""
        return np.zeros(5)

    def expert_action(self, state: RobotState) -> np.ndarray:
        """(n, 5) float32 actions of the scripted expert, a function of the present state."""
        return self.action(expert_command(self._seen(state), self.command_range[1], self.config.lift_m))

    def privileged(self, state: RobotState) -> np.ndarray:
        """(n, privileged_dim) float32 that only a simulator knows; see `privileged_view`."""
        held = self.held_s / max(self.config.hold_s, self.control_dt_s)
        return privileged_view(self._seen(state), held, 1 - self.steps / self.max_steps)

    def _seen(self, state: RobotState) -> Seen:
        """What the expert and the critic look at."""
        touching = state.contact_n[:, :-2].reshape(len(self.steps), -1, 2) > TOUCH_N  # (n, M, 2)
        lowest = self.lowest_points(state)
        return Seen(
            hand=self.measure(state).astype(float),
            object_pos=state.object_pos,
            object_quat=state.object_quat,
            present=(self.half_m[..., 2] > 0) & (lowest >= FALLEN_M),
            half_m=self.half_m,
            lowest_m=lowest,
            held=np.asarray(touching.all(-1)),
            grasps=self.grasps,
        )

    def lowest_points(self, state: RobotState) -> np.ndarray:
        """(n, M) height of the lowest point of each object's bounding box above the table."""
        up = rotate(conjugate(state.object_quat), np.array([0.0, 0.0, 1.0]))  # (n, M, 3) in the objects' frames
        centre = state.object_pos[..., 2] + up[..., 2] * self.half_m[..., 2]
        return centre - (np.abs(up) * self.half_m).sum(-1)

    def advance(self, state: RobotState, segmentation: np.ndarray) -> Outcome:
        """Judge one control step from the state of robot and objects; the picture does not count."""
        self.steps += 1
        seen = self._seen(state)
        hit = (state.contact_n[:, -2:] > self.config.collision_force_n).any(1) | state.failed
        self.collisions += hit
        held = seen.held & seen.present
        lift = np.where(held, seen.lowest_m, 0.0).max(1).clip(0.0)
        self.best_lift_m = np.maximum(self.best_lift_m, lift)
        up = lift >= self.config.lift_m
        self.held_s = np.where(up, self.held_s + self.control_dt_s, 0.0)
        self.success = up & (self.held_s >= self.config.hold_s - 1e-9) & (self.collisions == 0)
        gone = ~seen.present.any(1)
        terms = self._terms(seen, held.any(1), np.minimum(lift / self.config.lift_m, 1.0), hit)
        weights = self.config.reward
        reward = sum(getattr(weights, term.name) * terms[term.name] for term in fields(GraspRewardConfig))
        terminated = self.success | hit | gone
        return Outcome(np.asarray(reward), terms, terminated, ~terminated & (self.steps >= self.max_steps))

    def _terms(self, seen: Seen, holding: np.ndarray, lift: np.ndarray, hit: np.ndarray) -> dict[str, np.ndarray]:
        """Unweighted reward terms, each (n,); those of progress sum up to what was reached, whatever the way."""
        distance = seen.nearest_grasp_m()
        before = np.where(np.isnan(self._distance_m), distance, self._distance_m)
        terms = {
            "approach": before - distance,
            "grasp": holding - self._holding,
            "lift": lift - self._lift,
            "success": self.success.astype(float),
            "collision": hit.astype(float),
            "time": np.ones_like(lift),
        }
        self._distance_m, self._holding, self._lift = distance, holding.astype(float), lift
        return terms

    def info(self) -> dict[str, np.ndarray]:
        """Measures of every running episode, each (n,)."""
        return {
            "is_success": self.success.copy(),
            "lift": self.best_lift_m.copy(),
            "held_s": self.held_s.copy(),
            "collisions": self.collisions.copy(),
        }
