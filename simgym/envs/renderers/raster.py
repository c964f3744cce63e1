"""The default renderer: our own z-buffer rasterizer, many worlds in parallel on CPU cores, no OpenGL, no display.

It draws flat-shaded parts under one directional and one ambient light, with textures where a look asks for them. Faces
are one-sided: a closed shape hides its own back, and a plane that faces down (a ceiling) cannot be seen from above.
"""

from __future__ import annotations

from dataclasses import fields

import numba
import numpy as np

from simgym.deploy.camera import Camera

from ..draw import Layout, Look
from ..scene import Part, Scene
from . import Frames
from . import raster_kernels as kernels
from . import raster_place as place
from .shapes import pack, unit_shape


class RasterRenderer:
    """Renders every world in one pass; implements `Renderer`.

    Args:
        textures: (T, S, S, 3) uint8 bank that ``Look.part_texture`` indexes; S is a power of two. Row 0 is the top.
        supersample: samples a pixel along each axis. Rgb is their mean; depth and segmentation take the middle one.
        sides: flat sides around a cylinder, a capsule or a sphere.
    """

    def __init__(self, textures: np.ndarray | None = None, supersample: int = 1, sides: int = 12) -> None:
        """Check the arguments and prepare the textures."""
        if supersample < 1 or sides < 3:
            raise ValueError(f"need supersample >= 1 and sides >= 3, got {supersample} and {sides}")
        self.supersample, self.sides = int(supersample), int(sides)
        self._num_textures = 0 if textures is None else len(textures)
        self._textures = _mipmaps(textures)

    def load(self, scene: Scene, camera: Camera, num_worlds: int) -> None:
        """Compile the scene for ``num_worlds`` worlds seen by ``camera``; every part shows as the scene states it."""
        self.scene, self.camera, self.num_worlds = scene, camera, num_worlds
        n, num_parts, num_links = num_worlds, len(scene.parts), len(scene.links)
        self._shapes, self._parts, self._num_vertices, self._num_faces = _compile_parts(scene, self.sides)
        self._poses = _nominal_poses(scene, n)
        self._paint = _plain_paint(n, num_parts, self._textures)
        self._geometry = place.Geometry(
            vertex=np.zeros((n, self._num_vertices, 3), np.float32),
            plane=np.zeros((n, self._num_faces, 4)),
            uv=np.zeros((n, self._num_faces, 2, 4), np.float32),
            sphere=np.zeros((n, num_parts, 4), np.float32),
            visible=np.zeros((n, num_parts), np.int32),
            visible_count=np.zeros(n, np.int32),
        )
        self._links = kernels.Links(np.zeros((n, num_links, 3)), np.tile([1.0, 0, 0, 0], (n, num_links, 1)))
        self._mount = kernels.CameraMount(scene.camera_link, _intrinsics(camera, self.supersample))
        threads = numba.config.NUMBA_NUM_THREADS
        self._scratch = self._new_scratch(threads, camera.height * self.supersample, camera.width * self.supersample)
        self._frames, self._target = _new_frames(n, camera)
        self._place(np.arange(n))

    def apply(self, worlds: np.ndarray, layout: Layout, look: Look) -> None:
        """Take row ``i`` of a draw as the new variation of world ``worlds[i]``."""
        worlds = np.asarray(worlds, np.int64)
        if look.part_texture.size and look.part_texture.max() >= self._num_textures:
            raise ValueError(
                f"the look asks for texture {look.part_texture.max()}, but the bank holds {self._num_textures}; "
                "give RasterRenderer(textures=...) the bank that the look was drawn for"
            )
        fixed_bodies, fixed_parts = self.scene.num_fixed, self.scene.num_fixed_parts
        for name, target in zip(place.Poses._fields, self._poses, strict=True):
            count = fixed_bodies if name.startswith("body") else fixed_parts
            target[worlds, :count] = getattr(layout, name)
        for field in fields(Look):
            getattr(self._paint, field.name)[worlds] = getattr(look, field.name)
        self._place(worlds)

    def render(self, link_pos: np.ndarray, link_quat: np.ndarray) -> Frames:
        """Draw every world with the robot's links at ``link_pos (n, L, 3)``, ``link_quat (n, L, 4)`` wxyz."""
        self._links.pos[:], self._links.quat[:] = link_pos, link_quat
        model = (self._shapes, self._parts, self._geometry, self._paint, self._scratch, self._target)
        if self.num_worlds == 1:
            kernels.draw_one_world(0, self._mount, self._links, self.supersample, *model)
        else:
            kernels.draw_worlds(self._mount, self._links, self.supersample, *model)
        return self._frames

    def snapshot(
        self, world: int, camera: Camera, position: np.ndarray, target: np.ndarray, supersample: int = 3
    ) -> np.ndarray:
        """A picture of one world from anywhere, as people like to see it; links stand where the last render had them.

        Args:
            world: which world.
            camera: any pinhole; the look's camera draw does not touch it.
            position: (3,) metres, where the camera is.
            target: (3,) metres, what it looks at. Straight down or up: the top of the picture is +y.
            supersample: samples a pixel along each axis.

        Returns:
            (H, W, 3) uint8, a new array.
        """
        scratch = self._new_scratch(1, camera.height * supersample, camera.width * supersample)
        scratch.eye[0] = position
        scratch.rotation[0] = _look_at(np.asarray(position, float), np.asarray(target, float))
        scratch.intrinsics[0] = _intrinsics(camera, supersample)
        frames, buffers = _new_frames(1, camera)
        kernels.draw_view(
            int(world), 0, 0, self._links, int(supersample), self._shapes, self._parts, self._geometry, self._paint,
            scratch, buffers,
        )  # fmt: skip
        return frames.rgb[0]

    def close(self) -> None:
        """Nothing to release: memory goes with the object."""

    def _place(self, worlds: np.ndarray) -> None:
        place.place_worlds(worlds, self._shapes, self._parts, self._poses, self._paint, self._geometry)

    def _new_scratch(self, threads: int, height: int, width: int) -> kernels.Scratch:
        """Working memory for pictures of ``height`` x ``width`` samples."""
        t, samples, records = threads, height * width + kernels.BLOCK, self._num_faces + 1
        vertices = int(self._parts.unit[:, 1].max(initial=1))
        corners = int(np.diff(self._shapes.face_corner).max(initial=3)) + 1  # the near plane adds one
        scratch = kernels.Scratch(
            inverse_depth=np.zeros((t, samples), np.float32),
            winner=np.zeros((t, samples), np.int32),
            rgb=np.zeros((t, height, width, 3), np.uint8),
            left=np.zeros((t, height), np.int32),
            right=np.zeros((t, height), np.int32),
            camera_vertex=np.zeros((t, vertices, 3), np.float32),
            screen=np.zeros((t, vertices, 2), np.float32),
            polygon=np.zeros((t, corners, 2), np.float32),
            record_rgb=np.zeros((t, records, 4), np.uint8),
            record_label=np.zeros((t, records), np.int32),
            record_texture=np.full((t, records), -1, np.int32),
            record_uv=np.zeros((t, records, 2, 4), np.float32),
            record_blur=np.zeros((t, records), np.float32),
            eye=np.zeros((t, 3)),
            rotation=np.zeros((t, 3, 3)),
            intrinsics=np.zeros((t, 4)),
        )
        scratch.record_label[:, 0] = _label(0, -1)
        return scratch


