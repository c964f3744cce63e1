"""Sheets of pictures for people: what came in, what came out, and what a segmentation network sees in it."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from simgym.config.goggles import CLASSES
from simgym.report_page import tile

from .data import to_float, to_uint8
from .networks import SegmentationNetwork


def palette() -> np.ndarray:
    """(C, 3) uint8, a colour for each class; the first, void, is black, and chairs, the fifth, are orange."""
    named = {"void": (0, 0, 0), "floor": (120, 120, 120), "wall": (200, 200, 200), "chair": (240, 130, 30)}
    hues = np.arange(len(CLASSES)) * 0.381966 % 1  # the golden angle: neighbours differ
    wave = np.cos(2 * np.pi * (hues[:, None] - np.arange(3) / 3))  # (C, 3)
    colours = (128 + 100 * wave).astype(np.uint8)
    for name, colour in named.items():
        colours[CLASSES.index(name)] = colour
    return colours


def paint(labels: np.ndarray) -> np.ndarray:
    """Classes (N, H, W) as colours (N, H, W, 3) uint8."""
    return palette()[labels]


def sheet(rows: list[np.ndarray]) -> np.ndarray:
    """Rows (N, H, W, 3) uint8 one below the other, a column a frame, (H', W', 3) uint8."""
    return tile([image for row in rows for image in row], columns=len(rows[0]))


def picture_rows(
    frames: np.ndarray,
    forth: nn.Module,
    back: nn.Module | None,
    segmentation: SegmentationNetwork | None,
    device: torch.device,
) -> np.ndarray:
    """A sheet of frames (N, H, W, 3) uint8: as they are, translated, reconstructed, and the translation's classes.

    Args:
        frames: to show.
        forth: real to simulated.
        back: simulated to real; without it nothing is reconstructed.
        segmentation: S; without it no classes are shown.
        device: of the networks.
    """
    translated = forth(to_float(frames).to(device))
    rows = [frames, to_uint8(translated).cpu().numpy()]
    if back is not None:
        training = back.training
        rows.append(to_uint8(back.eval()(translated)).cpu().numpy())
        back.train(training)
    if segmentation is not None:
        rows.append(paint(segmentation(translated).argmax(1).cpu().numpy()))
    return sheet(rows)
