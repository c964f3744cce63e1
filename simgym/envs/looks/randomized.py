"""The randomized look: colours, procedural textures, lights and camera drawn anew for every episode."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..config import LookRanges
from ..draw import Look, Setting
from ..scene import Scene
from .canonical import canonical_look
from .textures import texture_bank


class RandomizedLook:
    """Draws a look. Parts of one body share a colour four times out of five, as furniture does."""

    def __init__(self, scene: Scene, ranges: LookRanges) -> None:
        self._ranges, self._nominal = ranges, canonical_look(scene)
        self._part_body = scene.part_body
        self.textures = texture_bank(ranges.textures)

    def sample(
        self, rng: np.random.Generator, setting: Setting | None = None, ranges: LookRanges | None = None
    ) -> tuple[Look, dict[str, Any]]:
        """See `LookSampler.sample`."""
        look = Look(**{name: value.copy() for name, value in vars(self._nominal).items()})
        ranges = ranges or self._ranges
        self._paint(rng, look, ranges)
        drawn = self._light(rng, look, ranges) | self._aim(rng, look, ranges)
        return look, drawn

    def _paint(self, rng: np.random.Generator, look: Look, ranges: LookRanges) -> None:
        parts = len(self._part_body)
        own = rng.random(parts) < 0.2
        source = np.where(own, np.arange(parts), np.searchsorted(self._part_body, self._part_body))
        hue, saturation, value = rng.random(parts), rng.uniform(*ranges.saturation, parts), rng.random(parts)
        value = ranges.brightness[0] + value * (ranges.brightness[1] - ranges.brightness[0])
        look.part_rgb[0] = _hsv_to_rgb(hue, saturation, value)[source]
        textured = rng.random(parts) < ranges.texture_probability
        texture = np.where(textured, rng.integers(len(self.textures), size=parts), -1)
        look.part_texture[0] = texture[source]
        look.texture_size_m[0] = rng.uniform(*ranges.texture_size_m, parts)[source]

    def _light(self, rng: np.random.Generator, look: Look, ranges: LookRanges) -> dict[str, Any]:
        elevation, azimuth = np.radians(rng.uniform(*ranges.light_elevation_deg)), rng.uniform(0, 2 * np.pi)
        flat = np.cos(elevation)
        look.light_dir[0] = (flat * np.cos(azimuth), flat * np.sin(azimuth), -np.sin(elevation))
        light, ambient = rng.uniform(*ranges.light), rng.uniform(*ranges.ambient)
        look.light_rgb[0] = light * rng.uniform(*ranges.light_tint, 3)
        look.ambient_rgb[0] = ambient * rng.uniform(*ranges.light_tint, 3)
        return {"light": light, "ambient": ambient, "light_elevation_deg": float(np.degrees(elevation))}

    def _aim(self, rng: np.random.Generator, look: Look, ranges: LookRanges) -> dict[str, Any]:
        height, scale = rng.uniform(*ranges.camera_height_m), rng.uniform(*ranges.focal_scale)
        angles = (ranges.camera_roll_deg, ranges.camera_pitch_deg, ranges.camera_yaw_deg)
        roll, pitch, turn = (rng.uniform(*angle) for angle in angles)
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
