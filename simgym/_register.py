"""Tells Gymnasium our environments' names, without importing Gymnasium.

A robot runs `simgym.deploy` without Gymnasium, so ``import simgym`` must not need it; a user expects
``gymnasium.make("simgym/ChairNav-v0")`` to work after ``import simgym``. Gymnasium 1.0 dropped the entry points that
solved this, so if it is not imported yet, a finder waits for it, and steps aside after the one import it waits for.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

TASKS = ("ChairNav", "Grasp")  # a test holds it to `simgym.envs.tasks.TASKS`, which needs numpy


def register_when_imported() -> None:
    """Register now if Gymnasium is imported already, else right after it is."""
    if "gymnasium" in sys.modules:
        _register()
    elif not any(isinstance(finder, _AfterGymnasium) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterGymnasium())


def _register() -> None:
    import gymnasium

    for task in TASKS:
        name = f"simgym/{task}-v0"
        if name not in gymnasium.registry:
            # No max_episode_steps: the environment truncates itself, alone and in a batch alike.
            gymnasium.register(
                name,
                entry_point="simgym.envs:make_env",
                vector_entry_point="simgym.envs:make_vec_env",
                kwargs={"task": task},
            )


class _AfterGymnasium(MetaPathFinder):
    """Finds Gymnasium as the other finders do, and has its loader register our environments at the end."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "gymnasium":
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        specs = (finder.find_spec(fullname, path, target) for finder in others)
        spec = next((spec for spec in specs if spec), None)
        if spec and spec.loader:
            self._hook(spec.loader)
        return spec

    def _hook(self, loader: Loader) -> None:
        execute = loader.exec_module

        def execute_and_register(module: ModuleType) -> None:
            execute(module)
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            _register()

        loader.exec_module = execute_and_register  # type: ignore[method-assign]
