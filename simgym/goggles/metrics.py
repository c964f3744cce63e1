"""Measures of goggles, all offline, all on frames that training did not see and on the bundle that is deployed.

Differences of pictures are in grey levels (0..255).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from torchmetrics.image.kid import poly_mmd

from .frames import Frames
from .losses import overlap
from .networks import SegmentationNetwork
from .segmentation import embed, overlap_of_classes, predict

Translate = Callable[[np.ndarray], np.ndarray]  # (N, H, W, 3) uint8 -> the same
SHIFTS = ((1, 0), (2, 0), (3, 0), (0, 1), (0, 2), (0, 3))  # dx, dy in pixels: what a camera turns between two frames
COLLAPSED = 2.0  # grey levels; translations that differ less, from their input or from each other, say nothing
FEWEST_FOR_KID = 2


def measure(translate: Translate, frames: Frames, sim: Frames, segmentation: SegmentationNetwork | None) -> dict:
    """All measures of one source of frames.

    Args:
        translate: the goggles.
        frames: to translate; their labels and twins, where there are any, are compared with.
        sim: genuine simulated frames, for KID.
        segmentation: the frozen network; without one, what needs it is None.

    Returns:
        ``frames``; ``temporal_error``, see `temporal_error`; ``difference_from_input``; ``spread`` of input and output,
        see `spread`; ``collapse``: ``identity``, ``constant`` or None; ``kid``, ``content`` and ``paired_l1``, each
        ``before`` and ``after`` translation, or None.
    """
    output = translate(frames.rgb)
    looks = {"before": frames.rgb, "after": output}
    result: dict[str, Any] = {
        "frames": len(frames),
        "temporal_error": temporal_error(translate, frames.rgb, output),
        "difference_from_input": l1(output, frames.rgb),
        "spread": {"input": spread(frames.rgb), "output": spread(output)},
        "kid": None,
        "content": None,
        "paired_l1": None,
    }
    result["collapse"] = collapse(result["difference_from_input"], result["spread"])
    if segmentation is not None and min(len(frames), len(sim)) >= FEWEST_FOR_KID:
        genuine = embed(segmentation, sim.rgb)
        result["kid"] = {name: kid(embed(segmentation, look), genuine) for name, look in looks.items()}
    if segmentation is not None and frames.segmentation is not None:
        labels = frames.segmentation
        result["content"] = {
            name: overlap_of_classes(predict(segmentation, look), labels) for name, look in looks.items()
        }
    if frames.canonical is not None:
        result["paired_l1"] = {name: l1(look, frames.canonical) for name, look in looks.items()}
    return result


def kid(first: torch.Tensor, second: torch.Tensor) -> float:
    """Kernel inception distance (Binkowski et al. 2018) of features (N, D) and (M, D); unbiased, so it may be negative.

    The kernel is ``(a.b / D + 1)^3``, the features are not Inception's but those of our own segmentation network
    (`SegmentationNetwork.features`), which knows the rooms of this project; numbers compare only within one training.
    Of the longer side the surplus is left out.
    """
    count = min(len(first), len(second))
    return float(poly_mmd(first[:count].double(), second[:count].double()))


def temporal_error(translate: Translate, rgb: np.ndarray, translated: np.ndarray | None = None) -> float:
    """How translations flicker where the picture only moves: sqrt(mean (T(s(x)) - s(T(x)))^2), in grey levels.

    The mean is over frames, the pixels that a shift keeps, channels, and the shifts s by 1 to 3 pixels along each
    axis. It is VR-Goggles' temporal error (supplement A) with a shift in the place of the flow: it needs no sequence.

    Args:
        translate: T.
        rgb: (N, H, W, 3) uint8 frames x.
        translated: T(x), if it is at hand.
    """
    still = translate(rgb) if translated is None else translated
    squares = []
    for dx, dy in SHIFTS:
        there, here = overlap(dx, dy)
        moved = translate(np.pad(rgb, ((0, 0), (dy, 0), (dx, 0), (0, 0)), "edge")[:, : rgb.shape[1], : rgb.shape[2]])
        squares.append(_square(moved[:, there[0], there[1]], still[:, here[0], here[1]]).mean())
    return float(np.sqrt(np.mean(squares)))


def warped_temporal_error(translated: np.ndarray, flow: np.ndarray, counts: np.ndarray) -> float:
    """Temporal error under known motion: sqrt(1 / M sum c (s_t - f(s_t+1))^2), VR-Goggles, supplement A; grey levels.

    M is the number of terms that count. f looks up, bilinearly, where each point of frame t lies in frame t + 1.

    Args:
        translated: (T, H, W, 3) uint8 frames of one sequence.
        flow: (T - 1, H, W, 2) pixels (right, down) by which the point in each pixel moves until the next frame.
        counts: (T - 1, H, W) bool, c: where the flow is valid. Points that leave the picture never count.
    """
    _, height, width, _ = translated.shape
    rows, columns = np.mgrid[:height, :width]
    target = np.stack([columns, rows], -1) + flow  # (T - 1, H, W, 2) pixels, centres at integers
    inside = ((target >= 0) & (target <= (width - 1, height - 1))).all(-1) & counts
    if not inside.any():
        return 0.0
    grid = torch.from_numpy(2 * target / np.maximum((width - 1, height - 1), 1) - 1)
    following = torch.from_numpy(translated[1:]).permute(0, 3, 1, 2).double()
    warped = functional.grid_sample(following, grid, align_corners=True).permute(0, 2, 3, 1).numpy()
    return float(np.sqrt(_square(translated[:-1], warped)[inside].mean()))


def l1(first: np.ndarray, second: np.ndarray) -> float:
    """Mean distance of pictures (N, H, W, 3) uint8, in grey levels."""
    return float(np.abs(first.astype(np.int16) - second).mean())


def spread(rgb: np.ndarray) -> float:
    """How different frames are: the standard deviation over frames, as a mean over pixels, in grey levels."""
    return float(rgb.std(axis=0, dtype=np.float64).mean())


def collapse(difference_from_input: float, spreads: dict[str, float]) -> str | None:
    """Whether goggles learned nothing: they hand the picture through, or show the same whatever they see."""
    if difference_from_input < COLLAPSED:
        return "identity"
    return "constant" if spreads["output"] < COLLAPSED <= spreads["input"] else None


def _square(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return (first.astype(np.float64) - second) ** 2
