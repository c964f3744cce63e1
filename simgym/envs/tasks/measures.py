"""Measures of navigation, as functions over arrays with one entry an episode."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


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
