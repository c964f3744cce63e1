"""The randomized look: colours, procedural textures, lights and camera drawn anew for every episode.

Colours come from everywhere, or, in a share of the episodes, from where such things have them in rooms that people live
in: leaves are green, walls are mostly pale, furniture is mostly wood, black, white or grey.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..config import LookRanges
from ..draw import Look, Setting
from ..scene import Scene, Semantic, Shape
from ..terms import Drawing
from .canonical import canonical_look, paint_objects
from .textures import texture_bank

WOOD = ((0.04, 0.11), (0.3, 0.7), (0.2, 0.85))  # ranges of hue, saturation and value
GREY, PALE, DYED = (
    ((0.0, 1.0), (0.0, 0.12), (0.05, 0.95)),
    ((0.0, 0.2), (0.0, 0.3), (0.6, 1.0)),
    ((0.0, 1.0), (0.1, 0.8), (0.1, 0.9)),
)
CARDBOARD, LEAVES = ((0.06, 0.1), (0.3, 0.55), (0.45, 0.85)), ((0.2, 0.42), (0.3, 0.8), (0.15, 0.75))
# What things are of where people live, the likelier the more often it is named; all else is as furniture.
FURNITURE = (WOOD, WOOD, WOOD, GREY, GREY, DYED)
NATURAL = {
    Semantic.FLOOR: (WOOD, WOOD, GREY, PALE, DYED),
    Semantic.WALL: (PALE, PALE, PALE, GREY, WOOD, DYED),
    Semantic.CEILING: (PALE,),
    Semantic.BOX: (CARDBOARD,),
    Semantic.BIN: (GREY, GREY, DYED),
}


class RandomizedLook:
    """Draws a look. Parts of one body share a colour four times out of five, as furniture does."""

    def __init__(self, scene: Scene, ranges: LookRanges) -> None:
        self._terms, self._nominal = Drawing(ranges), canonical_look(scene)
        self._scene, self._part_body = scene, scene.part_body
        leaves = [part.semantic == Semantic.PLANT and part.shape == Shape.SPHERE for part in scene.parts]
        self._natural = [  # of each part, the ranges (K, 3, 2) of its hue, saturation and value, one of them by chance
            np.array((LEAVES,) if leafy else NATURAL.get(part.semantic, FURNITURE))
            for part, leafy in zip(scene.parts, leaves, strict=True)
        ]
        self._leaves = np.array(leaves)
        self.textures = texture_bank(ranges.textures)

    def sample(
        self, rng: np.random.Generator, setting: Setting | None = None, terms: Drawing | None = None
    ) -> tuple[Look, dict[str, Any]]:
        """See `LookSampler.sample`."""
        look = Look(**{name: value.copy() for name, value in vars(self._nominal).items()})
        terms = terms or self._terms
        rank = self._paint(rng, look, terms)
        if setting is not None:
            paint_objects(look, setting.layout, self._scene)
        drawn = self._light(rng, look, terms) | aim_camera(rng, look, terms)
        share = terms.draw(rng, "recolored")  # the last of all, so that it changes no other draw
        look.part_rgb[0] = (1 - share) * self._nominal.part_rgb[0] + share * look.part_rgb[0]
        look.part_texture[0, rank >= share * terms.group.texture_probability] = -1
        return look, drawn | {"recolored": share}

    def _paint(self, rng: np.random.Generator, look: Look, terms: Drawing) -> np.ndarray:
        """(P,) rank of every part: below `texture_probability`, it is textured."""
        parts = len(self._part_body)
        own = rng.random(parts) < 0.2
        source = np.where(own, np.arange(parts), np.searchsorted(self._part_body, self._part_body))
        hue, saturation = rng.random(parts), terms.draw(rng, "saturation", parts)
        value = terms.draw(rng, "brightness", parts)
        if terms.group.natural_probability > 0 and rng.random() < terms.group.natural_probability:
            hue, saturation, value = self._draw_natural(rng)
            source = np.where(self._leaves, np.arange(parts), source)  # whatever the pot is of
        look.part_rgb[0] = _hsv_to_rgb(hue, saturation, value)[source]
        rank, texture = rng.random(parts), rng.integers(len(self.textures), size=parts)
        look.part_texture[0] = texture[source]
        look.texture_size_m[0] = terms.draw(rng, "texture_size_m", parts)[source]
        return rank[source]

    def _draw_natural(self, rng: np.random.Generator) -> np.ndarray:
        """(3, P) hue, saturation and value of every part, from the ranges of its class."""
        ranges = np.stack([kinds[rng.integers(len(kinds))] for kinds in self._natural], axis=-1)  # (3, 2, P)
        return rng.uniform(ranges[:, 0], ranges[:, 1])

    def _light(self, rng: np.random.Generator, look: Look, terms: Drawing) -> dict[str, Any]:
        elevation = np.radians(terms.draw(rng, "light_elevation_deg"))
        azimuth = np.radians(terms.draw(rng, "light_azimuth_deg"))
        flat = np.cos(elevation)
        look.light_dir[0] = (flat * np.cos(azimuth), flat * np.sin(azimuth), -np.sin(elevation))
        light, ambient = terms.draw(rng, "light"), terms.draw(rng, "ambient")
        tint = terms.draw(rng, "light_tint", 6)
        look.light_rgb[0] = light * tint[:3]
        look.ambient_rgb[0] = ambient * tint[3:]
        degrees = {"light_elevation_deg": float(np.degrees(elevation)), "light_azimuth_deg": float(np.degrees(azimuth))}
        return {"light": light, "ambient": ambient} | degrees


def aim_camera(rng: np.random.Generator, look: Look, terms: Drawing) -> dict[str, Any]:
    """Draw how the camera is mounted into row 0 of a look; the drawn values by name."""
    height, scale = terms.draw(rng, "camera_height_m"), terms.draw(rng, "focal_scale")
    roll, pitch, turn = (terms.draw(rng, f"camera_{angle}_deg") for angle in ("roll", "pitch", "yaw"))
    look.camera_offset[0, 2], look.focal_scale[0] = height, scale
    look.camera_rpy_rad[0] = np.radians((roll, pitch, turn))
    return {
        "camera_height_m": height,
        "camera_roll_deg": roll,
        "camera_pitch_deg": pitch,
        "camera_yaw_deg": turn,
        "focal_scale": scale,
    }


def _hsv_to_rgb(hue: np.ndarray, saturation: np.ndarray, value: np.ndarray) -> np.ndarray:
    """(P,) each, in 0..1 -> (P, 3)."""
    phase = (np.array([5.0, 3.0, 1.0]) + hue[:, None] * 6) % 6
    dip = np.clip(np.minimum(phase, 4 - phase), 0, 1)
    return value[:, None] * (1 - saturation[:, None] * dip)
