"""Observation and action spaces, shared by the single and the vector environment, and the views of observations."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from gymnasium import spaces

from simgym.deploy.camera import Camera
from simgym.errors import UsageError

from .scene import Semantic
from .simulation import Observation, Simulation

SENSORS = ("image", "velocity", "depth", "segmentation")
DEFAULT_SENSORS = ("image", "velocity")
RENDER_MODES = ("rgb_array", "depth_array")
MAX_VELOCITY = 100.0  # m/s and rad/s: far beyond any robot here; Gymnasium's checker asks for finite bounds


def observation_space(simulation: Simulation, sensors: tuple[str, ...]) -> spaces.Dict:
    """The Dict space of the chosen sensors. Raises UsageError for an unknown one."""
    unknown = set(sensors) - set(SENSORS)
    if unknown or not sensors:
        raise UsageError(f"observations={list(sensors)}: choose from {', '.join(SENSORS)}")
    return spaces.Dict({name: _box(name, simulation.camera, simulation) for name in sensors})


def _box(name: str, camera: Camera, simulation: Simulation) -> spaces.Box:
    height, width = camera.height, camera.width
    if name == "image":
        return spaces.Box(0, 255, (height, width, 3), np.uint8)
    if name == "depth":
        return spaces.Box(0.0, np.inf, (height, width), np.float32)
    if name == "segmentation":
        highest = max(len(Semantic), len(simulation.task.scene.all_bodies))
        return spaces.Box(-1, highest, (height, width, 2), np.int16)
    return spaces.Box(-MAX_VELOCITY, MAX_VELOCITY, (2,), np.float32)


def action_space() -> spaces.Box:
    """Forward speed (-1: stop, 1: full speed) and yaw rate (positive: left)."""
    return spaces.Box(-1.0, 1.0, (2,), np.float32)


def view(observation: Observation, sensors: tuple[str, ...], worlds: int | np.ndarray | slice) -> dict[str, np.ndarray]:
    """Copies of the chosen sensors' rows."""
    return {name: getattr(observation, name)[worlds].copy() for name in sensors}


def check_action(action: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The action as float64, or a ValueError that says what is wrong with its shape or its numbers."""
    array = np.asarray(action, np.float64)
    if array.shape != shape:
        raise ValueError(f"action has shape {array.shape}, expected {shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"action has values that are not finite: {array.tolist()}")
    return array


def check_render_mode(mode: str | None) -> None:
    """Raise UsageError for an unknown render mode."""
    if mode is not None and mode not in RENDER_MODES:
        raise UsageError(f"render_mode={mode!r}: expected None or one of {', '.join(RENDER_MODES)}")


def check_reset_options(options: Iterable[str], known: str) -> None:
    """Raise UsageError for an option of ``reset`` that is not the ``known`` one."""
    unknown = sorted(set(options) - {known})
    if unknown:
        raise UsageError(f"reset(options=...) knows {known!r} here, not {', '.join(map(repr, unknown))}")
