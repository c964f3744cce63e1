"""A model and its training on disk: checkpoints to go on from, and files that Stable-Baselines3 loads."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simgym.checkpoint import read_checkpoint, save_checkpoint
from simgym.errors import UserError
from simgym.files import write_bytes

if TYPE_CHECKING:
    from stable_baselines3 import PPO


def save_training(run: Path, model: PPO, progress: dict[str, Any]) -> Path:
    """Write weights, optimizer and counters; ``progress`` (plain numbers, strings, lists, dicts) goes along."""
    state = {
        "policy": model.policy.state_dict(),
        "optimizer": model.policy.optimizer.state_dict(),
        "num_timesteps": model.num_timesteps,
        "n_updates": model._n_updates,
        "progress": progress,
    }
    return save_checkpoint(run, model.num_timesteps, state)


def save_model(path: Path, model: PPO) -> None:
    """Write a model as Stable-Baselines3 does, whole or not at all."""
    buffer = io.BytesIO()
    model.save(buffer)
    write_bytes(path, buffer.getbuffer())


def begin_with(path: Path, model: PPO) -> None:
    """Put another training's weights into a fresh model, and nothing else. Raises UserError where they do not fit."""
    state = read_checkpoint(path, model.device)
    try:
        model.policy.load_state_dict(state["policy"])
    except (KeyError, RuntimeError) as error:
        raise UserError(f"{path} does not fit: start= wants the same task and widths of algo ({error})") from error


def load_training(path: Path, model: PPO) -> dict[str, Any]:
    """Put a checkpoint into a freshly built model; returns its ``progress``. Raises UserError where it does not fit."""
    state = read_checkpoint(path, model.device)
    try:
        model.policy.load_state_dict(state["policy"])
        model.policy.optimizer.load_state_dict(state["optimizer"])
        model.num_timesteps, model._n_updates = state["num_timesteps"], state["n_updates"]
        return dict(state["progress"])
    except (KeyError, ValueError, RuntimeError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise UserError(f"{path} cannot be resumed from ({reason}): delete it to use an earlier checkpoint") from error
