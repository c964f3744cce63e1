"""Measures of success, as functions over arrays with one entry an episode."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

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


def spl(success: ArrayLike, shortest_m: ArrayLike, path_m: ArrayLike) -> np.ndarray:
    """Success weighted by path length (Anderson et al. 2018): success * shortest / max(shortest, path).

    Args:
        success: (n,) bool.
        shortest_m: (n,) length of the shortest path from the start to the goal.
        path_m: (n,) length of the path that was driven.

    Returns:
        (n,) float64 in 0..1; the mean over episodes is the SPL.
    """
    return np.asarray(success, float) * _directness(shortest_m, path_m)


def soft_spl(progress: ArrayLike, shortest_m: ArrayLike, path_m: ArrayLike) -> np.ndarray:
    """SPL with the share of the way that was made in place of success, as Habitat's SoftSPL.

    Args:
        progress: (n,) ``1 - distance left / distance at the start``; moving away counts as 0.
        shortest_m: (n,) length of the shortest path from the start to the goal.
        path_m: (n,) length of the path that was driven.

    Returns:
        (n,) float64 in 0..1.
    """
    return np.clip(np.asarray(progress, float), 0, 1) * _directness(shortest_m, path_m)


def _directness(shortest_m: ArrayLike, path_m: ArrayLike) -> np.ndarray:
    """Shortest length over driven length, at most 1; 1 for an episode that begins at its goal and stays there."""
    shortest = np.asarray(shortest_m, float)
    longest = np.maximum(shortest, np.asarray(path_m, float))
    return np.divide(shortest, longest, out=np.ones_like(longest), where=longest > 0)
