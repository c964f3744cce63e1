"""Where lamps hang in a room."""

from __future__ import annotations

import numpy as np

from ..draw import Layout, Look

LAMP_DROP_M = 0.3  # below the ceiling
WITHIN = 0.75  # of the way from the middle of a room to its walls


def draw_spots(rng: np.random.Generator, count: int) -> np.ndarray:
    """(count, 2) places for lamps, -1..1 across a room."""
    return rng.uniform(-WITHIN, WITHIN, (count, 2))


def hang_lamps(look: Look, layout: Layout, spots: np.ndarray, rgb: np.ndarray) -> None:
    """Hang lamps of a colour (3,) at their spots (K, 2) in row 0 of a look, for the room of row 0 of a layout."""
    half_room_m, height_m = layout.part_size[0, 0, :2], layout.part_pos[0, 1, 2]  # parts: floor, ceiling
    count = len(spots)
    look.lamp_pos[0, :count, :2] = spots * half_room_m
    look.lamp_pos[0, :count, 2] = height_m - LAMP_DROP_M
    look.lamp_rgb[0, :count] = rgb
