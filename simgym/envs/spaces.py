"""Observation and action spaces, shared by the single and the vector environment, and the views of observations."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from gymnasium import spaces

from simgym.deploy.camera import Camera
from simgym.errors import UsageError

from .scene import Semantic
from .simulation import Observation, Simulation
from .tasks import Task

RENDER_MODES = ("rgb_array", "depth_array")


def all_sensors(task: Task) -> tuple[str, ...]:
    """What can be observed; the first two are observed by default."""
    return "image", task.measured, "depth", "segmentation"


def chosen_sensors(task: Task, observations: tuple[str, ...] | None) -> tuple[str, ...]:
    """The sensors to observe. Raises UsageError for an unknown one."""
    known = all_sensors(task)
    chosen = known[:2] if observations is None else tuple(observations)
    if set(chosen) - set(known) or not chosen:
        raise UsageError(f"observations={list(chosen)}: choose from {', '.join(known)}")
    return chosen


def observation_space(simulation: Simulation, sensors: tuple[str, ...]) -> spaces.Dict:
    """The Dict space of the chosen sensors."""
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
    return spaces.Box(*simulation.task.measured_range, dtype=np.float32)


def action_space(task: Task) -> spaces.Box:
    """From the lowest (-1) to the highest (1) of each command."""
    return spaces.Box(-1.0, 1.0, (task.action_dim,), np.float32)


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
