"""Frames as arrays: what sources read, what training and measures take."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Frames:
    """N frames of one camera, in the order of time within each sequence.

    Simulated frames may come with labels and with a twin in the canonical look; real ones have neither, or marks
    (`simgym.goggles.marked`) in the place of labels.
    """

    rgb: np.ndarray  # (N, H, W, 3) uint8
    sequence: np.ndarray  # (N,) int64: frames of one episode, video or bag share a number
    stamp_s: np.ndarray  # (N,) float64 within its sequence; NaN where the source has no clock
    segmentation: np.ndarray | None = None  # (N, H, W) uint8 semantic class
    canonical: np.ndarray | None = None  # (N, H, W, 3) uint8, the same moment in the canonical look

    def __len__(self) -> int:
        return len(self.rgb)
