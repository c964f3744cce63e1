"""The raster renderer's half that runs at resets: numba kernels that place each visible part of a world.

Parts of fixed bodies are placed in the world, parts of links in the frame of their link: then nothing needs to be
placed again at a frame, where the camera and the light come into the link's frame instead.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np

from ..draw import PARKED_Z_M
from ..scene import Shape

PARKED_BELOW_M = PARKED_Z_M / 2
CYLINDER, SPHERE, CAPSULE = int(Shape.CYLINDER), int(Shape.SPHERE), int(Shape.CAPSULE)


class Parts(NamedTuple):
    """What never changes of the P parts, and where each lies in `Shapes` and `Geometry`."""

    kind: np.ndarray  # (P,) int32 `Shape`
    body: np.ndarray  # (P,) int32
    frame: np.ndarray  # (P,) int32: 0 the world, 1 + i link i
    unit: np.ndarray  # (P, 4) int32 first vertex, vertices, first face, faces in `Shapes`
    first_vertex: np.ndarray  # (P,) int32 in `Geometry`
    first_face: np.ndarray  # (P,) int32 in `Geometry`
    label: np.ndarray  # (P,) int32: semantic class in the low half, body index in the high half


class Poses(NamedTuple):
    """The layout of every part; a link's parts are posed in the link's frame."""

    body_pos: np.ndarray  # (n, B, 3) float64
    body_quat: np.ndarray  # (n, B, 4)
    part_pos: np.ndarray  # (n, P, 3)
    part_quat: np.ndarray  # (n, P, 4)
    part_size: np.ndarray  # (n, P, 3)
    part_visible: np.ndarray  # (n, P) bool


class Geometry(NamedTuple):
    """Placed parts: in the world, or in the frame of their link. Vertices and faces are numbered over all parts."""

    vertex: np.ndarray  # (n, V, 3) float32
    plane: np.ndarray  # (n, F, 4) float64: unit normal, offset
    uv: np.ndarray  # (n, F, 2, 4) float32: gradient and offset of u and v, in texels
    sphere: np.ndarray  # (n, P, 4) float32: bounding sphere, centre and radius
    visible: np.ndarray  # (n, P) int32: the parts to draw
    visible_count: np.ndarray  # (n,) int32


class Paint(NamedTuple):
    """The fields of `Look` that kernels read, and the texture bank as a chain of halved copies (mipmaps)."""

    part_rgb: np.ndarray  # (n, P, 3) float32
    part_texture: np.ndarray  # (n, P) int32
    texture_size_m: np.ndarray  # (n, P) float32
    light_dir: np.ndarray  # (n, 3) float32
    light_rgb: np.ndarray  # (n, 3) float32
    ambient_rgb: np.ndarray  # (n, 3) float32
    camera_offset: np.ndarray  # (n, 3) float32
    camera_rpy_rad: np.ndarray  # (n, 3) float32
    focal_scale: np.ndarray  # (n,) float32
    texels: np.ndarray  # (sum of T * S * S * 3 over S = edge, edge / 2, .. 1) uint8
    level_start: np.ndarray  # (levels,) int64: first texel byte of each copy
    texture_edge: int  # S of the largest copy, in texels: a power of two


jit = numba.njit(cache=True, error_model="numpy")


# --- small vector arithmetic on scalars, which costs nothing -------------------------------------------------------


@jit
def quat_to_matrix(quat, out):
    """Write the rotation of unit quaternion wxyz into ``out`` (3, 3)."""
    w, x, y, z = quat[0], quat[1], quat[2], quat[3]
    out[0, 0], out[0, 1], out[0, 2] = 1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)
    out[1, 0], out[1, 1], out[1, 2] = 2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)
    out[2, 0], out[2, 1], out[2, 2] = 2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)


@jit
def turn(matrix, x, y, z):
    """``matrix @ (x, y, z)``."""
    return (
        matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2] * z,
        matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2] * z,
        matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2] * z,
    )


@jit
def turn_back(matrix, x, y, z):
    """``matrix.T @ (x, y, z)``: the inverse of `turn` for a rotation."""
    return (
        matrix[0, 0] * x + matrix[1, 0] * y + matrix[2, 0] * z,
        matrix[0, 1] * x + matrix[1, 1] * y + matrix[2, 1] * z,
        matrix[0, 2] * x + matrix[1, 2] * y + matrix[2, 2] * z,
    )


@jit
def compose(first, second, out):
    """``out = first @ second`` for 3 x 3 matrices."""
    for column in range(3):
        x, y, z = turn(first, second[0, column], second[1, column], second[2, column])
        out[0, column], out[1, column], out[2, column] = x, y, z


# --- at resets: place the parts ------------------------------------------------------------------------------------


@jit
def place_worlds(worlds, shapes, parts, poses, paint, geometry):
    """Place every visible part of ``worlds`` and list it."""
    body_rotation, part_rotation, rotation = np.empty((3, 3)), np.empty((3, 3)), np.empty((3, 3))
    position = np.empty(3)
    for world in worlds:
        count = 0
        for part in range(len(parts.kind)):
            body, offset = parts.body[part], poses.part_pos[world, part]
            quat_to_matrix(poses.body_quat[world, body], body_rotation)
            position[0], position[1], position[2] = turn(body_rotation, offset[0], offset[1], offset[2])
            position += poses.body_pos[world, body]
            if not poses.part_visible[world, part] or position[2] < PARKED_BELOW_M:
                continue
            quat_to_matrix(poses.part_quat[world, part], part_rotation)
            compose(body_rotation, part_rotation, rotation)
            _place_part(world, part, rotation, position, shapes, parts, poses, paint, geometry)
            geometry.visible[world, count] = part
            count += 1
        geometry.visible_count[world] = count


@jit
def _scale(kind, size):
    """Scale factors x, y, z, one (for texture coordinates in metres already), and the half length of a shape."""
    if kind == CYLINDER:
        return (size[0], size[0], size[1], 1.0), 0.0
    if kind == SPHERE:
        return (size[0], size[0], size[0], 1.0), 0.0
    if kind == CAPSULE:
        return (size[0], size[0], size[0], 1.0), size[1]
    return (size[0], size[1], size[2], 1.0), 0.0


@jit
def _place_part(world, part, rotation, position, shapes, parts, poses, paint, geometry):
    """Vertices, bounding sphere, face planes and texture gradients of one part."""
    unit_vertex, vertices, unit_face, faces = parts.unit[part]
    scale, half_length = _scale(parts.kind[part], poses.part_size[world, part])
    first_vertex, first_face = parts.first_vertex[part], parts.first_face[part]
    placed = np.empty((vertices, 3))
    for i in range(vertices):
        unit, shift = shapes.vertex[unit_vertex + i], shapes.shift[unit_vertex + i]
        x, y, z = turn(rotation, unit[0] * scale[0], unit[1] * scale[1], unit[2] * scale[2] + shift * half_length)
        placed[i, 0], placed[i, 1], placed[i, 2] = x + position[0], y + position[1], z + position[2]
    geometry.vertex[world, first_vertex : first_vertex + vertices] = placed
    _bounding_sphere(placed, geometry.sphere[world, part])
    textured = paint.part_texture[world, part] >= 0
    texels_per_m = paint.texture_edge / paint.texture_size_m[world, part] if textured else 0.0
    for i in range(faces):
        first = shapes.face_corner[unit_face + i]
        corners = shapes.corner_vertex[first : shapes.face_corner[unit_face + i + 1]]
        _face_plane(placed, corners, geometry.plane[world, first_face + i])
        if textured:
            for axis in range(2):  # u runs right and v up, but texture rows run down
                factor = scale[shapes.uv_axis[unit_face + i, axis]]
                values = shapes.corner_uv[first : first + 3, axis] * factor  # (3,) metres
                if axis == 1:
                    values += half_length * shapes.shift[unit_vertex + corners[:3]]
                values *= texels_per_m if axis == 0 else -texels_per_m
                _face_gradient(
                    placed,
                    corners,
                    values,
                    geometry.plane[world, first_face + i],
                    geometry.uv[world, first_face + i, axis],
                )


@jit
def _bounding_sphere(points, out):
    """Around the middle of the bounding box; a little larger than need be, for rounding."""
    squared = 0.0
    for axis in range(3):
        out[axis] = (points[:, axis].min() + points[:, axis].max()) / 2
    for i in range(len(points)):
        x, y, z = points[i, 0] - out[0], points[i, 1] - out[1], points[i, 2] - out[2]
        squared = max(squared, x * x + y * y + z * z)
    out[3] = math.sqrt(squared) * 1.001 + 1e-4


@jit
def _face_plane(points, corners, out):
    """Outward unit normal and offset, by Newell's sum over the edges; all zero for a face without area."""
    out[:] = 0.0
    for i in range(len(corners)):
        a, b = points[corners[i]], points[corners[(i + 1) % len(corners)]]
        out[0] += (a[1] - b[1]) * (a[2] + b[2])
        out[1] += (a[2] - b[2]) * (a[0] + b[0])
        out[2] += (a[0] - b[0]) * (a[1] + b[1])
    length = math.sqrt(out[0] ** 2 + out[1] ** 2 + out[2] ** 2)
    if length < 1e-12:
        out[:] = 0.0
        return
    out /= length
    for corner in corners:
        out[3] += (out[0] * points[corner, 0] + out[1] * points[corner, 1] + out[2] * points[corner, 2]) / len(corners)


@jit
def _face_gradient(points, corners, values, plane, out):
    """Gradient and offset over space of a texture coordinate that has ``values`` at the first three corners."""
    a, b, c = points[corners[0]], points[corners[1]], points[corners[2]]
    toward_b, toward_c = np.cross(c - a, plane[:3]), np.cross(plane[:3], b - a)
    area = (toward_b * (b - a)).sum()
    out[:] = 0.0
    if abs(area) > 1e-15:
        gradient = (toward_b * (values[1] - values[0]) + toward_c * (values[2] - values[0])) / area
        out[:3] = gradient
        out[3] = values[0] - (gradient * a).sum()
