"""Photographs with masks of their chairs, in two folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .errors import UserError
from .files import IMAGE_SUFFIXES, decode_image, list_images


class PhotoError(UserError):
    """A photograph or its mask is missing or cannot be read; it is named in the message."""


def find_pairs(rgb: Path, masks: Path) -> list[tuple[Path, Path]]:
    """Photographs and their masks, matched by stem, in the order of their names; masks may be left over.

    Raises:
        PhotoError: a folder is missing or holds no image, two images in it share a stem, or a photograph has no mask.
    """
    photos, mask_of = _by_stem(rgb), _by_stem(masks)
    missing = [path.name for stem, path in photos.items() if stem not in mask_of]
    if missing:
        raise PhotoError(f"no mask in {masks} for {len(missing)} photographs of {rgb}, the first is {missing[0]}")
    return [(path, mask_of[stem]) for stem, path in photos.items()]


def read_pair(photo_path: Path, mask_path: Path) -> tuple[np.ndarray, np.ndarray]:
    """A photograph (H, W, 3) uint8 RGB and its mask (H, W) uint8, more than 127 is chair.

    Raises:
        PhotoError: one of them cannot be read, or they are of different sizes.
    """
    photo, mask = _read(photo_path), _read(mask_path, grey=True)
    if mask.shape != photo.shape[:2]:
        raise PhotoError(
            f"the mask {mask_path} is {mask.shape[1]}x{mask.shape[0]}, but its photograph is "
            f"{photo.shape[1]}x{photo.shape[0]}: both must show the same"
        )
    return photo, mask


def _by_stem(folder: Path) -> dict[str, Path]:
    images: dict[str, Path] = {}
    for path in _images(folder):
        if path.stem in images:
            raise PhotoError(f"{folder} has both {images[path.stem].name} and {path.name}: which one counts?")
        images[path.stem] = path
    return images


def _images(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise PhotoError(f"no folder {folder}: expected one of images ({', '.join(IMAGE_SUFFIXES)})")
    paths = list_images(folder)
    if not paths:
        raise PhotoError(f"no images in {folder}: expected some of {', '.join(IMAGE_SUFFIXES)}")
    return paths


def _read(path: Path, grey: bool = False) -> np.ndarray:
    image = decode_image(path.read_bytes(), grey)
    if image is None:
        raise PhotoError(f"{path} is not an image that can be read: repair it or take it out")
    return image
