"""Tiny rooms of flat rectangles, in a canonical look and in others: enough to learn a translation from in seconds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from simgym.config.goggles import CLASSES
from simgym.deploy import Calibration, Camera
from simgym.goggles.frames import Frames

CAMERA = Camera.from_fov(32, 24, 1.2)
FLOOR, WALL, CHAIR = (CLASSES.index(name) for name in ("floor", "wall", "chair"))
CANONICAL = {FLOOR: (120, 110, 100), WALL: (200, 200, 190), CHAIR: (200, 60, 40)}
REAL = {FLOOR: (60, 90, 50), WALL: (150, 120, 90), CHAIR: (40, 40, 120)}


def labels(count: int, seed: int, camera: Camera = CAMERA) -> np.ndarray:
    """(N, H, W) uint8: a wall, a floor, and a chair somewhere."""
    rng, height, width = np.random.default_rng(seed), camera.height, camera.width
    segmentation = np.full((count, height, width), WALL, np.uint8)
    for picture in segmentation:
        picture[rng.integers(height // 3, height * 2 // 3) :] = FLOOR
        top, left = rng.integers(height // 2), rng.integers(width * 3 // 4)
        picture[top : top + height // 3, left : left + width // 5] = CHAIR
    return segmentation


def paint(segmentation: np.ndarray, colours: dict[int, tuple[int, int, int]]) -> np.ndarray:
    """(N, H, W, 3) uint8, one flat colour a class."""
    table = np.zeros((len(CLASSES), 3), np.uint8)
    for number, colour in colours.items():
        table[number] = colour
    return table[segmentation]


def frames(rgb: np.ndarray, segmentation: np.ndarray | None = None, canonical: np.ndarray | None = None) -> Frames:
    """Ten frames a sequence."""
    count = len(rgb)
    return Frames(rgb, np.arange(count) // 10, np.full(count, np.nan), segmentation, canonical)


def domains(count: int = 40, camera: Camera = CAMERA) -> dict[str, Frames]:
    """The three sources of a training; pairs have random colours."""
    rng = np.random.default_rng(0)
    sim, real, pairs = (labels(count, seed, camera) for seed in (1, 2, 3))
    colours = [{number: tuple(rng.integers(0, 256, 3).tolist()) for number in CANONICAL} for _ in range(count)]
    varied = np.concatenate([paint(pairs[i : i + 1], colours[i]) for i in range(count)])
    return {
        "sim": frames(paint(sim, CANONICAL), sim),
        "real": frames(paint(real, REAL)),
        "pairs": frames(varied, pairs, paint(pairs, CANONICAL)),
    }


def write_source(folder: Path, source: Frames) -> Path:
    """Write frames as `simgym.collect` does."""
    for name in ("rgb", "segmentation", "canonical"):
        array = getattr(source, name)
        if array is not None:
            (folder / name).mkdir(parents=True)
            for i, picture in enumerate(array):
                cv2.imwrite(str(folder / name / f"{i:06d}.png"), picture[..., ::-1] if picture.ndim == 3 else picture)
    rows = [f"{i:06d}.png,{episode},{i % 10 / 5}" for i, episode in enumerate(source.sequence)]
    (folder / "frames.csv").write_text("\n".join(["frame,episode,time_s", *rows]) + "\n")
    height, width = source.rgb.shape[1:3]
    camera = Camera() if (width, height) == (80, 60) else Camera.from_fov(width, height, 1.2)
    Calibration(camera).to_yaml(folder / "camera_info.yaml")
    return folder


def without(source: Frames, *names: str) -> Frames:
    """A source that lacks some of its arrays."""
    return replace(source, **dict.fromkeys(names))  # type: ignore[arg-type]
