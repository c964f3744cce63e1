"""Real frames whose chairs somebody has marked: a few of them say what no unlabelled frame does."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch

from simgym.config.goggles import CLASSES
from simgym.config.sources import SourceConfig
from simgym.deploy import Calibration, Camera, CameraError, SizedResamplers
from simgym.masks import PhotoError, find_pairs, read_pair

from .frames import Frames

RGB, MASKS = "rgb", "chair_mask"
OTHER, CHAIR, UNKNOWN = 0, 1, 2
CHAIR_CLASS = CLASSES.index("chair")


def load_marked(folder: str, config: SourceConfig, camera: Camera) -> tuple[Frames, str]:
    """Photographs and masks as the simulated camera would see them; the labels are marks, not classes.

    Args:
        folder: with ``rgb/`` and ``chair_mask/``, matched by stem; 255 is chair.
        config: of its camera; what it says of crops, videos and bags has no meaning here.
        camera: the simulated camera.

    Returns:
        The frames, `OTHER`, `CHAIR` or, where the photograph ends, `UNKNOWN` in each pixel; and what was read.

    Raises:
        PhotoError: a photograph or its mask is missing or cannot be read, they do not fit each other or the camera, or
            no chair is marked.
    """
    calibration = Calibration.from_yaml(config.camera, config.rectified) if config.camera else None
    resample = SizedResamplers(camera, calibration, math.radians(config.horizontal_fov_deg))
    images, marks, coverage = [], [], 1.0
    for photo_path, mask_path in find_pairs(Path(folder) / RGB, Path(folder) / MASKS):
        photo, mask = read_pair(photo_path, mask_path)
        try:
            images.append(resample(photo))
        except CameraError as error:
            raise PhotoError(f"{photo_path}: {error}") from error
        resampler = resample.of_size(photo.shape[1], photo.shape[0])
        known = np.where(resampler(mask) > 127, CHAIR, OTHER)
        marks.append(np.where(resampler.seen, known, UNKNOWN).astype(np.uint8))
        coverage = min(coverage, resampler.coverage)
    if not any((mark == CHAIR).any() for mark in marks):
        raise PhotoError(f"no mask in {Path(folder) / MASKS} has a chair where the camera sees it: 255 is chair")
    count = len(images)
    lens = (
        f"camera of {config.camera}" if config.camera else f"an ideal lens {config.horizontal_fov_deg:g} degrees wide"
    )
    said = (
        f"{count} photographs of {folder} with masks of their chairs; {lens}, which sees {coverage:.0%} of the picture"
    )
    return Frames(np.stack(images), np.zeros(count, np.int64), np.full(count, np.nan), np.stack(marks)), said


def constrain(probabilities: torch.Tensor, marks: torch.Tensor) -> torch.Tensor:
    """What is left of a belief once it is known what is a chair and what is none.

    Args:
        probabilities: (B, C, H, W) of the classes.
        marks: (B, H, W) `OTHER`, `CHAIR` or `UNKNOWN`.

    Returns:
        (B, C, H, W): 1 for chair where there is one; else 0, and the others share its part as they were.
    """
    chair = torch.zeros_like(probabilities)
    chair[:, CHAIR_CLASS] = 1
    others = probabilities * (1 - chair)
    others = others / others.sum(1, keepdim=True).clamp(min=1e-6)
    marks = marks[:, None]
    return torch.where(marks == CHAIR, chair, torch.where(marks == OTHER, others, probabilities))
