"""The randomized look: colours, procedural textures, lights and camera drawn anew for every episode.

Colours come from everywhere, or, in a share of the episodes, from rooms that people live in (`natural`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..config import LookRanges
from ..draw import Look, Setting
from ..scene import Scene
from ..terms import Drawing
from .canonical import canonical_look, paint_objects
from .natural import Natural
from .textures import texture_bank


class RandomizedLook:
    """Draws a look. Parts of one body share a colour four times out of five, as furniture does."""

    def __init__(self, scene: Scene, ranges: LookRanges) -> None:
        self._terms, self._nominal = Drawing(ranges), canonical_look(scene)
        self._scene, self._part_body = scene, scene.part_body
        self._grey_textures = ranges.textures
        self.textures, coloured = texture_bank(ranges.textures)
        self._natural = Natural(scene, coloured)

    def sample(
        self, rng: np.random.Generator, setting: Setting | None = None, terms: Drawing | None = None
    ) -> tuple[Look, dict[str, Any]]:
        """See `LookSampler.sample`."""
        look = Look(**{name: value.copy() for name, value in vars(self._nominal).items()})
        terms = terms or self._terms
        rank = self._paint(rng, look, terms, setting)
        if setting is not None:
            paint_objects(look, setting.layout, self._scene)
        drawn = self._light(rng, look, terms) | aim_camera(rng, look, terms)
        share = terms.draw(rng, "recolored")  # the last of all, so that it changes no other draw
        look.part_rgb[0] = (1 - share) * self._nominal.part_rgb[0] + share * look.part_rgb[0]
        look.part_texture[0, rank >= share * terms.group.texture_probability] = -1
        return look, drawn | {"recolored": share}

    def _paint(self, rng: np.random.Generator, look: Look, terms: Drawing, setting: Setting | None) -> np.ndarray:
        """(P,) rank of every part: below `texture_probability`, it is textured."""
        parts = len(self._part_body)
        own = rng.random(parts) < 0.2
        source = np.where(own, np.arange(parts), np.searchsorted(self._part_body, self._part_body))
        hue, saturation = rng.random(parts), terms.draw(rng, "saturation", parts)
        value = terms.draw(rng, "brightness", parts)
        natural = terms.group.natural_probability > 0 and rng.random() < terms.group.natural_probability
        if natural:
            hue, saturation, value = self._natural.colours(rng)
            source = self._natural.sources(rng, source, setting)
        look.part_rgb[0] = _hsv_to_rgb(hue, saturation, value)[source]
        rank, texture = rng.random(parts), rng.integers(self._grey_textures, size=parts)
        look.part_texture[0] = texture[source]
        look.texture_size_m[0] = terms.draw(rng, "texture_size_m", parts)[source]
        rank = rank[source]
        if natural and setting is not None and terms.group.texture_probability > 0:
            rank[self._natural.decorate(rng, look, setting)] *= terms.group.texture_probability  # where all may be
        return rank

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
