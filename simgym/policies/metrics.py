"""Statistics of episodes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

Z_95 = 1.959963984540054  # the two-sided 95 % quantile of the normal distribution
RESAMPLES = 2000  # of a bootstrap


def wilson_interval(successes: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a success rate, after Wilson (1927): right even for few trials and near 0 or 1.

    Args:
        successes: number of successes.
        n: number of trials; with none, nothing is known: (0, 1).

    Returns:
        Lower and upper end, in 0..1.

    Raises:
        ValueError: successes are negative or more than the trials.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"expected 0 <= successes <= n, got {successes} of {n}")
    if n == 0:
        return 0.0, 1.0
    rate = successes / n
    z2 = Z_95**2
    centre = (rate + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_95 * math.sqrt(rate * (1 - rate) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    # At the ends the interval is exactly closed; rounding would leave 1e-17.
    return (0.0 if successes == 0 else centre - half), (1.0 if successes == n else centre + half)


def bootstrap_interval(values: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """The 95 % interval of a mean, by the percentiles of the means of samples of the samples (Efron 1979).

    Args:
        values: (N,) one a trial; differences of the same trials, for a paired comparison.

    Returns:
        Lower and upper end. The same values always give the same ones.

    Raises:
        ValueError: there are no values.
    """
    array = np.asarray(values, np.float64)
    if array.size == 0:
        raise ValueError("expected at least one value")
    rng = np.random.default_rng(0)
    means = [array[rng.integers(len(array), size=len(array))].mean() for _ in range(RESAMPLES)]
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


def paired_interval(first: Sequence[bool] | np.ndarray, second: Sequence[bool] | np.ndarray) -> tuple[float, float]:
    """The 95 % interval of the difference of two success rates on the same trials: Newcombe (1998), method 10.

    Wilson's intervals of both rates, put together with their correlation; right for few trials and near 0 or 1 too.

    Args:
        first: (N,) bool, who succeeded in the first way.
        second: (N,) bool, in the second way, trial by trial.

    Returns:
        Lower and upper end of the rate of ``first`` less that of ``second``, in -1..1.

    Raises:
        ValueError: they are not as many, or none.
    """
    a, b = np.asarray(first, bool), np.asarray(second, bool)
    if a.shape != b.shape or a.size == 0:
        raise ValueError(f"expected the same trials, at least one, got {a.size} and {b.size}")
    n, rates = a.size, (float(a.mean()), float(b.mean()))
    ends = [wilson_interval(int(x.sum()), n) for x in (a, b)]
    both, neither = int((a & b).sum()), int((~a & ~b).sum())
    one, other = int((a & ~b).sum()), int((~a & b).sum())
    product: float = both * neither - one * other
    if product > 0:
        product = max(product - n / 2, 0)  # continuity, as published
    spread = math.sqrt(float((both + one) * (other + neither) * (both + other) * (one + neither)))
    correlation = product / spread if spread else 0.0

    def reach(below: float, above: float) -> float:
        return math.sqrt(max(below**2 - 2 * correlation * below * above + above**2, 0.0))

    (low_a, high_a), (low_b, high_b) = ends
    difference = rates[0] - rates[1]
    return difference - reach(rates[0] - low_a, high_b - rates[1]), difference + reach(
        high_a - rates[0], rates[1] - low_b
    )
