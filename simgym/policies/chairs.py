"""Chairs kept: does what is a chair in a real photograph still pass for one, in the simulator's style, for a policy?

The judge is the canonical look itself (`simgym.envs.looks.canonical.read_classes`): a pixel passes for a chair if its
colour is nearest to the chair's. On simulated frames that is exact, and it is all that a policy trained on them can go
by. The same judge on the photograph without goggles says what they are worth.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from simgym.envs.looks.canonical import read_classes
from simgym.envs.scene import Semantic

from .metrics import bootstrap_interval

KEPT, LOST, INVENTED, REST = (240, 130, 30), (70, 30, 110), (90, 190, 240), (225, 225, 225)


def chair_iou(picture: np.ndarray, chair: np.ndarray, counted: np.ndarray) -> float:
    """Intersection over union of what passes for a chair and what is one.

    Args:
        picture: (H, W, 3) uint8 RGB in the simulator's style.
        chair: (H, W) bool; some pixel that counts must be one.
        counted: (H, W) bool, the pixels that count: those that the real camera saw.
    """
    passing = _passing(picture) & counted
    chair = chair & counted
    return float((passing & chair).sum() / (passing | chair).sum())


def summarize(before: Sequence[float], after: Sequence[float] | None) -> dict[str, Any]:
    """The ``chair_iou`` of ``photos.json``.

    Args:
        before: the IoU of every photograph with a chair, as it is.
        after: of the same ones, translated; None without goggles.

    Returns:
        ``photos``, how many; ``before``, ``after`` and, photograph by photograph, ``gain``: each the ``mean`` with its
        95 % interval ``ci95``, or None.
    """
    gain = None if after is None else np.subtract(after, before)
    parts = {"before": before, "after": after, "gain": gain}
    return {"photos": len(before)} | {name: _mean(values) for name, values in parts.items()}


def paint_overlap(picture: np.ndarray, chair: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8: orange is a chair and passes for one, violet only is one, blue only passes for one."""
    passing = _passing(picture) & counted
    chair = chair & counted
    painted = np.full(picture.shape, REST, np.uint8)
    for where, colour in ((passing & chair, KEPT), (chair & ~passing, LOST), (passing & ~chair, INVENTED)):
        painted[where] = colour
    return painted


def _passing(picture: np.ndarray) -> np.ndarray:
    return read_classes(picture) == Semantic.CHAIR


def _mean(values: Sequence[float] | np.ndarray | None) -> dict[str, Any] | None:
    if values is None or len(values) == 0:
        return None
    return {"mean": float(np.mean(values)), "ci95": list(bootstrap_interval(values))}
