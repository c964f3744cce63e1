"""The randomized look: colours, procedural textures, lights and camera drawn anew for every episode."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..config import LookRanges
from ..draw import Look, Setting
from ..scene import Scene
from ..terms import Drawing
from .canonical import canonical_look
from .textures import texture_bank


class RandomizedLook:
    """Draws a look. Parts of one body share a colour four times out of five, as furniture does."""

    def __init__(self, scene: Scene, ranges: LookRanges) -> None:
        self._terms, self._nominal = Drawing(ranges), canonical_look(scene)
        self._part_body = scene.part_body
        self.textures = texture_bank(ranges.textures)

    def sample(
        self, rng: np.random.Generator, setting: Setting | None = None, terms: Drawing | None = None
    ) -> tuple[Look, dict[str, Any]]:
        """See `LookSampler.sample`."""
        look = Look(**{name: value.copy() for name, value in vars(self._nominal).items()})
        terms = terms or self._terms
        self._paint(rng, look, terms)
        drawn = self._light(rng, look, terms) | self._aim(rng, look, terms)
        return look, drawn

    def _paint(self, rng: np.random.Generator, look: Look, terms: Drawing) -> None:
        parts = len(self._part_body)
        own = rng.random(parts) < 0.2
        source = np.where(own, np.arange(parts), np.searchsorted(self._part_body, self._part_body))
        hue, saturation = rng.random(parts), terms.draw(rng, "saturation", parts)
        value = terms.draw(rng, "brightness", parts)
        look.part_rgb[0] = _hsv_to_rgb(hue, saturation, value)[source]
        textured = rng.random(parts) < terms.group.texture_probability
        texture = np.where(textured, rng.integers(len(self.textures), size=parts), -1)
        look.part_texture[0] = texture[source]
        look.texture_size_m[0] = terms.draw(rng, "texture_size_m", parts)[source]

    def _light(self, rng: np.random.Generator, look: Look, terms: Drawing) -> dict[str, Any]:
        elevation, azimuth = np.radians(terms.draw(rng, "light_elevation_deg")), rng.uniform(0, 2 * np.pi)
        flat = np.cos(elevation)
        look.light_dir[0] = (flat * np.cos(azimuth), flat * np.sin(azimuth), -np.sin(elevation))
        light, ambient = terms.draw(rng, "light"), terms.draw(rng, "ambient")
        tint = terms.draw(rng, "light_tint", 6)
        look.light_rgb[0] = light * tint[:3]
        look.ambient_rgb[0] = ambient * tint[3:]
        return {"light": light, "ambient": ambient, "light_elevation_deg": float(np.degrees(elevation))}

    def _aim(self, rng: np.random.Generator, look: Look, terms: Drawing) -> dict[str, Any]:
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
