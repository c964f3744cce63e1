"""Checkpoints: everything a training needs to go on exactly, in one file that holds no pickled code."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from simgym.errors import UserError
from simgym.files import write_bytes

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
    buffer = io.BytesIO()  # torch's own writer gives no reason where the disk is full
    torch.save(state, buffer)
    write_bytes(path, buffer.getbuffer())
    for old in sorted(folder.glob(PATTERN))[:-KEEP]:
        old.unlink()
    return path


def save_model(path: Path, model: PPO) -> None:
    """Write a model as Stable-Baselines3 does, whole or not at all."""
    buffer = io.BytesIO()
    model.save(buffer)
    write_bytes(path, buffer.getbuffer())


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint of a run's ``checkpoints`` folder; None where it ended before the first one."""
    return max(folder.glob(PATTERN), default=None)


def load_checkpoint(path: Path, model: PPO) -> dict[str, Any]:
    """Put a checkpoint into a freshly built model; returns its ``progress``. Raises UserError where it does not fit."""
    try:
        state = torch.load(path, map_location=model.device, weights_only=True)
        model.policy.load_state_dict(state["policy"])
        model.policy.optimizer.load_state_dict(state["optimizer"])
        model.num_timesteps, model._n_updates = state["num_timesteps"], state["n_updates"]
        return dict(state["progress"])
    except Exception as error:  # torch raises many kinds for a truncated or foreign file
        reason = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise UserError(f"{path} cannot be resumed from ({reason}): delete it to use an earlier checkpoint") from error
