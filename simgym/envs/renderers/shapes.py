"""Unit shapes made of convex flat faces, and small OBJ and STL readers for mesh parts.

A unit shape becomes a part by ``vertex * scale + (0, 0, shift * half_length)``, where `Shape` says what the part's size
means. Faces are convex polygons of any length rather than triangles: a box has 6 of them, a cylinder's lid is one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..scene import Part, Shape

X, Y, Z, ONE = 0, 1, 2, 3  # which scale factor turns a unit texture coordinate into metres


@dataclass
class UnitShape:
    """Vertices and convex faces; corners run counter-clockwise seen from outside."""

    vertices: np.ndarray  # (V, 3)
    shift: np.ndarray  # (V,) -1, 0 or 1: times the half length, along z
    faces: list[tuple[int, ...]]
    uvs: list[np.ndarray]  # one (corners, 2) a face: texture coordinates before scaling
    uv_axes: list[tuple[int, int]]  # one a face: the scale factors of u and v


class Shapes(NamedTuple):
    """Unit shapes one after another, as flat arrays for the kernels."""

    vertex: np.ndarray  # (V, 3) float64
    shift: np.ndarray  # (V,) float64
    face_corner: np.ndarray  # (F + 1,) int32: face f has corners face_corner[f] .. face_corner[f + 1] - 1
    corner_vertex: np.ndarray  # (C,) int32, counted from the first vertex of its shape
    corner_uv: np.ndarray  # (C, 2) float64
    uv_axis: np.ndarray  # (F, 2) int32


def pack(shapes: list[UnitShape]) -> tuple[Shapes, np.ndarray]:
    """Lay shapes one after another; also returns (S, 4) int32: first vertex, vertices, first face, faces of each."""
    faces = [face for shape in shapes for face in shape.faces]
    counts = np.array([(len(shape.vertices), len(shape.faces)) for shape in shapes], np.int32).reshape(-1, 2)
    first = np.cumsum(counts, axis=0, dtype=np.int32) - counts
    packed = Shapes(
        vertex=np.concatenate([s.vertices for s in shapes] or [np.zeros((0, 3))]).astype(float),
        shift=np.concatenate([s.shift for s in shapes] or [np.zeros(0)]).astype(float),
        face_corner=np.cumsum([0] + [len(face) for face in faces], dtype=np.int32),
        corner_vertex=np.array([v for face in faces for v in face], np.int32),
        corner_uv=np.concatenate([uv for s in shapes for uv in s.uvs] or [np.zeros((0, 2))]).astype(float),
        uv_axis=np.array([axes for s in shapes for axes in s.uv_axes], np.int32).reshape(-1, 2),
    )
    return packed, np.stack([first[:, 0], counts[:, 0], first[:, 1], counts[:, 1]], axis=1)


def unit_shape(part: Part, sides: int) -> UnitShape:
    """The unit shape of ``part``; curved shapes get ``sides`` flat sides around."""
    if part.shape == Shape.MESH:
        if part.mesh is None:
            raise ValueError("a MESH part needs its file: set Part.mesh to an .obj or .stl path")
        return load_mesh(Path(part.mesh))
    return {
        Shape.BOX: box,
        Shape.PLANE: plane,
        Shape.CYLINDER: lambda: cylinder(sides),
        Shape.SPHERE: lambda: sphere(sides),
        Shape.CAPSULE: lambda: capsule(sides),
    }[Shape(part.shape)]()


def box() -> UnitShape:
    """The cube from -1 to 1; textures lie upright on its sides, seen from outside."""
    vertices = np.array([(x, y, z) for z in (-1, 1) for y in (-1, 1) for x in (-1, 1)], float)
    sides = [  # corners, then u's axis and sign, then v's axis and sign
        ((1, 3, 7, 5), (Y, 1), (Z, 1)),
        ((2, 0, 4, 6), (Y, -1), (Z, 1)),
        ((3, 2, 6, 7), (X, -1), (Z, 1)),
        ((0, 1, 5, 4), (X, 1), (Z, 1)),
        ((4, 5, 7, 6), (X, 1), (Y, 1)),
        ((1, 0, 2, 3), (X, -1), (Y, 1)),
    ]
    faces: list[tuple[int, ...]] = []
    uvs, axes = [], []
    for face, (u, u_sign), (v, v_sign) in sides:
        faces.append(face)
        uvs.append(vertices[list(face)][:, [u, v]] * (u_sign, v_sign))
        axes.append((u, v))
    return UnitShape(vertices, np.zeros(8), faces, uvs, axes)


def plane() -> UnitShape:
    """The square from -1 to 1 at z = 0, facing +z only."""
    vertices = np.array([(-1, -1, 0), (1, -1, 0), (1, 1, 0), (-1, 1, 0)], float)
    return UnitShape(vertices, np.zeros(4), [(0, 1, 2, 3)], [vertices[:, :2]], [(X, Y)])


def cylinder(sides: int) -> UnitShape:
    """Radius 1, z from -1 to 1: flat sides around and two lids."""
    shape = _lathe([(1, -1, 0, -1), (1, 1, 0, 1)], sides)
    for lid in (range(sides - 1, -1, -1), range(sides, 2 * sides)):
        corners = list(lid)
        shape.faces.append(tuple(corners))
        shape.uvs.append(shape.vertices[corners, :2])
        shape.uv_axes.append((X, Y))
    return shape


def sphere(sides: int) -> UnitShape:
    """Radius 1, half as many rows as sides."""
    rows = max(2, sides // 2)
    latitudes = [math.pi * (i / rows - 0.5) for i in range(rows + 1)]
    return _lathe([(_cos(a), math.sin(a), 0, a) for a in latitudes], sides)


def capsule(sides: int) -> UnitShape:
    """Two half spheres of radius 1, which the half length pulls apart."""
    rows = max(1, sides // 4)
    latitudes = [math.pi / 2 * i / rows for i in range(rows + 1)]
    lower = [(_cos(a), -math.sin(a), -1, -a) for a in reversed(latitudes)]
    return _lathe(lower + [(_cos(a), math.sin(a), 1, a) for a in latitudes], sides)


def _cos(latitude: float) -> float:
    """Exactly zero at the poles, so that `_lathe` can tell them."""
    return 0.0 if abs(abs(latitude) - math.pi / 2) < 1e-9 else math.cos(latitude)


def _lathe(profile: Sequence[tuple[float, float, float, float]], sides: int) -> UnitShape:
    """Turn a profile of (radius, z, shift, v) rings, lowest first, about z; a ring of radius 0 is one vertex."""
    vertices: list[tuple[float, float, float]] = []
    shift: list[float] = []
    rings: list[list[int]] = []
    for radius, z, ring_shift, _ in profile:
        count = 1 if radius == 0 else sides
        angles = 2 * np.pi * np.arange(count) / count
        rings.append([len(vertices) + i % count for i in range(sides + 1)])
        vertices += [(radius * math.cos(a), radius * math.sin(a), z) for a in angles]
        shift += [ring_shift] * count
    faces, uvs = [], []
    for k in range(len(rings) - 1):
        low, high, below, above = rings[k], rings[k + 1], profile[k], profile[k + 1]
        for i in range(sides):
            middle, half = 2 * math.pi * (i + 0.5) / sides, math.pi / sides
            corners = [(low[i], -1, below), (low[i + 1], 1, below), (high[i + 1], 1, above), (high[i], -1, above)]
            # A triangle at a pole: the two corners that meet there count once.
            corners = [c for j, c in enumerate(corners) if c[0] != corners[j - 1][0]]
            faces.append(tuple(c[0] for c in corners))
            uvs.append(np.array([(middle + sign * half * ring[0], ring[3]) for _, sign, ring in corners]))
    return UnitShape(np.array(vertices), np.array(shift, float), faces, uvs, [(X, Z)] * len(faces))


@lru_cache(maxsize=64)
def load_mesh(path: Path) -> UnitShape:
    """Read an OBJ or STL file. Texture coordinates: an OBJ's own (one unit is one metre), else the plane x, y."""
    readers = {".obj": _read_obj, ".stl": _read_stl}
    if path.suffix.lower() not in readers:
        raise ValueError(f"{path}: cannot read a mesh of this kind; give an .obj or .stl file")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such mesh file")
    try:
        vertices, triangles, uvs = readers[path.suffix.lower()](path)
        if len(triangles) == 0:
            raise ValueError("it holds no triangles")
        if triangles.min() < 0 or triangles.max() >= len(vertices):
            raise ValueError("a face names a vertex that is not there")
        if not np.isfinite(vertices).all() or (uvs is not None and not np.isfinite(uvs).all()):
            raise ValueError("a coordinate is not a finite number")
    except (ValueError, IndexError) as error:
        raise ValueError(f"{path}: not a readable {path.suffix[1:].upper()} mesh: {error}") from error
    axes = (ONE, ONE)
    if uvs is None:
        axes, uvs = (X, Y), vertices[triangles][..., :2]  # (T, 3, 2)
    faces = [tuple(triangle) for triangle in triangles.tolist()]
    return UnitShape(vertices, np.zeros(len(vertices)), faces, list(uvs), [axes] * len(faces))


