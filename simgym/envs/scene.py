"""The scene: the fixed topology of a world, built once by a task and compiled once by engines and renderers.

A scene says *which* bodies and parts exist. *How* they look and where they stand in one episode is a draw
(`simgym.envs.draw`). Conventions: SI units, z up, quaternions ``wxyz``; a robot's x axis points forward (REP 103).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from pathlib import Path

import numpy as np

IDENTITY_QUAT = (1.0, 0.0, 0.0, 0.0)


class Shape(IntEnum):
    """Shapes of a part and what its ``size`` means, as in MuJoCo, in metres.

    BOX half extents (x, y, z) · CYLINDER and CAPSULE (radius, half length along z, unused) · SPHERE (radius, unused,
    unused) · PLANE a one-sided rectangle facing +z, half extents (x, y, unused) · MESH scale factors (x, y, z).
    """

    BOX = 0
    CYLINDER = 1
    SPHERE = 2
    CAPSULE = 3
    PLANE = 4
    MESH = 5


class Semantic(IntEnum):
    """Semantic classes: what a pixel of ``segmentation[..., 0]`` means."""

    VOID = 0
    FLOOR = 1
    WALL = 2
    CEILING = 3
    CHAIR = 4
    TABLE = 5
    CABINET = 6
    BOX = 7
    BIN = 8
    PLANT = 9
    CLUTTER = 10
    WALL_ITEM = 11
    ROBOT = 12
    OBJECT = 13


@dataclass(frozen=True)
class Part:
    """One shape of a body; the pose is in the body's frame, ``size`` as `Shape` says."""

    shape: Shape
    semantic: Semantic
    size: tuple[float, float, float] = (0.1, 0.1, 0.1)
    pos: tuple[float, float, float] = (0.0, 0.0, 0.0)
    quat: tuple[float, float, float, float] = IDENTITY_QUAT
    collides: bool = True
    mesh: Path | None = None


@dataclass(frozen=True)
class Body:
    """A rigid group of parts. Bodies of the scene proper are fixed for an episode; robot links move."""

    name: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Scene:
    """Fixed bodies first, then the robot's links (empty for a scene without a robot).

    Args:
        bodies: bodies placed by the draw, fixed during an episode.
        links: the robot's links; an engine gives their poses.
        camera_link: index into ``links`` of the frame (x forward, z up) that carries the camera; -1 is the world.
    """

    bodies: tuple[Body, ...]
    links: tuple[Body, ...] = ()
    camera_link: int = -1

    @property
    def num_fixed(self) -> int:
        """Number of fixed bodies; link ``i`` has body index ``num_fixed + i``."""
        return len(self.bodies)

    @cached_property
    def all_bodies(self) -> tuple[Body, ...]:
        """Every body, in the order of the body index."""
        return self.bodies + self.links

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """Every part, in the order of the part index."""
        return tuple(part for body in self.all_bodies for part in body.parts)

    @cached_property
    def part_body(self) -> np.ndarray:
        """(P,) int32: the body index of each part."""
        return np.array([b for b, body in enumerate(self.all_bodies) for _ in body.parts], np.int32)

    @cached_property
    def num_fixed_parts(self) -> int:
        """Number of parts of the fixed bodies; these come first."""
        return sum(len(body.parts) for body in self.bodies)

    def body_index(self, name: str) -> int:
        """The body index of ``name``; raises KeyError with the known names."""
        names = [body.name for body in self.all_bodies]
        if name not in names:
            raise KeyError(f"no body {name!r} in the scene; it has {', '.join(names)}")
        return names.index(name)

    def part_range(self, body: int) -> slice:
        """The part indices of body ``body``."""
        first = int(np.searchsorted(self.part_body, body))
        return slice(first, first + len(self.all_bodies[body].parts))
