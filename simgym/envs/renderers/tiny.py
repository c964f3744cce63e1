"""One Bullet client that is only ever looked at, through Bullet's software renderer (TinyRenderer)."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np

from ..engines.bullet import MAX_SHAPES, xyzw
from .meshes import Mesh

NEAR_M, FAR_M = 0.02, 100.0  # snapshots are taken from 60 m above
LIGHT_DISTANCE_M = 10.0  # from the world's origin: so far off that its view holds the largest room
# TinyRenderer darkens what lies 0.05 behind what the light sees, and the light sees with few, large pixels: in metres
# every slanted floor would be striped. So its worlds are this much smaller than ours.
SCALE = 0.2
STEEPEST = 0.999  # TinyRenderer has no light from straight above
SPECULAR = 0.05  # of the directional light: a faint gloss


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
    """What Bullet takes from files only: the bank's textures, and the meshes of the body that is being added.

    Textures are not compressed, since a draw loads some twenty, and mesh files stay open, since file systems take
    milliseconds to make one or to write it over from empty.
    """

    def __init__(self, textures: np.ndarray | None) -> None:
        """``textures`` (T, S, S, 3) uint8, row 0 at the top."""
        self.folder = Path(tempfile.mkdtemp(prefix="simgym-bullet-"))
        self.num_textures = 0 if textures is None else len(textures)
        for index in range(self.num_textures):
            cv2.imwrite(self.texture(index), np.asarray(textures)[index, ..., ::-1])
        self._meshes = [open(self.folder / f"{slot}.obj", "wb", buffering=0) for slot in range(MAX_SHAPES)]

    def texture(self, index: int) -> str:
        """Where a texture of the bank lies."""
        return str(self.folder / f"{index}.bmp")

    def mesh(self, slot: int, text: str) -> str:
        """Where an OBJ file with this text lies, until the slot's next."""
        file, data = self._meshes[slot], text.encode()
        file.seek(0)
        file.write(data)
        file.truncate()
        return str(file.name)

    def close(self) -> None:
        """Remove them all; may be called twice."""
        for file in self._meshes:
            file.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class TinyWorld:
    """What one client shows; emptied and built anew by every draw, as PyBullet frees nothing else.

    What has one label is one body, because a body costs Bullet more than the mesh that it shows.
    """

    def __init__(self, bullet: ModuleType, client: int, files: Files) -> None:
        self._bullet, self._client, self._files = bullet, client, files
        self.build([])

    def build(self, surfaces: list[Surface]) -> None:
        """Show ``surfaces`` and nothing else."""
        self._bullet.resetSimulation(physicsClientId=self._client)
        self._bullet.setPhysicsEngineParameter(enableFileCaching=0, physicsClientId=self._client)
        self._textures: dict[int, int] = {}  # of the bank -> Bullet's
        self._moving: list[tuple[int, int]] = []  # Bullet's body and what carries it
        groups: dict[tuple[int, int], list[Surface]] = {}
        for surface in surfaces:
            groups.setdefault(surface.label, []).append(surface)
        labels = []
        for label, group in groups.items():
            for first in range(0, len(group), MAX_SHAPES):
                self._add(group[first : first + MAX_SHAPES])
                labels.append(label)
        # Bullet counts its bodies from 0, and calls a pixel without any -1.
        self._labels = np.array([*labels, (0, -1)], np.int16)
        self.is_empty = not surfaces

    def _add(self, surfaces: list[Surface]) -> None:
        """Add a body of surfaces that one thing carries."""
        # From files: PyBullet never frees the meshes that it is given as arrays.
        texts = [surface.mesh.obj(SCALE, surface.texture >= 0) for surface in surfaces]
        shape = self._bullet.createVisualShapeArray(
            shapeTypes=[self._bullet.GEOM_MESH] * len(surfaces),
            fileNames=[self._files.mesh(slot, text) for slot, text in enumerate(texts)],
            rgbaColors=[[*surface.rgb, 1.0] for surface in surfaces],
            physicsClientId=self._client,
        )
        body = self._bullet.createMultiBody(0, -1, shape, physicsClientId=self._client)
        for slot, surface in enumerate(surfaces):
            if surface.texture >= 0:
                texture = self._load(surface.texture)
                self._bullet.changeVisualShape(body, -1, slot, textureUniqueId=texture, physicsClientId=self._client)
        if surfaces[0].carrier >= 0:
            self._moving.append((body, surfaces[0].carrier))

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

    def shoot(
        self, view: np.ndarray, width: int, height: int, light: Light, shadows: bool
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rgb (H, W, 3), depth (H, W) and labels (H, W, 2), as in `Frames`, through a view (VIEW)."""
        _, _, rgb, buffer, body = self._bullet.getCameraImage(
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
            physicsClientId=self._client,
        )
        body = np.asarray(body, np.int32).reshape(height, width)
        buffer = np.asarray(buffer, np.float32).reshape(height, width)
        rgb = np.asarray(rgb, np.uint8).reshape(height, width, 4)[..., :3]
        hit = body >= 0
        depth = np.where(hit, FAR_M * NEAR_M / (FAR_M - (FAR_M - NEAR_M) * buffer), np.float32(np.inf))
        return np.where(hit[..., None], rgb, 0), depth, self._labels[body]


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