def _read_obj(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Vertices (V, 3), triangles (T, 3) and texture coordinates (T, 3, 2) or None; polygons become fans."""
    vertices, texture, triangles, texture_triangles = [], [], [], []
    for line in path.read_text(errors="replace").splitlines():
        word, *values = line.split("#")[0].split() or [""]
        if word == "v":
            vertices.append([float(x) for x in values[:3]])
        elif word == "vt":
            texture.append([float(x) for x in [*values, "0"][:2]])  # the second may be left out
        elif word == "f":
            corners = [(value + "//").split("/")[:2] for value in values]
            index = [_obj_index(c[0], len(vertices)) for c in corners]
            uv_index = [_obj_index(c[1], len(texture)) for c in corners] if all(c[1] for c in corners) else None
            for i in range(1, len(corners) - 1):
                triangles.append((index[0], index[i], index[i + 1]))
                texture_triangles.append(uv_index and (uv_index[0], uv_index[i], uv_index[i + 1]))
    has_uv = bool(texture) and all(texture_triangles)
    uvs = np.array(texture)[np.array(texture_triangles)] if has_uv else None
    return np.array(vertices, float).reshape(-1, 3), np.array(triangles, int).reshape(-1, 3), uvs


def _obj_index(word: str, count: int) -> int:
    """OBJ counts from 1, and negative numbers count back from the latest."""
    index = int(word)
    return index - 1 if index > 0 else count + index


def _read_stl(path: Path) -> tuple[np.ndarray, np.ndarray, None]:
    """Binary or ASCII; equal corners become one vertex."""
    data = path.read_bytes()
    count = int.from_bytes(data[80:84], "little")
    if len(data) >= 84 and len(data) == 84 + 50 * count:
        facets = np.frombuffer(data, [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("flags", "<u2")], count, 84)
        corners = facets["corners"].reshape(-1, 3).astype(float)
    elif data[:5] == b"solid":
        words = data.decode(errors="replace").split()
        corners = np.array([words[i + 1 : i + 4] for i, w in enumerate(words) if w == "vertex"], float).reshape(-1, 3)
    else:
        raise ValueError(f"{len(data)} bytes, where a binary STL of {count} triangles has {84 + 50 * count}")
    if len(corners) % 3:
        raise ValueError("the last triangle is not complete")
    vertices, index = np.unique(corners, axis=0, return_inverse=True)
    return vertices, index.reshape(-1, 3), None
