"""Checkpoints: everything a training needs to go on exactly, in one file that holds no pickled code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from simgym.deploy.files import atomic_path
from simgym.errors import UserError

if TYPE_CHECKING:
    from stable_baselines3 import PPO

PATTERN = "step_*.pt"
KEEP = 3  # the newest ones; older ones are deleted


def save_checkpoint(folder: Path, model: PPO, progress: dict[str, Any]) -> Path:
    """Write weights, optimizer and counters; ``progress`` (plain numbers, strings, lists, dicts) goes along."""
    state = {
        "policy": model.policy.state_dict(),
        "optimizer": model.policy.optimizer.state_dict(),
        "num_timesteps": model.num_timesteps,
        "n_updates": model._n_updates,
        "progress": progress,
    }
    path = folder / f"step_{model.num_timesteps:010d}.pt"
    with atomic_path(path) as temporary:
        torch.save(state, temporary)
    for old in sorted(folder.glob(PATTERN))[:-KEEP]:
        old.unlink()
    return path


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint of a run's ``checkpoints`` folder; None where it ended before the first one."""
    return max(folder.glob(PATTERN), default=None)


def load_checkpoint(path: Path, model: PPO) -> dict[str, Any]:
    """Put a checkpoint into a freshly built model; returns its ``progress``. Raises UserError where it does not fit."""
    try:
        state = torch.load(path, map_location=model.device, weights_only=True)
        model.policy.load_state_dict(state["policy"])
        model.policy.optimizer.load_state_dict(state["optimizer"])
    except Exception as error:  # torch raises many kinds for a truncated or foreign file
        raise UserError(f"{path} cannot be resumed from ({error}): delete it to use an earlier checkpoint") from error
    model.num_timesteps, model._n_updates = state["num_timesteps"], state["n_updates"]
    return state["progress"]
