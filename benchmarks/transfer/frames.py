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
from simgym.goggles.metrics import l1, temporal_error
from simgym.goggles.sources import read_frames
from simgym.goggles.training import translate

MEASURES = "measures.json"
WANTED = {"ChairNav": Semantic.CHAIR, "Grasp": Semantic.OBJECT}  # what the robot looks for


@dataclass(frozen=True, kw_only=True)
class MeasureConfig:
    """Of one run: the task, the goggles (None: without), and a folder that `simgym.collect` wrote."""

    task: str
    goggles: str | None
    frames: str
    out: str


def main(config: MeasureConfig) -> None:
    """Write ``measures.json``, see `measure`."""
    frames = load(config.frames)
    with run_folder(config) as out:
        result = measure(frames, Goggles(config.goggles) if config.goggles else None, WANTED[config.task])
        write_bytes(out / MEASURES, (json.dumps(result, indent=1) + "\n").encode())


def load(folder: str) -> Frames:
    """Collected frames, all of them."""
    return read_frames(folder, SourceConfig(min_change=0.0))[0]


def measure(frames: Frames, goggles: Goggles | None, wanted: Semantic) -> dict[str, Any]:
    """How near translations are to the canonical twins.

    Returns:
        ``frames``; ``paired_l1``, the mean distance to the twin in grey levels; ``content``, the share of the pixels
        that pass for what they are (`read_classes`); ``wanted_iou``, intersection over union of those that pass for
        what the robot looks for and those that are; ``temporal_error`` in grey levels.
    """
    assert frames.segmentation is not None and frames.canonical is not None
    look = partial(translate, goggles) if goggles else np.copy
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
