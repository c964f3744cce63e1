"""Measures against closed forms and independent formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from simgym.config.goggles import CLASSES
from simgym.goggles.metrics import collapse, kid, l1, measure, spread, temporal_error, warped_temporal_error
from simgym.goggles.networks import make_segmentation
from simgym.goggles.segmentation import overlap_of_classes
from tests.goggles.scenes import CHAIR, FLOOR, WALL, domains, without


def negative(rgb: np.ndarray) -> np.ndarray:
    return 255 - rgb


def with_columns(rgb: np.ndarray) -> np.ndarray:
    """Something on the lens: it does not move with the picture."""
    return rgb // 2 + np.arange(rgb.shape[2], dtype=np.uint8)[:, None]


def random_frames(count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, (count, 12, 16, 3)).astype(np.uint8)


def test_what_looks_at_single_pixels_does_not_flicker() -> None:
    assert temporal_error(negative, random_frames()) == 0.0


def test_temporal_error_of_a_ramp_on_the_lens() -> None:
    # Shifts by 1, 2, 3 columns move the ramp by as many grey levels; shifts by rows do not.
    assert temporal_error(with_columns, random_frames()) == pytest.approx(math.sqrt((1 + 4 + 9) / 6))


def moving(dx: int, dy: int) -> tuple[np.ndarray, np.ndarray]:
    """Frames cut from one large picture by a moving window, and the flow of what is seen."""
    scene = np.random.default_rng(1).integers(0, 256, (40, 40, 3)).astype(np.uint8)
    frames = np.stack([scene[10 - t * dy : 24 - t * dy, 10 - t * dx : 26 - t * dx] for t in range(3)])
    return frames, np.broadcast_to(np.array([dx, dy], float), (2, 14, 16, 2))


@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (2, 0), (-1, 3)])
def test_frames_that_move_as_the_flow_says_have_no_temporal_error(dx: int, dy: int) -> None:
    frames, flow = moving(dx, dy)
    everywhere = np.ones((2, 14, 16), bool)
    assert warped_temporal_error(frames, flow, everywhere) == pytest.approx(0, abs=1e-9)
    if dx or dy:
        assert warped_temporal_error(frames, np.zeros_like(flow), everywhere) > 50


def test_only_pixels_with_a_valid_flow_count() -> None:
    frames, flow = moving(2, 0)
    spoiled = frames.copy()
    spoiled[1, :, :8] = 0
    valid = np.ones((2, 14, 16), bool)
    assert warped_temporal_error(spoiled, flow, valid) > 50
    valid[0, :, :6] = False  # land in the spoiled half
    valid[1, :, :8] = False  # start there
    assert warped_temporal_error(spoiled, flow, valid) == pytest.approx(0, abs=1e-9)
    assert warped_temporal_error(frames, flow, np.zeros_like(valid)) == 0.0


def test_flicker_of_known_size() -> None:
    frames = np.full((2, 6, 8, 3), 100, np.uint8)
    frames[1] += 10
    assert warped_temporal_error(frames, np.zeros((1, 6, 8, 2)), np.ones((1, 6, 8), bool)) == pytest.approx(10)


def kid_by_hand(x: np.ndarray, y: np.ndarray) -> float:
    """Equation 4 of Binkowski et al. 2018, sum by sum."""

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return (a @ b / len(a) + 1) ** 3

    n = len(x)
    within = sum(kernel(z[i], z[j]) for z in (x, y) for i in range(n) for j in range(n) if i != j)
    between = sum(kernel(a, b) for a in x for b in y)
    return within / (n * (n - 1)) - 2 * between / n**2


def test_kid_is_the_published_estimate() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(6, 5)), rng.normal(0.5, 1, size=(9, 5))
    assert kid(torch.from_numpy(x), torch.from_numpy(y)) == pytest.approx(kid_by_hand(x, y[:6]))


def test_kid_tells_distributions_apart() -> None:
    rng = np.random.default_rng(0)
    x, y, z = (torch.from_numpy(rng.normal(shift, 1, (300, 8))) for shift in (0, 0, 1))
    assert abs(kid(x, y)) < 0.1 < kid(x, z)


def test_overlap_of_classes() -> None:
    labels = np.array([[[FLOOR, FLOOR, WALL, CHAIR]]], np.uint8)
    predicted = np.array([[[FLOOR, WALL, WALL, WALL]]], np.uint8)
    result = overlap_of_classes(predicted, labels)
    assert result["accuracy"] == 0.5
    assert result["iou"] == {"floor": 0.5, "wall": pytest.approx(1 / 3), "chair": 0.0}
    assert result["mean_iou"] == pytest.approx((0.5 + 1 / 3) / 3)
    assert overlap_of_classes(labels, labels)["mean_iou"] == 1.0


def test_collapse_is_caught() -> None:
    frames = domains()["real"].rgb
    assert collapse(l1(frames, frames), {"input": spread(frames), "output": spread(frames)}) == "identity"
    grey = np.full_like(frames, 128)
    assert collapse(l1(grey, frames), {"input": spread(frames), "output": spread(grey)}) == "constant"
    other = negative(frames)
    assert collapse(l1(other, frames), {"input": spread(frames), "output": spread(other)}) is None


def test_all_measures_of_frames_with_labels_and_twins() -> None:
    torch.manual_seed(0)
    sources, segmentation = domains(), make_segmentation(len(CLASSES)).eval()
    pairs = sources["pairs"]
    canonical = pairs.canonical
    assert canonical is not None
    result = measure(lambda rgb: canonical, pairs, sources["sim"], segmentation)
    assert result["paired_l1"]["after"] == 0.0 < result["paired_l1"]["before"]
    assert result["kid"]["after"] < result["kid"]["before"]
    assert set(result["content"]["after"]["iou"]) >= {"floor", "wall", "chair"}
    assert result["collapse"] is None and result["frames"] == 40


def test_what_cannot_be_measured_is_none() -> None:
    sources = domains()
    bare = without(sources["pairs"], "segmentation", "canonical")
    result = measure(negative, bare, sources["sim"], None)
    assert (result["kid"], result["content"], result["paired_l1"]) == (None, None, None)
    assert result["difference_from_input"] > 0