def _compile_parts(scene: Scene, sides: int) -> tuple:
    """Shapes (each once), parts, and how many vertices and faces all parts have together."""
    kinds: dict[tuple, Part] = {}
    for part in scene.parts:
        kinds.setdefault((part.shape, part.mesh), part)
    shapes, ranges = pack([unit_shape(part, sides) for part in kinds.values()])
    index = {kind: i for i, kind in enumerate(kinds)}
    unit = ranges[[index[part.shape, part.mesh] for part in scene.parts]].reshape(-1, 4)
    parts = place.Parts(
        kind=np.array([part.shape for part in scene.parts], np.int32),
        body=scene.part_body.astype(np.int32),
        frame=np.maximum(scene.part_body - scene.num_fixed + 1, 0).astype(np.int32),
        unit=np.ascontiguousarray(unit),
        first_vertex=(np.cumsum(unit[:, 1]) - unit[:, 1]).astype(np.int32),
        first_face=(np.cumsum(unit[:, 3]) - unit[:, 3]).astype(np.int32),
        label=np.array([_label(p.semantic, b) for p, b in zip(scene.parts, scene.part_body, strict=True)], np.int32),
    )
    return shapes, parts, int(unit[:, 1].sum()), int(unit[:, 3].sum())


def _label(semantic: int, body: int) -> np.int32:
    """Two int16 as the one int32 that holds them in memory."""
    return np.array([semantic, body], np.int16).view(np.int32)[0]


