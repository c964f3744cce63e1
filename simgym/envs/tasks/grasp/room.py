"""The room of Grasp: table, floor, walls, and clutter where no hand gets, so that it changes pictures only.

Clutter is what training in `sim` never shows: counts are those of `ClutterRanges`, furniture and fittings those of
ChairNav. Half of the furniture stands at the walls, behind the table; in place of the other half small things stand at
the table's edges.
"""

from __future__ import annotations

import math

import numpy as np

from ...draw import Layout
from ...quaternion import from_yaw
from ...scene import Body, Part, Scene, Semantic, Shape
from ...terms import Drawing
from ..chair_nav.config import ClutterRanges
from ..chair_nav.fittings import FITTINGS, HALF_DEPTH_M
from ..chair_nav.furniture import CLUTTER, CLUTTER_SLOT
from ..slots import Slot, slot_body

TABLE_TOP_M = (-0.25, 0.9, -0.55, 0.55)  # x from, to, y from, to; z = 0, where the arm stands as well
FLOOR_Z_M, CEILING_Z_M = -0.75, 1.85
FAR_X_M, LEFT_Y_M = 2.45, 1.95  # the faces of the two walls that are seen
ALONG_M = ((-1.6, 1.1), (-0.6, 2.4))  # what is used of them: y of the far one, x of the left one
FLOOR_M = ((-0.3, -1.2), (2.2, 1.8))  # where rugs and cables lie: lowest and highest x, y
EDGE_M = 0.031  # from the table's edge to the middle of what stands there, which is a little smaller
EDGES_M = ((-0.45, 0.5), (0.0, 0.85))  # what is used of them: y of the far one, x of the left one
TRIES = 20


def room_bodies(clutter: ClutterRanges) -> tuple[Body, ...]:
    """Floor, ceiling, walls and table, then slots for as much clutter as there can be."""
    left, right, near, far = TABLE_TOP_M
    half = ((right - left) / 2, (far - near) / 2, 0.02)
    top = Part(Shape.BOX, Semantic.TABLE, half, ((left + right) / 2, (near + far) / 2, -half[2]))
    floor = Part(Shape.PLANE, Semantic.FLOOR, (3.0, 3.0, 0.0), (0.5, 0.0, FLOOR_Z_M))
    ceiling_quat = (0.0, 1.0, 0.0, 0.0)  # faces down
    size = floor.size
    ceiling = Part(Shape.PLANE, Semantic.CEILING, size, (0.5, 0.0, CEILING_Z_M), ceiling_quat, collides=False)
    walls = (
        Part(Shape.BOX, Semantic.WALL, (0.05, 3.0, 1.5), (FAR_X_M + 0.05, 0.0, FLOOR_Z_M + 1.5), collides=False),
        Part(Shape.BOX, Semantic.WALL, (3.0, 0.05, 1.5), (0.5, LEFT_Y_M + 0.05, FLOOR_Z_M + 1.5), collides=False),
    )
    room = Body("floor", (floor,)), Body("ceiling", (ceiling,)), Body("walls", walls), Body("table", (top,))
    return room + _clutter_bodies(clutter)


def _clutter_bodies(clutter: ClutterRanges) -> tuple[Body, ...]:
    """Named as looks know them; what no object can roll against does not collide."""
    pieces, items = range(clutter.furniture[1]), range(clutter.wall_items[1])
    bodies = [slot_body(f"clutter{i}", Semantic.CLUTTER, *CLUTTER_SLOT, collides=False) for i in pieces]
    bodies += [slot_body(f"small_things{i}", Semantic.CLUTTER, boxes=1, cylinders=1) for i in pieces]
    bodies += [slot_body(f"wall_item{i}", Semantic.WALL_ITEM, boxes=1, collides=False) for i in items]
    for name, fitting in FITTINGS.items():
        for i in range(getattr(clutter, name)[1]):
            bodies.append(slot_body(f"{name}{i}", fitting.semantic, boxes=fitting.boxes, collides=False))
    return tuple(bodies)


