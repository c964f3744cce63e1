"""Scenes for tests of the raster renderer, and pictures of them."""

from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
from hypothesis import settings

from simgym.deploy.camera import Camera
from simgym.envs.draw import Layout, Look
from simgym.envs.renderers.raster import RasterRenderer
from simgym.envs.scene import Body, Part, Scene, Semantic, Shape

CAMERA = Camera()
NO_LINKS = np.zeros((1, 0, 3)), np.zeros((1, 0, 4))
FACING_X = (np.sqrt(0.5), 0.0, np.sqrt(0.5), 0.0)  # turns +z to +x
FACING_MINUS_X = (np.sqrt(0.5), 0.0, -np.sqrt(0.5), 0.0)
WEDGE = np.array([(-0.3, -0.3, -0.2), (0.4, -0.3, -0.2), (0.0, 0.4, -0.2), (0.1, 0.0, 0.5)])
WEDGE_FACES = np.array([(0, 2, 1), (0, 1, 3), (1, 2, 3), (2, 0, 3)])
SETTINGS = settings(max_examples=25, derandomize=True)

MUJOCO_GEOM = {
    Shape.BOX: mujoco.mjtGeom.mjGEOM_BOX,
    Shape.CYLINDER: mujoco.mjtGeom.mjGEOM_CYLINDER,
    Shape.SPHERE: mujoco.mjtGeom.mjGEOM_SPHERE,
    Shape.CAPSULE: mujoco.mjtGeom.mjGEOM_CAPSULE,
    Shape.PLANE: mujoco.mjtGeom.mjGEOM_PLANE,
    Shape.MESH: mujoco.mjtGeom.mjGEOM_MESH,
}


def body(name: str, shape: Shape, size, pos=(0.0, 0.0, 0.0), quat=(1.0, 0.0, 0.0, 0.0), **part) -> Body:
    return Body(name, (Part(shape, part.pop("semantic", Semantic.BOX), tuple(size), tuple(pos), tuple(quat), **part),))


def plain_look(scene: Scene, n: int = 1, **changes) -> Look:
    """Grey, ambient light only, the camera at the origin of its carrier."""
    parts = len(scene.parts)
    look = Look(
        part_rgb=np.full((n, parts, 3), 0.5, np.float32),
        part_texture=np.full((n, parts), -1, np.int32),
        texture_size_m=np.ones((n, parts), np.float32),
        light_dir=np.tile(np.array([1, 0, 0], np.float32), (n, 1)),
        light_rgb=np.zeros((n, 3), np.float32),
        ambient_rgb=np.ones((n, 3), np.float32),
        camera_offset=np.zeros((n, 3), np.float32),
        camera_rpy_rad=np.zeros((n, 3), np.float32),
        focal_scale=np.ones(n, np.float32),
    )
    return replace(look, **{name: np.broadcast_to(v, getattr(look, name).shape).copy() for name, v in changes.items()})


def render_scene(scene: Scene, look: Look | None = None, camera: Camera = CAMERA, links=None, **options):
    """Frames of one world, without the world axis."""
    renderer = RasterRenderer(**options)
    renderer.load(scene, camera, 1)
    renderer.apply(np.array([0]), Layout.nominal(scene, 1), look or plain_look(scene))
    frames = renderer.render(*(links or NO_LINKS))
    return frames.rgb[0], frames.depth[0], frames.segmentation[0]


def rays(camera: Camera = CAMERA) -> np.ndarray:
    """(H, W, 3) x forward, y left, z up; x = 1, so that a ray's parameter is depth."""
    u, v = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    return np.stack([np.ones_like(u), -(u - camera.cx) / camera.fx, -(v - camera.cy) / camera.fy], axis=-1)


def rpy_matrix(roll: float, pitch: float, yaw: float) -> np.ndarray:
    quat, matrix = np.zeros(4), np.zeros(9)
    mujoco.mju_euler2Quat(quat, np.array([roll, pitch, yaw]), "XYZ")  # about fixed axes
    mujoco.mju_quat2Mat(matrix, quat)
    return matrix.reshape(3, 3)


def checkerboard(edge: int, cell: int) -> np.ndarray:
    """(1, S, S, 3) with cells of 50 and 200."""
    row, column = np.indices((edge, edge)) // cell
    return np.repeat(np.where((row + column) % 2, 200, 50).astype(np.uint8)[None, ..., None], 3, axis=-1)


def write_wedge(folder: Path) -> Path:
    """The wedge as an OBJ file."""
    path = folder / "wedge.obj"
    lines = [f"v {x} {y} {z}" for x, y, z in WEDGE] + ["f {} {} {}".format(*(f + 1)) for f in WEDGE_FACES]
    path.write_text("\n".join(lines))
    return path


def meet_geoms(spec: mujoco.MjSpec, eye: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Along ``directions`` (H, W, 3), what MuJoCo's rays meet: distance in lengths of the direction, geom (or -1)."""
    model = spec.compile()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    lengths = np.linalg.norm(directions, axis=-1)
    unit = (directions / lengths[..., None]).ravel()
    geom, distance = np.zeros(lengths.size, np.int32), np.zeros(lengths.size)
    mujoco.mj_multiRay(model, data, eye, unit, None, 1, -1, geom, distance, None, lengths.size, 100.0)
    return distance.reshape(lengths.shape) / lengths, geom.reshape(lengths.shape)
