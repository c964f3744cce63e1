"""Engines: the physics. An engine knows no task and draws no pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from simgym.errors import UsageError

from ..draw import Dynamics, Layout
from ..scene import Body, Scene, Semantic

CONTACT_CHECK_S = 0.05  # collisions are read this often: 2.5 cm of travel at full speed
WHEEL_GAIN_NM_S = 1.0  # torque per rad/s of velocity error
ROTOR_INERTIA_KG_M2 = 0.01  # of a geared motor, at the wheel
WHEEL_FRICTION = 1.0  # sliding; all but the wheels slide without friction
WHEEL_HALF_WIDTH_M = 0.003  # a broad cylinder scrubs on both edges as the robot turns: it would turn 7 % too slowly


@dataclass
class RobotState:
    """Robot and objects in every world, after a control step. Arrays are owned by the engine."""

    moving_pos: np.ndarray  # (n, M + L, 3) world, metres: M objects, then L links
    moving_quat: np.ndarray  # (n, M + L, 4) world, wxyz
    object_pos: np.ndarray  # (n, M, 3) and so on: views of these
    object_quat: np.ndarray
    link_pos: np.ndarray
    link_quat: np.ndarray
    velocity: np.ndarray  # (n, 2) of a robot that drives: forward m/s in its own frame, yaw rate rad/s
    collision: np.ndarray  # (n,) bool: it touched a fixed body other than the floor during the last control step
    failed: np.ndarray  # (n,) bool: the physics gave no finite numbers; poses are the last good ones until a reset
    joint_pos: np.ndarray  # (n, J) of an arm: rad, and m of its fingers
    contact_n: np.ndarray  # (n, K) largest force between each of `Scene.contacts` during the last control step

    @classmethod
    def zeros(cls, n: int, scene: Scene, num_joints: int = 0) -> RobotState:
        """Of ``n`` worlds of a scene."""
        pos, quat, first = np.zeros((n, scene.num_moving, 3)), np.zeros((n, scene.num_moving, 4)), len(scene.objects)
        return cls(
            moving_pos=pos,
            moving_quat=quat,
            object_pos=pos[:, :first],
            object_quat=quat[:, :first],
            link_pos=pos[:, first:],
            link_quat=quat[:, first:],
            velocity=np.zeros((n, 2)),
            collision=np.zeros(n, bool),
            failed=np.zeros(n, bool),
            joint_pos=np.zeros((n, num_joints)),
            contact_n=np.zeros((n, len(scene.contacts))),
        )


class Engine(Protocol):
    """What every engine offers. ``load`` once, ``apply`` at resets, ``vary`` between steps, ``step`` at steps."""

    state: RobotState

    def load(self, scene: Scene, robot: Any, num_worlds: int, control_dt_s: float) -> None:
        """Compile the scene and the robot for ``num_worlds`` worlds stepped by ``control_dt_s`` at a time."""

    def apply(self, worlds: np.ndarray, layout: Layout, dynamics: Dynamics) -> None:
        """Take row ``i`` of a draw as the new variation of ``worlds[i]``; robot and objects are at rest at their start.

        ``worlds`` ascend.
        """

    def vary(self, worlds: np.ndarray, dynamics: Dynamics) -> None:
        """Take the friction and motor gains of row ``i`` of a draw in the running episode of ``worlds[i]``.

        Masses stay: of those MuJoCo derives much more.
        """

    def step(self, target: np.ndarray) -> None:
        """Advance every world one control step with joints driven towards ``target``.

        Wheels towards ``(n, 2)`` rad/s, left and right; the joints of an arm towards ``(n, J)`` rad and m.
        """

    def close(self) -> None:
        """Release everything; may be called twice."""


def make_engine(name: str, has_arm: bool = False) -> Engine:
    """The engine of a domain for a robot that drives or has an arm, not loaded yet.

    Raises UsageError with the known names.
    """
    if name == "mujoco":
        from .mujoco import MujocoEngine
        from .mujoco_arm import MujocoArmEngine

        return MujocoArmEngine() if has_arm else MujocoEngine()
    if name == "bullet":
        from .bullet import BulletEngine
        from .bullet_arm import BulletArmEngine

        return BulletArmEngine() if has_arm else BulletEngine()
    raise UsageError(f"domain.engine={name!r}: expected 'mujoco' or 'bullet'")


def contact_checks(control_dt_s: float) -> int:
    """How many times contacts are read in a control step: a whole number. Raises UsageError where it is none."""
    checks = control_dt_s / CONTACT_CHECK_S
    if checks < 1 or abs(checks - round(checks)) > 1e-6:
        raise UsageError(
            f"env.control_rate_hz={1 / control_dt_s:g}: expected a divisor of {1 / CONTACT_CHECK_S:g}, such as 5 or 10"
        )
    return round(checks)


def is_floor(body: Body) -> bool:
    """Whether robots stand on it, so that touching it is no collision."""
    return any(part.semantic == Semantic.FLOOR for part in body.parts)
