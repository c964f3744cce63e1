"""The raster renderer's half that runs at resets: its data, and the kernel that places each visible part of a world.

Parts of fixed bodies are placed in the world, parts of links in the frame of their link: then nothing needs to be
placed again at a frame, where the camera and the light come into the link's frame instead.

Rows that kernels read together are structured records: one pointer to pass instead of many arrays, which also keeps
compilation short.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np

from ..draw import MAX_LAMPS, PARKED_Z_M
from ..scene import Shape
from .shapes import Shapes

PARKED_BELOW_M = PARKED_Z_M / 2
CYLINDER, SPHERE, CAPSULE = int(Shape.CYLINDER), int(Shape.SPHERE), int(Shape.CAPSULE)

# A part of the scene, and where it lies in `Shapes` (unit_*) and `Geometry` (first_*).
PART = np.dtype(
    [
        ("kind", np.int32),  # `Shape`
        ("body", np.int32),
        ("frame", np.int32),  # 0: the world; 1 + i: link i
        ("label", np.int32),  # semantic class in the low half, body index in the high half
        ("unit_vertex", np.int32),
        ("vertices", np.int32),  # how many
        ("unit_face", np.int32),
        ("faces", np.int32),  # how many
        ("first_vertex", np.int32),
        ("first_face", np.int32),
    ],
    align=True,
)
# The look of a part in one world.
PAINT = np.dtype([("rgb", np.float32, 3), ("texture", np.int32), ("texture_size_m", np.float32)], align=True)
# The look of one world: its light, and its camera on the carrier. As in `Look`.
STAGE = np.dtype(
    [
        ("light_dir", np.float32, 3),
        ("light_rgb", np.float32, 3),
        ("ambient_rgb", np.float32, 3),
        ("camera_offset", np.float32, 3),
        ("camera_rpy_rad", np.float32, 3),
        ("focal_scale", np.float32),
        ("lamp_pos", np.float32, (MAX_LAMPS, 3)),
        ("lamp_rgb", np.float32, (MAX_LAMPS, 3)),
    ],
    align=True,
)
# A placed face, in the world or in the frame of its link. All zero: a face without area, never drawn.
FACE = np.dtype(
    [
        ("normal", np.float64, 3),  # outward, unit
        ("offset", np.float64),  # normal . point for every point of the face
        ("uv", np.float32, (2, 4)),  # gradient over space and offset of u and v, in texels
    ],
    align=True,
)


class Poses(NamedTuple):
    """The layout of every part; links stand at the origin, so that their parts are placed in the link's frame."""

    body_pos: np.ndarray  # (n, B, 3) float64
    body_quat: np.ndarray  # (n, B, 4)
    part_pos: np.ndarray  # (n, P, 3)
    part_quat: np.ndarray  # (n, P, 4)
    part_size: np.ndarray  # (n, P, 3)
    part_visible: np.ndarray  # (n, P) bool


class Geometry(NamedTuple):
    """Placed parts. Vertices and faces are numbered over all parts of the scene."""

    vertex: np.ndarray  # (n, V, 3) float32
    face: np.ndarray  # (n, F) FACE
    ball: np.ndarray  # (n, P, 4) float32: bounding sphere, centre and radius
    visible: np.ndarray  # (n, P) int32: the parts to draw
    visible_count: np.ndarray  # (n,) int32


# Kernels called by kernels only: no wrapper for calls from Python, whose compilation would take longest.
# Numba's cache on disk notices changes of the caller's own file only: whoever changes an inner kernel or a
# constant that raster_kernels.py uses must touch that file too.
inner = numba.njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)


@inner
def quat_to_matrix(quat, out):
    """Write the rotation of unit quaternion wxyz into ``out`` (3, 3)."""
    w, x, y, z = quat[0], quat[1], quat[2], quat[3]
    out[0, 0], out[0, 1], out[0, 2] = 1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)
    out[1, 0], out[1, 1], out[1, 2] = 2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)
    out[2, 0], out[2, 1], out[2, 2] = 2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)


@inner
def turn(matrix, x, y, z):
    """``matrix @ (x, y, z)``."""
    return (
        matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2] * z,
        matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2] * z,
        matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2] * z,
    )


@inner
def compose(first, second, out):
    """``out = first @ second`` for 3 x 3 matrices."""
    for column in range(3):
        x, y, z = turn(first, second[0, column], second[1, column], second[2, column])
        out[0, column], out[1, column], out[2, column] = x, y, z


@numba.njit(cache=True, error_model="numpy")
def place_worlds(
    worlds: np.ndarray,  # (k,) int64
    shapes: Shapes,
    parts: np.ndarray,  # (P,) PART
    poses: Poses,
    paint: np.ndarray,  # (n, P) PAINT
    texture_edge: int,
    geometry: Geometry,
) -> None:
    """Place every visible part of ``worlds`` and list it."""
    body_rotation, part_rotation, rotation = np.empty((3, 3)), np.empty((3, 3)), np.empty((3, 3))
    most_vertices = 0
    for part in parts:
        most_vertices = max(most_vertices, part.vertices)
    placed = np.empty((most_vertices, 3))
    for world in worlds:
        count = 0
        for p in range(len(parts)):
            body, at = parts[p].body, poses.body_pos[world, parts[p].body]
            quat_to_matrix(poses.body_quat[world, body], body_rotation)
            offset = poses.part_pos[world, p]
            x, y, z = turn(body_rotation, offset[0], offset[1], offset[2])
            if not poses.part_visible[world, p] or z + at[2] < PARKED_BELOW_M:
                continue
            quat_to_matrix(poses.part_quat[world, p], part_rotation)
            compose(body_rotation, part_rotation, rotation)
            pose = rotation, (x + at[0], y + at[1], z + at[2])
            size = _scale(parts[p].kind, poses.part_size[world, p])
            _place_part(world, parts[p], pose, size, shapes, placed, geometry)
            _bound(placed, parts[p].vertices, geometry.ball[world, p])
            if paint[world, p].texture >= 0:
                texels_per_m = texture_edge / paint[world, p].texture_size_m
                _place_texture(world, parts[p], size, texels_per_m, shapes, placed, geometry)
            geometry.visible[world, count] = p
            count += 1
        geometry.visible_count[world] = count


