"""Measures goggles on labelled frames of the stand-in that no training has seen; needs no trained judge."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from simgym.config.run_dir import run_folder
from simgym.config.sources import SourceConfig
from simgym.deploy import Goggles
from simgym.envs.looks.canonical import read_classes
from simgym.envs.scene import Semantic
from simgym.files import write_bytes
from simgym.goggles.frames import Frames
from simgym.goggles.metrics import Translate, l1, temporal_error, warped_temporal_error
from simgym.goggles.sources import read_frames
from simgym.goggles.training import translate

from . import motion

MEASURES = "measures.json"
WANTED = {"ChairNav": Semantic.CHAIR, "Grasp": Semantic.OBJECT}  # what the robot looks for


@dataclass(frozen=True, kw_only=True)
class MeasureConfig:
    """Of one run: the task, the goggles (None: without), what `simgym.collect` wrote, and what `motion` wrote."""

    task: str
    goggles: str | None
    frames: str
    motion: str
    out: str


def main(config: MeasureConfig) -> None:
    """Write ``measures.json``, see `measure`."""
    frames = load(config.frames)
    with run_folder(config) as out:
        look = partial(translate, Goggles(config.goggles)) if config.goggles else np.copy
        result = measure(frames, look, WANTED[config.task]) | {"warped_temporal_error": flicker(config.motion, look)}
        write_bytes(out / MEASURES, (json.dumps(result, indent=1) + "\n").encode())


def load(folder: str) -> Frames:
    """Collected frames, all of them."""
    return read_frames(folder, SourceConfig(min_change=0.0))[0]


def measure(frames: Frames, look: Translate, wanted: Semantic) -> dict[str, Any]:
    """How near translations are to the canonical twins.

    Returns:
        ``frames``; ``paired_l1``, the mean distance to the twin in grey levels; ``content``, the share of the pixels
        that pass for what they are (`read_classes`); ``wanted_iou``, intersection over union of those that pass for
        what the robot looks for and those that are; ``temporal_error`` in grey levels.
    """
    assert frames.segmentation is not None and frames.canonical is not None
    seen = look(frames.rgb)
    classes = read_classes(seen)
    passing, real = classes == wanted, frames.segmentation == wanted
    return {
        "frames": len(frames),
        "paired_l1": l1(seen, frames.canonical),
        "content": float((classes == frames.segmentation).mean()),
        "wanted_iou": float((passing & real).sum() / max((passing | real).sum(), 1)),
        "temporal_error": temporal_error(look, frames.rgb, seen),
    }


def flicker(path: str, look: Translate) -> float:
    """Mean `warped_temporal_error` of the drives that `motion` wrote there."""
    errors = [warped_temporal_error(look(drive.rgb), drive.flow, drive.known) for drive in motion.load(path)]
    return float(np.mean(errors))
