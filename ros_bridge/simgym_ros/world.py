"""One simulated world that velocity commands drive, episode after episode. Knows no ROS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from simgym.config.option import option
from simgym.config.schema import SEED
from simgym.envs.config import DomainConfig
from simgym.envs.simulation import Simulation, draw_episode_seed
from simgym.envs.tasks.chair_nav.config import ChairNavConfig
from simgym.envs.tasks.config import TaskConfig
from simgym.policies.evaluation import episode_row


@dataclass(frozen=True, kw_only=True)
class WorldConfig:
    """What world it is, in the words of every command."""

    env: TaskConfig = option(ChairNavConfig, "the task")
    domain: DomainConfig = option(DomainConfig, "where")
    split: str = option("test", "which layouts are drawn", choices=("train", "test"))
    seed: int = option(1, SEED, low=0)


class World:
    """The episodes of an evaluation, in its order: the same seed gives the same ones as `simgym.evaluate`.

    Args:
        config: task, domain, split and seed.

    Attributes:
        simulation: a batch of one.
        episode: number of the running episode, from 0 on; -1 before the first one.

    Raises:
        UserError: the configuration is impossible.
    """

    def __init__(self, config: WorldConfig) -> None:
        self.simulation = Simulation(config.env, config.domain, 1, config.split)
        self.episode = -1
        self._seeds, self._return = np.random.default_rng(config.seed), 0.0

    def begin(self) -> None:
        """Start the next episode."""
        seed = draw_episode_seed(self._seeds, self.simulation.split)
        self.simulation.reset(np.array([0]), np.array([seed]))
        self.episode, self._return = self.episode + 1, 0.0

    def step(self, command: np.ndarray) -> dict[str, Any] | None:
        """One control step under a command (C,) in SI units, clipped to what the robot can do.

        Returns:
            None while the episode goes on; at its end what it came to, a row of ``episodes.csv``.
        """
        task = self.simulation.task
        outcome = self.simulation.step(task.action(np.asarray(command, np.float32)[None]))
        self._return += float(outcome.reward[0])
        truncated = bool(outcome.truncated[0])
        if truncated or outcome.terminated[0]:
            return episode_row(self.simulation, 0, self.episode, self._return, truncated)
        return None

    def close(self) -> None:
        """Release the simulator; may be called twice."""
        self.simulation.close()
