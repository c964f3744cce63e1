"""A user's meshes as things to grasp: read from a folder, checked, and with grasps found from their hulls.

A file stands as it is: z up, its lowest point on the table. A thing is drawn as its mesh and collides as its hull.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simgym.errors import UsageError, UserError

from ...hull import Hull, convex_hull
from ...renderers.shapes import UnitShape, load_mesh
from ...scene import Part, Semantic, Shape
from .objects import LOWEST_M, MAX_GRASPS, PALM_M, Grasp, Thing

KINDS = (".obj", ".stl")
MAX_TRIANGLES = 100_000  # of all together: each of five slots holds every mesh, in every world
MIN_HEIGHT_M, MAX_HEIGHT_M, MAX_RADIUS_M = 0.014, 0.2, 0.12  # of what the hand gets at, and what the table has room for
WIDTHS_M = (0.004, 0.07)  # between the fingers, which open 8 cm
TIP_M, PAD_M = 0.011, 0.01  # the finger tips are so far below the grasp point, and hold at least so far above it
STEEPEST = 0.35  # how much sides may lean, as a slope: fingers slip off what leans more
NEAR_M = 0.0015  # of an end: what the finger touches there
MEET_M = 0.003  # how far apart, along the fingers, two touches may be and still press on each other
DIRECTIONS = 60  # in half a turn
STANDS_M = 0.002  # of the lowest point: what a thing stands on


@dataclass(frozen=True)
class MeshThing:
    """What a slot needs to hold a mesh."""

    part: Part
    thing: Thing


def read_meshes(folder: str, unit_m: float) -> tuple[MeshThing, ...]:
    """The OBJ and STL files of a folder, by name.

    Raises UsageError without such files, UserError naming the first file that no hand can take from a table, and why.
    """
    root = Path(folder)
    if not root.is_dir():
        raise UsageError(f"env.layout.meshes={folder}: no such folder; expected one with .obj or .stl files")
    files = sorted(path for path in root.iterdir() if path.suffix.lower() in KINDS)
    if not files:
        raise UsageError(f"env.layout.meshes={folder}: the folder has no .obj or .stl files")
    shapes = [_load(path) for path in files]
    triangles = sum(len(shape.faces) for shape in shapes)
    if triangles > MAX_TRIANGLES:
        raise UserError(
            f"env.layout.meshes={folder}: {triangles} triangles in {len(files)} files, and at most {MAX_TRIANGLES} can "
            "be drawn fast: simplify the meshes, or take fewer"
        )
    return tuple(_read(path, shape, unit_m) for path, shape in zip(files, shapes, strict=True))


def _load(path: Path) -> UnitShape:
    try:
        return load_mesh(path)
    except (ValueError, OSError) as error:
        raise UserError(f"{error}; expected a mesh, in env.layout.meshes") from error


def _read(path: Path, shape: UnitShape, unit_m: float) -> MeshThing:
    try:
        hull = convex_hull(path)
    except ValueError as error:
        raise UserError(f"{error}; remove it from env.layout.meshes") from error
    corner = shape.vertices[np.array(shape.faces)] - hull.vertices.mean(0)  # (T, 3, 3)
    if np.linalg.det(corner).sum() < 0:
        raise UserError(f"{path}: the faces look inwards: flip the mesh's normals")
    low, high = hull.vertices.min(0), hull.vertices.max(0)
    origin = np.array([*(low + high)[:2] / 2, low[2]])
    points = Hull(unit_m * (hull.vertices - origin), hull.triangles)
    size = unit_m * (high - low)
    half_x, half_y = float(size[0]) / 2, float(size[1]) / 2
    thing = Thing(path.name, (half_x, half_y), float(size[2]), _checked_grasps(path, points, size))
    at = (-unit_m * origin).tolist()
    return MeshThing(Part(Shape.MESH, Semantic.OBJECT, (unit_m,) * 3, (at[0], at[1], at[2]), mesh=path), thing)


def _checked_grasps(path: Path, hull: Hull, size: np.ndarray) -> tuple[Grasp, ...]:
    """Raises UserError where there are none, or where it would not stand."""
    about = f"{path}: {' x '.join(f'{100 * side:.3g}' for side in size)} cm"
    mend = "check env.layout.mesh_unit_m (0.001 for files in millimetres)"
    if size[2] < MIN_HEIGHT_M or size[:2].max() < WIDTHS_M[0]:
        raise UserError(
            f"{about} is too small for the gripper; expected at least {100 * MIN_HEIGHT_M:g} cm high and "
            f"{100 * WIDTHS_M[0]:g} cm across: {mend}"
        )
    if size[2] > MAX_HEIGHT_M or np.hypot(*size[:2]) / 2 > MAX_RADIUS_M:
        raise UserError(
            f"{about} is too large for the gripper; expected at most {100 * MAX_HEIGHT_M:g} cm high and "
            f"{200 * MAX_RADIUS_M:g} cm across: {mend}"
        )
    if not _stands(hull):
        raise UserError(f"{about} would fall over as it stands in the file: turn it so that it rests, z up")
    grasps, narrowest = find_grasps(hull)
    if not grasps and not WIDTHS_M[0] <= narrowest <= WIDTHS_M[1]:
        word = "large" if narrowest > WIDTHS_M[1] else "small"
        raise UserError(
            f"{about} is too {word} for the gripper: it is {100 * narrowest:.3g} cm across where the hand gets at it, "
            f"expected {100 * WIDTHS_M[0]:g} to {100 * WIDTHS_M[1]:g} cm: {mend}"
        )
    if not grasps:
        raise UserError(f"{about} has no two opposite upright sides that fingers can hold: remove it")
    return grasps


def _stands(hull: Hull) -> bool:
    """Whether the centre of mass is above what it stands on."""
    ground = hull.vertices[hull.vertices[:, 2] < hull.vertices[:, 2].min() + STANDS_M, :2]
    angles = np.linspace(0, 2 * np.pi, 2 * DIRECTIONS, endpoint=False)
    ways = np.stack([np.cos(angles), np.sin(angles)])  # (2, D)
    return bool(((ground @ ways).max(0) > hull.solid[1][:2] @ ways).all())


def find_grasps(hull: Hull) -> tuple[tuple[Grasp, ...], float]:
    """Where two fingers from above can hold a hull that stands at z = 0, and how narrow it is there in metres.

    Fingers press on each other through the thing (Nguyen 1988, antipodal grasps): of the directions in which they can
    close, those in which the hull is no wider than in both beside it, and in which both ends meet. As low as the palm
    allows, or higher where the thing is too wide or leans too much there.
    """
    top, com = float(hull.vertices[:, 2].max()), hull.solid[1]
    narrowest = np.inf
    for z in np.linspace(max(LOWEST_M, top - PALM_M), max(LOWEST_M, top - TIP_M), 4):
        grasps, width = _grasps_at(hull, float(z), com)
        narrowest = min(narrowest, width)
        if grasps:
            return grasps, width
    return (), narrowest


def _grasps_at(hull: Hull, z: float, com: np.ndarray) -> tuple[tuple[Grasp, ...], float]:
    """The same for grasps at one height."""
    yaws = np.pi * np.arange(DIRECTIONS) / DIRECTIONS
    closing, along = np.stack([-np.sin(yaws), np.cos(yaws)]), np.stack([np.cos(yaws), np.sin(yaws)])  # (2, D)
    low, high = _above(hull, z - TIP_M), _above(hull, z + PAD_M)  # (., 2)
    across = low @ closing  # (., D)
    widths = np.ptp(across, axis=0)
    leans = (widths - np.ptp(high @ closing, axis=0)) / 2 / (TIP_M + PAD_M)
    fits = (widths >= WIDTHS_M[0]) & (widths <= WIDTHS_M[1]) & (leans < STEEPEST)
    fits &= (widths <= np.roll(widths, 1) + 1e-6) & (widths <= np.roll(widths, -1) + 1e-6)
    found = []
    for d in np.flatnonzero(fits):
        ends = across[:, d].min(), across[:, d].max()
        touched = [(low @ along[:, d])[np.abs(across[:, d] - end) < NEAR_M] for end in ends]
        first, last = max(side.min() for side in touched), min(side.max() for side in touched)
        if first > last + MEET_M:
            continue
        at = np.clip(com[:2] @ along[:, d], min(first, last), max(first, last))
        x, y = at * along[:, d] + sum(ends) / 2 * closing[:, d]
        found.append((float(x), float(y), z, float(yaws[d])))
    spread = np.unique(np.linspace(0, len(found) - 1, min(len(found), MAX_GRASPS)).round().astype(int))
    return tuple(found[i] for i in spread), float(widths.min())


def _above(hull: Hull, z: float) -> np.ndarray:
    """(., 2) points whose hull is what a hull covers, seen from above, beyond a height; its top where that is none."""
    z = min(z, float(hull.vertices[:, 2].max()) - 1e-6)
    edges = hull.vertices[hull.triangles[:, [[0, 1], [1, 2], [2, 0]]]].reshape(-1, 2, 3)
    below, above = edges[:, 0], edges[:, 1]
    crosses = (below[:, 2] < z) & (above[:, 2] >= z)
    share = (z - below[crosses, 2:]) / (above[crosses, 2:] - below[crosses, 2:])
    cut = below[crosses, :2] + share * (above[crosses, :2] - below[crosses, :2])
    return np.concatenate([hull.vertices[hull.vertices[:, 2] >= z, :2], cut])
