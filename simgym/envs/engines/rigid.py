"""A robot as its rigid bodies: links that fixed joints hold together are one, with one mass and one inertia.

Bullet steps few bodies faster than many, and knows no links without a mass.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass, replace

import numpy as np

from ..arm import Arm
from ..hull import convex_hull
from ..quaternion import conjugate, from_matrix, from_rpy, multiply, rotate, to_matrix
from ..robot import Robot, RobotError, read_origin, read_part, read_vector
from ..scene import Body, Part, Shape

Pose = tuple[np.ndarray, np.ndarray]  # position (3,) and quaternion (4,)
HERE: Pose = (np.zeros(3), np.array([1.0, 0.0, 0.0, 0.0]))
JOINTS = ("fixed", "continuous")
ARM_JOINTS = ("fixed", "revolute", "prismatic")


@dataclass(frozen=True)
class Inertia:
    """Mass in kg, centre of mass (3,) and inertia (3, 3) about it, in the axes of some frame."""

    mass: float
    com: np.ndarray
    tensor: np.ndarray

    def moved(self, pose: Pose) -> Inertia:
        """The same in the frame in which this one's has ``pose``."""
        rotation = to_matrix(pose[1])
        return Inertia(self.mass, pose[0] + rotate(pose[1], self.com), rotation @ self.tensor @ rotation.T)

    def plus(self, other: Inertia) -> Inertia:
        """Both as one body; in one frame."""
        mass = self.mass + other.mass
        com = (self.mass * self.com + other.mass * other.com) / max(mass, 1e-12)
        return Inertia(mass, com, self._about(com) + other._about(com))

    def _about(self, point: np.ndarray) -> np.ndarray:
        """The inertia about a point (3,), by Steiner's theorem."""
        d = self.com - point
        return self.tensor + self.mass * (d @ d * np.eye(3) - np.outer(d, d))

    def principal(self) -> tuple[np.ndarray, np.ndarray]:
        """Principal moments (3,) and the quaternion (4,) of their axes: the frame's own where they are principal."""
        if not np.any(self.tensor - np.diag(np.diag(self.tensor))):
            return np.diag(self.tensor).copy(), HERE[1]
        moments, axes = np.linalg.eigh(self.tensor)
        axes[:, 2] *= np.sign(np.linalg.det(axes))
        return moments, from_matrix(axes)


NO_MASS = Inertia(0.0, np.zeros(3), np.zeros((3, 3)))


def solid_inertia(
    kinds: list[Shape], size: np.ndarray, pos: np.ndarray, quat: np.ndarray, used: np.ndarray, mass_kg: float
) -> Inertia:
    """Of a body whose mass is spread evenly over the volume of its parts.

    Args:
        kinds: boxes, cylinders and spheres.
        size: (k, 3) as `Shape` says.
        pos: (k, 3) in the body's frame.
        quat: (k, 4) in the body's frame.
        used: (k,) bool, which parts there are.
        mass_kg: of all together.
    """
    pos, kinds = pos[used], [kind for kind, there in zip(kinds, used, strict=True) if there]
    extents = np.array([_extents(kind, part) for kind, part in zip(kinds, size[used], strict=True)])  # (k, 4)
    mass = mass_kg * extents[:, 0] / extents[:, 0].sum()  # (k,)
    com = mass @ pos / mass_kg
    axes = rotate(quat[used][:, None], np.eye(3))  # (k, 3, 3), each row an axis
    away = pos - com
    tensors = axes.transpose(0, 2, 1) @ (extents[:, 1:, None] * axes)
    tensors += (away * away).sum(1)[:, None, None] * np.eye(3) - away[:, :, None] * away[:, None, :]
    return Inertia(float(mass_kg), com, np.tensordot(mass, tensors, 1))


def object_inertia(
    body: Body, size: np.ndarray, pos: np.ndarray, quat: np.ndarray, used: np.ndarray, mass_kg: float
) -> Inertia:
    """`solid_inertia` of an object's parts, which may be one mesh instead: then the hull that it collides as."""
    meshes = [i for i in np.flatnonzero(used) if body.parts[i].mesh is not None]
    if not meshes:
        return solid_inertia([part.shape for part in body.parts], size, pos, quat, used, mass_kg)
    (part,) = meshes
    mesh, scale = body.parts[part].mesh, float(size[part, 0])
    assert mesh is not None and (size[part] == scale).all()
    volume, com, tensor = convex_hull(mesh).solid
    hull = Inertia(mass_kg, scale * com, scale**2 * mass_kg / volume * tensor)
    return hull.moved((pos[part], quat[part]))


def _extents(kind: Shape, size: np.ndarray) -> tuple[float, float, float, float]:
    """Volume, and the principal moments of inertia for a mass of 1."""
    x, y, z = size.tolist()
    if kind == Shape.BOX:
        return 8 * x * y * z, (y * y + z * z) / 3, (x * x + z * z) / 3, (x * x + y * y) / 3
    if kind == Shape.CYLINDER:
        across = x * x / 4 + y * y / 3
        return 2 * np.pi * x * x * y, across, across, x * x / 2
    return 4 / 3 * np.pi * x**3, 0.4 * x * x, 0.4 * x * x, 0.4 * x * x


@dataclass(frozen=True)
class Rigid:
    """One rigid body, in the frame of its first link.

    Args:
        joint: the name of the joint that carries it; empty for the root.
        slides: whether that joint slides, instead of turning.
        parent: the index of the body that carries the joint; -1 for the root.
        pose: of the frame at joint angle zero, in the parent's frame.
        axis: (3,) of the joint.
        damping_nm_s: of the joint, torque per rad/s.
        inertia: of all its links together.
        shapes: the collision shapes; poses in the frame.
        links: the indices of its links in `Robot.links`, with their poses in the frame.
    """

    joint: str
    slides: bool
    parent: int
    pose: Pose
    axis: np.ndarray
    damping_nm_s: float
    inertia: Inertia
    shapes: tuple[Part, ...]
    links: tuple[tuple[int, Pose], ...]


