"""One Bullet client that is only ever looked at, through Bullet's software renderer (TinyRenderer)."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import cv2
import numba
import numpy as np

from ..engines.bullet_base import MAX_SHAPES, xyzw
from .meshes import Mesh

NEAR_M, FAR_M = 0.02, 100.0  # snapshots are taken from 60 m above
LIGHT_DISTANCE_M = 10.0  # from the world's origin: so far off that its view holds the largest room
# TinyRenderer darkens what lies 0.05 behind what the light sees, and the light sees with few, large pixels: in metres
# every slanted floor would be striped. So its worlds are this much smaller than ours.
SCALE = 0.2
STEEPEST = 0.999  # TinyRenderer has no light from straight above
SPECULAR = 0.05  # of the directional light: a faint gloss
# A pixel's number is its body's, and above LINK_BIT its link's, counted from 0 with the base, which leaves 7 bits.
LINK_BIT, MAX_LINKS = 24, 100


@dataclass(frozen=True)
class Surface:
    """One mesh of one colour."""

    mesh: Mesh
    rgb: tuple[float, ...]
    texture: int  # index into the bank; -1: none
    label: tuple[int, int]  # semantic class, body index
    carrier: int  # index among what moves of the body that carries it; -1: it is fixed in the world


@dataclass(frozen=True)
class Light:
    """A directional and an ambient light, in TinyRenderer's terms.

    TinyRenderer's ambient light has no colour: surfaces are tinted in its stead, and the directional light by so much
    the other way.
    """

    towards: list[float]  # from the scene to the light
    rgb: list[float]
    ambient: float
    tint: np.ndarray  # (3,) of the surfaces

    @classmethod
    def of(cls, light_dir: np.ndarray, light_rgb: np.ndarray, ambient_rgb: np.ndarray) -> Light:
        """From a row of a `Look`."""
        ambient = max(float(ambient_rgb.max()), 1e-3)
        tint = np.maximum(ambient_rgb / ambient, 1e-3)
        x, y, z = -light_dir.astype(float)
        flat = float(np.hypot(x, y))
        if abs(z) > STEEPEST:
            x, y = (x / flat, y / flat) if flat > 1e-6 else (1.0, 0.0)
            x, y, z = x * np.sqrt(1 - STEEPEST**2), y * np.sqrt(1 - STEEPEST**2), np.sign(z) * STEEPEST
        return cls([x, y, z], (light_rgb / tint).tolist(), ambient, tint)


class Files:
    """What Bullet takes from files only: the bank's textures, and the meshes of what is being built.

    Textures are not compressed, because a draw loads some twenty. Mesh files are written over but never emptied first,
    because file systems take milliseconds for that, and tenths to make a new one.
    """

    def __init__(self, textures: np.ndarray | None) -> None:
        """``textures`` (T, S, S, 3) uint8, row 0 at the top."""
        self.folder = Path(tempfile.mkdtemp(prefix="simgym-bullet-"))
        self.num_textures = 0 if textures is None else len(textures)
        self._num_meshes = 0
        for index in range(self.num_textures):
            cv2.imwrite(self.texture(index), np.asarray(textures)[index, ..., ::-1])

    def texture(self, index: int) -> str:
        """Where a texture of the bank lies."""
        return str(self.folder / f"{index}.bmp")

    def mesh(self, slot: int, text: str) -> str:
        """Where an OBJ file with this text lies, until the slot's next."""
        path = f"{self.folder}/{slot}.obj"
        with open(path, "r+b" if slot < self._num_meshes else "wb", buffering=0) as file:
            data = text.encode()
            file.write(data)
            file.truncate(len(data))
        self._num_meshes = max(self._num_meshes, slot + 1)
        return path

    def close(self) -> None:
        """Remove them all; may be called twice."""
        shutil.rmtree(self.folder, ignore_errors=True)


