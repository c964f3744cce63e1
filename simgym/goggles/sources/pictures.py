"""Folders of pictures, and folders that `simgym.collect` wrote."""

from __future__ import annotations

import csv
from collections.abc import Generator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from simgym.deploy.camera import Calibration
from simgym.files import IMAGE_SUFFIXES, decode_image, list_images

from .frame import Frame, Load, Part, SourceError, Unreadable

TABLE, CAMERA_INFO = "frames.csv", "camera_info.yaml"  # of a collected folder
NEEDED_COLUMNS = ("frame", "episode", "time_s")


def is_collected(folder: Path) -> bool:
    """Whether `simgym.collect` wrote it, to the end."""
    return (folder / TABLE).is_file() and (folder / "rgb").is_dir()


def open_folder(folder: Path) -> Part:
    """The pictures of a folder. Raises SourceError where it has none."""
    if is_collected(folder):
        return _open_collected(folder)
    files = list_images(folder)
    if not files:
        raise SourceError(f"no pictures in {folder}: expected some of {', '.join(IMAGE_SUFFIXES)}{_hint(folder)}")
    return open_pictures(str(folder), files)


def open_pictures(name: str, files: Sequence[Path]) -> Part:
    """These pictures, in this order."""
    return Part(name, "pictures", (partial(_load, path) for path in files))


def _hint(folder: Path) -> str:
    within = sorted(path for path in folder.iterdir() if path.is_dir() and list_images(path))
    if (folder / "rgb").is_dir():
        return f"; if simgym.collect wrote it, it was interrupted: {TABLE} is missing"
    return f"; {within[0]} has some: give that folder, or the glob '{folder}/*/*{_suffix(within[0])}'" if within else ""


def _suffix(folder: Path) -> str:
    return list_images(folder)[0].suffix


def _load(path: Path) -> Frame:
    return Frame(_decode(path), path.name, 0)


def _decode(path: Path, grey: bool = False) -> np.ndarray:
    try:
        image = decode_image(path.read_bytes(), grey)
    except OSError:
        image = None
    if image is None:
        raise Unreadable(path.name)
    return image


def _open_collected(folder: Path) -> Part:
    with (folder / TABLE).open(newline="") as file:
        reader = csv.DictReader(file)
        missing = [name for name in NEEDED_COLUMNS if name not in (reader.fieldnames or [])]
        if missing:
            raise SourceError(f"{folder / TABLE} has no column {', '.join(missing)}: is it from simgym.collect?")
        rows = list(reader)
    camera_info = folder / CAMERA_INFO
    if not camera_info.is_file():
        raise SourceError(f"{folder} has no {CAMERA_INFO}, which simgym.collect writes: collect again")
    has_labels, has_twins = ((folder / name).is_dir() for name in ("segmentation", "canonical"))
    calibration = Calibration.from_yaml(camera_info)
    return Part(str(folder), "collected", _collected(folder, rows, has_labels, has_twins), calibration, simulated=True)


def _collected(
    folder: Path, rows: list[dict[str, str]], has_labels: bool, has_twins: bool
) -> Generator[Load, None, None]:
    numbers: dict[str, int] = {}  # of episodes: a table may begin with any

    def load(row: dict[str, str]) -> Frame:
        name, sequence = row["frame"], numbers.setdefault(row["episode"], len(numbers))
        return Frame(
            _decode(folder / "rgb" / name),
            name,
            sequence,
            round(float(row["time_s"]) * 1e9),
            segmentation=_decode(folder / "segmentation" / name, grey=True) if has_labels else None,
            canonical=_decode(folder / "canonical" / name) if has_twins else None,
        )

    return (partial(load, row) for row in rows)
