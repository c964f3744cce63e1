"""Parametric furniture of human sizes, written into the fixed slots of the ChairNav scene.

A slot is a body with a fixed list of shapes; a builder uses as many as it needs and the rest stay parked. Builders
draw their sizes from the given generator and return the radius of the circle that holds the piece.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...quaternion import from_rpy, from_yaw
from ...scene import Semantic
from ..slots import Slot

Builder = Callable[[Slot, np.random.Generator], float]


@dataclass(frozen=True)
class Kind:
    """A kind of furniture: how to build it and where it likes to stand."""

    name: str
    build: Builder
    against_wall: float = 0.0  # probability
    half_depth_m: float = 0.2  # from the piece's centre to its back (+y is the front), where it stands at a wall


def _legs(slot: Slot, hx: float, hy: float, top: float, half: float) -> None:
    for sx in (-1, 1):
        for sy in (-1, 1):
            slot.block(sx * (hx - half), sy * (hy - half), 0.0, top, half, half)


# --- chairs: the front is +y, the back rest stands at -y -----------------------------------------------------------


def four_legged_chair(slot: Slot, rng: np.random.Generator) -> float:
    """Seat on four legs, a panel or slats as its back."""
    seat, hx, hy, back, leg, slats = rng.uniform((0.42, 0.19, 0.19, 0.36, 0.014, 0), (0.5, 0.25, 0.25, 0.55, 0.024, 1))
    _legs(slot, hx, hy, seat, leg)
    slot.block(0, 0, seat, seat + 0.045, hx, hy)
    if slats < 0.5:
        slot.block(0, -hy + 0.02, seat + 0.08, seat + back, hx, 0.02)
    else:
        for sx in (-1, 1):
            slot.block(sx * (hx - 0.02), -hy + 0.02, seat, seat + back, 0.02, 0.02)
        for level in (0.4, 0.65, 0.95):
            slot.block(0, -hy + 0.02, seat + back * level - 0.04, seat + back * level + 0.01, hx - 0.02, 0.012)
    return math.hypot(hx, hy)


def swivel_chair(slot: Slot, rng: np.random.Generator) -> float:
    """Office chair: a star base of five arms, a gas spring, seat, back, often arm rests."""
    seat, half, back, reach, arms = rng.uniform((0.42, 0.21, 0.4, 0.27, 0), (0.5, 0.26, 0.65, 0.34, 1))
    for k in range(5):
        angle = 2 * math.pi * k / 5 + math.pi / 2
        slot.box(
            (reach / 2 * math.cos(angle), reach / 2 * math.sin(angle), 0.075),
            (reach / 2, 0.022, 0.03),
            tuple(from_yaw(angle)),
        )
    slot.column(0, 0, 0.08, seat, 0.03)
    slot.block(0, 0, seat, seat + 0.08, half, half)
    slot.block(0, -half + 0.02, seat + 0.13, seat + 0.13 + back, half - 0.02, 0.03)
    slot.block(0, -half + 0.01, seat, seat + 0.2, 0.03, 0.015)
    if arms < 0.7:
        for sx in (-1, 1):
            slot.block(sx * (half + 0.01), 0, seat + 0.22, seat + 0.26, 0.03, 0.13)
            slot.block(sx * (half + 0.01), 0, seat, seat + 0.22, 0.015, 0.03)
    return max(math.hypot(reach, 0.022), math.hypot(half, half))


def armchair(slot: Slot, rng: np.random.Generator) -> float:
    """Upholstered: a solid base, thick arms and back, on short feet."""
    seat, hx, hy, back, arm = rng.uniform((0.38, 0.32, 0.32, 0.35, 0.16), (0.46, 0.42, 0.4, 0.55, 0.24))
    _legs(slot, hx, hy, 0.08, 0.025)
    slot.block(0, 0, 0.08, seat - 0.1, hx, hy)
    slot.block(0, 0.05, seat - 0.1, seat, hx - 0.09, hy - 0.05)
    slot.block(0, -hy + 0.07, seat - 0.1, seat + back, hx, 0.07)
    for sx in (-1, 1):
        slot.block(sx * (hx - 0.05), 0.03, seat - 0.1, seat + arm, 0.05, hy - 0.03)
    return math.hypot(hx, hy)


def cantilever_chair(slot: Slot, rng: np.random.Generator) -> float:
    """Held out for `test`: two C-shaped side frames, no rear legs."""
    seat, hx, hy, back = rng.uniform((0.42, 0.21, 0.22, 0.38), (0.48, 0.26, 0.27, 0.5))
    for sx in (-1, 1):
        slot.block(sx * hx, 0, 0.0, 0.025, 0.0125, hy)
        slot.block(sx * hx, hy - 0.0125, 0.025, seat, 0.0125, 0.0125)
        slot.block(sx * hx, -hy + 0.0125, seat, seat + back, 0.0125, 0.0125)
    slot.block(0, 0, seat, seat + 0.03, hx, hy)
    slot.block(0, -hy + 0.02, seat + back * 0.45, seat + back, hx, 0.02)
    return math.hypot(hx + 0.02, hy)


def tub_chair(slot: Slot, rng: np.random.Generator) -> float:
    """Held out for `test`: a round seat on a disc and a column, a back bent around it."""
    seat, radius, back = rng.uniform((0.42, 0.24, 0.25), (0.5, 0.3, 0.4))
    slot.column(0, 0, 0.0, 0.03, radius * 0.85)
    slot.block(0, 0, 0.03, seat - 0.06, 0.035, 0.035)
    slot.column(0, 0, seat - 0.06, seat + 0.04, radius)
    for k in range(7):
        angle = -math.pi / 2 + (k - 3) * 0.42
        slot.box(
            (radius * math.cos(angle), radius * math.sin(angle), seat + back / 2),
            (0.02, 0.22 * radius, back / 2),
            tuple(from_yaw(angle)),
        )
    return radius + 0.03


# --- the rest ------------------------------------------------------------------------------------------------------


def table(slot: Slot, rng: np.random.Generator) -> float:
    """Rectangular on four legs, or round on a column."""
    height, hx, hy, round_top = rng.uniform((0.45, 0.3, 0.25, 0), (0.78, 0.7, 0.42, 1))
    if round_top < 0.25:
        slot.column(0, 0, height - 0.03, height, hy + 0.1)
        slot.column(0, 0, 0, height - 0.03, 0.05)
        slot.block(0, 0, 0, 0.03, 0.2, 0.2)
        return hy + 0.1
    slot.block(0, 0, height - 0.03, height, hx, hy)
    _legs(slot, hx, hy, height - 0.03, 0.025)
    return math.hypot(hx, hy)


def cabinet(slot: Slot, rng: np.random.Generator) -> float:
    """A closed body with two doors that stand out a little."""
    height, hx, hy = rng.uniform((0.6, 0.3, 0.18), (1.9, 0.6, 0.2))
    slot.block(0, 0, 0, height, hx, hy)
    for sx in (-1, 1):
        slot.block(sx * hx / 2, hy, 0.06, height - 0.04, hx / 2 - 0.01, 0.012)
    return math.hypot(hx, hy)


def carton(slot: Slot, rng: np.random.Generator) -> float:
    """One to three stacked boxes."""
    base, count = 0.0, 1 + int(rng.integers(3))
    radius = 0.0
    for half, height, turn in rng.uniform((0.13, 0.2, -0.4), (0.26, 0.42, 0.4), (count, 3)):
        slot.box((0, 0, base + height / 2), (half, half * 0.8, height / 2), from_rpy((0, 0, turn)))
        base, radius = base + height, max(radius, half * 1.281)
    return radius


def bin_(slot: Slot, rng: np.random.Generator) -> float:
    """A waste bin."""
    radius, height = rng.uniform((0.11, 0.25), (0.2, 0.65))
    slot.column(0, 0, 0, height, radius)
    return float(radius)


def plant(slot: Slot, rng: np.random.Generator) -> float:
    """A pot with a stem and two crowns."""
    radius, pot, crown = rng.uniform((0.1, 0.2, 0.2), (0.18, 0.35, 0.32))
    slot.column(0, 0, 0, pot, radius)
    slot.column(0, 0, pot, pot + 0.3, 0.02)
    slot.ball((0.05, 0.0, pot + 0.1 + crown), crown)
    slot.ball((-0.08, 0.05, pot + 0.15 + 1.6 * crown), crown * 0.8)
    return float(max(radius, crown + 0.06))


def shelf(slot: Slot, rng: np.random.Generator) -> float:
    """Clutter: an open shelf."""
    height, hx = rng.uniform((0.9, 0.35), (1.9, 0.55))
    for sx in (-1, 1):
        slot.block(sx * hx, 0, 0, height, 0.015, 0.16)
    for level in np.linspace(0.08, height - 0.02, 5):
        slot.block(0, 0, level - 0.01, level + 0.01, hx, 0.16)
    return math.hypot(hx + 0.015, 0.16)


def sofa(slot: Slot, rng: np.random.Generator) -> float:
    """Clutter: a bench-like sofa, wider than any chair."""
    hx, seat, back = rng.uniform((0.7, 0.36, 0.3), (0.95, 0.44, 0.45))
    slot.block(0, 0, 0.05, seat, hx, 0.4)
    slot.block(0, -0.32, seat, seat + back, hx, 0.08)
    for sx in (-1, 1):
        slot.block(sx * (hx - 0.08), 0.05, seat, seat + 0.18, 0.08, 0.35)
    return math.hypot(hx, 0.4)


def floor_lamp(slot: Slot, rng: np.random.Generator) -> float:
    """Clutter: a lamp on a thin pole."""
    height = rng.uniform(1.3, 1.7)
    slot.column(0, 0, 0, 0.03, 0.15)
    slot.column(0, 0, 0.03, height, 0.015)
    slot.block(0, 0, height, height + 0.25, 0.14, 0.14)
    return math.hypot(0.14, 0.14)


def small_things(slot: Slot, rng: np.random.Generator) -> float:
    """Clutter: bags, books, toys on the floor."""
    radius = 0.0
    for x, y, half, height in rng.uniform((-0.2, -0.2, 0.04, 0.05), (0.2, 0.2, 0.12, 0.25), (4, 4)):
        slot.block(x, y, 0, height, half, half * 0.7)
        radius = max(radius, math.hypot(abs(x) + half, abs(y) + half * 0.7))
    return radius


CHAIRS = {
    "train": {"four_legged": four_legged_chair, "swivel": swivel_chair, "armchair": armchair},
    "test": {"cantilever": cantilever_chair, "tub": tub_chair},
}
CHAIR_SLOT = (12, 2)  # boxes, cylinders

OBSTACLES = {
    Semantic.TABLE: (Kind("table", table), (5, 2, 0), 3),
    Semantic.CABINET: (Kind("cabinet", cabinet, 0.8, 0.2), (3, 0, 0), 3),
    Semantic.BOX: (Kind("box", carton), (3, 0, 0), 3),
    Semantic.BIN: (Kind("bin", bin_, 0.5, 0.2), (0, 1, 0), 3),
    Semantic.PLANT: (Kind("plant", plant, 0.5, 0.32), (0, 2, 2), 3),
}  # semantic class -> kind; boxes, cylinders and spheres of a slot; how many slots the scene has

CLUTTER = (
    Kind("shelf", shelf, 0.9, 0.17),
    Kind("sofa", sofa, 0.7, 0.4),
    Kind("floor_lamp", floor_lamp, 0.6, 0.16),
    Kind("small_things", small_things, 0.3, 0.35),
)
CLUTTER_SLOT = (7, 2)  # boxes, cylinders
