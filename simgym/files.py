"""Files that are either whole or absent: write to a temporary name, then rename. Needs the standard library only."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

MARK = "partial"  # in every temporary name
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary name beside ``path``, which takes ``path``'s place if the block succeeds.

    If the block raises, or the process dies, an earlier file at ``path`` is untouched. The temporary name keeps the
    suffix, because image and ONNX writers choose their format by it. Missing folders are made. An `OSError` that names
    no file, as of a full disk, or the temporary one gets the name that users know.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.{MARK}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        if error.filename in (None, str(temporary)):
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: str | Path, data: bytes | memoryview) -> None:
    """Write a whole file or none."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_image(path: str | Path, image: np.ndarray) -> None:
    """Write an (H, W, 3) uint8 RGB picture, whole or not at all; the suffix says the format.

    ``cv2.imwrite`` gives no reason where it fails; a full disk is an `OSError` here.
    """
    import cv2

    _, data = cv2.imencode(Path(path).suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    write_bytes(path, data.data)


def decode_image(data: bytes, grey: bool = False) -> np.ndarray | None:
    """A picture as (H, W, 3) uint8 RGB, or (H, W) uint8 grey; None if ``data`` holds none that is whole.

    Grey becomes three equal channels, transparency is dropped, and of 16 bits the upper 8 are kept.
    """
    import cv2
    import numpy as np

    if not data or _is_cut_off(data):
        return None
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR)
    return image if image is None or grey else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _is_cut_off(data: bytes) -> bool:
    """Whether a JPEG or PNG has no end: OpenCV fills up with grey what is missing. Cameras may put more behind it."""
    if data.startswith(b"\x89PNG"):
        return b"IEND" not in data
    if not data.startswith(b"\xff\xd8"):
        return False
    at = 2  # from segment to segment, up to the pixels: thumbnails in between have ends of their own
    while data[at : at + 1] == b"\xff" and data[at + 1 : at + 2] != b"\xda":
        # 0xFF may be repeated before a marker; every segment here says how long it is.
        at += 1 if data[at + 1 : at + 2] == b"\xff" else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return data.find(b"\xff\xd9", at) < 0


def list_images(folder: str | Path) -> list[Path]:
    """The pictures of a folder, by the suffixes of their names, in the order of their names."""
    return sorted((path for path in Path(folder).iterdir() if path.suffix.lower() in IMAGE_SUFFIXES), key=natural_order)


def natural_order(path: str | Path) -> list[tuple[int, int | str]]:
    """A key that sorts ``frame_9`` before ``frame_10``."""
    parts = re.split(r"(\d+)", str(path))
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts]


def remove_leftovers(folder: str | Path) -> None:
    """Delete the temporary files that a killed process left in a folder, at any depth; nobody may be writing there."""
    for path in Path(folder).rglob(f".*.{MARK}*"):
        path.unlink(missing_ok=True)
