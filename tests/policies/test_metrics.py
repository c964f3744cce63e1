"""Statistics against scipy, and where scipy has none, against what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, norm

from simgym.policies.metrics import bootstrap_interval, paired_interval, wilson_interval

OUTCOMES = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


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


@given(OUTCOMES)
def test_paired_intervals_hold_the_difference_and_turn_around(pairs):
    first, second = np.array(pairs).T
    low, high = paired_interval(first, second)
    assert -1 - 1e-12 <= low <= first.mean() - second.mean() <= high <= 1 + 1e-12
    assert paired_interval(second, first) == pytest.approx((-high, -low), abs=1e-12)


def test_without_any_failure_a_paired_interval_is_that_of_two_rates_of_one():
    """No correlation can be told, so Wilson's ends are put together as those of independent samples."""
    all_won = np.ones(20, bool)
    reach = 1 - wilson_interval(20, 20)[0]
    assert paired_interval(all_won, all_won) == pytest.approx((-reach, reach))


def test_pairs_tell_more_than_rates():
    """The same rates: where the same trials fail, the difference is known better."""
    first = np.arange(400) < 300
    alike, apart = np.arange(400) < 280, np.arange(400) >= 120
    low, high = paired_interval(first, alike)
    wide_low, wide_high = paired_interval(first, apart)
    assert 0 < low < high < wide_high and wide_low < 0


def test_a_paired_interval_holds_the_truth_as_often_as_it_says():
    rng, truth, held = np.random.default_rng(0), 0.7 - 0.55, 0
    for _ in range(600):
        skill = rng.normal(size=120)  # of a trial, common to both
        first = 0.6 * skill + 0.8 * rng.normal(size=120) < norm.ppf(0.7)
        second = 0.6 * skill + 0.8 * rng.normal(size=120) < norm.ppf(0.55)
        low, high = paired_interval(first, second)
        held += low <= truth <= high
    assert 0.93 < held / 600 < 0.975  # 2.5 standard deviations around 95 %


@pytest.mark.parametrize(("first", "second"), [([], []), ([True], [True, False])])
def test_only_the_same_trials_are_paired(first, second):
    with pytest.raises(ValueError, match="the same trials"):
        paired_interval(first, second)


def test_the_bootstrap_agrees_with_the_normal_interval_of_many_values():
    values = np.random.default_rng(1).exponential(size=2000)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert bootstrap_interval(values) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.004)
    assert bootstrap_interval(values) == bootstrap_interval(values)


def test_the_bootstrap_of_equal_values_is_their_value():
    assert bootstrap_interval([0.25] * 7) == (0.25, 0.25)
    with pytest.raises(ValueError, match="at least one"):
        bootstrap_interval([])