class ClutterSampler:
    """Draws clutter into a row of the scene's slots."""

    def __init__(self, scene: Scene, clutter: ClutterRanges) -> None:
        self._scene, self._clutter = scene, Drawing(clutter)
        self._bodies = {body.name: (b, scene.part_range(b)) for b, body in enumerate(scene.bodies)}
        self.parts = [parts for name, (_, parts) in self._bodies.items() if name[-1].isdigit()]  # of the slots

    def sample(self, rng: np.random.Generator, layout: Layout, clutter: Drawing | None = None) -> dict[str, str]:
        """Show clutter, that of the domain or of this episode. Returns the kind of each body that is there."""
        clutter, kinds = clutter or self._clutter, {}
        standing, hung, at_edge = _Row(rng, ALONG_M), _Row(rng, ALONG_M), _Row(rng, EDGES_M)
        for i in range(int(clutter.draw(rng, "furniture"))):
            if rng.random() < 0.5:
                if self._stand_at_edge(rng, layout, f"small_things{i}", at_edge):
                    kinds[f"small_things{i}"] = "small_things"
                continue
            kind = CLUTTER[rng.integers(len(CLUTTER))]
            radius = kind.build(self._slot(layout, f"clutter{i}"), rng)
            if self._put_at_wall(layout, f"clutter{i}", standing.place(radius), kind.half_depth_m):
                kinds[f"clutter{i}"] = kind.name
        for i in range(int(clutter.draw(rng, "wall_items"))):
            half_width, low, height = rng.uniform((0.2, 0.7, 0.4), (0.7, 1.3, 1.0))
            self._slot(layout, f"wall_item{i}").block(0, 0, low, low + height, half_width, 0.012)
            if self._put_at_wall(layout, f"wall_item{i}", hung.place(half_width), HALF_DEPTH_M):
                kinds[f"wall_item{i}"] = "wall_item"
        for name, fitting in FITTINGS.items():
            for i in range(int(clutter.draw(rng, name))):
                radius = fitting.build(self._slot(layout, f"{name}{i}"), rng)
                if not fitting.on_wall:
                    self._put(layout, f"{name}{i}", (*rng.uniform(*FLOOR_M), FLOOR_Z_M), rng.uniform(-np.pi, np.pi))
                elif not self._put_at_wall(layout, f"{name}{i}", hung.place(radius), HALF_DEPTH_M):
                    continue
                kinds[f"{name}{i}"] = name
        return kinds

    def _slot(self, layout: Layout, name: str) -> Slot:
        body, parts = self._bodies[name]
        return Slot(layout, parts, tuple(part.shape for part in self._scene.bodies[body].parts))

    def _stand_at_edge(self, rng: np.random.Generator, layout: Layout, name: str, at_edge: _Row) -> bool:
        """A box or a can."""
        hx, hy, height, is_can = rng.uniform((0.012, 0.012, 0.04, 0.0), (0.021, 0.021, 0.16, 1.0))
        slot = self._slot(layout, name)
        if is_can < 0.5:
            slot.column(0, 0, 0, height, hx)
        else:
            slot.block(0, 0, 0, height, hx, hy)
        place = at_edge.place(math.hypot(hx, hy))
        if place is None:
            layout.part_visible[0, self._bodies[name][1]] = False
            return False
        is_left, along = place
        far, left = TABLE_TOP_M[1] - EDGE_M, TABLE_TOP_M[3] - EDGE_M
        self._put(layout, name, (along, left, 0.0) if is_left else (far, along, 0.0), rng.uniform(-np.pi, np.pi))
        return True

    def _put_at_wall(self, layout: Layout, name: str, place: tuple[bool, float] | None, depth_m: float) -> bool:
        """With its front, +y, to the room; False where there is no place, and then it is not there."""
        if place is None:
            layout.part_visible[0, self._bodies[name][1]] = False
            return False
        is_left, along = place
        far, left = FAR_X_M - depth_m, LEFT_Y_M - depth_m
        at = (along, left, FLOOR_Z_M) if is_left else (far, along, FLOOR_Z_M)
        self._put(layout, name, at, np.pi if is_left else np.pi / 2)
        return True

    def _put(self, layout: Layout, name: str, pos: tuple[float, ...], yaw_rad: float) -> None:
        body = self._bodies[name][0]
        layout.body_pos[0, body], layout.body_quat[0, body] = pos, from_yaw(yaw_rad)


class _Row:
    """Places side by side along a far and a left line."""

    def __init__(self, rng: np.random.Generator, ends: tuple[tuple[float, float], tuple[float, float]]) -> None:
        self._rng, self._ends = rng, ends
        self._taken: list[tuple[bool, float, float]] = []  # whether on the left line, where, half the width

    def place(self, half_width: float) -> tuple[bool, float] | None:
        """Whether it is on the left line, and where; None where no place was found."""
        for _ in range(TRIES):
            is_left = bool(self._rng.random() < 0.5)
            low, high = self._ends[is_left]
            at = float(self._rng.uniform(low + half_width, max(high - half_width, low + half_width)))
            others = [(a, half) for side, a, half in self._taken if side == is_left]
            if at + half_width <= high + 1e-9 and all(abs(at - a) > half_width + half for a, half in others):
                self._taken.append((is_left, at, half_width))
                return is_left, at
        return None
