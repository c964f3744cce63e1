"""Convex hulls of mesh files: what a mesh collides as, in every engine. MuJoCo's compiler finds them (by Qhull)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import mujoco
import numpy as np

from .renderers.shapes import load_mesh

MAX_VERTICES = 128  # of a hull: more cost time; a finely meshed ball loses 2 % of its radius by it
FLAT = 1e-3  # of a mesh's largest extent: what is thinner has no hull


@dataclass(frozen=True, eq=False)
class Hull:
    """A closed convex mesh; triangles run counter-clockwise seen from outside."""

    vertices: np.ndarray  # (V, 3)
    triangles: np.ndarray  # (T, 3) vertex indices

    @cached_property
    def solid(self) -> tuple[float, np.ndarray, np.ndarray]:
        """Volume, centre of mass (3,) and inertia (3, 3) about it for density 1.

        Sums over the tetrahedra between a point and the faces (Tonon 2004, "Explicit exact formulas for the 3-D
        tetrahedron inertia tensor").
        """
        origin = self.vertices.mean(0)
        corner = self.vertices[self.triangles] - origin  # (T, 3, 3)
        six_volumes = np.linalg.det(corner)  # (T,)
        volume, total = six_volumes.sum() / 6, corner.sum(1)
        com = six_volumes @ total / (24 * volume)
        second = np.einsum("t,tij,tik->jk", six_volumes, corner, corner) + (total * six_volumes[:, None]).T @ total
        second = second / 120 - volume * np.outer(com, com)
        return float(volume), origin + com, np.trace(second) * np.eye(3) - second

    def obj(self) -> str:
        """The text of an OBJ file."""
        vertices = "v %.9g %.9g %.9g\n" * len(self.vertices) % tuple(self.vertices.ravel().tolist())
        return vertices + "f %d %d %d\n" * len(self.triangles) % tuple((self.triangles + 1).ravel().tolist())


@lru_cache(maxsize=256)
def convex_hull(path: Path) -> Hull:
    """The hull of an OBJ or STL file, in the file's units.

    Raises ValueError naming the file where it is no mesh, or flat; FileNotFoundError where it is not there.
    """
    points = np.unique(load_mesh(path).vertices, axis=0)
    extent = np.linalg.svd(points - points.mean(0), compute_uv=False) / np.sqrt(len(points))
    if len(points) < 4 or not extent[2] > FLAT * extent[0]:
        raise ValueError(f"{path}: the mesh is flat: it has no volume to collide with")
    # Qhull's own tolerances are for things of about 1.
    scale = float(np.ptp(points, axis=0).max())
    spec = mujoco.MjSpec()
    spec.add_mesh(name="hull", uservert=(points / scale).ravel(), maxhullvert=MAX_VERTICES)
    spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname="hull")
    try:
        graph = spec.compile().mesh_graph
    except ValueError as error:
        raise ValueError(f"{path}: the mesh has no convex hull: {' '.join(str(error).split())}") from error
    num_vertices, num_triangles = graph[:2]
    used = np.sort(graph[2 + num_vertices :][:num_vertices])  # of the given vertices
    triangles = graph[2 + 3 * num_vertices + 3 * num_triangles :][: 3 * num_triangles].reshape(-1, 3)
    return Hull(points[used], np.searchsorted(used, triangles))
