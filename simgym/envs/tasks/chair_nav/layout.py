"""Draws ChairNav layouts: a room, chairs, obstacles, clutter and a start from which a chair can be reached."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

from simgym.errors import UserError

from ... import geodesic
from ...draw import PARKED_Z_M, Layout
from ...places import split_of
from ...quaternion import from_yaw, yaw
from ...robot import Robot
from ...scene import Body, Part, Scene, Semantic, Shape
from ...terms import Drawing
from ..slots import Slot, slot_body
from .config import ClutterRanges, LayoutConfig
from .fittings import FITTINGS, HALF_DEPTH_M
from .furniture import CHAIR_SLOT, CHAIRS, CLUTTER, CLUTTER_SLOT, OBSTACLES, Builder, Kind
from .rooms import MAX_BLOCKS, ROOMS, Room, draw_room, outer_walls

MARGIN_M = 0.17  # between the robot and everything, in planned ways and at the start
HEADROOM_M = 0.85  # planned ways do not lead under anything lower, such as a table
ABOVE_ROBOT_M = 0.05  # nor under anything that leaves less between it and the robot
MIN_START_M = 1.0  # shortest way to success from a start
GOAL_SLACK_M = 0.05  # ways end this far inside the distance that counts as success
MAX_ATTEMPTS = 50
MAX_PATH_CELLS = 1000
MODEL_STREAM = 0  # of a place's number
EYE_BAND_M = (-0.1, 0.15)  # what crosses these heights about the camera's hides a chair from it


class LayoutError(UserError):
    """No solvable layout was found within bounds."""


@dataclass
class Episode:
    """What the task must know of one layout. Privileged: no policy sees it."""

    chairs: np.ndarray  # (C, 2) centres, inf for slots not used
    blocked: np.ndarray  # (N, N) bool, where the robot's centre cannot be
    opaque: np.ndarray  # (N, N) bool, what hides a chair from the camera
    field: np.ndarray  # (N, N) geodesic distance to success, metres
    shortest_m: float  # length of the shortest way from the start
    facts: dict[str, Any]  # for info["draw"]
    kinds: dict[str, str] = dataclasses.field(
        default_factory=dict
    )  # body -> kind of furniture, of what stands in the room


def build_bodies(config: LayoutConfig, clutter: ClutterRanges) -> tuple[Body, ...]:
    """The fixed bodies of the scene: room, chair slots, obstacle slots, clutter slots."""
    floor = Body("floor", (Part(Shape.PLANE, Semantic.FLOOR, (5.0, 5.0, 0.0)),))
    ceiling_quat = (0.0, 1.0, 0.0, 0.0)  # faces down
    ceiling = Body(
        "ceiling", (Part(Shape.PLANE, Semantic.CEILING, (5.0, 5.0, 0.0), quat=ceiling_quat, collides=False),)
    )
    walls = slot_body("walls", Semantic.WALL, boxes=4 + MAX_BLOCKS)
    chairs = [slot_body(f"chair{i}", Semantic.CHAIR, *CHAIR_SLOT) for i in range(config.chairs[1])]
    obstacles = [
        slot_body(f"{kind.name}{i}", semantic, *slot)
        for semantic, (kind, slot, count) in OBSTACLES.items()
        for i in range(count)
    ]
    pieces = [slot_body(f"clutter{i}", Semantic.CLUTTER, *CLUTTER_SLOT) for i in range(clutter.furniture[1])]
    items = [
        slot_body(f"wall_item{i}", Semantic.WALL_ITEM, boxes=1, collides=False) for i in range(clutter.wall_items[1])
    ]
    fittings = [
        slot_body(f"{name}{i}", fitting.semantic, fitting.boxes, collides=False)
        for name, fitting in FITTINGS.items()
        for i in range(getattr(clutter, name)[1])
    ]
    return (floor, ceiling, walls, *chairs, *obstacles, *pieces, *items, *fittings)


@numba.njit(cache=True)
def _clear(
    x: float, y: float, radius: float, depth: float, room: tuple, blocks: np.ndarray, circles: np.ndarray, gap: float
) -> bool:
    """Whether a piece is ``depth`` off the room's walls and, as a disc, off blocks (K, 4) and circles (M, 3)."""
    if abs(x) > room[0] - depth or abs(y) > room[1] - depth:
        return False
    for k in range(blocks.shape[0]):
        dx = max(abs(x - blocks[k, 0]) - blocks[k, 2], 0.0)
        dy = max(abs(y - blocks[k, 1]) - blocks[k, 3], 0.0)
        if dx * dx + dy * dy < radius * radius:
            return False
    for k in range(circles.shape[0]):
        if math.hypot(x - circles[k, 0], y - circles[k, 1]) < radius + circles[k, 2] + gap:
            return False
    return True


