"""The batch of worlds as a Stable-Baselines3 `VecEnv`: no processes, no copies beyond the observation itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv

from simgym.deploy.goggles import Goggles, look_through
from simgym.deploy.policy import Memory, stack_channels
from simgym.envs.simulation import Simulation, draw_episode_seed
from simgym.envs.spaces import action_space, check_action

from .networks import EXPERT, PRIVILEGED

GUIDE_STD = 0.2  # of the expert's actions in guided worlds


class SimulationVecEnv(VecEnv):
    """A batch whose observations are what a policy senses; by ``privileged``, for training, more than it may know.

    ``image`` (3K, H, W) uint8 has the frames that ``memory`` shows, oldest first, behind goggles if there are any; what
    the robot measures of itself is called as the task calls it, ``velocity`` or ``proprio``, and has its averages and
    the trail behind it. With ``privileged`` there are ``privileged``, for a critic, which is `Task.privileged`, and
    ``expert`` (A,) float32, for imitation, which is what the task's expert would do now. Without
    ``bootstrap_time_limit`` the time limit counts as an end like any other, which is right for a critic that sees the
    time left: hesitating then costs what success would have brought.

    The info of an ended episode has ``episode`` (return r, length l, seconds of simulated time t), the task's measures
    (`Task.info`), ``reward_terms`` summed over the episode and unweighted, and what SB3 asks for
    (``terminal_observation``, ``TimeLimit.truncated``); the info of a running one is empty.
    """

    def __init__(
        self,
        simulation: Simulation,
        memory: Memory | None = None,
        seed: int = 0,
        bootstrap_time_limit: bool = True,
        goggles: Goggles | None = None,
        privileged: bool = False,
    ) -> None:
        self.simulation, self._bootstrap, self._goggles = simulation, bootstrap_time_limit, goggles
        camera, n, task = simulation.camera, simulation.num_worlds, simulation.task
        self.memory = memory = memory or Memory(1, 1, (), (), task.control_dt_s, n)
        self._privileged = privileged
        low, high = map(memory.laid_out, task.measured_range, ((-np.inf, -np.inf), (np.inf, np.inf)))
        seen: dict[str, spaces.Space] = {
            "image": spaces.Box(0, 255, (3 * memory.frames.k, camera.height, camera.width), np.uint8),
            task.measured: spaces.Box(low.astype(np.float32), high.astype(np.float32)),
        }
        if privileged:
            seen[PRIVILEGED] = spaces.Box(-np.inf, np.inf, (task.privileged_dim,), np.float32)
            seen[EXPERT] = spaces.Box(-1, 1, (task.action_dim,), np.float32)
        self.render_mode = None
        super().__init__(n, spaces.Dict(seen), action_space(simulation.task))
        self.asks_expert = True  # else ``expert`` is 0, and costs nothing
        self.guided = 0  # the expert drives the first so many worlds, see `step_async`
        self._returns = np.zeros(n)
        self._terms: dict[str, np.ndarray] = {}
        self._actions = np.zeros((n, task.action_dim))
        self.restart(seed)

    def restart(self, seed: int) -> None:
        """Forget everything and draw episodes from ``seed`` on, at the next `reset`."""
        self._generators = [np.random.default_rng([seed, world]) for world in range(self.num_envs)]

    def seed(self, seed: int | None = None) -> list[int | None]:
        """SB3's name for `restart`; what ``PPO(seed=...)`` calls."""
        seeds = list(super().seed(seed))
        self.restart(seeds[0] or 0)
        return seeds

    def reset(self) -> dict[str, np.ndarray]:
        """Start an episode in every world."""
        self._start(np.arange(self.num_envs))
        self.memory.reset()
        return self._observe(None)

    def _start(self, worlds: np.ndarray) -> None:
        split = self.simulation.split
        seeds = [draw_episode_seed(self._generators[world], split) for world in worlds]
        self.simulation.reset(worlds, np.array(seeds))
        self._returns[worlds] = 0
        for total in self._terms.values():
            total[worlds] = 0

    def _observe(self, begun: np.ndarray | None) -> dict[str, np.ndarray]:
        observation = self.simulation.observe()
        image = look_through(self._goggles, observation.image)
        frames, measured = self.memory.push(image, observation.measured, begun)  # (n, K, H, W, 3)
        return {
            "image": stack_channels(frames),
            self.simulation.task.measured: measured,
            **self._for_training(),
        }

    def _for_training(self) -> dict[str, np.ndarray]:
        """What no robot knows, if it is asked for."""
        if not self._privileged:
            return {}
        task = self.simulation.task
        advice = np.clip(self.simulation.expert_action(), -1, 1) if self.asks_expert else 0
        expert = np.full((self.num_envs, task.action_dim), advice, np.float32)
        return {PRIVILEGED: task.privileged(self.simulation.engine.state), EXPERT: expert}

    def step_async(self, actions: np.ndarray) -> None:
        """Keep the actions for `step_wait`; in guided worlds the expert's, scattered so that it meets mistakes."""
        self._actions = check_action(actions, (self.num_envs, self.simulation.task.action_dim))
        if self.guided:
            expert = self.simulation.expert_action()
            for world in range(self.guided):
                scatter = self._generators[world].normal(0.0, GUIDE_STD, expert.shape[1])
                self._actions[world] = np.clip(expert[world] + scatter, -1, 1)

    def step_wait(self) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Act in every world; ended worlds restart at once."""
        outcome = self.simulation.step(self._actions)
        self._returns += outcome.reward
        for name, term in outcome.terms.items():
            self._terms.setdefault(name, np.zeros(self.num_envs))[:] += term
        done = outcome.terminated | outcome.truncated
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        observation = self._observe(np.zeros(self.num_envs, bool))
        if done.any():
            self._finish(np.flatnonzero(done), outcome.truncated, observation, infos)
            self._replace(observation, done)
        return observation, outcome.reward.astype(np.float32), done, infos

    def _finish(
        self, worlds: np.ndarray, truncated: np.ndarray, observation: dict[str, np.ndarray], infos: list[dict[str, Any]]
    ) -> None:
        task = self.simulation.task
        measures = task.info()
        for world in worlds:
            self.simulation.report_to_curriculum(world)
            seconds = float(task.steps[world] * task.control_dt_s)
            infos[world] = {name: values[world] for name, values in measures.items()}
            infos[world] |= {
                "episode": {"r": float(self._returns[world]), "l": int(task.steps[world]), "t": seconds},
                "episode_seed": self.simulation.draws[world]["episode_seed"],
                "reward_terms": {name: float(total[world]) for name, total in self._terms.items()},
                "terminal_observation": {name: values[world].copy() for name, values in observation.items()},
                "TimeLimit.truncated": bool(truncated[world]) and self._bootstrap,
            }

    def _replace(self, observation: dict[str, np.ndarray], done: np.ndarray) -> None:
        """Restart the ended worlds and put their first observations in the place of their last ones."""
        self._start(np.flatnonzero(done))
        fresh = self.simulation.observe()
        image = fresh.image.copy()
        image[done] = look_through(self._goggles, fresh.image[done])
        frames, measured = self.memory.begin(image, fresh.measured, done)
        observation["image"][done] = stack_channels(frames)
        observation[self.simulation.task.measured][done] = measured
        for name, values in self._for_training().items():
            observation[name][done] = values[done]

    def close(self) -> None:
        """Release the simulator; may be called twice."""
        self.simulation.close()

    def _worlds(self, indices: int | Iterable[int] | None) -> list[int]:
        return list(self._get_indices(indices))

    def get_attr(self, attr_name: str, indices: int | Iterable[int] | None = None) -> list[Any]:
        """The attribute of the batch, once for each chosen world."""
        return [getattr(self, attr_name) for _ in self._worlds(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: int | Iterable[int] | None = None) -> None:
        """Set the attribute of the batch; worlds share it."""
        setattr(self, attr_name, value)

    def env_method(
        self, method_name: str, *args: Any, indices: int | Iterable[int] | None = None, **kwargs: Any
    ) -> list[Any]:
        """Call a method of the batch, once for each chosen world."""
        return [getattr(self, method_name)(*args, **kwargs) for _ in self._worlds(indices)]

    def env_is_wrapped(self, wrapper_class: type, indices: int | Iterable[int] | None = None) -> list[bool]:
        """No world is wrapped: there are no environments inside."""
        return [False for _ in self._worlds(indices)]
