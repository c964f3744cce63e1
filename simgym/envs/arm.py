"""A robot arm with a gripper, bolted to the table: the Franka Panda, from the URDF that PyBullet ships.

Kinematics, masses and limits are the URDF's. Its meshes are not: Franka's own coarse shapes for collision checking
(cylinders) and boxes stand in for them, in physics and in pictures, which are then fast and the same in every engine.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from simgym.errors import UserError, install_command

from .robot import RobotError, Vector, read_origin, read_part
from .scene import Body

HAND, GRASP_POINT, FINGERS = "panda_hand", "panda_grasptarget", ("panda_leftfinger", "panda_rightfinger")
ARM_JOINTS = tuple(f"panda_joint{i}" for i in range(1, 8))
FINGER_JOINTS = ("panda_finger_joint1", "panda_finger_joint2")
HOME_RAD = (0.0, -0.15, 0.0, -2.3, 0.0, 2.15, 0.785)  # over the middle of the table, the hand pointing down
CAMERA_LINK = "camera_link"
# Of the links that touch anything: these touch table and objects, and those of the base, which touch nothing else.
HAND_LINKS = ("panda_link5", "panda_link6", "panda_link7", HAND, *FINGERS)
BASE_LINKS = ("panda_link0", "panda_link1", "panda_link2", "panda_link3")
FINGER_SPEED_M_S = 0.15  # of each, as far as its force lets it

# Shapes of the links: a tag of URDF with its sizes, position and rpy in the link's frame.
_Shapes = tuple[tuple[dict[str, str], Vector, Vector], ...]


def _cylinder(radius: float, length: float) -> dict[str, str]:
    return {"tag": "cylinder", "radius": str(radius), "length": str(length)}


def _box(x: float, y: float, z: float) -> dict[str, str]:
    return {"tag": "box", "size": f"{x} {y} {z}"}


_QUARTER = float(np.pi / 2)
_UPRIGHT: Vector = (0.0, 0.0, 0.0)
_ALONG_X: Vector = (0.0, _QUARTER, 0.0)
_ALONG_Y: Vector = (_QUARTER, 0.0, 0.0)
_TIP, _ROOT = _box(0.018, 0.015, 0.034), _box(0.02, 0.022, 0.02)
SHAPES: dict[str, _Shapes] = {
    "panda_link0": (
        (_cylinder(0.07, 0.14), (0.0, 0.0, 0.07), _UPRIGHT),
        (_box(0.14, 0.12, 0.1), (-0.08, 0.0, 0.05), _UPRIGHT),
    ),
    "panda_link1": ((_cylinder(0.06, 0.27), (0.0, 0.0, -0.1), _UPRIGHT),),
    "panda_link2": (
        (_cylinder(0.06, 0.2), (0.0, 0.0, 0.0), _UPRIGHT),
        (_cylinder(0.055, 0.15), (0.0, -0.11, 0.0), _ALONG_Y),
    ),
    "panda_link3": (
        (_cylinder(0.06, 0.15), (0.0, 0.0, -0.05), _UPRIGHT),
        (_cylinder(0.05, 0.1), (0.05, 0.0, 0.0), _ALONG_X),
    ),
    "panda_link4": (
        (_cylinder(0.06, 0.16), (0.0, 0.0, 0.0), _UPRIGHT),
        (_cylinder(0.05, 0.1), (-0.05, 0.06, 0.0), _ALONG_Y),
    ),
    "panda_link5": (
        (_cylinder(0.055, 0.14), (0.0, 0.0, -0.2), _UPRIGHT),
        (_cylinder(0.035, 0.2), (0.0, 0.06, -0.1), _UPRIGHT),
    ),
    "panda_link6": (
        (_cylinder(0.05, 0.16), (0.0, 0.0, 0.0), _UPRIGHT),
        (_cylinder(0.045, 0.1), (0.07, 0.0, 0.0), _UPRIGHT),
    ),
    "panda_link7": ((_cylinder(0.045, 0.12), (0.0, 0.0, 0.045), _UPRIGHT),),
    HAND: ((_box(0.06, 0.2, 0.07), (0.0, 0.0, 0.03), _UPRIGHT),),
    FINGERS[0]: ((_TIP, (0.0, 0.0075, 0.0368), _UPRIGHT), (_ROOT, (0.0, 0.014, 0.01), _UPRIGHT)),
    FINGERS[1]: ((_TIP, (0.0, -0.0075, 0.0368), _UPRIGHT), (_ROOT, (0.0, -0.014, 0.01), _UPRIGHT)),
}


@dataclass(frozen=True)
class Mount:
    """Where a camera sits: the link that carries it, its position there, and roll, pitch (down) and yaw."""

    link: str
    pos: Vector
    rpy_rad: Vector


@dataclass(frozen=True)
class Arm:
    """What the simulator needs to know of an arm: its description, links and driven joints.

    Args:
        urdf: the file it was read from.
        description: the URDF that engines compile: with shapes for meshes, and a link that carries the camera.
        links: to draw, the root first.
        camera_link: index of the camera's frame among the links.
        camera_carrier: name of the link that it is fixed to.
        joints: the driven joints, the arm's and then the fingers'.
        low: (J,) lower limits, rad and m.
        high: (J,) upper limits, rad and m.
        effort: (J,) the most that each drive gives, Nm and N.
        origins: position (3,) and rpy (3,) of each of the arm's joints in the link before, then of what is fixed to the
            last link, up to the grasp point; every joint turns about its z axis.
        fixed_to_end: how many of the origins are fixed.
    """

    urdf: Path
    description: str
    links: tuple[Body, ...]
    camera_link: int
    camera_carrier: str
    joints: tuple[str, ...]
    low: np.ndarray
    high: np.ndarray
    effort: np.ndarray
    origins: tuple[tuple[Vector, Vector], ...]
    fixed_to_end: int

    def link_index(self, name: str) -> int:
        """Index of a link by name."""
        return [link.name for link in self.links].index(name)

    def root(self) -> ET.Element:
        """The description, parsed."""
        return ET.fromstring(self.description)


def panda_urdf() -> Path:
    """The Panda's URDF in PyBullet's data. Raises UserError with how to get it."""
    spec = find_spec("pybullet_data")
    folder = None if spec is None or spec.origin is None else Path(spec.origin).parent
    path = None if folder is None else folder / "franka_panda" / "panda.urdf"
    if path is None or not path.is_file():
        raise UserError(
            "env=Grasp needs the Panda's description, franka_panda/panda.urdf of pybullet_data, which comes with "
            f"PyBullet (wheels for Python 3.11 only): {install_command('train')} under Python 3.11"
        )
    return path


def load_panda(camera: Mount) -> Arm:
    """The Panda with a camera on it."""
    path = panda_urdf()
    root = ET.parse(path).getroot()
    for link in root.findall("link"):
        _reshape(link)
    _add_camera(root, camera)
    joints = {joint.attrib["name"]: joint for joint in root.findall("joint")}
    names, fixed = ARM_JOINTS + FINGER_JOINTS, ("panda_joint8", "panda_hand_joint", "panda_grasptarget_hand")
    missing = [name for name in names + fixed if name not in joints]
    if missing:
        raise RobotError(f"{path}: no joint {', '.join(missing)}; expected the Panda of pybullet_data 3.2.7")
    limits = [joints[name].find("limit") for name in names]
    low, high, effort = (
        np.array([float(limit.attrib[key]) for limit in limits if limit is not None])
        for key in ("lower", "upper", "effort")
    )
    links = tuple(
        Body(link.attrib["name"], tuple(read_part(visual, path) for visual in link.findall("visual")))
        for link in root.findall("link")
    )
    camera_link = [link.name for link in links].index(CAMERA_LINK)
    origins = tuple(read_origin(joints[name]) for name in ARM_JOINTS + fixed)
    description, fixed_count = ET.tostring(root, "unicode"), len(fixed)
    return Arm(path, description, links, camera_link, camera.link, names, low, high, effort, origins, fixed_count)


def _reshape(link: ET.Element) -> None:
    """Replace a link's meshes by its shapes."""
    for tag in ("visual", "collision", "contact"):
        for element in link.findall(tag):
            link.remove(element)
    for shape, pos, rpy in SHAPES.get(link.attrib["name"], ()):
        for tag in ("visual", "collision"):
            element = ET.SubElement(link, tag)
            ET.SubElement(element, "origin", xyz=" ".join(map(str, pos)), rpy=" ".join(map(str, rpy)))
            sizes = {key: value for key, value in shape.items() if key != "tag"}
            ET.SubElement(ET.SubElement(element, "geometry"), shape["tag"], sizes)


def _add_camera(root: ET.Element, camera: Mount) -> None:
    ET.SubElement(root, "link", name=CAMERA_LINK)
    joint = ET.SubElement(root, "joint", name="camera_joint", type="fixed")
    ET.SubElement(joint, "parent", link=camera.link)
    ET.SubElement(joint, "child", link=CAMERA_LINK)
    pos, rpy = (" ".join(map(str, values)) for values in (camera.pos, camera.rpy_rad))
    ET.SubElement(joint, "origin", xyz=pos, rpy=rpy)
