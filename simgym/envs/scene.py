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
    """A rigid group of parts. Bodies of the scene proper are fixed for an episode; objects and robot links move."""

    name: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Contact:
    """Two bodies, by name, between which an engine measures the force; a link stands for all that hangs on it too."""

    first: str
    second: str


@dataclass(frozen=True)
class Scene:
    """Fixed bodies first, then movable objects, then the robot's links (empty for a scene without a robot).

    A draw places the bodies and the objects; an engine then says where whatever moves is: objects and links.

    Args:
        bodies: bodies placed by the draw, fixed during an episode.
        links: the robot's links; an engine gives their poses.
        camera_link: index into ``links`` of the frame (x forward, z up) that carries the camera; -1 is the world.
        objects: free bodies; the draw says their shapes, masses and where they start, an engine how they move.
        contacts: between what the task needs to know the forces, among objects, links and colliding fixed bodies.
    """

    bodies: tuple[Body, ...]
    links: tuple[Body, ...] = ()
    camera_link: int = -1
    objects: tuple[Body, ...] = ()
    contacts: tuple[Contact, ...] = ()

    @property
    def num_fixed(self) -> int:
        """Number of fixed bodies; what moves has the body indices from here on."""
        return len(self.bodies)

    @property
    def num_placed(self) -> int:
        """Number of bodies that a draw places: fixed ones and objects; link ``i`` has body index ``num_placed + i``."""
        return len(self.bodies) + len(self.objects)

    @property
    def num_moving(self) -> int:
        """Number of bodies that move: objects and links."""
        return len(self.objects) + len(self.links)

    @property
    def camera_carrier(self) -> int:
        """Index of the camera's link among what moves; -1 is the world."""
        return -1 if self.camera_link < 0 else len(self.objects) + self.camera_link

    @cached_property
    def all_bodies(self) -> tuple[Body, ...]:
        """Every body, in the order of the body index."""
        return self.bodies + self.objects + self.links

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """Every part, in the order of the part index."""
        return tuple(part for body in self.all_bodies for part in body.parts)

    @cached_property
    def part_body(self) -> np.ndarray:
        """(P,) int32: the body index of each part."""
        return np.array([b for b, body in enumerate(self.all_bodies) for _ in body.parts], np.int32)

    @cached_property
    def part_shape(self) -> np.ndarray:
        """(P,) int32: the `Shape` of each part."""
        return np.array([part.shape for part in self.parts], np.int32)

    @cached_property
    def num_fixed_parts(self) -> int:
        """Number of parts of the fixed bodies; these come first."""
        return sum(len(body.parts) for body in self.bodies)

    @cached_property
    def num_placed_parts(self) -> int:
        """Number of parts of the fixed bodies and the objects; these come first."""
        return self.num_fixed_parts + sum(len(body.parts) for body in self.objects)

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