class TinyWorld:
    """What one client shows; emptied and built anew by every draw, as PyBullet frees nothing else.

    Bodies cost Bullet more than the meshes that they show. So what stands still is one body, in which each label is a
    link, and so is what one thing carries.
    """

    def __init__(self, bullet: ModuleType, client: int, files: Files) -> None:
        self._bullet, self._client, self._files = bullet, client, files
        self.build([])

    def build(self, surfaces: list[Surface]) -> None:
        """Show ``surfaces`` and nothing else."""
        self._bullet.resetSimulation(physicsClientId=self._client)
        self._bullet.setPhysicsEngineParameter(enableFileCaching=0, physicsClientId=self._client)
        self._moving: list[tuple[int, int]] = []  # Bullet's body and what carries it
        labels: list[tuple[int, int]] = []
        first_label = [0]  # of each of Bullet's bodies, which it counts from 0
        self._textures: dict[int, int] = {}  # of the bank -> Bullet's
        for carrier, links in _links(surfaces):
            body = self._add(links)
            labels += [link[0].label for link in links]
            first_label.append(len(labels))
            if carrier >= 0:
                self._moving.append((body, carrier))
        self._first_label, self._labels = np.array(first_label), np.array(labels, np.int16).reshape(-1, 2)
        points = [surface.mesh.vertex for surface in surfaces]
        self._points = np.concatenate(points) if points else np.zeros((0, 3))  # (V, 3)

    def _add(self, links: list[list[Surface]]) -> int:
        """Add a body whose base and links, all at the origin, show some surfaces each."""
        slots, others = itertools.count(), len(links) - 1
        base, *shapes = [self._shapes(link, slots) for link in links]
        body = self._bullet.createMultiBody(
            baseMass=0,
            baseVisualShapeIndex=base,
            linkVisualShapeIndices=shapes,
            linkMasses=[0] * others,
            linkCollisionShapeIndices=[-1] * others,
            linkPositions=[[0, 0, 0]] * others,
            linkOrientations=[[0, 0, 0, 1]] * others,
            linkInertialFramePositions=[[0, 0, 0]] * others,
            linkInertialFrameOrientations=[[0, 0, 0, 1]] * others,
            linkParentIndices=[0] * others,
            linkJointTypes=[self._bullet.JOINT_FIXED] * others,
            linkJointAxis=[[0, 0, 1]] * others,
            physicsClientId=self._client,
        )
        for link, surfaces in enumerate(links, start=-1):
            for shape, surface in enumerate(surfaces):
                if surface.texture >= 0:
                    texture = self._load(surface.texture)
                    self._bullet.changeVisualShape(
                        body, link, shape, textureUniqueId=texture, physicsClientId=self._client
                    )
        return body

    def _shapes(self, surfaces: list[Surface], slots: Iterator[int]) -> int:
        """Bullet's visual shape for some surfaces; their files are the next ``slots``, and read when it is used."""
        # From files: PyBullet never frees the meshes that it is given as arrays.
        texts = [surface.mesh.obj(SCALE, surface.texture >= 0) for surface in surfaces]
        return self._bullet.createVisualShapeArray(
            shapeTypes=[self._bullet.GEOM_MESH] * len(surfaces),
            fileNames=[self._files.mesh(next(slots), text) for text in texts],
            rgbaColors=[[*surface.rgb, 1.0] for surface in surfaces],
            physicsClientId=self._client,
        )

    def _load(self, texture: int) -> int:
        """Bullet's number for a texture of the bank."""
        if texture not in self._textures:
            file = self._files.texture(texture)
            self._textures[texture] = self._bullet.loadTexture(file, physicsClientId=self._client)
        return self._textures[texture]

    def pose(self, moving_pos: np.ndarray, moving_quat: np.ndarray) -> None:
        """Put what moves at positions (V, 3) and quaternions (V, 4) wxyz."""
        pos, quat = (SCALE * moving_pos).tolist(), xyzw(moving_quat)
        for body, carrier in self._moving:
            self._bullet.resetBasePositionAndOrientation(
                body, pos[carrier], quat[carrier], physicsClientId=self._client
            )

    def is_out_of_sight(self, view: np.ndarray, width: int, height: int) -> bool:
        """Whether a view (VIEW) of so many pixels surely shows nothing, as where all lies beyond one of its edges."""
        if self._moving:
            return False
        fx, fy, cx, cy = (float(view[name]) for name in ("fx", "fy", "cx", "cy"))
        x, y, z = view["rotation"] @ (self._points - view["eye"]).T  # to the right, down, ahead
        left, top, right, bottom = -1 - cx, -1 - cy, width + 1 - cx, height + 1 - cy  # a pixel more than there is
        beyond = fx * x < left * z, fx * x > right * z, fy * y < top * z, fy * y > bottom * z, z < 0
        return any(side.all() for side in beyond)

    def shoot(
        self, view: np.ndarray, light: Light, shadows: bool, rgb: np.ndarray, depth: np.ndarray, label: np.ndarray
    ) -> None:
        """Paint what shows through a view (VIEW), where it is nearer than ``depth``.

        Args:
            view: the camera.
            light: that falls on it.
            shadows: whether things cast them.
            rgb: (H, W, 3) uint8, written.
            depth: (H, W) float32, as in `Frames`, written.
            label: (H, W, 2) int16, as in `Frames`, written.
        """
        height, width = depth.shape
        _, _, rgba, buffer, number = self._bullet.getCameraImage(
            width,
            height,
            _view_matrix(view),
            _projection_matrix(view, width, height),
            lightDirection=light.towards,
            lightColor=light.rgb,
            lightDistance=SCALE * LIGHT_DISTANCE_M,
            shadow=int(shadows),
            lightAmbientCoeff=light.ambient,
            lightDiffuseCoeff=1.0,
            lightSpecularCoeff=SPECULAR,
            renderer=self._bullet.ER_TINY_RENDERER,
            flags=self._bullet.ER_SEGMENTATION_MASK_OBJECT_AND_LINKINDEX,
            physicsClientId=self._client,
        )
        # Without numpy, PyBullet gives tuples.
        rgba = np.asarray(rgba, np.uint8).reshape(height, width, 4)
        number = np.asarray(number, np.int32).reshape(height, width)
        buffer = np.asarray(buffer, np.float32).reshape(height, width)
        _paint_nearer(rgba, buffer, number, self._first_label, self._labels, rgb, depth, label)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _paint_nearer(
    rgba: np.ndarray,  # (H, W, 4) uint8
    buffer: np.ndarray,  # (H, W) float32, OpenGL's depth
    number: np.ndarray,  # (H, W) int32; -1: nothing
    first_label: np.ndarray,  # (bodies,) int64
    labels: np.ndarray,  # (L, 2) int16
    rgb: np.ndarray,  # (H, W, 3) uint8, written
    depth: np.ndarray,  # (H, W) float32, written
    label: np.ndarray,  # (H, W, 2) int16, written
) -> None:
    """Write the pixels of a picture of Bullet's that are nearer than ``depth``."""
    product, far, range_ = np.float32(FAR_M * NEAR_M), np.float32(FAR_M), np.float32(FAR_M - NEAR_M)
    for v in range(number.shape[0]):
        for u in range(number.shape[1]):
            if number[v, u] < 0:
                continue
            away = product / (far - range_ * buffer[v, u])
            if away < depth[v, u]:
                body, link = number[v, u] % (1 << LINK_BIT), number[v, u] >> LINK_BIT
                depth[v, u] = away
                rgb[v, u] = rgba[v, u, :3]
                label[v, u] = labels[first_label[body] + link]


