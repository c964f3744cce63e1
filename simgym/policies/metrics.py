"""Statistics of episodes."""

from __future__ import annotations

import math

Z_95 = 1.959963984540054  # the two-sided 95 % quantile of the normal distribution


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
