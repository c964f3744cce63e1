"""Slots: bodies with a fixed list of shapes, into which builders write parametric things.

A builder uses as many shapes as it needs, and the rest stay parked.
"""

from __future__ import annotations

from ..draw import Layout
from ..scene import IDENTITY_QUAT, Body, Part, Semantic, Shape


def slot_body(
    name: str, semantic: Semantic, boxes: int, cylinders: int = 0, spheres: int = 0, *, collides: bool = True
) -> Body:
    """A body with room for so many boxes, cylinders and spheres, in this order."""
    shapes = [Shape.BOX] * boxes + [Shape.CYLINDER] * cylinders + [Shape.SPHERE] * spheres
    return Body(name, tuple(Part(shape, semantic, collides=collides) for shape in shapes))


class Slot:
    """Writes the parts of one piece into row 0 of a layout."""

    def __init__(self, layout: Layout, parts: slice, shapes: tuple[Shape, ...]) -> None:
        self._pos = layout.part_pos[0, parts]
        self._quat = layout.part_quat[0, parts]
        self._size = layout.part_size[0, parts]
        self._visible = layout.part_visible[0, parts]
        self._free = {shape: [i for i, s in enumerate(shapes) if s == shape][::-1] for shape in set(shapes)}

    def _add(self, shape: Shape, pos: tuple, size: tuple, quat: tuple) -> None:
        i = self._free[shape].pop()
        self._pos[i], self._size[i], self._quat[i], self._visible[i] = pos, size, quat, True

    def box(self, pos: tuple, half: tuple, quat: tuple = IDENTITY_QUAT) -> None:
        """A box centred at ``pos`` with half extents ``half``."""
        self._add(Shape.BOX, pos, half, quat)

    def block(self, x: float, y: float, bottom: float, top: float, hx: float, hy: float) -> None:
        """An upright box between two heights."""
        self._add(Shape.BOX, (x, y, (bottom + top) / 2), (hx, hy, (top - bottom) / 2), IDENTITY_QUAT)

    def column(self, x: float, y: float, bottom: float, top: float, radius: float) -> None:
        """An upright cylinder between two heights."""
        self._add(Shape.CYLINDER, (x, y, (bottom + top) / 2), (radius, (top - bottom) / 2, 0.0), IDENTITY_QUAT)

    def ball(self, pos: tuple, radius: float) -> None:
        """A sphere."""
        self._add(Shape.SPHERE, pos, (radius, 0.0, 0.0), IDENTITY_QUAT)
