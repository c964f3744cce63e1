"""A task as a `gymnasium.vector.VectorEnv`: the batch itself, in one process."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from .config import DomainConfig
from .env import TaskEnv, resolve_config, resolve_domain
from .simulation import Simulation, draw_episode_seed
from .spaces import (
    action_space,
    check_action,
    check_render_mode,
    check_reset_options,
    chosen_sensors,
    observation_space,
    view,
)


class TaskVectorEnv(VectorEnv[dict[str, np.ndarray], np.ndarray, np.ndarray]):
    """``num_envs`` worlds of a task, reset in the step that ends them (autoreset SAME_STEP).

    World ``i`` of a batch seeded with ``s`` lives through the same episodes, bit for bit, as a single environment
    seeded with ``s + i``. Ended episodes leave ``final_obs`` and ``final_info`` in the info.
    """

    task: ClassVar[str]
    metadata = TaskEnv.metadata | {"autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(
        self,
        num_envs: int = 1,
        domain: str | DomainConfig = "sim",
        config: Any = None,
        split: str = "train",
        observations: tuple[str, ...] | None = None,
        render_mode: str | None = None,
    ) -> None:
        check_render_mode(render_mode)
        self.num_envs = num_envs
        self.render_mode = render_mode
        self.simulation = Simulation(resolve_config(self.task, config), resolve_domain(domain), num_envs, split)
        self.metadata = self.metadata | {"render_fps": self.simulation.task.config.control_rate_hz}
        self._sensors = chosen_sensors(self.simulation.task, observations)
        self.single_observation_space = observation_space(self.simulation, self._sensors)
        self.single_action_space = action_space(self.simulation.task)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._generators = [seeding.np_random(None)[0] for _ in range(num_envs)]

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Start every world, or those of ``options={"reset_mask": (n,) bool}``.

        To replay a draw take the single environment.
        """
        check_reset_options(options or {}, "reset_mask")
        mask = np.ones(self.num_envs, bool)
        if options and "reset_mask" in options:
            mask = np.asarray(options["reset_mask"], bool)
            if mask.shape != (self.num_envs,):
                raise ValueError(f"reset_mask has shape {mask.shape}, expected {(self.num_envs,)}")
        self._seed(seed, mask)
        self._start(np.flatnonzero(mask))
        return self._observe(), self._infos(mask)

    def _seed(self, seed: int | list[int | None] | None, mask: np.ndarray) -> None:
        if seed is None or isinstance(seed, int):
            seed = [None if seed is None else seed + i for i in range(self.num_envs)]
        if len(seed) != self.num_envs:
            raise ValueError(f"seed has {len(seed)} entries, expected {self.num_envs}")
        for world, value in enumerate(seed):
            if value is not None and mask[world]:
                self._generators[world] = seeding.np_random(value)[0]
                self.simulation.startup_seeds[world] = value

    def _start(self, worlds: np.ndarray) -> None:
        seeds = [draw_episode_seed(self._generators[world], self.simulation.split) for world in worlds]
        self.simulation.reset(worlds, np.array(seeds))

    def step(
        self, actions: np.ndarray
    ) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Act in every world; ended worlds restart at once."""
        outcome = self.simulation.step(check_action(actions, (self.num_envs, self.simulation.task.action_dim)))
        everywhere = np.ones(self.num_envs, bool)
        done = outcome.terminated | outcome.truncated
        infos = self._infos(everywhere)
        infos["reward_terms"], infos["_reward_terms"] = dict(outcome.terms), everywhere
        if done.any():
            infos = self._restart(done, infos)
        return self._observe(), outcome.reward.copy(), outcome.terminated, outcome.truncated, infos

    def _restart(self, done: np.ndarray, final_info: dict[str, Any]) -> dict[str, Any]:
        worlds = np.flatnonzero(done)
        final_obs = np.full(self.num_envs, None, object)
        for world in worlds:
            final_obs[world] = view(self.simulation.observe(), self._sensors, int(world))
        self._start(worlds)
        infos = self._infos(np.ones(self.num_envs, bool))
        infos |= {"reward_terms": final_info["reward_terms"], "_reward_terms": ~done}
        final_info = {name: done if name.startswith("_") else value for name, value in final_info.items()}
        return infos | {"final_obs": final_obs, "_final_obs": done, "final_info": final_info, "_final_info": done}

    def _observe(self) -> dict[str, np.ndarray]:
        return view(self.simulation.observe(), self._sensors, slice(None))

    def _infos(self, mask: np.ndarray) -> dict[str, Any]:
        infos: dict[str, Any] = dict(self.simulation.task.info())
        draws = np.full(self.num_envs, None, object)
        draws[:] = self.simulation.draws
        infos["draw"] = draws
        return infos | {f"_{name}": mask for name in infos}

    def render(self) -> np.ndarray | None:  # type: ignore[override]
        """The cameras' pictures (n, H, W, 3) or depths (n, H, W), as ``render_mode`` says."""
        observation = self.simulation.observe()
        if self.render_mode == "rgb_array":
            return observation.image.copy()
        return observation.depth.copy() if self.render_mode == "depth_array" else None

    def close_extras(self, **kwargs: Any) -> None:
        """Release the simulator; called by `close` once."""
        self.simulation.close()
