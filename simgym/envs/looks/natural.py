"""Lived-in rooms for the randomized look: what things are of where people live.

Leaves are green, walls mostly pale, furniture is mostly wood, black, white or grey, and often stands on legs of
another material; books stand in cabinets, and what hangs on walls or lies on the floor has a picture or a pattern.
Goggles that saw none of this take rows of books for the slats of chairs.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..draw import Look, Setting
from ..scene import Scene, Semantic, Shape
from .canonical import decoration, slender_parts

WOOD = ((0.04, 0.11), (0.3, 0.7), (0.2, 0.85))  # ranges of hue, saturation and value
GREY, PALE, DYED = (
    ((0.0, 1.0), (0.0, 0.12), (0.05, 0.95)),
    ((0.0, 0.2), (0.0, 0.3), (0.6, 1.0)),
    ((0.0, 1.0), (0.1, 0.8), (0.1, 0.9)),
)
CARDBOARD, LEAVES = ((0.06, 0.1), (0.3, 0.55), (0.45, 0.85)), ((0.2, 0.42), (0.3, 0.8), (0.15, 0.75))
# What things are of, the likelier the more often it is named; all else is as furniture.
FURNITURE = (WOOD, WOOD, WOOD, GREY, GREY, DYED)
NATURAL = {
    Semantic.FLOOR: (WOOD, WOOD, GREY, PALE, DYED),
    Semantic.WALL: (PALE, PALE, PALE, GREY, WOOD, DYED),
    Semantic.CEILING: (PALE,),
    Semantic.BOX: (CARDBOARD,),
    Semantic.BIN: (GREY, GREY, DYED),
}
LEGS_APART = 0.5  # probability that the slender parts of a piece are of a material of their own
FULL_OF_BOOKS = 0.4  # of a cabinet
WITH_PICTURE = 0.6  # of what hangs on walls, and of a rug
SHELVES_M = (0.6, 1.5)  # edge of a repeat of books


class Natural:
    """Draws what the parts of a scene are of.

    Args:
        scene: what there is to paint.
        coloured: rows of the texture bank, by the names of `textures.COLOURED`.
    """

    def __init__(self, scene: Scene, coloured: Mapping[str, range]) -> None:
        self._scene, self._coloured = scene, coloured
        self._leaves = np.array(
            [part.semantic == Semantic.PLANT and part.shape == Shape.SPHERE for part in scene.parts]
        )
        self._ranges = [  # of each part, the ranges (K, 3, 2) of its hue, saturation and value, one of them by chance
            np.array((LEAVES,) if leafy else NATURAL.get(part.semantic, FURNITURE))
            for part, leafy in zip(scene.parts, self._leaves, strict=True)
        ]
        spans = [(body, scene.part_range(b)) for b, body in enumerate(scene.bodies)]
        decorated = decoration(scene)
        self._fronts = [  # doors stand out from the body, which is the first part
            slice(span.start + 1, span.stop) for body, span in spans if body.parts[0].semantic == Semantic.CABINET
        ]
        self._panels = [  # all that hangs on walls, and rugs, which are of one part, but not cables
            span.start
            for body, span in spans
            if decorated[span.start] and (body.parts[0].semantic == Semantic.WALL_ITEM or len(body.parts) == 1)
        ]

    def colours(self, rng: np.random.Generator) -> np.ndarray:
        """(3, P) hue, saturation and value of every part, from the ranges of its class."""
        ranges = np.stack([kinds[rng.integers(len(kinds))] for kinds in self._ranges], axis=-1)  # (3, 2, P)
        return rng.uniform(ranges[:, 0], ranges[:, 1])

    def sources(self, rng: np.random.Generator, source: np.ndarray, setting: Setting | None) -> np.ndarray:
        """(P,) the part whose material each has, changed so that leaves and some legs have one of their own."""
        source = np.where(self._leaves, np.arange(len(source)), source)  # whatever the pot is of
        if setting is None:
            return source
        slender = slender_parts(self._scene, setting.layout)
        body = self._scene.part_body[: len(slender)]
        apart = slender & (rng.random(self._scene.num_placed) < LEGS_APART)[body]
        rows = np.flatnonzero(apart)
        first = np.unique(body[rows], return_index=True)[1]  # of the legs of each body
        source[rows] = rows[first][np.searchsorted(body[rows[first]], body[rows])]
        return source

    def decorate(self, rng: np.random.Generator, look: Look, setting: Setting) -> np.ndarray:
        """Put books into cabinets and pictures on panels; the (K,) parts that have got some."""
        books, pictures, size = self._coloured["book_rows"], self._coloured["patchwork"], setting.layout.part_size[0]
        done: list[int] = []
        for parts in self._fronts:
            if rng.random() < FULL_OF_BOOKS:
                self._cover(rng, look, parts, int(rng.choice(books)), rng.uniform(*SHELVES_M))
                done += range(parts.start, parts.stop)
        for part in self._panels:
            if rng.random() < WITH_PICTURE:
                self._cover(rng, look, part, int(rng.choice(pictures)), 2 * size[part].max())
                done.append(part)
        return np.array(done, int)

    @staticmethod
    def _cover(rng: np.random.Generator, look: Look, parts: slice | int, texture: int, size_m: float) -> None:
        look.part_texture[0, parts], look.texture_size_m[0, parts] = texture, size_m
        look.part_rgb[0, parts] = rng.uniform(0.6, 1.0)
