"""Parametric things of human sizes to grasp: boxes, cylinders, bowls, bottles and tools, written into slots.

A thing stands with its lowest point at z = 0 of its frame. A builder says how a hand from above can take it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...quaternion import from_yaw
from ..slots import Slot

SLOT = (9, 3)  # boxes, cylinders
PALM_M = 0.03  # the hand takes things at most so far below their top: then the palm stays off
ROOM_M = 0.018  # so far along a thing fingers find room beside what is wider than it
ASSEMBLED = 0.5  # share of `assembly` among the things of `train`
LOWEST_M = 0.011  # of the grasp point above the table, so that the finger tips do not touch it
KNOWN, HELD_OUT = (0.0, 0.7), (0.7, 1.0)  # shares of each range of sizes: the largest things are held out for `test`
Grasp = tuple[float, float, float, float]  # x, y, z of the grasp point, yaw of the hand, in the thing's frame
ANY_YAW = math.inf  # of a grasp that can be taken from all sides


class Sizes:
    """Draws sizes from the known or the held-out share of their ranges."""

    def __init__(self, rng: np.random.Generator, share: tuple[float, float]) -> None:
        self._rng, self._share = rng, share

    def __call__(self, *bounds: tuple[float, float]) -> list[float]:
        """One size from each (low, high) range, in metres."""
        shares = self._rng.uniform(*self._share, len(bounds))
        return [low + (high - low) * float(share) for (low, high), share in zip(bounds, shares, strict=True)]

    def chance(self, probability: float = 0.5) -> bool:
        """Whether a thing has what not every one has."""
        return bool(self._rng.random() < probability)


@dataclass(frozen=True)
class Thing:
    """What the task must know of one thing; metres, in its frame."""

    kind: str
    half_m: tuple[float, float]  # of its bounding box, x and y
    height_m: float
    grasps: tuple[Grasp, ...]

    @property
    def radius_m(self) -> float:
        """Of the circle that holds it."""
        return math.hypot(*self.half_m)


Builder = Callable[[Slot, Sizes], Thing]


def _depth(top: float) -> float:
    """Height of the grasp point for a thing of height ``top``."""
    return max(LOWEST_M, top - PALM_M)


def box(slot: Slot, sizes: Sizes) -> Thing:
    """A carton."""
    hx, hy, height = sizes((0.013, 0.034), (0.02, 0.05), (0.03, 0.13))
    slot.block(0, 0, 0, height, hx, hy)
    grasps: tuple[Grasp, ...] = ((0, 0, _depth(height), math.pi / 2),)
    if hy < 0.033:
        grasps += ((0, 0, _depth(height), 0.0),)
    return Thing("box", (hx, hy), height, grasps)


def can(slot: Slot, sizes: Sizes) -> Thing:
    """A cylinder."""
    radius, height = sizes((0.015, 0.034), (0.04, 0.13))
    slot.column(0, 0, 0, height, radius)
    return Thing("can", (radius, radius), height, ((0, 0, _depth(height), ANY_YAW),))


def bowl(slot: Slot, sizes: Sizes) -> Thing:
    """Eight walls around a base; taken at its rim."""
    radius, height, half_wall = sizes((0.045, 0.065), (0.035, 0.055), (0.0025, 0.004))
    slot.column(0, 0, 0, 0.006, radius * 0.9)
    for k in range(8):
        angle = math.pi / 4 * k
        at = (radius * math.cos(angle), radius * math.sin(angle), height / 2)
        slot.box(at, (half_wall, radius * math.tan(math.pi / 8), height / 2), tuple(from_yaw(angle)))
    rim = [math.pi / 4 * k for k in range(8)]
    z = max(LOWEST_M + 0.006, height - 0.015)
    grasps = tuple((radius * math.cos(a), radius * math.sin(a), z, a - math.pi / 2) for a in rim)
    return Thing("bowl", (radius, radius), height, grasps)


def bottle(slot: Slot, sizes: Sizes) -> Thing:
    """A body, a neck and a cap; taken at its neck."""
    radius, body, neck, neck_height = sizes((0.024, 0.036), (0.07, 0.12), (0.011, 0.015), (0.035, 0.05))
    top = body + neck_height
    slot.column(0, 0, 0, body, radius)
    slot.column(0, 0, body, top, neck)
    slot.column(0, 0, top, top + 0.012, neck * 1.15)
    return Thing("bottle", (radius, radius), top + 0.012, ((0, 0, top + 0.012 - PALM_M, ANY_YAW),))


def hammer(slot: Slot, sizes: Sizes) -> Thing:
    """A handle with a head across; taken near its centre of mass."""
    half, thick, head = sizes((0.05, 0.08), (0.009, 0.013), (0.025, 0.035))
    slot.block(0, 0, 0, 2 * thick, half, thick)
    slot.block(half + 0.009, 0, 0, 2.4 * thick, 0.009, head)
    handle_m3, head_m3 = 8 * half * thick**2, 4 * 0.009 * head * 2.4 * thick
    middle = (half + 0.009) * head_m3 / (handle_m3 + head_m3)  # of its mass; the fingers stay off the head
    return Thing("hammer", (half + 0.018, head), 2.4 * thick, ((min(middle, half - 0.012), 0, LOWEST_M, 0.0),))


def mug(slot: Slot, sizes: Sizes) -> Thing:
    """Held out for `test`: a cylinder with a handle; taken across."""
    radius, height = sizes((0.026, 0.034), (0.06, 0.09))
    slot.column(0, 0, 0, height, radius)
    for bottom in (0.2, 0.7):
        slot.block(radius + 0.012, 0, bottom * height, bottom * height + 0.009, 0.014, 0.005)
    slot.block(radius + 0.022, 0, 0.2 * height, 0.7 * height + 0.009, 0.005, 0.005)
    return Thing("mug", (radius + 0.027, radius), height, ((0, 0, _depth(height), 0.0),))


def screwdriver(slot: Slot, sizes: Sizes) -> Thing:
    """Held out for `test`: a thick handle and a thin shaft; taken at its handle."""
    half, thick, shaft = sizes((0.035, 0.05), (0.01, 0.014), (0.03, 0.045))
    slot.block(0, 0, 0, 2 * thick, half, thick)
    slot.block(half + shaft, 0, thick - 0.004, thick + 0.004, shaft, 0.004)
    return Thing("screwdriver", (half + 2 * shaft, thick), 2 * thick, ((0.25 * half, 0, LOWEST_M, 0.0),))


def tower(slot: Slot, sizes: Sizes) -> Thing:
    """Held out for `test`: three blocks, each narrower than the one below; taken at its top."""
    half, step, height = sizes((0.024, 0.034), (0.004, 0.007), (0.025, 0.04))
    for k in range(3):
        slot.block(0, 0, k * height, (k + 1) * height, half - k * step, half - k * step)
    z = 3 * height - min(PALM_M, 0.7 * height)
    return Thing("tower", (half, half), 3 * height, ((0, 0, z, 0.0), (0, 0, z, math.pi / 2)))


def assembly(slot: Slot, sizes: Sizes, thin_ends: float = 0.0) -> Thing:
    """Never in `test`: a block or cylinder to take across, lying, standing or on a base, with or without ends.

    Shapes by chance teach where a thing can be taken, which the few kinds alone do not (Tobin et al. 2018, "Domain
    Randomization and Generative Models for Robotic Grasping"). Of the ends of lying ones, a share of ``thin_ends`` is
    thin as a shaft, and then some of the others hang above the table too.
    """
    lying = sizes.chance()
    along_m, height_m = ((0.03, 0.08), (0.018, 0.045)) if lying else ((0.012, 0.053), (0.03, 0.13))
    half, along, height = sizes((0.008, 0.034), along_m, height_m)
    is_round = not lying and sizes.chance(0.4)
    along = half if is_round else along
    wide_m, long_m, base = half, along, 0.0
    if not lying and sizes.chance():
        wide_m, long_m, base = sizes((half, 0.055), (along + 0.01, 0.06), (0.006, 0.07))
        slot.block(0, 0, 0, base, wide_m, long_m)
    top = base + height
    if is_round:
        slot.column(0, 0, base, top, half)
    else:
        slot.block(0, 0, base, top, half, along)
    volume, moment = half * along * height, 0.0
    for side in (-1, 1):
        if sizes.chance():
            reach, wide, low, high = _end(sizes, lying, height, 0.04 if along > ROOM_M else half, thin_ends)
            slot.block(0, side * (along + reach), base + low, base + high, wide, reach)
            wide_m, long_m = max(wide_m, wide), max(long_m, along + 2 * reach)
            tall = high - low
            volume, moment = volume + wide * reach * tall, moment + side * (along + reach) * wide * reach * tall
    room = max(along - 0.012, 0.0)  # the fingers stay off the ends
    y, z = min(max(moment / volume, -room), room), max(base + LOWEST_M, top - PALM_M)
    return Thing("assembly", (wide_m, long_m), top, ((0, y, z, math.pi / 2),))


def _end(
    sizes: Sizes, lying: bool, height: float, widest: float, thin_ends: float
) -> tuple[float, float, float, float]:
    """What is at an end of an assembly: half its length and width, bottom and top."""
    varied = lying and thin_ends > 0
    if varied and sizes.chance(thin_ends):
        reach, wide, tall = sizes((0.02, 0.06), (0.003, 0.012), (0.006, 0.024))
    else:
        reach, wide, tall = sizes((0.004, 0.045 if lying else 0.02), (0.004, widest), (0.3 * height, height))
    tall = min(tall, height)
    room = height - tall
    low = min(sizes((0.0, room / KNOWN[1]))[0], room) if varied and sizes.chance() else 0.0
    return reach, wide, low, low + tall


THINGS: dict[str, dict[str, Builder]] = {
    "train": {"box": box, "can": can, "bowl": bowl, "bottle": bottle, "hammer": hammer},
    "test": {"mug": mug, "screwdriver": screwdriver, "tower": tower},
}
MAX_GRASPS = 8
