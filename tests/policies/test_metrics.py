"""Statistics against scipy."""

from __future__ import annotations

import pytest
from scipy.stats import binomtest

from simgym.policies.metrics import wilson_interval


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
