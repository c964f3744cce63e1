"""Renderer `bullet`: Bullet's own software renderer, with textures and shadows.

It shows meshes of our own, whose texture coordinates repeat at the metric size. Parts of one body that look the same
are one mesh. It shares nothing with the engine `bullet`, and works with any.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike

from simgym.deploy.camera import Camera

from ..draw import PARKED_Z_M, Layout, Look
from ..engines.bullet_base import connect, disconnect, import_pybullet
from ..scene import Scene, Shape
from . import Frames
from . import raster_kernels as kernels
from .meshes import Mesh, UnitMesh, joined
from .raster import intrinsics, look_at
from .raster_place import STAGE
from .tiny import Files, Light, Surface, TinyWorld

NOTHING = (0, -1)  # semantic class and body index
SIDES = 12  # flat sides around a cylinder, as the raster renderer has them


class BulletRenderer:
    """Renders one world after the other; implements `Renderer`. Lamps are ambient light (`Look.without_lamps`).

    A world has two clients. TinyRenderer's shadows ignore that planes are one-sided: a ceiling would keep the light off
    the whole room. So planes that turn their back to the light are the backdrop, which casts no shadow.

    Args:
        textures: (T, S, S, 3) uint8 bank that ``Look.part_texture`` indexes. Row 0 is the top.
        supersample: samples a pixel along each axis. Rgb is their mean; depth and segmentation take the middle one.
    """

    def __init__(self, textures: np.ndarray | None = None, supersample: int = 1) -> None:
        """Raises UserError where PyBullet is missing."""
        self._bullet, self.supersample = import_pybullet(), supersample
        self._files = Files(textures)
        self._remove = weakref.finalize(self, self._files.close)
        self._release: Callable[[], object] = lambda: None

    def load(self, scene: Scene, camera: Camera, num_worlds: int) -> None:
        """See `Renderer.load`."""
        self.scene, self.camera, self.num_worlds = scene, camera, num_worlds
        kinds = {(part.shape, part.mesh): UnitMesh(part, SIDES) for part in scene.parts}
        self._unit_meshes = [kinds[part.shape, part.mesh] for part in scene.parts]
        clients: list[int] = []
        self._release = weakref.finalize(self, disconnect, self._bullet, clients)
        has_planes = any(part.shape == Shape.PLANE for part in scene.parts)
        connect(self._bullet, clients, num_worlds * (2 if has_planes else 1))
        shown = [TinyWorld(self._bullet, client, self._files) for client in clients]
        self._worlds, self._backdrops = shown[:num_worlds], shown[num_worlds:]
        self._stage, self._views = np.zeros(num_worlds, STAGE), np.zeros(num_worlds, kernels.VIEW)
        self._stage["focal_scale"] = 1
        self._lights = [Light.of(np.array([0, 0, -1]), np.ones(3), np.ones(3))] * num_worlds
        n, h, w = num_worlds, camera.height, camera.width
        self._frames = Frames(
            np.zeros((n, h, w, 3), np.uint8), np.zeros((n, h, w), np.float32), np.zeros((n, h, w, 2), np.int16)
        )

    def apply(self, worlds: ArrayLike, layout: Layout, look: Look) -> None:
        """See `Renderer.apply`."""
        if look.part_texture.size and look.part_texture.max() >= self._files.num_textures:
            raise ValueError(
                f"the look asks for texture {look.part_texture.max()}, but the bank holds {self._files.num_textures}; "
                "give BulletRenderer(textures=...) the bank that the look was drawn for"
            )
        look = look.without_lamps()
        for row, world in enumerate(np.asarray(worlds)):
            for name in STAGE.names or ():
                self._stage[name][world] = getattr(look, name)[row]
            self._lights[world] = Light.of(look.light_dir[row], look.light_rgb[row], look.ambient_rgb[row])
            front, back = self._surfaces(layout, look, row)
            self._worlds[world].build(front)
            if self._backdrops:
                self._backdrops[world].build(back)

    def _surfaces(self, layout: Layout, look: Look, row: int) -> tuple[list[Surface], list[Surface]]:
        """What casts shadows, and the backdrop."""
        scene, light = self.scene, Light.of(look.light_dir[row], look.light_rgb[row], look.ambient_rgb[row])
        groups: dict[tuple, list[Mesh]] = {}
        for index, mesh in self._placed(layout, look.texture_size_m[row], row):
            part, body = scene.parts[index], int(scene.part_body[index])
            a, b, c = mesh.vertex[:3]
            is_back = part.shape == Shape.PLANE and float(np.cross(b - a, c - a) @ look.light_dir[row]) > 0
            rgb = tuple((look.part_rgb[row, index] * light.tint).tolist())
            key = is_back, rgb, int(look.part_texture[row, index]), (int(part.semantic), body)
            groups.setdefault(key, []).append(mesh)
        sides: tuple[list[Surface], list[Surface]] = [], []
        for (is_back, rgb, texture, label), meshes in groups.items():
            moving = max(label[1] - scene.num_fixed, -1)
            sides[is_back].append(Surface(joined(meshes), rgb, texture, label, moving))
        return sides

    def _placed(self, layout: Layout, texture_size_m: np.ndarray, row: int) -> Iterator[tuple[int, Mesh]]:
        """The parts that are there and their meshes: of a fixed body in the world, of what moves in its own frame."""
        placed, (pos, quat) = self.scene.num_placed_parts, layout.world_poses(self.scene, row)
        pos = np.concatenate([pos, layout.part_pos[row, len(pos) :]])
        quat = np.concatenate([quat, layout.part_quat[row, len(quat) :]])
        for index in np.flatnonzero(layout.part_visible[row] & (pos[:, 2] > PARKED_Z_M / 2)).tolist():
            size = layout.part_size[row, index]
            yield index, self._unit_meshes[index].placed(size, pos[index], quat[index], texture_size_m[index])
        for index, part in enumerate(self.scene.parts[placed:], start=placed):
            pose = np.array(part.pos), np.array(part.quat)
            yield index, self._unit_meshes[index].placed(np.array(part.size), *pose, texture_size_m[index])

    def render(self, moving_pos: np.ndarray, moving_quat: np.ndarray, worlds: np.ndarray | None = None) -> Frames:
        """See `Renderer.render`."""
        kernels.aim_cameras(
            self.scene.camera_carrier,
            np.ascontiguousarray(moving_pos, float),
            np.ascontiguousarray(moving_quat, float),
            intrinsics(self.camera, self.supersample),
            self._stage,
            self._views,
        )
        frames = self._frames
        for world in range(self.num_worlds) if worlds is None else worlds:
            self._worlds[world].pose(moving_pos[world], moving_quat[world])
            shot = self._shoot(world, self._views[world], self.camera, self.supersample)
            frames.rgb[world], frames.depth[world], frames.segmentation[world] = shot
        return frames

    def _shoot(
        self, world: int, view: np.ndarray, camera: Camera, supersample: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """One picture: rgb (H, W, 3), depth (H, W) and labels (H, W, 2)."""
        h, w, light = camera.height * supersample, camera.width * supersample, self._lights[world]
        rgb, depth = np.zeros((h, w, 3), np.uint8), np.full((h, w), np.inf, np.float32)
        label = np.full((h, w, 2), NOTHING, np.int16)
        self._worlds[world].shoot(view, light, True, rgb, depth, label)
        if self._backdrops and not self._backdrops[world].is_out_of_sight(view, w, h):
            self._backdrops[world].shoot(view, light, False, rgb, depth, label)
        if supersample > 1:
            cells = rgb.reshape(camera.height, supersample, camera.width, supersample, 3)
            middle = slice(supersample // 2, None, supersample)
            rgb = (cells.mean(axis=(1, 3)) + 0.5).astype(np.uint8)
            depth, label = depth[middle, middle], label[middle, middle]
        return rgb, depth, label

    def snapshot(
        self, world: int, camera: Camera, position: ArrayLike, target: ArrayLike, supersample: int = 3
    ) -> np.ndarray:
        """See `Renderer.snapshot`; what moves stands where the last render had it."""
        view = np.zeros(1, kernels.VIEW)
        view["eye"] = position
        view["rotation"] = look_at(np.asarray(position, float), np.asarray(target, float))
        view["fx"], view["fy"], view["cx"], view["cy"] = intrinsics(camera, supersample)
        return self._shoot(range(self.num_worlds)[world], view[0], camera, supersample)[0]

    def close(self) -> None:
        """See `Renderer.close`."""
        self._release()
        self._remove()
