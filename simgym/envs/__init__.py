"""Simulated environments: tasks, scenes, draws, engines, renderers and looks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if __name__ != "simgym.envs":  # reached through the link at the root of the repository, a map for readers
    raise ImportError("this is no package of its own: use `import simgym.envs`")

if TYPE_CHECKING:
    from .env import TaskEnv
    from .vector import TaskVectorEnv


def make_env(task: str, **options: Any) -> TaskEnv:
    """The single environment of a task, as `gymnasium.make` calls it; options as `TaskEnv` takes them."""
    from .tasks import TASKS

    return TASKS[task].load("env")(**options)


def make_vec_env(num_envs: int, task: str, **options: Any) -> TaskVectorEnv:
    """The batch of a task, as `gymnasium.make_vec` calls it; options as `TaskVectorEnv` takes them."""
    from .tasks import TASKS

    return TASKS[task].load("vector_env")(num_envs, **options)
