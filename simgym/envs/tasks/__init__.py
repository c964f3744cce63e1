"""Tasks: what the robot must do. A task knows no engine and no renderer.

`TASKS` is the one list of them. What it names is imported when asked for, because configurations are light and tasks
are not.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from simgym.errors import UsageError

if TYPE_CHECKING:
    from ..arm import Arm
    from ..config import RandomizationConfig
    from ..draw import Dynamics, Layout
    from ..engines import RobotState
    from ..robot import Robot
    from ..scene import Scene
    from ..terms import Drawing


@dataclass
class Outcome:
    """What one control step brought, one row a world."""

    reward: np.ndarray  # (n,) float64
    terms: dict[str, np.ndarray]  # unweighted reward terms, each (n,)
    terminated: np.ndarray  # (n,) bool
    truncated: np.ndarray  # (n,) bool


class Onlooker(NamedTuple):
    """From where people like to see a world."""

    eye_m: tuple[float, float, float]
    target_m: tuple[float, float, float]
    fov_rad: float


class Paced:
    """How a task's configuration says how long its steps and episodes are."""

    config: Any

    @property
    def control_dt_s(self) -> float:
        """Seconds of one control step."""
        return 1.0 / self.config.control_rate_hz

    @property
    def max_steps(self) -> int:
        """Control steps until truncation."""
        return round(self.config.time_limit_s * self.config.control_rate_hz)


@dataclass(frozen=True)
class Reflection:
    """What becomes of a task's values in a mirror that swaps left and right.

    Args:
        measured: (D,) signs of what the robot measures.
        action: (action_dim,) signs.
        privileged: (privileged_dim,) signs of what stands there in the mirror.
        privileged_order: (privileged_dim,) from where each of these comes; None leaves all where they are.
    """

    measured: np.ndarray
    action: np.ndarray
    privileged: np.ndarray
    privileged_order: np.ndarray | None = None


class Task(Protocol):
    """State and arithmetic of ``n`` episodes, made as ``Task(config, randomization)``."""

    name: str
    config: Any  # has `camera`, and what `Paced` needs, beside what the task needs
    scene: Scene
    measured: str  # what the robot measures of itself, as a key of observations
    measured_unit: str
    command_unit: str
    action_dim: int
    privileged_dim: int
    mirror: Reflection | None  # where left and right are alike
    camera_yaw: int | None  # which measured value turns the camera against the frame of the first two actions
    track_radius_m: float  # of what `track` tells of, as a disc
    overview_m: float  # edge of the square of floor, centred on the origin, that shows an episode from above
    onlooker: Onlooker
    ignored: tuple[tuple[str, str], ...]  # how keys of a domain begin that do nothing here, and why
    rest: np.ndarray  # (C,) the command before the first action
    steps: np.ndarray  # (n,) control steps of each episode
    success: np.ndarray  # (n,) bool

    @property
    def robot(self) -> Robot | Arm:
        """What it moves."""

    @property
    def reported(self) -> tuple[str, ...]:
        """Of a draw's facts, those by which reports group episodes."""

    @property
    def measured_range(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest values of what is measured, each (D,) float32."""

    @property
    def usual_range(self) -> tuple[np.ndarray, np.ndarray]:
        """Between which values, each (D,), what is measured lies as a rule: networks scale it by them."""

    @property
    def command_range(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest commands, each (action_dim,)."""

    @property
    def control_dt_s(self) -> float:
        """Seconds of one control step."""

    @property
    def max_steps(self) -> int:
        """Control steps until truncation."""

    def allocate(self, n: int) -> None:
        """Make room for ``n`` worlds."""

    def sample(
        self, rng: np.random.Generator, split: str, seed: int, place: int | None, clutter: Drawing | None
    ) -> tuple[Layout, Any]:
        """Draw one layout, in a place and with an episode's own clutter if given, and what the task must know of it.

        Of that, ``facts`` are for ``info["draw"]`` and ``kinds`` (body -> kind) for looks.
        """

    def begin(self, world: int, layout: Layout, episode: Any) -> None:
        """Start an episode in ``world``."""

    def command(self, action: np.ndarray) -> np.ndarray:
        """(n, action_dim) actions in [-1, 1] -> (n, C) commands in SI units."""

    def action(self, command: np.ndarray) -> np.ndarray:
        """The inverse of `command`, float32."""

    def drive(self, command: np.ndarray, state: RobotState) -> np.ndarray:
        """(n, C) commands that reach the robot -> the targets of its joints, as `Engine.step` takes them."""

    def measure(self, state: RobotState) -> np.ndarray:
        """(n, D) what the robot measures of itself, without noise."""

    def noise(self, dynamics: Dynamics) -> np.ndarray:
        """(D,) standard deviations of what is measured, of a draw of one row."""

    def advance(self, state: RobotState, segmentation: np.ndarray) -> Outcome:
        """Judge one control step from the state and what the camera sees (n, H, W, 2)."""

    def track(self, state: RobotState) -> np.ndarray:
        """(n, 3) x, y, yaw_rad of what a picture from above follows: the base, or the hand."""

    def info(self) -> dict[str, np.ndarray]:
        """Measures of every running episode, each (n,); among them ``is_success`` and ``collisions``."""

    def expert_action(self, state: RobotState) -> np.ndarray:
        """(n, action_dim) float32 actions of the scripted expert."""

    def privileged(self, state: RobotState) -> np.ndarray:
        """(n, P) float32 that only a simulator knows, for a critic."""


@dataclass(frozen=True)
class Entry:
    """A task by its classes, each ``module:Class`` within this package."""

    config: str
    task: str
    env: str  # the single environment, whose docstring is the data sheet
    vector_env: str

    def load(self, which: str) -> Any:
        """The class that the field ``which`` names."""
        module, _, name = getattr(self, which).partition(":")
        return getattr(import_module(f"{__name__}.{module}"), name)


TASKS = {
    "ChairNav": Entry(
        config="chair_nav.config:ChairNavConfig",
        task="chair_nav.task:ChairNav",
        env="chair_nav.env:ChairNavEnv",
        vector_env="chair_nav.env:ChairNavVectorEnv",
    ),
    "Grasp": Entry(
        config="grasp.config:GraspConfig",
        task="grasp.task:Grasp",
        env="grasp.env:GraspEnv",
        vector_env="grasp.env:GraspVectorEnv",
    ),
}


def make_task(config: Any, randomization: RandomizationConfig) -> Task:
    """The task that a configuration is of. Raises UserError where the configuration is impossible."""
    if config.name not in TASKS:
        raise UsageError(f"env.name={config.name!r}: expected one of {', '.join(TASKS)}")
    return TASKS[config.name].load("task")(config, randomization)
