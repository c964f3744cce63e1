"""Engines: the physics. An engine knows no task and draws no pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from simgym.errors import UsageError

from ..draw import Dynamics, Layout
from ..robot import Robot
from ..scene import Scene


@dataclass
class RobotState:
    """The robot in every world, after a control step. Arrays are owned by the engine."""

    link_pos: np.ndarray  # (n, L, 3) world, metres
    link_quat: np.ndarray  # (n, L, 4) world, wxyz
    velocity: np.ndarray  # (n, 2) of the base: forward m/s in its own frame, yaw rate rad/s
    collision: np.ndarray  # (n,) bool: touched a fixed body other than the floor during the last control step


class Engine(Protocol):
    """What every engine offers. ``load`` once, ``apply`` at resets, ``step`` at steps."""

    state: RobotState

    def load(self, scene: Scene, robot: Robot, num_worlds: int, control_dt_s: float) -> None:
        """Compile the scene and the robot for ``num_worlds`` worlds stepped by ``control_dt_s`` at a time."""

    def apply(self, worlds: np.ndarray, layout: Layout, dynamics: Dynamics) -> None:
        """Take row ``i`` of a draw as the new variation of ``worlds[i]``; the robot stands at its start, at rest.

        ``worlds`` ascend.
        """

    def step(self, wheel_velocity: np.ndarray) -> None:
        """Advance every world one control step with wheels driven towards ``(n, 2)`` rad/s, left and right."""

    def close(self) -> None:
        """Release everything; may be called twice."""


def make_engine(name: str) -> Engine:
    """The engine of a domain, not loaded yet. Raises UsageError with the known names."""
    if name == "mujoco":
        from .mujoco import MujocoEngine

        return MujocoEngine()
    raise UsageError(f"domain.engine={name!r}: expected 'mujoco'")
