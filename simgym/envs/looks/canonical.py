"""The canonical look: one flat colour a semantic class, one directional and one ambient light. What goggles aim at.

Light only scales a class's colour, so that a picture in this look can be read back pixel by pixel: `read_classes`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..draw import Layout, Look, Setting
from ..scene import Scene, Semantic, Shape
from ..terms import Drawing

COLORS = {
    Semantic.VOID: (0.0, 0.0, 0.0),
    Semantic.FLOOR: (0.55, 0.5, 0.45),
    Semantic.WALL: (0.85, 0.85, 0.8),
    Semantic.CEILING: (0.95, 0.95, 0.95),
    Semantic.CHAIR: (0.9, 0.15, 0.12),
    Semantic.TABLE: (0.25, 0.45, 0.85),
    Semantic.CABINET: (0.45, 0.3, 0.65),
    Semantic.BOX: (0.85, 0.65, 0.3),
    Semantic.BIN: (0.3, 0.35, 0.4),
    Semantic.PLANT: (0.2, 0.6, 0.25),
    Semantic.CLUTTER: (0.55, 0.75, 0.75),
    Semantic.WALL_ITEM: (0.65, 0.7, 0.9),
    Semantic.ROBOT: (0.95, 0.85, 0.2),
    Semantic.OBJECT: (0.95, 0.5, 0.7),
}
LIGHT_DIR = np.array([0.35, 0.5, -0.8]) / np.linalg.norm([0.35, 0.5, -0.8])
LIGHT, AMBIENT = 0.45, 0.6
SLENDER_M = 0.035  # half extents of legs, slats, bars: what a frame is made of


def canonical_look(scene: Scene) -> Look:
    """One row of the canonical look."""
    parts = len(scene.parts)
    colors = np.array([COLORS[part.semantic] for part in scene.parts], np.float32)
    return Look(
        part_rgb=colors[None],
        part_texture=np.full((1, parts), -1, np.int32),
        texture_size_m=np.ones((1, parts), np.float32),
        light_dir=LIGHT_DIR[None].astype(np.float32),
        light_rgb=np.full((1, 3), LIGHT, np.float32),
        ambient_rgb=np.full((1, 3), AMBIENT, np.float32),
        camera_offset=np.zeros((1, 3), np.float32),
        camera_rpy_rad=np.zeros((1, 3), np.float32),
        focal_scale=np.ones(1, np.float32),
    )


def paint_objects(look: Look, layout: Layout, scene: Scene) -> None:
    """Give the scene's objects the colours that the layout drew for them: a task may hold some out for `test`."""
    for k in range(len(scene.objects)):
        look.part_rgb[:, scene.part_range(scene.num_fixed + k)] = layout.object_rgb[:, k, None]


def slender_parts(scene: Scene, layout: Layout) -> np.ndarray:
    """(Q,) bool, of the parts that the first row of a layout places: legs, slats, bars, what a frame is made of."""
    shape, size = scene.part_shape[: scene.num_placed_parts], layout.part_size[0]
    thickness = np.where(shape == Shape.CYLINDER, 0.7 * size[:, 0], np.sort(size, axis=1)[:, 1])
    return (shape != Shape.SPHERE) & (thickness < SLENDER_M)


def decoration(scene: Scene) -> np.ndarray:
    """(P,) bool: parts that hang on walls, or lie on the floor and count as floor, such as rugs and cables."""
    return np.array(
        [
            part.semantic == Semantic.WALL_ITEM or (part.semantic == Semantic.FLOOR and part.shape != Shape.PLANE)
            for part in scene.parts
        ],
        bool,
    )


def read_classes(rgb: np.ndarray) -> np.ndarray:
    """What a picture shows, by the nearest colour that some class has in the canonical look under some light.

    Exact on pictures in that look. On others it says what they would pass for.

    Args:
        rgb: (..., 3) uint8.

    Returns:
        (...) uint8 semantic classes.
    """
    pixels = rgb.reshape(-1, 3).astype(np.float32)
    squares = np.empty((len(Semantic), len(pixels)), np.float32)
    for semantic in Semantic:
        full = 255 * np.array(COLORS[semantic], np.float32)
        shade = np.clip(pixels @ full / max(float(full @ full), 1.0), AMBIENT, AMBIENT + LIGHT)  # nearest on the line
        squares[semantic] = np.square(pixels - np.minimum(shade[:, None] * full, 255)).sum(1)
    return squares.argmin(0).astype(np.uint8).reshape(rgb.shape[:-1])


class CanonicalLook:
    """Always the same row."""

    textures = None

    def __init__(self, scene: Scene) -> None:
        self._look = canonical_look(scene)

    def sample(
        self, rng: np.random.Generator, setting: Setting | None = None, terms: Drawing | None = None
    ) -> tuple[Look, dict[str, Any]]:
        """See `LookSampler.sample`; draws nothing."""
        return self._look, {}
