"""Every loss against its closed form."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from simgym.goggles.losses import (
    cycle_loss,
    discriminator_loss,
    generator_loss,
    identity_loss,
    label_loss,
    overlap,
    paired_loss,
    semantic_loss,
    shift_loss,
    shift_pixels,
)


def pictures(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.parametrize(("score", "expected"), [(1.0, 0.0), (0.0, 1.0), (3.0, 4.0)])
def test_a_generator_wants_scores_of_one(score: float, expected: float) -> None:
    assert generator_loss(torch.full((2, 1, 3, 4), score)).item() == expected


def test_a_discriminator_wants_one_and_zero() -> None:
    ones, zeros = torch.ones(2, 1, 3, 3), torch.zeros(4, 1, 3, 3)
    assert discriminator_loss(ones, zeros).item() == 0.0
    assert discriminator_loss(zeros, ones[:1]).item() == 1.0
    assert discriminator_loss(ones / 2, ones / 2).item() == 0.25


@pytest.mark.parametrize("loss", [cycle_loss, identity_loss])
def test_distances_of_pictures(loss) -> None:
    x = pictures(2, 3, 5, 4)
    assert loss(x, x).item() == 0.0
    assert loss(x + 0.25, x).item() == pytest.approx(0.25, abs=1e-6)


@given(st.integers(-4, 4), st.integers(-4, 4))
def test_a_shift_moves_what_is_seen_and_repeats_the_edge(dx: int, dy: int) -> None:
    x = pictures(1, 2, 6, 7)
    moved, (there, here) = shift_pixels(x, dx, dy), overlap(dx, dy)
    assert moved.shape == x.shape
    assert torch.equal(moved[..., there[0], there[1]], x[..., here[0], here[1]])
    assert x[..., here[0], here[1]].shape[2:] == (6 - abs(dy), 7 - abs(dx))
    rows, columns = (torch.arange(6) - dy).clamp(0, 5), (torch.arange(7) - dx).clamp(0, 6)
    assert torch.equal(moved, x[..., rows[:, None], columns])


@given(st.integers(1, 3), st.integers(1, 3))
def test_an_equivariant_generator_has_no_shift_loss(dx: int, dy: int) -> None:
    x = pictures(2, 3, 8, 9)
    assert shift_loss(torch.sin(shift_pixels(x, dx, dy)), torch.sin(x), dx, dy).item() == 0.0


@given(st.integers(1, 3), st.integers(1, 3))
def test_a_ramp_laid_over_the_picture_does_not_move_with_it(dx: int, dy: int) -> None:
    ramp = 0.5 * torch.arange(9.0)
    x = torch.zeros(2, 3, 8, 9)
    assert shift_loss(shift_pixels(x, dx, dy) + ramp, x + ramp, dx, dy).item() == pytest.approx((0.5 * dx) ** 2)


def test_only_shifts_that_the_stride_does_not_divide_can_be_lost() -> None:
    def coarse(x: torch.Tensor) -> torch.Tensor:
        return functional.interpolate(x[..., ::2, ::2], scale_factor=2)

    x = pictures(1, 3, 12, 12)
    assert shift_loss(coarse(shift_pixels(x, 2, 2)), coarse(x), 2, 2).item() == 0.0
    assert shift_loss(coarse(shift_pixels(x, 1, 1)), coarse(x), 1, 1).item() > 0.01


def test_semantic_loss_of_no_idea_and_of_certainty() -> None:
    labels = torch.randint(5, (2, 4, 3), generator=torch.Generator().manual_seed(0))
    assert semantic_loss(torch.zeros(2, 5, 4, 3), labels).item() == pytest.approx(math.log(5))
    sure = 100 * functional.one_hot(labels, 5).permute(0, 3, 1, 2).float()
    assert semantic_loss(sure, labels).item() == pytest.approx(0, abs=1e-6)
    assert semantic_loss(sure, (labels + 1) % 5).item() == pytest.approx(100)


def test_weights_multiply_their_pixels() -> None:
    labels = torch.tensor([[[0, 1], [1, 1]]])  # (1, 2, 2)
    weights = torch.tensor([[[7.0, 1.0], [1.0, 0.0]]])
    assert label_loss(torch.zeros(1, 2, 2, 2), labels, weights).item() == pytest.approx(9 / 4 * math.log(2))
    x = torch.zeros(1, 3, 2, 2)
    assert paired_loss(x, x, weights).item() == 0.0
    assert paired_loss(x + 0.5, x, weights).item() == pytest.approx(9 / 4 * 0.5)
