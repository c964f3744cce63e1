"""Simulated environments: tasks, scenes, draws, engines, renderers and looks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if __name__ != "simgym.envs":  # reached through the link at the root of the repository, a map for readers
    raise ImportError("this is no package of its own: use `import simgym.envs`")

if TYPE_CHECKING:
    from .env import ChairNavEnv
    from .vector import ChairNavVectorEnv


def make_env(task: str, **options: Any) -> ChairNavEnv:
    """The single environment of a task, as `gymnasium.make` calls it; options as `ChairNavEnv` takes them."""
    from .env import ChairNavEnv

    return {"ChairNav": ChairNavEnv}[task](**options)


def make_vec_env(num_envs: int, task: str, **options: Any) -> ChairNavVectorEnv:
    """The batch of a task, as `gymnasium.make_vec` calls it; options as `ChairNavVectorEnv` takes them."""
    from .vector import ChairNavVectorEnv

    return {"ChairNav": ChairNavVectorEnv}[task](num_envs, **options)
