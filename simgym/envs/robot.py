"""A robot, read from its URDF: links to draw, joints to drive, the frame that carries the camera."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simgym.errors import UserError

from .hull import convex_hull
from .quaternion import from_rpy, rotate
from .renderers.shapes import load_mesh
from .scene import IDENTITY_QUAT, Body, Part, Semantic, Shape

ASSETS = Path(__file__).parent / "assets"
WHEEL_TORQUE_NM = 1.5  # of a motor whose joint states no <limit effort="...">
Vector = tuple[float, float, float]
Frame = list[tuple[np.ndarray, np.ndarray]]  # offset (3,) and quaternion (4,) of each joint from a link up to the root
Above = dict[
    str, tuple[str, tuple[np.ndarray, np.ndarray]]
]  # by link: its parent, and the joint's offset and quaternion


class RobotError(UserError):
    """A robot description that cannot be used."""


@dataclass(frozen=True)
class DifferentialDrive:
    """Geometry of two driven wheels: from body velocity to wheel velocity."""

    joints: tuple[str, str]  # left, right
    wheel_radius_m: float
    wheel_separation_m: float
    wheel_torque_nm: float = WHEEL_TORQUE_NM  # the most that each motor gives

    def wheel_velocity(self, command: np.ndarray) -> np.ndarray:
        """(n, 2) forward m/s and yaw rate rad/s -> (n, 2) left and right wheel rad/s."""
        forward, turn = command[:, 0], command[:, 1] * self.wheel_separation_m / 2
        return np.stack([forward - turn, forward + turn], axis=1) / self.wheel_radius_m


@dataclass(frozen=True)
class Robot:
    """What the simulator needs to know of a robot beyond its URDF text."""

    urdf: Path
    links: tuple[Body, ...]  # the root first, then in the order of the file
    camera_link: int
    drive: DifferentialDrive
    radius_m: float  # of the circle around the root that holds every collision shape
    height_m: float
    camera_height_m: float  # of the camera link above the floor

    def root(self) -> ET.Element:
        """The URDF, parsed."""
        return ET.parse(self.urdf).getroot()


def load_robot(name_or_path: str) -> Robot:
    """Read a shipped robot by name (``rover``) or any differential-drive URDF by path.

    The URDF must have the joints ``left_wheel_joint`` and ``right_wheel_joint`` with cylindrical wheels and a link
    ``camera_link`` (x forward, z up), and its root must lie on the floor. Raises RobotError where it does not.
    """
    path = Path(name_or_path) if name_or_path.endswith(".urdf") else ASSETS / f"{name_or_path}.urdf"
    if not path.is_file():
        shipped = ", ".join(sorted(p.stem for p in ASSETS.glob("*.urdf")))
        raise RobotError(f"no robot {name_or_path!r}: give a .urdf file that exists, or one of: {shipped}")
    try:
        root = ET.parse(path).getroot()
    except ET.ParseError as error:
        raise RobotError(f"{path} is not well-formed XML: {error}") from error
    try:
        return _read(path, root)
    except (KeyError, ValueError) as error:
        raise RobotError(f"{path}: an element lacks {error} or has a wrong number there") from error


def _read(path: Path, root: ET.Element) -> Robot:
    above = _joints_above(root, path)
    links = _root_first(root.findall("link"), above, path)
    bodies = tuple(_link_body(link, path) for link in links)
    names = [body.name for body in bodies]
    if "camera_link" not in names:
        raise RobotError(f"{path} has no link 'camera_link' (x forward, z up) to carry the camera")
    frames = _frames_at_rest(above, names, path)
    radius, height = _extent(links, frames, path)
    drive = _drive(root, links, frames, path)
    camera_height = float(_to_root(frames["camera_link"], np.zeros(3))[2])
    return Robot(path, bodies, names.index("camera_link"), drive, radius, height, camera_height)


def _root_first(links: list[ET.Element], above: Above, path: Path) -> list[ET.Element]:
    """The links, the one that hangs on no joint first."""
    names = [link.attrib["name"] for link in links]
    unknown = sorted(set(above) - set(names))
    if unknown:
        raise RobotError(f"{path}: joints carry links that are not there: {', '.join(unknown)}")
    roots = [name for name in names if name not in above]
    if len(roots) > 1:
        raise RobotError(f"{path}: the links {', '.join(roots)} hang on no joint; a robot has one root")
    return sorted(links, key=lambda link: link.attrib["name"] in above)


def read_vector(text: str | None, default: Vector = (0.0, 0.0, 0.0)) -> Vector:
    """Three numbers with spaces between them, or ``default`` for None."""
    if text is None:
        return default
    x, y, z = (float(value) for value in text.split())
    return x, y, z


def read_origin(element: ET.Element) -> tuple[Vector, Vector]:
    """The <origin> of an element as position and rpy."""
    origin = element.find("origin")
    if origin is None:
        return (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)
    return read_vector(origin.get("xyz")), read_vector(origin.get("rpy"))


def read_part(visual: ET.Element, path: Path) -> Part:
    """A <visual> or <collision> as a part."""
    pos, rpy = read_origin(visual)
    geometry = visual.find("geometry")
    shape = None if geometry is None else next(iter(geometry), None)
    if shape is None:
        raise RobotError(f"{path}: a <{visual.tag}> has no geometry")
    quat = from_rpy(rpy) if any(rpy) else IDENTITY_QUAT
    kind, size, mesh = _shape(shape, path, collides=visual.tag == "collision")
    return Part(kind, Semantic.ROBOT, size, pos, quat, mesh=mesh)


def _shape(shape: ET.Element, path: Path, collides: bool) -> tuple[Shape, tuple[float, float, float], Path | None]:
    try:
        if shape.tag == "box":
            x, y, z = read_vector(shape.attrib["size"])
            return Shape.BOX, (x / 2, y / 2, z / 2), None
        if shape.tag == "cylinder":
            return Shape.CYLINDER, (float(shape.attrib["radius"]), float(shape.attrib["length"]) / 2, 0.0), None
        if shape.tag == "sphere":
            return Shape.SPHERE, (float(shape.attrib["radius"]), 0.0, 0.0), None
        if shape.tag == "mesh":
            return Shape.MESH, read_vector(shape.get("scale"), (1.0, 1.0, 1.0)), _mesh(shape, path, collides)
    except (KeyError, ValueError) as error:
        raise RobotError(f"{path}: a <{shape.tag}> lacks a number or has a wrong one ({error})") from error
    raise RobotError(f"{path}: unknown geometry <{shape.tag}>; use box, cylinder, sphere or mesh")


def _mesh(shape: ET.Element, path: Path, collides: bool) -> Path:
    """The file of a <mesh>, which must be readable, and solid where something can touch it."""
    file = mesh_file(path, shape.attrib["filename"])
    try:
        if collides:
            convex_hull(file)
        else:
            load_mesh(file)
    except (ValueError, OSError) as error:
        raise RobotError(f"{path}: {error}") from error
    return file


def mesh_file(urdf: Path, filename: str) -> Path:
    """Where the mesh ``filename`` of a URDF lies: beside it, or in the package of ``package://`` above it.

    Raises RobotError where no folder above the URDF holds the package's file.
    """
    if not filename.startswith("package://"):
        return urdf.parent / filename.removeprefix("file://")
    in_package = Path(filename.removeprefix("package://"))
    for folder in urdf.resolve().parents:
        for file in (folder / in_package, folder.joinpath(*in_package.parts[1:])):  # beside or inside the package
            if file.is_file():
                return file
    raise RobotError(f"{urdf}: no folder above it holds {filename}; give the mesh by its path from the URDF's folder")


def _link_body(link: ET.Element, path: Path) -> Body:
    return Body(link.attrib["name"], tuple(read_part(visual, path) for visual in link.findall("visual")))


def _joints_above(root: ET.Element, path: Path) -> Above:
    """The joint that carries each link but the root."""
    above: Above = {}
    for joint in root.findall("joint"):
        child, parent = joint.find("child"), joint.find("parent")
        if child is None or parent is None:
            raise RobotError(f"{path}: joint {joint.get('name')!r} lacks a <parent> or a <child>")
        pos, rpy = read_origin(joint)
        above[child.attrib["link"]] = parent.attrib["link"], (np.array(pos), np.array(from_rpy(rpy)))
    return above


def _frames_at_rest(above: Above, names: list[str], path: Path) -> dict[str, Frame]:
    """The way from each link's frame to the root's at zero joint angles."""
    frames: dict[str, Frame] = {}
    for name in names:
        frames[name], link = [], name
        while link in above:
            link, step = above[link]
            frames[name].append(step)
            if len(frames[name]) > len(names):
                raise RobotError(f"{path}: the joints above link {name!r} form a loop")
    return frames


def _to_root(frame: Frame, points: np.ndarray) -> np.ndarray:
    """(..., 3) points of a link's frame, in the root's frame."""
    for offset, quat in frame:
        points = offset + rotate(quat, points)
    return points


def _extent(links: list[ET.Element], frames: dict[str, Frame], path: Path) -> tuple[float, float]:
    """Radius and height of the collision shapes about the root's z axis."""
    radius = height = 0.0
    for link in links:
        for collision in link.findall("collision"):
            reach, rise = _reach(read_part(collision, path), frames[link.attrib["name"]])
            radius, height = max(radius, reach), max(height, rise)
    return radius, height


