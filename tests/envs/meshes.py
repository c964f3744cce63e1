"""Meshes that tests write: closed, z up, faces counter-clockwise seen from outside; sizes in metres."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

Mesh = tuple[np.ndarray, np.ndarray]  # vertices (V, 3), triangles (T, 3)


def prism(outline: list[tuple[float, float]], height: float, bottom: float = 0.0) -> Mesh:
    """Of an outline (k, 2), counter-clockwise, that is seen as a whole from its first corner."""
    k = len(outline)
    vertices = np.array([(x, y, z) for z in (bottom, bottom + height) for x, y in outline])
    fan = [(0, i, i + 1) for i in range(1, k - 1)]
    lids = [(a, c, b) for a, b, c in fan] + [(k + a, k + b, k + c) for a, b, c in fan]
    sides = [face for i in range(k) for j in [(i + 1) % k] for face in ((i, j, k + j), (i, k + j, k + i))]
    return vertices, np.array(lids + sides)


def box(x: float, y: float, z: float) -> Mesh:
    """Centred on the z axis, with the given edges."""
    return prism([(-x / 2, -y / 2), (x / 2, -y / 2), (x / 2, y / 2), (-x / 2, y / 2)], z)


def angle_iron(long: float, thick: float, height: float) -> Mesh:
    """An L seen from above, not about the origin; its first corner is the inner one."""
    return prism([(thick, thick), (thick, long), (0, long), (0, 0), (long, 0), (long, thick)], height)


def lathe(profile: list[tuple[float, float]], sides: int = 24) -> Mesh:
    """A closed profile of (radius, z), turned about z; going along it, the inside is on the left."""
    k, angles = len(profile), 2 * np.pi * np.arange(sides) / sides
    vertices = np.array([(r * np.cos(a), r * np.sin(a), z) for a in angles for r, z in profile])
    faces = []
    for i in range(sides):
        for j in range(k):
            a, b, c, d = (
                i % sides * k + j,
                i * k + (j + 1) % k,
                (i + 1) % sides * k + (j + 1) % k,
                (i + 1) % sides * k + j,
            )
            faces += [(a, d, c), (a, c, b)]
    return vertices, np.array(faces)


def mug() -> Mesh:
    """A hollow cup without a handle: 6.4 cm across, 9 cm high."""
    return lathe([(1e-4, 0.0), (0.032, 0.0), (0.032, 0.09), (0.028, 0.09), (0.028, 0.005), (1e-4, 0.005)])


def write_obj(path: Path, mesh: Mesh) -> Path:
    """As an OBJ file."""
    vertices, triangles = mesh
    text = "".join(f"v {x:.9g} {y:.9g} {z:.9g}\n" for x, y, z in vertices)
    path.write_text(text + "".join(f"f {a} {b} {c}\n" for a, b, c in triangles + 1))
    return path


def write_stl(path: Path, mesh: Mesh, ascii_text: bool = False) -> Path:
    """As an STL file, binary or text."""
    corners = mesh[0][mesh[1]]  # (T, 3, 3)
    if ascii_text:
        facets = [
            "outer loop " + " ".join("vertex {:.9g} {:.9g} {:.9g}".format(*c) for c in face) + " endloop"
            for face in corners
        ]
        path.write_text(
            "solid s\n" + "".join(f"facet normal 0 0 0 {facet} endfacet\n" for facet in facets) + "endsolid\n"
        )
        return path
    rows = b"".join(struct.pack("<12fH", 0, 0, 0, *face.ravel(), 0) for face in corners)
    path.write_bytes(bytes(80) + struct.pack("<I", len(corners)) + rows)
    return path


def write_folder(folder: Path) -> Path:
    """A box, an L and a mug, one of each kind of file."""
    folder.mkdir(parents=True, exist_ok=True)
    write_obj(folder / "box.obj", box(0.04, 0.09, 0.07))
    write_stl(folder / "iron.stl", angle_iron(0.06, 0.02, 0.05))
    write_stl(folder / "mug.STL", mug(), ascii_text=True)
    return folder
