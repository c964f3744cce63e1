"""Real frames whose chairs somebody has marked: a few of them say what no unlabelled frame does."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch

from simgym.config.sources import SourceConfig
from simgym.deploy import Calibration, Camera, CameraError, SizedResamplers
from simgym.envs.scene import Semantic
from simgym.masks import PhotoError, find_pairs, read_pair

from .frames import Frames

RGB, MASKS = "rgb", "chair_mask"
UNKNOWN, OTHER, CHAIR = -1, 0, 1


def load_marked(folder: str, config: SourceConfig, camera: Camera) -> Frames:
    """Photographs and masks as the simulated camera would see them; the labels are `OTHER` or `CHAIR`.

    Args:
        folder: with ``rgb/`` and ``chair_mask/``, matched by stem; 255 is chair.
        config: of its camera; what it says of videos and bags has no meaning here.
        camera: the simulated camera.

    Raises:
        PhotoError: a photograph or its mask is missing or cannot be read, or they do not fit each other or the camera.
    """
    calibration = Calibration.from_yaml(config.camera, config.rectified) if config.camera else None
    crop = config.crop if any(config.crop) else None
    resample = SizedResamplers(camera, calibration, math.radians(config.horizontal_fov_deg), crop)
    images, masks = [], []
    for photo_path, mask_path in find_pairs(Path(folder) / RGB, Path(folder) / MASKS):
        try:
            photo, mask = (resample(picture) for picture in read_pair(photo_path, mask_path))
        except CameraError as error:
            raise PhotoError(f"{photo_path}: {error}") from error
        images.append(photo)
        masks.append(np.where(mask > 127, CHAIR, OTHER).astype(np.uint8))
    count = len(images)
    return Frames(np.stack(images), np.zeros(count, np.int64), np.full(count, np.nan), np.stack(masks))


def constrain(probabilities: torch.Tensor, marks: torch.Tensor) -> torch.Tensor:
    """What is left of a belief once it is known what is a chair and what is none.

    Args:
        probabilities: (B, C, H, W) of the classes.
        marks: (B, H, W) `UNKNOWN`, `OTHER` or `CHAIR`.

    Returns:
        (B, C, H, W): 1 for chair where there is one; else 0, and the others share its part as they were.
    """
    chair = torch.zeros_like(probabilities)
    chair[:, Semantic.CHAIR] = 1
    others = probabilities * (1 - chair)
    others = others / others.sum(1, keepdim=True).clamp(min=1e-6)
    marks = marks[:, None]
    return torch.where(marks == CHAIR, chair, torch.where(marks == OTHER, others, probabilities))