@numba.njit(cache=True)
def _find_place(
    tries: np.ndarray, radius: float, depth: float, room: tuple, blocks: np.ndarray, circles: np.ndarray, gap: float
) -> int:
    """The first of the candidate positions (T, 2) at which a piece is clear; -1 if none is."""
    for t in range(tries.shape[0]):
        if _clear(tries[t, 0], tries[t, 1], radius, depth, room, blocks, circles, gap):
            return t
    return -1


class LayoutSampler:
    """Draws layouts into a row of the scene's slots."""

    def __init__(
        self, scene: Scene, robot: Robot, config: LayoutConfig, clutter: ClutterRanges, success_distance_m: float
    ) -> None:
        self._scene, self._config, self._clutter = scene, config, Drawing(clutter)
        self._nominal = Layout.nominal(scene, 1)
        self._nominal.part_visible[:] = False
        self._nominal.body_pos[..., 2] = PARKED_Z_M
        self._clearance_m = robot.radius_m + MARGIN_M
        self._headroom_m = max(HEADROOM_M, robot.height_m + ABOVE_ROBOT_M)
        self._eye_band_m = tuple(round(robot.camera_height_m + edge, 6) for edge in EYE_BAND_M)
        self._goal_radius_m = success_distance_m - GOAL_SLACK_M
        self._parts = {body.name: scene.part_range(b) for b, body in enumerate(scene.bodies)}
        self._index = {body.name: b for b, body in enumerate(scene.bodies)}
        parts = scene.parts[: scene.num_fixed_parts]
        self._part_body = scene.part_body[: len(parts)]
        self._is_chair = np.array([part.semantic == Semantic.CHAIR for part in parts])
        self._collides = np.array([part.collides and part.semantic != Semantic.FLOOR for part in parts])
        self._shapes = np.array([int(part.shape) for part in parts])
        self._path = np.zeros((MAX_PATH_CELLS, 2))

    def sample(
        self,
        rng: np.random.Generator,
        split: str,
        seed: int,
        place: int | None = None,
        clutter: Drawing | None = None,
    ) -> tuple[Layout, Episode]:
        """Draw a solvable layout (one row), with the chair models of ``place`` if there is one.

        ``clutter`` has the terms of this episode, within the ranges that the scene was built for, in place of these.

        Raises:
            LayoutError: with the seed, where ``MAX_ATTEMPTS`` drew none.
        """
        models = None if place is None else chair_models(place)
        for _ in range(MAX_ATTEMPTS):
            layout, facts, chairs, kinds = self._draw_once(rng, split, models, clutter or self._clutter)
            if facts is None:  # fewer things found a place than asked for
                continue
            episode = self._plan(rng, layout, facts, chairs)
            if episode is not None:
                episode.kinds = kinds
                return layout, episode
        raise LayoutError(
            f"episode seed {seed}: no layout with a free way to a chair in {MAX_ATTEMPTS} attempts; "
            f"allow larger rooms or fewer things (env.layout: {self._config})"
        )

    def _draw_once(
        self, rng: np.random.Generator, split: str, models: tuple[Kind, ...] | None, clutter: Drawing
    ) -> tuple[Layout, dict[str, Any] | None, np.ndarray, dict[str, str]]:
        """The layout, its facts (None: not all found a place), the chairs' centres, and the kind of each piece."""
        nominal = self._nominal
        layout = Layout(**{name: value.copy() for name, value in vars(nominal).items()})
        room = draw_room(_held_out_or_known(ROOMS, split, rng), self._config.room_side_m, rng)
        self._write_room(layout, room)
        circles = np.zeros((0, 3))
        kinds: dict[str, str] = {}
        chairs = np.full((self._config.chairs[1], 2), np.inf)
        for i in range(_count(rng, self._config.chairs)):
            kind = models[rng.integers(len(models))] if models else _chair(_held_out_or_known(CHAIRS, split, rng))
            placed = self._place(rng, layout, room, circles, f"chair{i}", kind, gap=0.3)
            if placed is not None:
                circles = np.vstack([circles, placed])
                chairs[i] = placed[:2]
                kinds[f"chair{i}"] = kind.name
        styles = list(kinds.values())
        others = self._place_all(rng, layout, room, circles, self._obstacle_choices(rng, clutter), len(styles))
        self._write_wall_items(rng, layout, room, clutter)
        self._write_fittings(rng, layout, room, clutter)
        extra = {kind.name for kind in CLUTTER}
        asked = sum(name not in extra for name in others.values())
        if len(styles) < self._config.chairs[0] or asked < self._config.obstacles[0]:
            return layout, None, chairs, {}
        facts = {"room": room.kind, "chairs": styles, "obstacles": list(others.values())}
        return layout, facts, chairs, kinds | others

    def _write_room(self, layout: Layout, room: Room) -> None:
        floor, ceiling, walls = (self._parts[name] for name in ("floor", "ceiling", "walls"))
        layout.body_pos[0, :3] = 0
        for parts, z in ((floor, 0.0), (ceiling, room.height)):
            layout.part_pos[0, parts] = (0, 0, z)
            layout.part_size[0, parts] = (room.half_x, room.half_y, 0)
            layout.part_visible[0, parts] = True
        plan = np.vstack([outer_walls(room), room.blocks])  # (4 + K, 4)
        rows = slice(walls.start, walls.start + len(plan))
        layout.part_pos[0, rows, :2] = plan[:, :2]
        layout.part_pos[0, rows, 2] = room.height / 2
        layout.part_size[0, rows, :2] = plan[:, 2:]
        layout.part_size[0, rows, 2] = room.height / 2
        layout.part_visible[0, rows] = True

    def _obstacle_choices(self, rng: np.random.Generator, clutter: Drawing) -> list[tuple[str, Kind]]:
        """Slots and kinds of this episode's obstacles and clutter, never more of a kind than it has slots."""
        slots = [(f"{kind.name}{i}", kind) for kind, _, count in OBSTACLES.values() for i in range(count)]
        picked = rng.permutation(len(slots))[: _count(rng, self._config.obstacles)]
        chosen = [slots[i] for i in sorted(picked)]
        for i in range(int(clutter.draw(rng, "furniture"))):
            chosen.append((f"clutter{i}", CLUTTER[rng.integers(len(CLUTTER))]))
        return chosen

    def _place_all(
        self,
        rng: np.random.Generator,
        layout: Layout,
        room: Room,
        circles: np.ndarray,
        chosen: list[tuple[str, Kind]],
        num_chairs: int,
    ) -> dict[str, str]:
        placed_kinds = {}
        for name, kind in chosen:
            near = circles[rng.integers(num_chairs)] if num_chairs and rng.random() < 0.35 else None
            placed = self._place(rng, layout, room, circles, name, kind, gap=0.05, near=near)
            if placed is not None:
                circles = np.vstack([circles, placed])
                placed_kinds[name] = kind.name
        return placed_kinds

    def _place(
        self,
        rng: np.random.Generator,
        layout: Layout,
        room: Room,
        circles: np.ndarray,
        name: str,
        kind: Kind,
        gap: float,
        near: np.ndarray | None = None,
    ) -> np.ndarray | None:
        """Build a piece and find it a place; returns its circle (3,), or None where there is no room for it."""
        body, parts = self._index[name], self._parts[name]
        radius = _build(kind.build, rng, layout, parts, tuple(p.shape for p in self._scene.bodies[body].parts))
        if near is None and rng.random() < kind.against_wall:
            candidates, yaws, depth = _along_walls(rng, room, kind.half_depth_m, radius)
        else:
            candidates, yaws, depth = _anywhere(rng, room, near, radius), rng.uniform(-np.pi, np.pi, 20), radius
        i = _find_place(candidates, radius, depth, (room.half_x, room.half_y), room.blocks, circles, gap)
        if i < 0:
            layout.part_visible[0, parts] = False
            return None
        layout.body_pos[0, body] = (*candidates[i], 0)
        layout.body_quat[0, body] = from_yaw(yaws[i])
        return np.array([*candidates[i], radius])

    def _write_wall_items(self, rng: np.random.Generator, layout: Layout, room: Room, clutter: Drawing) -> None:
        """Doors, windows and posters: thin boxes on the outer walls, clear of inner ones."""
        for i in range(int(clutter.draw(rng, "wall_items"))):
            body, parts = self._index[f"wall_item{i}"], self._parts[f"wall_item{i}"]
            is_door, half_width, low, height = rng.uniform((0, 0.2, 0.7, 0.4), (1, 0.7, 1.3, 1.0))
            if is_door < 0.3:
                half_width, low, height = 0.45, 0.0, 2.05
            places, yaws, depth = _along_walls(rng, room, 0.012, half_width)
            k = _find_place(places, half_width, depth, (room.half_x, room.half_y), room.blocks, np.zeros((0, 3)), 0.0)
            if k < 0:
                continue  # inner walls stand in every place
            layout.body_pos[0, body] = (*places[k], 0)
            layout.body_quat[0, body] = from_yaw(yaws[k])
            layout.part_pos[0, parts] = (0, 0, low + height / 2)
            layout.part_size[0, parts] = (half_width, 0.012, height / 2)
            layout.part_visible[0, parts] = True

    def _write_fittings(self, rng: np.random.Generator, layout: Layout, room: Room, clutter: Drawing) -> None:
        """What hangs on outer walls, side by side, and what lies on the floor, clear of walls."""
        hung = np.zeros((0, 3))
        for name, fitting in FITTINGS.items():
            for i in range(int(clutter.draw(rng, name))):
                body, parts = self._index[f"{name}{i}"], self._parts[f"{name}{i}"]
                radius = _build(fitting.build, rng, layout, parts, (Shape.BOX,) * fitting.boxes)
                if fitting.on_wall:
                    places, yaws, depth = _along_walls(rng, room, HALF_DEPTH_M, radius)
                else:
                    places, yaws, depth = _anywhere(rng, room, None, radius), rng.uniform(-np.pi, np.pi, 20), radius
                others = hung if fitting.on_wall else np.zeros((0, 3))
                k = _find_place(places, radius, depth, (room.half_x, room.half_y), room.blocks, others, 0.03)
                if k < 0:
                    layout.part_visible[0, parts] = False
                    continue
                layout.body_pos[0, body] = (*places[k], 0)
                layout.body_quat[0, body] = from_yaw(yaws[k])
                if fitting.on_wall:
                    hung = np.vstack([hung, (*places[k], radius)])

    def _plan(
        self, rng: np.random.Generator, layout: Layout, facts: dict[str, Any], chairs: np.ndarray
    ) -> Episode | None:
        """Where the robot can be and how far it is to success from there; draws the start."""
        footprints, low, high = self._footprints(layout)
        inside = self._collides & layout.part_visible[0]
        blocked = np.zeros((geodesic.N, geodesic.N), bool)
        geodesic.fill_boxes(blocked, footprints[inside & (low < self._headroom_m)], self._clearance_m)
        opaque = np.zeros_like(blocked)
        at_eye = inside & ~self._is_chair & (low < self._eye_band_m[1]) & (high > self._eye_band_m[0])
        geodesic.fill_boxes(opaque, footprints[at_eye], 0.0)
        field = np.full(blocked.shape, np.inf)
        placed = chairs[np.isfinite(chairs[:, 0])]
        geodesic.mark_goal_cells(field, blocked, opaque, placed, self._goal_radius_m)
        geodesic.sweep_distances(field, blocked)
        starts = np.flatnonzero((field >= MIN_START_M) & np.isfinite(field))
        if len(starts) == 0:
            return None
        i, j = divmod(int(starts[rng.integers(len(starts))]), geodesic.N)
        x, y = geodesic.to_m(i), geodesic.to_m(j)
        layout.robot_pose[0] = (x, y, rng.uniform(-np.pi, np.pi))
        shortest = geodesic.path_length(field, blocked, x, y, self._path)
        return Episode(chairs, blocked, opaque, field, shortest, facts)

    def _footprints(self, layout: Layout) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Each part seen from above as a rounded box (Q, 6), and its lowest and highest point (Q,)."""
        body_yaw = yaw(layout.body_quat[0])[self._part_body]
        c, s = np.cos(body_yaw), np.sin(body_yaw)
        px, py, pz = layout.part_pos[0].T
        body = layout.body_pos[0, self._part_body]
        size = layout.part_size[0]
        is_box = (self._shapes == Shape.BOX) | (self._shapes == Shape.PLANE)
        half = np.where(is_box[:, None], size[:, :2], 0.0)
        footprints = np.column_stack(
            [
                body[:, 0] + c * px - s * py,
                body[:, 1] + s * px + c * py,
                half,
                body_yaw + yaw(layout.part_quat[0]),
                np.where(is_box, 0.0, size[:, 0]),
            ]
        )
        rise = np.where(self._shapes == Shape.SPHERE, size[:, 0], np.where(is_box, size[:, 2], size[:, 1]))
        return footprints, body[:, 2] + pz - rise, body[:, 2] + pz + rise


def _build(build: Builder, rng: np.random.Generator, layout: Layout, parts: slice, shapes: tuple) -> float:
    return build(Slot(layout, parts, shapes), rng)


def _chair(style: str) -> Kind:
    return Kind(style, {**CHAIRS["train"], **CHAIRS["test"]}[style])


def chair_models(place: int) -> tuple[Kind, ...]:
    """The one to three chair models of a place: a style each, and measures that never change."""
    rng = np.random.default_rng([place, MODEL_STREAM])
    kinds = [_chair(_held_out_or_known(CHAIRS, split_of(place), rng)) for _ in range(int(rng.integers(1, 4)))]
    return tuple(_model(kind, int(rng.integers(2**31))) for kind in kinds)


def _model(kind: Kind, seed: int) -> Kind:
    """A kind of which every piece has the same measures."""
    return Kind(kind.name, lambda slot, _: kind.build(slot, np.random.default_rng(seed)))


def _count(rng: np.random.Generator, bounds: tuple[int, int]) -> int:
    return int(rng.integers(bounds[0], bounds[1] + 1))


def _held_out_or_known(names: dict[str, dict[str, Any]], split: str, rng: np.random.Generator) -> str:
    """A name of the training set; in `test`, half of the time one that training never draws."""
    pool = names["test"] if split == "test" and rng.random() < 0.5 else names["train"]
    return list(pool)[rng.integers(len(pool))]


def _anywhere(rng: np.random.Generator, room: Room, near: np.ndarray | None, radius: float) -> np.ndarray:
    """(20, 2) candidate positions in the room, or around a circle (3,) so that it is partly hidden."""
    if near is None:
        return rng.uniform((-room.half_x, -room.half_y), (room.half_x, room.half_y), (20, 2))
    angle, away = rng.uniform(-np.pi, np.pi, 20), near[2] + radius + rng.uniform(0.1, 0.7, 20)
    return near[:2] + np.stack([away * np.cos(angle), away * np.sin(angle)], axis=1)


def _along_walls(
    rng: np.random.Generator, room: Room, half_depth: float, half_width: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """(20, 2) candidate positions with the back to an outer wall, their yaws, and the radius to keep clear."""
    side, along = rng.integers(4, size=20), rng.uniform(-1, 1, 20)
    away = half_depth + 0.005
    span_x, span_y = max(room.half_x - half_width, 0.0), max(room.half_y - half_width, 0.0)
    outward = np.where(side % 2 == 0, -1.0, 1.0)
    at_end = side >= 2  # of the x axis
    x = np.where(at_end, outward * (room.half_x - away), along * span_x)
    y = np.where(at_end, along * span_y, outward * (room.half_y - away))
    yaws = np.array([0.0, np.pi, -np.pi / 2, np.pi / 2])[side]  # +y, the front, faces the room
    return np.stack([x, y], axis=1), yaws, half_depth
