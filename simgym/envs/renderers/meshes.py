"""Parts as triangle meshes with metric texture coordinates, for renderers that take meshes."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from ..quaternion import to_matrix
from ..scene import Part, Shape
from .shapes import UnitShape, unit_shape


@dataclass
class Mesh:
    """Triangles, counter-clockwise seen from outside; each face has texture coordinates of its own."""

    vertex: np.ndarray  # (V, 3) metres
    uv: np.ndarray  # (C, 2) texture coordinates, u to the right and v up, one repeat long; none is negative
    corners: np.ndarray  # (T, 3, 2) of each triangle: vertex and uv indices

    def obj(self, scale: float, has_texture: bool) -> str:
        """The text of an OBJ file; a face without normals is flat."""
        text = "v %.6f %.6f %.6f\n" * len(self.vertex) % tuple((scale * self.vertex).ravel().tolist())
        if has_texture:
            text += "vt %.6f %.6f\n" * len(self.uv) % tuple(self.uv.ravel().tolist())
        return text + _faces(self.corners.tobytes(), has_texture)


@functools.lru_cache(maxsize=64)
def _faces(corners: bytes, has_texture: bool) -> str:
    """The faces of an OBJ file, which counts from 1."""
    corner = np.frombuffer(corners, np.int64).reshape(-1, 3, 2) + 1
    if has_texture:
        return "f %d/%d %d/%d %d/%d\n" * len(corner) % tuple(corner.ravel().tolist())
    return "f %d %d %d\n" * len(corner) % tuple(corner[..., 0].ravel().tolist())


class UnitMesh:
    """The mesh of a part's shape before its size and pose are known."""

    def __init__(self, part: Part, sides: int) -> None:
        shape: UnitShape = unit_shape(part, sides)
        counts = [len(face) for face in shape.faces]
        first = np.cumsum([0, *counts])
        self._kind = part.shape
        self._vertex, self._shift = shape.vertices.astype(float), shape.shift.astype(float)
        vertex = np.concatenate(shape.faces)  # (C,) of each corner of a face
        self._uv, self._uv_shift = np.concatenate(shape.uvs).astype(float), self._shift[vertex]
        self._uv_axis = np.repeat(shape.uv_axes, counts, axis=0)  # (C, 2)
        self._face, self._first = np.repeat(np.arange(len(counts)), counts), first[:-1]
        fans = [(k, k + i, k + i + 1) for k, n in zip(self._first, counts, strict=True) for i in range(1, n - 1)]
        triangle = np.array(fans)
        self._corners = np.stack([vertex[triangle], triangle], axis=-1).astype(np.int64)

    def placed(self, size: np.ndarray, pos: np.ndarray, quat: np.ndarray, texture_size_m: float) -> Mesh:
        """The mesh of a part of ``size`` (3,), as `Shape` says, at position (3,) and quaternion (4,)."""
        scale, half_length = _scale(self._kind, size)
        vertex = self._vertex * scale[:3]
        vertex[:, 2] += self._shift * half_length
        uv = self._uv * scale[self._uv_axis]
        uv[:, 1] += self._uv_shift * half_length
        uv /= texture_size_m
        uv -= np.floor(np.minimum.reduceat(uv, self._first))[self._face]
        return Mesh(pos + vertex @ to_matrix(quat).T, uv, self._corners)


def joined(meshes: list[Mesh]) -> Mesh:
    """All of them as one."""
    if len(meshes) == 1:
        return meshes[0]
    first = np.cumsum([(0, 0), *((len(mesh.vertex), len(mesh.uv)) for mesh in meshes)], axis=0)
    return Mesh(
        np.concatenate([mesh.vertex for mesh in meshes]),
        np.concatenate([mesh.uv for mesh in meshes]),
        np.concatenate([mesh.corners + start for mesh, start in zip(meshes, first, strict=False)]),
    )


def _scale(kind: Shape, size: np.ndarray) -> tuple[np.ndarray, float]:
    """Scale factors along x, y, z, and 1 for texture coordinates that are metres already; half length of a capsule."""
    x, y, z = size
    if kind == Shape.CYLINDER:
        return np.array([x, x, y, 1.0]), 0.0
    if kind in (Shape.SPHERE, Shape.CAPSULE):
        return np.array([x, x, x, 1.0]), float(y) if kind == Shape.CAPSULE else 0.0
    return np.array([x, y, z, 1.0]), 0.0
