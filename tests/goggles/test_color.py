"""Colour statistics: matched exactly where the space is linear, and nothing changes where there is nothing to match."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from simgym.deploy import Goggles, goggles_contract
from simgym.goggles.color import ColorTransfer
from simgym.goggles.data import to_float, to_uint8
from simgym.goggles.export import export_goggles
from tests.goggles.scenes import CAMERA, domains


def random_frames(low: int, high: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(low, high, (20, 24, 32, 3)).astype(np.uint8)


def apply(transfer: ColorTransfer, frames: np.ndarray) -> np.ndarray:
    return to_uint8(transfer(to_float(frames))).numpy()


@pytest.mark.parametrize("space", ["rgb", "oklab"])
def test_frames_with_the_right_statistics_stay(space: str) -> None:
    frames = random_frames(0, 256)
    transfer = ColorTransfer(space)
    transfer.fit(frames, frames)
    np.testing.assert_array_equal(apply(transfer, frames), frames)


def test_gain_and_offset_are_found() -> None:
    sim = random_frames(40, 200)
    real = sim // 2 + np.array([10, 50, 90], np.uint8)
    transfer = ColorTransfer("rgb")
    transfer.fit(real, sim)
    assert np.abs(apply(transfer, real).astype(int) - sim).max() <= 2  # half of a grey level was lost above


@pytest.mark.parametrize("space", ["rgb", "oklab"])
def test_translated_frames_have_the_statistics_of_simulated_ones(space: str) -> None:
    real, sim = random_frames(100, 160), random_frames(60, 200, seed=1)
    transfer = ColorTransfer(space)
    transfer.fit(real, sim)
    after = apply(transfer, real)
    np.testing.assert_allclose(after.mean((0, 1, 2)), sim.mean((0, 1, 2)), atol=4)
    np.testing.assert_allclose(after.std((0, 1, 2)), sim.std((0, 1, 2)), atol=4)
    assert abs(real.std() - sim.std()) > 15


@pytest.mark.parametrize("level", [0, 127, 255])
def test_frames_of_one_colour_have_no_deviation_to_scale(level: int) -> None:
    flat = np.full((4, 24, 32, 3), level, np.uint8)
    transfer = ColorTransfer("oklab")
    transfer.fit(flat, random_frames(0, 256))
    assert torch.isfinite(transfer(to_float(flat))).all()


@pytest.mark.parametrize("space", ["rgb", "oklab"])
def test_it_runs_as_a_bundle(tmp_path, space: str) -> None:
    sources = domains()
    transfer = ColorTransfer(space)
    transfer.fit(sources["real"].rgb, sources["sim"].rgb)
    contract = goggles_contract("ChairNav", CAMERA, 5.0, ("real", "sim"), "Apache-2.0")
    export_goggles(transfer, contract, tmp_path / "goggles.onnx", sources["real"].rgb)
    translated = Goggles(tmp_path / "goggles.onnx").translate(sources["real"].rgb)
    difference = np.abs(translated.astype(int) - apply(transfer, sources["real"].rgb))
    assert difference.max() <= 1 and difference.mean() < 0.01
