"""The raster renderer's lamps: light that differs from pixel to pixel, with the shadows of what stands in the room.

Worlds without lamps never come here. Each lamp has a shadow map, drawn at resets, because only the robot moves: inverse
depth seen from the lamp straight down. What lies beyond the map's edge is lit.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ..draw import LAMP_REACH_M, MAX_LAMPS
from .raster_place import inner, turn

MAP_PX = 128  # edge of a shadow map
MAP_FOCAL_PX = MAP_PX / 2 / math.tan(math.radians(70))
MAP_SAMPLES = MAP_PX * MAP_PX
BIAS_M = 0.03
REACH2 = LAMP_REACH_M**2

# What the last pass needs of a face under lamps, beside its RECORD.
LIT = np.dtype([("normal", np.float32, 3), ("shade", np.float32, 3)], align=True)  # in the optical frame; without lamps


class Lamps(NamedTuple):
    """Lamps of every world, and working memory; one row a thread (t). Empty until a look has lamps."""

    shadow: np.ndarray  # (n, L, MAP_SAMPLES + BLOCK) float32 1/m
    lit: np.ndarray  # (t, F + 1) LIT


@inner
def count_lamps(stage):
    """How many of the lamps shine: those come first."""
    count = 0
    while count < MAX_LAMPS and stage.lamp_rgb[count, 0] + stage.lamp_rgb[count, 1] + stage.lamp_rgb[count, 2] > 0:
        count += 1
    return count


@inner
def aim_down(stage, lamp, view):
    """The camera of a shadow map: at the lamp, looking down; right is +x and up is +y."""
    for axis in range(3):
        view.eye[axis], view.light_dir[axis] = stage.lamp_pos[lamp, axis], 0.0
        for other in range(3):
            view.rotation[axis, other] = 0.0
    view.rotation[0, 0], view.rotation[1, 1], view.rotation[2, 2] = 1.0, -1.0, -1.0
    view.fx = view.fy = MAP_FOCAL_PX
    view.cx = view.cy = MAP_PX / 2


@inner
def resolve_lamps(winner, inverse_depth, lit, count, stage, view, shadow, rgb):
    """Shade the unshaded colours of a picture."""
    height, width = rgb.shape[:2]
    rotation, eye = view.rotation, view.eye
    for row in range(height):
        for column in range(width):
            i = row * width + column
            if winner[i] == 0:
                continue
            z = 1.0 / np.float64(inverse_depth[i])
            x, y = (column + 0.5 - view.cx) / view.fx * z, (row + 0.5 - view.cy) / view.fy * z
            face = lit[winner[i]]
            normal = face.normal[0], face.normal[1], face.normal[2]
            at, out = _to_world(rotation, x, y, z), _to_world(rotation, normal[0], normal[1], normal[2])
            at = at[0] + eye[0], at[1] + eye[1], at[2] + eye[2]
            red, green, blue = face.shade[0], face.shade[1], face.shade[2]
            for lamp in range(count):
                light = _from_lamp(at, out, stage.lamp_pos[lamp])
                if light <= 0:
                    continue
                light *= _unshadowed(at, out, stage.lamp_pos[lamp], shadow[lamp])
                colour = stage.lamp_rgb[lamp]
                red, green, blue = red + light * colour[0], green + light * colour[1], blue + light * colour[2]
            pixel = rgb[row, column]
            pixel[0] = int(min(pixel[0] * red, 255.0) + 0.5)
            pixel[1] = int(min(pixel[1] * green, 255.0) + 0.5)
            pixel[2] = int(min(pixel[2] * blue, 255.0) + 0.5)


@inner
def keep_lit(face, view, paint, stage, facing, record, lit):
    """Keep a face's colour unshaded in ``record``, and in ``lit`` what `resolve_lamps` shades it by."""
    lit.normal[0], lit.normal[1], lit.normal[2] = turn(view.rotation, face.normal[0], face.normal[1], face.normal[2])
    for channel in range(3):
        lit.shade[channel] = stage.ambient_rgb[channel] + stage.light_rgb[channel] * facing
        record.rgb[channel] = int(min(max(paint.rgb[channel], 0.0), 1.0) * 255 + 0.5)


@inner
def _to_world(rotation, x, y, z):
    """``rotation.T @ (x, y, z)``."""
    return (
        rotation[0, 0] * x + rotation[1, 0] * y + rotation[2, 0] * z,
        rotation[0, 1] * x + rotation[1, 1] * y + rotation[2, 1] * z,
        rotation[0, 2] * x + rotation[1, 2] * y + rotation[2, 2] * z,
    )


@inner
def _from_lamp(at, normal, lamp):
    """Share of a lamp's intensity that falls on a point, nothing in between; see `Look`."""
    x, y, z = lamp[0] - at[0], lamp[1] - at[1], lamp[2] - at[2]
    squared = x * x + y * y + z * z
    facing = (normal[0] * x + normal[1] * y + normal[2] * z) / math.sqrt(squared + 1e-9)
    return facing * REACH2 / (REACH2 + squared)


@inner
def _unshadowed(at, normal, lamp, shadow):
    """Share of the four nearest texels of a shadow map that see a point, 0..1, weighted by how near they are."""
    texel_m = 1.2 * max(lamp[2] - at[2], 0.0) / MAP_FOCAL_PX  # off the face, or it would shadow itself
    x, y = at[0] + normal[0] * texel_m - lamp[0], at[1] + normal[1] * texel_m - lamp[1]
    below = lamp[2] - at[2] - normal[2] * texel_m
    if below < 0.05:
        return 1.0
    u, v = MAP_PX / 2 + MAP_FOCAL_PX * x / below - 0.5, MAP_PX / 2 - MAP_FOCAL_PX * y / below - 0.5
    if u < 0 or v < 0 or u >= MAP_PX - 1 or v >= MAP_PX - 1:
        return 1.0
    left, top = int(u), int(v)
    right, low = u - left, v - top
    blocks = 1.0 / max(below - BIAS_M, 0.01)
    first = top * MAP_PX + left
    above = (shadow[first] <= blocks) * (1 - right) + (shadow[first + 1] <= blocks) * right
    under = (shadow[first + MAP_PX] <= blocks) * (1 - right) + (shadow[first + MAP_PX + 1] <= blocks) * right
    return above * (1 - low) + under * low