def _nominal_poses(scene: Scene, n: int) -> place.Poses:
    """Every part as the scene states it; bodies at the origin (for links: of their own frame)."""
    whole = Layout.nominal(Scene(scene.all_bodies), n)
    return place.Poses(*(np.ascontiguousarray(getattr(whole, name)) for name in place.Poses._fields))


def _plain_paint(n: int, num_parts: int, textures: tuple) -> place.Paint:
    """Grey under ambient light only, until a look is applied."""
    texels, level_start, edge = textures
    return place.Paint(
        part_rgb=np.full((n, num_parts, 3), 0.5, np.float32),
        part_texture=np.full((n, num_parts), -1, np.int32),
        texture_size_m=np.ones((n, num_parts), np.float32),
        light_dir=np.tile(np.array([0, 0, -1], np.float32), (n, 1)),
        light_rgb=np.zeros((n, 3), np.float32),
        ambient_rgb=np.ones((n, 3), np.float32),
        camera_offset=np.zeros((n, 3), np.float32),
        camera_rpy_rad=np.zeros((n, 3), np.float32),
        focal_scale=np.ones(n, np.float32),
        texels=texels,
        level_start=level_start,
        texture_edge=edge,
    )


def _mipmaps(textures: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, int]:
    """The bank and its halved copies down to one texel, flat; where each copy starts; the largest edge."""
    if textures is None or len(textures) == 0:
        return np.zeros(3, np.uint8), np.zeros(1, np.int64), 1
    bank = np.asarray(textures)
    edge = bank.shape[1] if bank.ndim == 4 else 0
    if bank.dtype != np.uint8 or bank.shape[1:] != (edge, edge, 3) or edge < 1 or edge & (edge - 1):
        raise ValueError(
            f"textures are (T, S, S, 3) uint8 with S a power of two, got {bank.shape} {bank.dtype}; resize them first"
        )
    levels = [bank]
    while levels[-1].shape[1] > 1:
        t, s = len(bank), levels[-1].shape[1] // 2
        blocks = levels[-1].reshape(t, s, 2, s, 2, 3).astype(np.float32)
        levels.append((blocks.mean(axis=(2, 4)) + 0.5).astype(np.uint8))
    starts = np.cumsum([0] + [level.size for level in levels[:-1]]).astype(np.int64)
    return np.concatenate([level.ravel() for level in levels]), starts, edge


def _intrinsics(camera: Camera, supersample: int) -> np.ndarray:
    """fx, fy, cx, cy in samples."""
    return np.array([camera.fx, camera.fy, camera.cx, camera.cy], float) * supersample


def _new_frames(n: int, camera: Camera) -> tuple[Frames, kernels.Target]:
    """Frames for the caller and the same memory as kernels write it."""
    h, w = camera.height, camera.width
    rgb, depth = np.zeros((n, h, w, 3), np.uint8), np.zeros((n, h, w), np.float32)
    segmentation = np.zeros((n, h, w, 2), np.int16)
    return Frames(rgb, depth, segmentation), kernels.Target(rgb, depth, segmentation.view(np.int32)[..., 0])


def _look_at(position: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(3, 3) world to optical frame."""
    distance = np.linalg.norm(target - position)
    if distance < 1e-9:
        raise ValueError(f"the camera at {position} cannot look at its own position")
    forward = (target - position) / distance
    up = np.array([0.0, 1.0, 0.0] if abs(forward[2]) > 0.9999 else [0.0, 0.0, 1.0])
    right = np.cross(forward, up)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(forward, right), forward])