@inner
def _scale(kind, size):
    """Scale factors along x, y, z; 1, for texture coordinates that are metres already; half length of a capsule."""
    if kind == CYLINDER:
        return size[0], size[0], size[1], 1.0, 0.0
    if kind == SPHERE:
        return size[0], size[0], size[0], 1.0, 0.0
    if kind == CAPSULE:
        return size[0], size[0], size[0], 1.0, size[1]
    return size[0], size[1], size[2], 1.0, 0.0


@inner
def _place_part(world, part, pose, size, shapes, placed, geometry):
    """Vertices and face planes of one part."""
    rotation, position = pose
    for i in range(part.vertices):
        unit, shift = shapes.vertex[part.unit_vertex + i], shapes.shift[part.unit_vertex + i]
        x, y, z = turn(rotation, unit[0] * size[0], unit[1] * size[1], unit[2] * size[2] + shift * size[4])
        placed[i, 0], placed[i, 1], placed[i, 2] = x + position[0], y + position[1], z + position[2]
        for axis in range(3):
            geometry.vertex[world, part.first_vertex + i, axis] = placed[i, axis]
    for i in range(part.faces):
        first, last = shapes.face_corner[part.unit_face + i], shapes.face_corner[part.unit_face + i + 1]
        _plane(placed, shapes.corner_vertex, first, last, geometry.face[world, part.first_face + i])


@inner
def _bound(points, count, ball):
    """Sphere around the middle of the bounding box; a little larger than need be, for rounding."""
    for axis in range(3):
        low = high = points[0, axis]
        for i in range(1, count):
            low, high = min(low, points[i, axis]), max(high, points[i, axis])
        ball[axis] = (low + high) / 2
    squared = 0.0
    for i in range(count):
        x, y, z = points[i, 0] - ball[0], points[i, 1] - ball[1], points[i, 2] - ball[2]
        squared = max(squared, x * x + y * y + z * z)
    ball[3] = math.sqrt(squared) * 1.001 + 1e-4


@inner
def _plane(points, corner_vertex, first, last, face):
    """Outward unit normal by Newell's sum over the edges, and offset."""
    x = y = z = offset = 0.0
    a = points[corner_vertex[last - 1]]
    for i in range(first, last):
        b = points[corner_vertex[i]]
        x += (a[1] - b[1]) * (a[2] + b[2])
        y += (a[2] - b[2]) * (a[0] + b[0])
        z += (a[0] - b[0]) * (a[1] + b[1])
        a = b
    length = math.sqrt(x * x + y * y + z * z)
    x, y, z = (x / length, y / length, z / length) if length > 1e-12 else (0.0, 0.0, 0.0)
    for i in range(first, last):
        b = points[corner_vertex[i]]
        offset += (x * b[0] + y * b[1] + z * b[2]) / (last - first)
    face.normal[0], face.normal[1], face.normal[2], face.offset = x, y, z, offset


@inner
def _place_texture(world, part, size, texels_per_m, shapes, placed, geometry):
    """Texture gradients of the faces of one part; u runs right and v up, but texture rows run down."""
    value = np.empty(3)
    for i in range(part.faces):
        first = shapes.face_corner[part.unit_face + i]
        corners = shapes.corner_vertex[first : first + 3]
        face = geometry.face[world, part.first_face + i]
        for axis in range(2):
            factor = size[shapes.uv_axis[part.unit_face + i, axis]]
            for j in range(3):
                metres = shapes.corner_uv[first + j, axis] * factor
                if axis == 1:
                    metres += size[4] * shapes.shift[part.unit_vertex + corners[j]]
                value[j] = metres * (texels_per_m if axis == 0 else -texels_per_m)
            _gradient(placed[corners[0]], placed[corners[1]], placed[corners[2]], value, face.normal, face.uv[axis])


@inner
def _gradient(a, b, c, value, normal, out):
    """Gradient within the face, and offset, of what has ``value`` at the corners a, b, c."""
    bx, by, bz, cx, cy, cz = b[0] - a[0], b[1] - a[1], b[2] - a[2], c[0] - a[0], c[1] - a[1], c[2] - a[2]
    nx, ny, nz = normal[0], normal[1], normal[2]
    # Along c x normal only b moves the value; along normal x b only c does.
    tx, ty, tz = cy * nz - cz * ny, cz * nx - cx * nz, cx * ny - cy * nx
    sx, sy, sz = ny * bz - nz * by, nz * bx - nx * bz, nx * by - ny * bx
    area = tx * bx + ty * by + tz * bz
    per_b, per_c = (value[1] - value[0]) / area, (value[2] - value[0]) / area
    if abs(area) < 1e-15:
        per_b = per_c = 0.0
    gx, gy, gz = tx * per_b + sx * per_c, ty * per_b + sy * per_c, tz * per_b + sz * per_c
    out[0], out[1], out[2] = gx, gy, gz
    out[3] = value[0] - (gx * a[0] + gy * a[1] + gz * a[2])