def rigid_bodies(robot: Robot | Arm, kinds: tuple[str, ...] = JOINTS) -> list[Rigid]:
    """The rigid bodies of a robot, parents first; its joints may be of ``kinds``.

    Raises RobotError naming what cannot be had.
    """
    root = robot.root()
    links = {link.attrib["name"]: link for link in root.findall("link")}
    joints = {_other(joint, "child"): joint for joint in root.findall("joint")}
    bodies: list[Rigid] = []
    at: dict[str, tuple[int, Pose]] = {}  # by link: its body, and its pose in the body's frame
    waiting = [link.name for link in robot.links]
    while waiting:
        name = next(name for name in waiting if name not in joints or _other(joints[name], "parent") in at)
        waiting.remove(name)
        joint = joints.get(name)
        body, carrier = (-1, HERE) if joint is None else at[_other(joint, "parent")]
        pose = carrier if joint is None else combined(carrier, _pose(joint))
        if joint is None or _kind(joint, robot, kinds) != "fixed":
            bodies.append(_new_body(joint, body, pose, robot))
            body, pose = len(bodies) - 1, HERE
        index = [link.name for link in robot.links].index(name)
        bodies[body] = _with_link(bodies[body], index, links[name], pose, robot)
        at[name] = body, pose
    for rigid in bodies:
        if not rigid.inertia.mass > 0 or not (rigid.inertia.principal()[0] > 0).all():
            name = robot.links[rigid.links[0][0]].name
            raise RobotError(
                f"{robot.urdf}: the moving link {name!r} needs an <inertial> with mass and inertia above 0"
            )
    return bodies


def combined(first: Pose, second: Pose) -> Pose:
    """The pose ``second``, which is in the frame of ``first``, in the frame that ``first`` is in."""
    return first[0] + rotate(first[1], second[0]), multiply(first[1], second[1])


def inverse(pose: Pose) -> Pose:
    """The pose of the outer frame in the inner one."""
    back = conjugate(pose[1])
    return -rotate(back, pose[0]), back


def _other(joint: ET.Element, tag: str) -> str:
    element = joint.find(tag)
    return "" if element is None else element.attrib["link"]


def _pose(element: ET.Element) -> Pose:
    """The <origin> of an element."""
    pos, rpy = read_origin(element)
    return np.array(pos), np.array(from_rpy(rpy))


def _kind(joint: ET.Element, robot: Robot | Arm, kinds: tuple[str, ...]) -> str:
    kind = joint.get("type", "")
    if kind not in kinds:
        raise RobotError(
            f"{robot.urdf}: joint {joint.get('name')!r} is of type {kind!r}; "
            f"domain.engine=bullet has {' and '.join(kinds)} ones: change it, or take domain.engine=mujoco"
        )
    return kind


def _new_body(joint: ET.Element | None, parent: int, pose: Pose, robot: Robot | Arm) -> Rigid:
    if joint is None:
        return Rigid("", False, parent, pose, np.zeros(3), 0.0, NO_MASS, (), ())
    axis, dynamics = joint.find("axis"), joint.find("dynamics")
    direction = np.array(read_vector(None if axis is None else axis.get("xyz"), (1.0, 0.0, 0.0)))
    damping, friction = (
        float("0" if dynamics is None else dynamics.get(name, "0")) for name in ("damping", "friction")
    )
    if friction:
        raise RobotError(
            f"{robot.urdf}: joint {joint.get('name')!r} has dry friction, which domain.engine=bullet does not know; "
            "give it damping instead, or take domain.engine=mujoco"
        )
    axis_unit, slides = direction / np.linalg.norm(direction), joint.get("type") == "prismatic"
    return Rigid(joint.attrib["name"], slides, parent, pose, axis_unit, damping, NO_MASS, (), ())


def _with_link(body: Rigid, index: int, link: ET.Element, pose: Pose, robot: Robot | Arm) -> Rigid:
    """The body with one more link, whose pose is in the body's frame."""
    shapes = []
    for collision in link.findall("collision"):
        part = read_part(collision, robot.urdf)
        pos, quat = combined(pose, (np.array(part.pos), np.array(part.quat)))
        shapes.append(replace(part, pos=tuple(pos), quat=tuple(quat)))
    inertia = body.inertia.plus(_inertia(link, robot).moved(pose))
    return replace(body, inertia=inertia, shapes=(*body.shapes, *shapes), links=(*body.links, (index, pose)))


def _inertia(link: ET.Element, robot: Robot | Arm) -> Inertia:
    """The <inertial> of a link, in the link's frame."""
    inertial = link.find("inertial")
    if inertial is None:
        if link.find("collision") is not None:
            raise RobotError(
                f"{robot.urdf}: the link {link.get('name')!r} has a <collision> and so needs an <inertial>"
            )
        return NO_MASS
    mass, inertia = inertial.find("mass"), inertial.find("inertia")
    if mass is None or inertia is None:
        raise RobotError(f"{robot.urdf}: the <inertial> of {link.get('name')!r} lacks its <mass> or its <inertia>")
    xx, xy, xz, yy, yz, zz = (float(inertia.get(f"i{name}", "0")) for name in ("xx", "xy", "xz", "yy", "yz", "zz"))
    tensor = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    return Inertia(float(mass.attrib["value"]), np.zeros(3), tensor).moved(_pose(inertial))
