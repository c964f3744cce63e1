"""Measures against scipy and against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from simgym.policies.metrics import soft_spl, spl, wilson_interval


@pytest.mark.parametrize("n", [1, 2, 7, 100, 2000])
def test_wilson_agrees_with_scipy(n):
    for successes in {0, 1, n // 3, n // 2, n - 1, n}:
        expected = binomtest(successes, n).proportion_ci(method="wilson")
        assert wilson_interval(successes, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_ends_are_exact():
    assert wilson_interval(0, 50)[0] == 0
    assert wilson_interval(50, 50)[1] == 1


def test_wilson_without_trials_knows_nothing():
    assert wilson_interval(0, 0) == (0, 1)


@pytest.mark.parametrize(("successes", "n"), [(-1, 5), (6, 5), (1, 0)])
def test_wilson_refuses_impossible_counts(successes, n):
    with pytest.raises(ValueError, match="successes"):
        wilson_interval(successes, n)


def test_spl():
    # straight there; by a detour of twice the length; not there; shorter than "shortest" (the goal has a radius)
    values = spl([True, True, False, True], [2.0, 2.0, 2.0, 2.0], [2.0, 4.0, 2.0, 1.5])
    np.testing.assert_allclose(values, [1.0, 0.5, 0.0, 1.0])


def test_spl_of_an_episode_that_begins_at_its_goal():
    np.testing.assert_allclose(spl([True, True], [0.0, 0.0], [0.0, 1.0]), [1.0, 0.0])


def test_soft_spl():
    # all the way, half the way, half the way by a detour, away from the goal
    values = soft_spl([1.0, 0.5, 0.5, -0.3], [2.0, 2.0, 2.0, 2.0], [2.0, 1.0, 4.0, 1.0])
    np.testing.assert_allclose(values, [1.0, 0.5, 0.25, 0.0])


def test_inputs_are_left_alone():
    progress = np.array([-1.0, 2.0])
    soft_spl(progress, [1.0, 1.0], [1.0, 1.0])
    np.testing.assert_array_equal(progress, [-1.0, 2.0])
