"""Checkpoints of goggles: everything a training needs to go on exactly, in one file that holds no pickled code."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from simgym.errors import UserError
from simgym.files import write_bytes

CHECKPOINTS = "checkpoints"
PATTERN = "step_*.pt"
KEEP = 3  # the newest ones; older ones are deleted


def save_checkpoint(folder: Path, step: int, state: dict[str, Any]) -> Path:
    """Write tensors, plain numbers, strings, lists and dicts, whole or not at all."""
    path = folder / f"step_{step:010d}.pt"
    buffer = io.BytesIO()  # torch's own writer gives no reason where the disk is full
    torch.save(state, buffer)
    write_bytes(path, buffer.getbuffer())
    for old in sorted(folder.glob(PATTERN))[:-KEEP]:
        old.unlink()
    return path


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint of a run's ``checkpoints`` folder; None where it ended before the first one."""
    return max(folder.glob(PATTERN), default=None)


def read_checkpoint(path: Path, device: torch.device) -> dict[str, Any]:
    """What `save_checkpoint` was given. Raises UserError where the file is not readable."""
    try:
        return dict(torch.load(path, map_location=device, weights_only=True))
    except Exception as error:  # torch raises many kinds for a truncated or foreign file
        raise UserError(f"{path} cannot be resumed from ({error}): delete it to use an earlier checkpoint") from error
