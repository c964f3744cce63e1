"""Floor plans: a rectangle of outer walls, parted or cut by up to four inner blocks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

WALL_M = 0.12
MAX_BLOCKS = 4


@dataclass(frozen=True)
class Room:
    """A floor plan centred on the world origin."""

    kind: str
    half_x: float
    half_y: float
    height: float
    blocks: np.ndarray  # (K, 4) centre x, y, half extents x, y of inner walls and notches


def _between(x0: float, x1: float, y0: float, y1: float) -> tuple[float, float, float, float]:
    return (x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) / 2, (y1 - y0) / 2


def _rectangle(hx: float, hy: float, rng: np.random.Generator) -> list:
    return []


def _notch(hx: float, hy: float, rng: np.random.Generator, sx: int, sy: int) -> tuple:
    """A block that cuts 25-45 % of both sides off the corner (sx, sy)."""
    wx, wy = rng.uniform(0.25, 0.45, 2) * (2 * hx, 2 * hy)
    return sx * (hx - wx / 2), sy * (hy - wy / 2), wx / 2, wy / 2


def _l_shape(hx: float, hy: float, rng: np.random.Generator) -> list:
    return [_notch(hx, hy, rng, *rng.choice((-1, 1), 2))]


def _partition(hx: float, hy: float, rng: np.random.Generator, x: float) -> list:
    """A wall across the room at x, with an opening of 1.2-2.0 m."""
    width = rng.uniform(min(1.2, 2 * hy - 0.8), min(2.0, 2 * hy - 0.6))
    low = rng.uniform(-hy + 0.3, hy - 0.3 - width)
    sides = ((-hy, low), (low + width, hy))
    return [_between(x - WALL_M / 2, x + WALL_M / 2, y0, y1) for y0, y1 in sides]


def _parted(hx: float, hy: float, rng: np.random.Generator) -> list:
    return _partition(hx, hy, rng, rng.uniform(-0.3, 0.3) * hx)


def _u_shape(hx: float, hy: float, rng: np.random.Generator) -> list:
    """Held out for `test`: a block juts from the middle of one wall."""
    width, depth, side = rng.uniform(0.2, 0.35) * 2 * hx, rng.uniform(0.25, 0.45) * 2 * hy, rng.choice((-1, 1))
    return [(rng.uniform(-0.15, 0.15) * hx, side * (hy - depth / 2), width / 2, depth / 2)]


def _z_shape(hx: float, hy: float, rng: np.random.Generator) -> list:
    """Held out for `test`: two opposite corners cut off."""
    side = rng.choice((-1, 1))
    blocks = [_notch(hx, hy, rng, 1, side), _notch(hx, hy, rng, -1, -side)]
    return [(x, y, bx * 0.85, by * 0.75) for x, y, bx, by in blocks]


def _t_shape(hx: float, hy: float, rng: np.random.Generator) -> list:
    """Held out for `test`: two neighbouring corners cut off."""
    side = rng.choice((-1, 1))
    blocks = [_notch(hx, hy, rng, 1, side), _notch(hx, hy, rng, -1, side)]
    return [(np.sign(x) * (hx - 0.7 * bx), y, 0.7 * bx, by) for x, y, bx, by in blocks]


Plan = Callable[[float, float, np.random.Generator], list]
ROOMS: dict[str, dict[str, Plan]] = {
    "train": {"rectangle": _rectangle, "l_shape": _l_shape, "parted": _parted},
    "test": {"u_shape": _u_shape, "z_shape": _z_shape, "t_shape": _t_shape},
}


def draw_room(kind: str, side_m: tuple[float, float], rng: np.random.Generator) -> Room:
    """Draw the sides and the inner blocks of a room of the given kind."""
    plan = {**ROOMS["train"], **ROOMS["test"]}[kind]
    half_x, half_y = rng.uniform(side_m[0] / 2, side_m[1] / 2, 2)
    blocks = np.array(plan(half_x, half_y, rng), float).reshape(-1, 4)
    if rng.random() < 0.5:  # quarter turn
        half_x, half_y, blocks = half_y, half_x, blocks[:, [1, 0, 3, 2]]
    return Room(kind, float(half_x), float(half_y), float(rng.uniform(2.4, 3.0)), blocks)


def outer_walls(room: Room) -> np.ndarray:
    """(4, 4) centre x, y, half extents x, y of the outer walls."""
    hx, hy, w = room.half_x, room.half_y, WALL_M / 2
    return np.array([(hx + w, 0, w, hy + 2 * w), (-hx - w, 0, w, hy + 2 * w), (0, hy + w, hx, w), (0, -hy - w, hx, w)])
