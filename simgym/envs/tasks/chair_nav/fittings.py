"""Fittings of a room that nothing collides with: doors, windows and pictures on walls, rugs and cables on the floor.

Training in `sim` and `randomized` never shows them. Part 0 of a body is its panel, glass, picture or cloth, the others
are its frame. On the floor they count as floor: a robot may drive over them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...quaternion import from_yaw
from ...scene import Semantic
from .furniture import Slot

HALF_DEPTH_M = 0.03  # of what hangs on walls, at most


@dataclass(frozen=True)
class Fitting:
    """A kind of fitting; ``build`` returns the radius (on a wall: the half width) that it needs."""

    build: Callable[[Slot, np.random.Generator], float]
    boxes: int
    on_wall: bool

    @property
    def semantic(self) -> Semantic:
        """What its pixels mean."""
        return Semantic.WALL_ITEM if self.on_wall else Semantic.FLOOR


def _framed(slot: Slot, hx: float, low: float, high: float, bar: float, thick: float) -> None:
    """A panel of half width ``hx`` between two heights, in a frame of four bars that stand out."""
    slot.block(0, 0, low, high, hx, 0.008)
    for sx in (-1, 1):
        slot.block(sx * (hx + bar), 0, low - bar * (low > 0), high + 2 * bar, bar, thick)
    slot.block(0, 0, high, high + 2 * bar, hx, thick)


def door(slot: Slot, rng: np.random.Generator) -> float:
    """A leaf in its frame, with a handle on one side."""
    hx, high, side = rng.uniform((0.38, 1.95, 0.0), (0.48, 2.1, 1.0))
    _framed(slot, hx, 0.0, high, 0.035, 0.025)
    x = (hx - 0.07) * (1 if side < 0.5 else -1)
    slot.block(x * 0.9, 0.02, 0.98, 1.02, 0.055, 0.012)
    return hx + 0.07


def window(slot: Slot, rng: np.random.Generator) -> float:
    """Glass in a frame, a bar in its middle, a sill below."""
    hx, low, height = rng.uniform((0.35, 0.7, 0.8), (0.9, 1.0, 1.3))
    _framed(slot, hx, low, low + height, 0.03, 0.02)
    slot.block(0, 0.002, low, low + height, 0.02, 0.015)
    slot.block(0, 0.0, low - 0.05, low, hx + 0.08, HALF_DEPTH_M)
    return hx + 0.08


def picture(slot: Slot, rng: np.random.Generator) -> float:
    """A picture in a frame, or a poster with hardly any."""
    hx, half_height, middle, bare = rng.uniform((0.18, 0.18, 1.1, 0.0), (0.55, 0.45, 1.6, 1.0))
    bar = 0.005 if bare < 0.4 else 0.018
    _framed(slot, hx, middle - half_height, middle + half_height, bar, 0.015)
    slot.block(0, 0, middle - half_height - 2 * bar, middle - half_height, hx, 0.015)
    return hx + 2 * bar


def rug(slot: Slot, rng: np.random.Generator) -> float:
    """A flat rectangle."""
    hx, hy = rng.uniform((0.5, 0.4), (1.2, 0.8))
    slot.block(0, 0, 0.0, 0.008, hx, hy)
    return math.hypot(hx, hy)


def cable(slot: Slot, rng: np.random.Generator) -> float:
    """Six pieces that bend, from the origin on."""
    at, heading, radius = np.zeros(2), 0.0, 0.0
    for turn, half in zip(rng.normal(0, 0.6, 6), rng.uniform(0.06, 0.13, 6), strict=True):
        heading += turn
        along = half * np.array([math.cos(heading), math.sin(heading)])
        slot.box((*(at + along), 0.006), (half, 0.007, 0.006), tuple(from_yaw(heading)))
        at = at + 2 * along
        radius = max(radius, float(np.hypot(*at)) + 0.01)
    return radius


# By the names in `ClutterRanges`.
FITTINGS = {
    "doors": Fitting(door, 5, on_wall=True),
    "windows": Fitting(window, 6, on_wall=True),
    "pictures": Fitting(picture, 5, on_wall=True),
    "rugs": Fitting(rug, 1, on_wall=False),
    "cables": Fitting(cable, 6, on_wall=False),
}