def _links(surfaces: list[Surface]) -> Iterator[tuple[int, list[list[Surface]]]]:
    """What Bullet's bodies show: who carries each, and the surfaces of its base and links, of one label each."""
    labels: dict[tuple[int, int], list[Surface]] = {}
    for surface in surfaces:
        labels.setdefault(surface.label, []).append(surface)
    carriers: dict[int, list[list[Surface]]] = {}
    for group in labels.values():
        links = carriers.setdefault(group[0].carrier, [])
        links += [group[first : first + MAX_SHAPES] for first in range(0, len(group), MAX_SHAPES)]
    for carrier, links in carriers.items():
        for first in range(0, len(links), MAX_LINKS):
            yield carrier, links[first : first + MAX_LINKS]


def _view_matrix(view: np.ndarray) -> list[float]:
    """OpenGL's, column by column: x right, y up, z backwards."""
    axes = view["rotation"] * np.array([[1.0], [-1.0], [-1.0]])
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = axes, -SCALE * axes @ view["eye"]
    return matrix.T.ravel().tolist()


def _projection_matrix(view: np.ndarray, width: int, height: int) -> list[float]:
    """OpenGL's, column by column, for a pinhole; TinyRenderer samples a pixel at its corner, which is made up for."""
    fx, fy, cx, cy = (float(view[name]) for name in ("fx", "fy", "cx", "cy"))
    matrix = np.zeros((4, 4))
    matrix[0, 0], matrix[0, 2] = 2 * fx / width, 1 - 2 * (cx - 0.5) / width
    matrix[1, 1], matrix[1, 2] = 2 * fy / height, 2 * (cy + 0.5) / height - 1
    matrix[2, 2] = -(FAR_M + NEAR_M) / (FAR_M - NEAR_M)
    matrix[2, 3] = -2 * FAR_M * NEAR_M / (FAR_M - NEAR_M) * SCALE
    matrix[3, 2] = -1
    return matrix.T.ravel().tolist()
