"""Checkpoints: everything a training needs to go on exactly, in one file that holds no pickled code."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from simgym.errors import UserError
from simgym.files import write_bytes

CHECKPOINTS = "checkpoints"  # the folder of a run that holds them
PATTERN = "step_*.pt"
KEEP = 3  # the newest ones; older ones are deleted


def save_checkpoint(run: Path, step: int, state: dict[str, Any]) -> Path:
    """Write tensors, plain numbers, strings, lists and dicts into a run folder, whole or not at all."""
    folder = run / CHECKPOINTS
    path = folder / f"step_{step:010d}.pt"
    buffer = io.BytesIO()  # torch's own writer gives no reason where the disk is full
    torch.save(state, buffer)
    write_bytes(path, buffer.getbuffer())
    for old in sorted(folder.glob(PATTERN))[:-KEEP]:
        old.unlink()
    return path


def latest_checkpoint(run: Path) -> Path | None:
    """The newest checkpoint of a run folder; None where the run ended before the first one."""
    return max((run / CHECKPOINTS).glob(PATTERN), default=None)


def checkpoint_to_start_from(start: str, kind: str) -> Path:
    """The newest checkpoint of the run folder that ``start=`` names, of a training of ``kind``.

    Raises:
        UserError: there is none.
    """
    found = latest_checkpoint(Path(start))
    if found is None:
        raise UserError(f"start={start}: expected the folder of a training of {kind}, with a checkpoint in it")
    return found


def read_checkpoint(path: Path, device: torch.device) -> dict[str, Any]:
    """What `save_checkpoint` was given. Raises UserError where the file is not readable."""
    try:
        return dict(torch.load(path, map_location=device, weights_only=True))
    except Exception as error:  # torch raises many kinds for a truncated or foreign file
        raise UserError(f"{path} cannot be read ({error}): delete it to use an earlier checkpoint") from error
