"""Textures from a folder of pictures, in the place of the generated ones."""

from __future__ import annotations

import functools
import logging
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from simgym.errors import UserError
from simgym.files import decode_image

from .materials import SHOWN_WHOLE, SIDE_PX, SURFACES, texture_bank


@functools.lru_cache(maxsize=2)
def folder_bank(folder: str) -> tuple[np.ndarray, dict[str, tuple[int, ...]], dict[str, Any]]:
    """A bank in which every surface may have any of the folder's pictures; see `materials.texture_bank`.

    Pictures, doors, windows and rugs stay generated, because they are shown whole.

    Args:
        folder: its files, also in subfolders, are taken in the order of their paths; what is no readable picture is
            left out and counted.

    Returns:
        The bank, the rows of each material, and how many files were read and left out.

    Raises:
        UserError: there is no such folder, or no readable picture in it.
    """
    path = Path(folder)
    if not path.is_dir():
        raise UserError(f"domain.textures={folder}: no such folder; give one with pictures (.jpg, .png)")
    files = sorted(file for file in path.rglob("*") if file.is_file())
    pictures = [picture for picture in map(_read, files) if picture is not None]
    if not pictures:
        raise UserError(
            f"domain.textures={folder}: none of its {len(files)} files is a readable picture; put .jpg or .png there"
        )
    skipped = len(files) - len(pictures)
    if skipped:
        logging.getLogger(__name__).warning("%s: %d of %d files are no readable pictures", folder, skipped, len(files))
    generated, rows = texture_bank()
    whole = {name: tuple(row + len(pictures) for row in rows[name]) for name in SHOWN_WHOLE}
    surfaces = dict.fromkeys(SURFACES, tuple(range(len(pictures))))
    facts = {"textures_read": len(pictures), "textures_skipped": skipped}
    return np.concatenate([np.stack(pictures), generated]), surfaces | whole, facts


def _read(file: Path) -> np.ndarray | None:
    """The middle square of a picture, (S, S, 3) uint8 RGB; None if it cannot be read."""
    try:
        picture = decode_image(file.read_bytes())
    except OSError:
        return None
    if picture is None:
        return None
    edge = min(picture.shape[:2])
    top, left = (picture.shape[0] - edge) // 2, (picture.shape[1] - edge) // 2
    square = picture[top : top + edge, left : left + edge]
    return np.asarray(cv2.resize(square, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA))
