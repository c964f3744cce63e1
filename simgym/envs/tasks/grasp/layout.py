"""Draws Grasp layouts: things on a table that a hand can take, and what is around."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from simgym.errors import UserError

from ...draw import Layout
from ...quaternion import from_yaw
from ...scene import Body, Scene, Semantic
from ...terms import Drawing
from ..chair_nav.config import ClutterRanges
from ..slots import Slot, slot_body
from .config import GraspLayoutConfig
from .meshes import MeshThing
from .objects import ASSEMBLED, HELD_OUT, KNOWN, MAX_GRASPS, SLOT, THINGS, Sizes, Thing, assembly
from .room import ClutterSampler

PLACES_M = ((0.37, -0.26), (0.64, 0.26))  # where things stand: lowest and highest x, y of their centres
GAP_M = 0.045  # between the circles of two things: a finger fits in
MAX_ATTEMPTS, TRIES = 20, 40
HUES = {"known": (0.0, 0.75), "held out": (0.78, 0.97)}  # of things, in looks that have colours
START_M, START_RANGE_M = (0.47, 0.0, 0.3), (0.08, 0.12, 0.05)  # of the grasp point when an episode begins: +-U
START_YAW_RAD = 0.6


class GraspLayoutError(UserError):
    """No layout was found within bounds."""


@dataclass
class Episode:
    """What the task must know of one layout. Privileged: no policy sees it."""

    grasps: np.ndarray  # (M, G, 4) x, y, z, yaw_rad in the thing's frame; NaN where there is none
    half_m: np.ndarray  # (M, 3) of the bounding box; its centre is half its height up; 0 for slots not used
    hand: np.ndarray  # (4,) x, y, z, yaw_rad of the grasp point at the start
    kinds: dict[str, str]  # body -> kind of clutter, for looks
    facts: dict[str, Any]  # for info["draw"]


def objects(config: GraspLayoutConfig, meshes: tuple[MeshThing, ...] = ()) -> tuple[Body, ...]:
    """The slots for things: of shapes, or any one of the meshes."""
    slots = [slot_body(f"object{i}", Semantic.OBJECT, *SLOT) for i in range(config.objects[1])]
    parts = tuple(mesh.part for mesh in meshes)
    return tuple(replace(slot, parts=slot.parts + parts) for slot in slots)


class LayoutSampler:
    """Draws layouts into a row of the scene's slots."""

    def __init__(
        self,
        scene: Scene,
        config: GraspLayoutConfig,
        clutter: ClutterRanges,
        meshes: tuple[MeshThing, ...] = (),
    ) -> None:
        self._scene, self._config, self._meshes = scene, config, meshes
        self._clutter = ClutterSampler(scene, clutter)
        self._nominal = Layout.nominal(scene, 1)
        self._slots = [scene.part_range(scene.num_fixed + k) for k in range(len(scene.objects))]
        for parts in self._slots + self._clutter.parts:
            self._nominal.part_visible[:, parts] = False

    def sample(
        self, rng: np.random.Generator, split: str, seed: int, clutter: Drawing | None = None
    ) -> tuple[Layout, Episode]:
        """Draw a layout (one row), with an episode's own ranges of clutter if given.

        Raises GraspLayoutError with the seed where the things found no place.
        """
        for _ in range(MAX_ATTEMPTS):
            layout = Layout(**{name: value.copy() for name, value in vars(self._nominal).items()})
            things = self._place_all(rng, layout, split)
            if len(things) >= self._config.objects[0]:
                episode = self._episode(rng, things)
                episode.kinds = self._clutter.sample(rng, layout, clutter)
                if episode.kinds:
                    episode.facts["clutter"] = list(episode.kinds.values())
                return layout, episode
        raise GraspLayoutError(
            f"episode seed {seed}: the table has no room for {self._config.objects[0]} things; "
            "lower the first end of env.layout.objects"
        )

    def _place_all(self, rng: np.random.Generator, layout: Layout, split: str) -> list[Thing]:
        things: list[Thing] = []
        circles = np.zeros((0, 3))
        for _ in range(int(rng.integers(self._config.objects[0], self._config.objects[1] + 1))):
            slot = len(things)
            thing = self._build(rng, layout, slot, split)
            places = rng.uniform(*PLACES_M, (TRIES, 2))
            away = np.hypot(*(places[:, None] - circles[None, :, :2]).transpose(2, 0, 1))  # (T, K)
            free = np.flatnonzero((away > thing.radius_m + circles[:, 2] + GAP_M).all(1))
            if len(free) == 0:
                layout.part_visible[0, self._slots[slot]] = False
                continue
            body, place = self._scene.num_fixed + slot, places[free[0]]
            layout.body_pos[0, body, :2] = place
            layout.body_quat[0, body] = from_yaw(rng.uniform(-np.pi, np.pi))
            circles = np.vstack([circles, [*place, thing.radius_m]])
            things.append(thing)
        return things

    def _build(self, rng: np.random.Generator, layout: Layout, slot: int, split: str) -> Thing:
        held_out = split == "test" and rng.random() < 0.5
        kinds = THINGS["test" if held_out else "train"]
        share = HELD_OUT if split == "test" and rng.random() < 0.5 else KNOWN
        hues = HUES["held out" if split == "test" and rng.random() < 0.5 else "known"]
        if self._meshes and rng.random() < self._config.mesh_share:
            thing = self._show_mesh(layout, slot, int(rng.integers(len(self._meshes))))
        else:
            shapes = tuple(part.shape for part in self._scene.objects[slot].parts)
            assembled = split == "train" and rng.random() < ASSEMBLED
            kind = None if assembled else list(kinds)[rng.integers(len(kinds))]
            where, sizes = Slot(layout, self._slots[slot], shapes), Sizes(rng, share)
            thing = assembly(where, sizes, self._config.thin_ends) if kind is None else kinds[kind](where, sizes)
        layout.object_mass_kg[0, slot] = rng.uniform(*self._config.mass_kg)
        layout.object_friction[0, slot] = rng.uniform(*self._config.friction)
        layout.object_rgb[0, slot] = _colour(rng.uniform(*hues), *rng.uniform((0.5, 0.5), (0.95, 1.0)))
        return thing

    def _show_mesh(self, layout: Layout, slot: int, mesh: int) -> Thing:
        layout.part_visible[0, self._slots[slot].stop - len(self._meshes) + mesh] = True
        return self._meshes[mesh].thing

    def _episode(self, rng: np.random.Generator, things: list[Thing]) -> Episode:
        count = len(self._slots)
        grasps, half = np.full((count, MAX_GRASPS, 4), np.nan), np.zeros((count, 3))
        for k, thing in enumerate(things):
            grasps[k, : len(thing.grasps)] = thing.grasps
            half[k] = (*thing.half_m, thing.height_m / 2)
        hand = np.zeros(4)
        hand[:3] = START_M + rng.uniform(-1, 1, 3) * START_RANGE_M
        hand[3] = rng.uniform(-START_YAW_RAD, START_YAW_RAD)
        return Episode(grasps, half, hand, {}, {"objects": [thing.kind for thing in things]})


def _colour(hue: float, saturation: float, value: float) -> np.ndarray:
    """(3,) rgb in 0..1."""
    phase = (np.array([5.0, 3.0, 1.0]) + hue * 6) % 6
    return value * (1 - saturation * np.clip(np.minimum(phase, 4 - phase), 0, 1))
