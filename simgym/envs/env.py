"""A task as a `gymnasium.Env`: the batch of one."""

from __future__ import annotations

import copy
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces

from simgym.errors import UsageError

from .config import DOMAINS, DomainConfig
from .simulation import Simulation, draw_episode_seed
from .spaces import (
    RENDER_MODES,
    action_space,
    check_action,
    check_render_mode,
    check_reset_options,
    chosen_sensors,
    observation_space,
    view,
)
from .tasks import TASKS

DRAW = ("episode_seed", "split", "layout", "look", "dynamics", "flaws")  # the keys of info["draw"]


class TaskEnv(gymnasium.Env[dict[str, np.ndarray], np.ndarray]):
    """One world of a task. Each task's own class names the task and is its data sheet."""

    task: ClassVar[str]

    metadata = {"render_modes": list(RENDER_MODES), "render_fps": 5}

    def __init__(
        self,
        domain: str | DomainConfig = "sim",
        config: Any = None,
        split: str = "train",
        observations: tuple[str, ...] | None = None,
        render_mode: str | None = None,
    ) -> None:
        check_render_mode(render_mode)
        self.simulation = Simulation(resolve_config(self.task, config), resolve_domain(domain), 1, split)
        self.render_mode = render_mode
        self.metadata = self.metadata | {"render_fps": self.simulation.task.config.control_rate_hz}
        self._sensors = chosen_sensors(self.simulation.task, observations)
        self.observation_space: spaces.Dict = observation_space(self.simulation, self._sensors)  # type: ignore[assignment]
        self.action_space: spaces.Box = action_space(self.simulation.task)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Start an episode; ``options={"draw": info["draw"]}`` replays one.

        What the domain draws at startup depends on the last ``seed``.

        Raises ValueError for a draw that is not whole, UsageError for one of another split, domain or configuration.
        """
        super().reset(seed=seed)
        if seed is not None:
            self.simulation.startup_seeds[0] = seed
        check_reset_options(options or {}, "draw")
        drawn = (options or {}).get("draw")
        if drawn is None:
            self._start(draw_episode_seed(self.np_random, self.simulation.split))
        else:
            self._replay(drawn)
        return self._observe(), self._info()

    def _start(self, episode_seed: int, startup_seed: int | None = None) -> None:
        startup_seeds = None if startup_seed is None else [startup_seed]
        self.simulation.reset(np.array([0]), np.array([episode_seed]), startup_seeds)

    def _replay(self, drawn: dict[str, Any]) -> None:
        missing = [name for name in DRAW if name not in drawn]
        if missing:
            raise ValueError(f"the draw lacks {', '.join(missing)}: pass the whole info['draw'] of an episode")
        if drawn["split"] != self.simulation.split:
            raise UsageError(f"the draw is of split={drawn['split']!r}, this environment of {self.simulation.split!r}")
        self._start(int(drawn["episode_seed"]), drawn.get("startup_seed"))
        differing = [name for name, value in self.simulation.draws[0].items() if drawn.get(name) != value]
        if differing:
            raise UsageError(
                f"the draw was made in another domain or configuration: its {', '.join(differing)} cannot be drawn here"
            )

    def step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """Act for one control step. Raises ValueError for an action of the wrong shape or with NaN."""
        outcome = self.simulation.step(check_action(action, (self.simulation.task.action_dim,))[None])
        info = self._info()
        info["reward_terms"] = {name: float(term[0]) for name, term in outcome.terms.items()}
        return (
            self._observe(),
            float(outcome.reward[0]),
            bool(outcome.terminated[0]),
            bool(outcome.truncated[0]),
            info,
        )

    def _observe(self) -> dict[str, np.ndarray]:
        return view(self.simulation.observe(), self._sensors, 0)

    def _info(self) -> dict[str, Any]:
        info: dict[str, Any] = {name: values[0].item() for name, values in self.simulation.task.info().items()}
        return info | {"draw": copy.deepcopy(self.simulation.draws[0])}

    def expert_action(self) -> np.ndarray:
        """(A,) float32: what the scripted expert would do now."""
        return self.simulation.expert_action()[0]

    def render(self) -> np.ndarray | None:
        """The camera's picture (H, W, 3) or depth (H, W), as ``render_mode`` says."""
        observation = self.simulation.observe()
        if self.render_mode == "rgb_array":
            return observation.image[0].copy()
        return observation.depth[0].copy() if self.render_mode == "depth_array" else None

    def close(self) -> None:
        """Release the simulator; may be called twice."""
        self.simulation.close()


def resolve_config(task: str, config: Any) -> Any:
    """The configuration of a task, or its default for None. Raises UsageError for one of another task."""
    kind = TASKS[task].load("config")
    if config is not None and not isinstance(config, kind):
        raise UsageError(f"config is a {type(config).__name__}: {task} takes a {kind.__name__}")
    return config or kind()


def resolve_domain(domain: str | DomainConfig) -> DomainConfig:
    """A domain by name. Raises UsageError with the known names."""
    if isinstance(domain, DomainConfig):
        return domain
    if domain not in DOMAINS:
        raise UsageError(f"domain={domain!r}: expected one of {', '.join(DOMAINS)}")
    return DOMAINS[domain]