def _reach(part: Part, frame: Frame) -> tuple[float, float]:
    """How far a part reaches from the z axis, and how high."""
    if part.mesh is not None:
        return _outline(part, load_mesh(part.mesh).vertices * part.size, frame)
    half = np.array(part.size) if part.shape == Shape.BOX else np.array([part.size[0], part.size[0], part.size[1]])
    if part.shape == Shape.SPHERE:
        half[2] = part.size[0]
    local = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]])  # centre and axis
    center, tip = _to_root(frame, np.array(part.pos) + rotate(np.array(part.quat), local))
    upright = abs(tip[2] - center[2]) > 1 - 1e-9
    if part.shape == Shape.SPHERE or (part.shape == Shape.CYLINDER and upright):
        return float(np.hypot(center[0], center[1])) + part.size[0], float(center[2] + half[2])
    signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    return _outline(part, signs * half, frame)


def _outline(part: Part, points: np.ndarray, frame: Frame) -> tuple[float, float]:
    """How far points (K, 3) of a part's own frame reach from the z axis, and how high."""
    x, y, z = _to_root(frame, np.array(part.pos) + rotate(np.array(part.quat), points)).T
    return float(np.hypot(x, y).max()), float(z.max())


def _drive(root: ET.Element, links: list[ET.Element], frames: dict[str, Frame], path: Path) -> DifferentialDrive:
    """Wheel radius and separation from the wheels' collision cylinders, torque from the joints' limits."""
    by_name = {link.attrib["name"]: link for link in links}
    joints = {joint.attrib["name"]: joint for joint in root.findall("joint")}
    names = ("left_wheel_joint", "right_wheel_joint")
    radii, sides, torques = [], [], []
    for name in names:
        child = joints[name].find("child") if name in joints else None
        if child is None:
            raise RobotError(f"{path} has no joint {name!r}; a differential drive needs {names[0]} and {names[1]}")
        link = child.attrib["link"]
        collision = by_name[link].find("collision")
        part = None if collision is None else read_part(collision, path)
        if part is None or part.shape not in (Shape.CYLINDER, Shape.SPHERE):
            raise RobotError(f"{path}: the wheel {link!r} needs a cylinder or a sphere as its collision shape")
        radii.append(part.size[0])
        torques.append(_torque(joints[name], path))
        sides.append(float(_to_root(frames[link], np.zeros(3))[1]))
    if min(radii) <= 0 or sides[0] <= sides[1]:
        raise RobotError(f"{path}: wheels need a radius, and the left one (+y) a place to the left of the right one")
    return DifferentialDrive(names, float(np.mean(radii)), sides[0] - sides[1], min(torques))


def _torque(joint: ET.Element, path: Path) -> float:
    """The <limit effort="..."> of a wheel's joint."""
    limit = joint.find("limit")
    torque = float(WHEEL_TORQUE_NM if limit is None else limit.get("effort", WHEEL_TORQUE_NM))
    if not torque > 0:
        raise RobotError(f"{path}: <limit effort> of {joint.get('name')!r} is {torque:g} Nm; motors need more than 0")
    return torque
