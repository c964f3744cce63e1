"""The default renderer: our own z-buffer rasterizer, many worlds in parallel on CPU cores, no OpenGL, no display.

It draws flat-shaded parts under one directional and one ambient light, with textures and lamps where a look asks for
them; lamps cast shadows. Faces are one-sided: a closed shape hides its own back, and a plane that faces down (a
ceiling) cannot be seen from above.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from simgym.cores import usable_cores
from simgym.deploy.camera import Camera

from ..crew import Crew
from ..draw import Layout, Look
from ..motion import CameraPose
from ..scene import Part, Scene
from . import Frames, raster_lamps
from . import raster_kernels as kernels
from . import raster_place as place
from .shapes import Shapes, pack, unit_shape


class RasterRenderer:
    """Renders every world in one pass; implements `Renderer`.

    Args:
        textures: (T, S, S, 3) uint8 bank that ``Look.part_texture`` indexes; S is a power of two. Row 0 is the top.
        supersample: samples a pixel along each axis. Rgb is their mean; depth and segmentation take the middle one.
        sides: flat sides around a cylinder, a capsule or a sphere.
        threads: how many worlds to draw at once; None: as many as this process has cores.
    """

    def __init__(
        self,
        textures: np.ndarray | None = None,
        supersample: int = 1,
        sides: int = 12,
        threads: int | None = None,
    ) -> None:
        """Check the arguments and prepare the textures."""
        if supersample < 1 or sides < 3:
            raise ValueError(f"need supersample >= 1 and sides >= 3, got {supersample} and {sides}")
        self.supersample, self.sides = int(supersample), int(sides)
        self.threads = threads or usable_cores()
        self._crew = Crew(self.threads, "raster")
        self._num_textures = 0 if textures is None else len(textures)
        self._textures = _mipmaps(textures)

    def load(self, scene: Scene, camera: Camera, num_worlds: int) -> None:
        """Compile the scene for ``num_worlds`` worlds seen by ``camera``; every part shows as the scene states it."""
        self.scene, self.camera, self.num_worlds = scene, camera, num_worlds
        n, num_parts, num_moving = num_worlds, len(scene.parts), scene.num_moving
        self._shapes, self._parts = _compile_parts(scene, self.sides)
        self._poses = _nominal_poses(scene, n)
        self._paint, self._stage = _plain_look(n, num_parts)
        self._geometry = place.Geometry(
            vertex=np.zeros((n, self._parts["vertices"].sum(), 3), np.float32),
            face=np.zeros((n, self._parts["faces"].sum()), place.FACE),
            ball=np.zeros((n, num_parts, 4), np.float32),
            visible=np.zeros((n, num_parts), np.int32),
            visible_count=np.zeros(n, np.int32),
        )
        self._worlds = np.arange(n)
        self._moving_pos, self._moving_quat = np.zeros((n, num_moving, 3)), np.tile([1.0, 0, 0, 0], (n, num_moving, 1))
        self._intrinsics = intrinsics(camera, self.supersample)
        self._views = np.zeros(n, kernels.VIEW)
        self._scratch = self._new_scratch(camera.height * self.supersample, camera.width * self.supersample)
        self._lamps = self._new_lamps(0)
        self._frames, self._target = _new_frames(n, camera)
        self._place(self._worlds)

    def apply(self, worlds: ArrayLike, layout: Layout, look: Look) -> None:
        """Take row ``i`` of a draw as the new variation of world ``worlds[i]``."""
        worlds = np.asarray(worlds, np.int64)
        if look.part_texture.size and look.part_texture.max() >= self._num_textures:
            raise ValueError(
                f"the look asks for texture {look.part_texture.max()}, but the bank holds {self._num_textures}; "
                "give RasterRenderer(textures=...) the bank that the look was drawn for"
            )
        for name, target in zip(place.Poses._fields, self._poses, strict=True):
            # What moves keeps its parts in its own frame: where objects start does not matter here.
            count = self.scene.num_fixed if name.startswith("body") else self.scene.num_placed_parts
            target[worlds, :count] = getattr(layout, name)[:, :count]
        for name in place.STAGE.names or ():
            self._stage[name][worlds] = getattr(look, name)
        self._paint["rgb"][worlds] = look.part_rgb
        self._paint["texture"][worlds] = look.part_texture
        self._paint["texture_size_m"][worlds] = look.texture_size_m
        self._place(worlds)
        if look.lamp_rgb.any():
            self._cast_shadows(worlds)

    def render(self, moving_pos: np.ndarray, moving_quat: np.ndarray, worlds: np.ndarray | None = None) -> Frames:
        """See `Renderer.render`."""
        self._moving_pos[:], self._moving_quat[:] = moving_pos, moving_quat
        kernels.aim_cameras(
            self.scene.camera_carrier, self._moving_pos, self._moving_quat, self._intrinsics, self._stage, self._views
        )
        rows = self._worlds if worlds is None else np.asarray(worlds, np.int64)
        self._draw(rows, self._worlds, self._views, self.supersample, self._scratch, self._target)
        return self._frames

    def camera_pose(self, world: int) -> CameraPose:
        """Where a world's camera was at the last render."""
        view = self._views[world]
        in_samples = np.array([view[name] for name in ("fx", "fy", "cx", "cy")])
        return CameraPose(in_samples / self.supersample, view["eye"].copy(), view["rotation"].copy())

    def snapshot(
        self, world: int, camera: Camera, position: ArrayLike, target: ArrayLike, supersample: int = 3
    ) -> np.ndarray:
        """A picture of one world from anywhere, as people like to see it; what moves is where the last render had it.

        Args:
            world: which world.
            camera: any pinhole; the look's camera draw does not touch it.
            position: (3,) metres, where the camera is.
            target: (3,) metres, what it looks at. Straight down or up: the top of the picture is +y.
            supersample: samples a pixel along each axis.

        Returns:
            (H, W, 3) uint8, a new array.
        """
        view = np.zeros(1, kernels.VIEW)
        view["eye"] = position
        view["rotation"] = look_at(np.asarray(position, float), np.asarray(target, float))
        view["fx"], view["fy"], view["cx"], view["cy"] = intrinsics(camera, supersample)
        scratch = self._new_scratch(camera.height * supersample, camera.width * supersample)
        frames, buffers = _new_frames(1, camera)
        self._draw(np.array([0]), np.array([range(self.num_worlds)[world]]), view, supersample, scratch, buffers)
        return frames.rgb[0]

    def close(self) -> None:
        """Let the threads go."""
        self._crew.close()

    def _place(self, worlds: np.ndarray) -> None:
        place.place_worlds(
            worlds, self._shapes, self._parts, self._poses, self._paint, self._textures.edge, self._geometry
        )

    def _new_lamps(self, num_worlds: int) -> raster_lamps.Lamps:
        """Shadow maps for so many worlds: none, until a look has lamps."""
        maps = (num_worlds, raster_lamps.MAX_LAMPS, raster_lamps.MAP_SAMPLES + kernels.BLOCK)
        faces = self._geometry.face.shape[1] + 1 if num_worlds else 0
        return raster_lamps.Lamps(np.zeros(maps, np.float32), np.zeros((self.threads, faces), raster_lamps.LIT))

    def _cast_shadows(self, worlds: np.ndarray) -> None:
        if len(self._lamps.shadow) == 0:
            self._lamps = self._new_lamps(self.num_worlds)
            self._map_scratch = self._new_scratch(raster_lamps.MAP_PX, raster_lamps.MAP_PX, threads=1)
        kernels.cast_shadows(
            worlds, self._shapes, self._parts, self._geometry, self._paint, self._stage, np.zeros(1, kernels.VIEW),
            self._map_scratch, self._lamps,
        )  # fmt: skip

    def _draw(
        self,
        rows: np.ndarray,
        worlds: np.ndarray,
        views: np.ndarray,
        supersample: int,
        scratch: kernels.Scratch,
        target: kernels.Target,
    ) -> None:
        """Share ``rows`` of ``worlds``, ``views`` and ``target`` out among threads."""
        arguments = (
            rows, worlds, views, self._moving_pos, self._moving_quat, supersample, self._shapes, self._parts,
            self._geometry, self._paint, self._stage, self._textures, self._lamps, scratch, target,
        )  # fmt: skip
        self._crew.share_out(len(rows), lambda *share: kernels.draw_worlds(*share, *arguments))

    def _new_scratch(self, height: int, width: int, threads: int | None = None) -> kernels.Scratch:
        """Working memory for pictures of ``height`` x ``width`` samples, by default for all threads."""
        t, samples = threads or self.threads, height * width + kernels.BLOCK
        vertices = int(self._parts["vertices"].max(initial=1))
        corners = int(np.diff(self._shapes.face_corner).max(initial=3)) + 1  # the near plane adds one
        scratch = kernels.Scratch(
            inverse_depth=np.zeros((t, samples), np.float32),
            winner=np.zeros((t, samples), np.int32),
            rgb=np.zeros((t, height, width, 3), np.uint8),
            spans=np.zeros((t, 2, height), np.int32),
            vertex=np.zeros((t, vertices, 3), np.float32),
            screen=np.zeros((t, vertices, 2), np.float32),
            polygon=np.zeros((t, corners, 2), np.float32),
            record=np.zeros((t, self._geometry.face.shape[1] + 1), kernels.RECORD),
            local_view=np.zeros(t, kernels.VIEW),
        )
        scratch.record["label"][:, 0], scratch.record["texture"][:, 0] = _label(0, -1), -1
        return scratch


def _compile_parts(scene: Scene, sides: int) -> tuple[Shapes, np.ndarray]:
    """Unit shapes (each once) and (P,) PART."""
    kinds: dict[tuple, Part] = {}
    for part in scene.parts:
        kinds.setdefault((part.shape, part.mesh), part)
    shapes, ranges = pack([unit_shape(part, sides) for part in kinds.values()])
    index = {kind: i for i, kind in enumerate(kinds)}
    parts = np.zeros(len(scene.parts), place.PART)
    parts["kind"] = [part.shape for part in scene.parts]
    parts["body"] = scene.part_body
    parts["frame"] = np.maximum(scene.part_body - scene.num_fixed + 1, 0)
    parts["label"] = [_label(p.semantic, b) for p, b in zip(scene.parts, scene.part_body, strict=True)]
    unit = ranges[[index[part.shape, part.mesh] for part in scene.parts]].reshape(-1, 4)
    for i, name in enumerate(("unit_vertex", "vertices", "unit_face", "faces")):
        parts[name] = unit[:, i]
    for name, count in (("first_vertex", "vertices"), ("first_face", "faces")):
        parts[name] = np.cumsum(parts[count]) - parts[count]
    return shapes, parts


def _label(semantic: int, body: int) -> np.int32:
    """Two int16 as the one int32 that holds them in memory."""
    return np.array([semantic, body], np.int16).view(np.int32)[0]


def _nominal_poses(scene: Scene, n: int) -> place.Poses:
    """Every part as the scene states it; bodies at the origin (for links: of their own frame)."""
    whole = Layout.nominal(Scene(scene.all_bodies), n)
    return place.Poses(*(np.ascontiguousarray(getattr(whole, name)) for name in place.Poses._fields))


def _plain_look(n: int, num_parts: int) -> tuple[np.ndarray, np.ndarray]:
    """(n, P) PAINT and (n,) STAGE: grey under ambient light only, until a look is applied."""
    paint, stage = np.zeros((n, num_parts), place.PAINT), np.zeros(n, place.STAGE)
    paint["rgb"], paint["texture"], paint["texture_size_m"] = 0.5, -1, 1
    stage["light_dir"], stage["ambient_rgb"], stage["focal_scale"] = (0, 0, -1), 1, 1
    return paint, stage


def _mipmaps(textures: np.ndarray | None) -> kernels.Textures:
    """The bank and its halved copies down to one texel."""
    if textures is None or len(textures) == 0:
        return kernels.Textures(np.zeros(1, np.uint64), np.zeros(1, np.int64), 1)
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
    starts = np.cumsum([0] + [level[..., 0].size for level in levels[:-1]]).astype(np.int64)
    rgb = np.concatenate([level.reshape(-1, 3) for level in levels]).astype(np.uint64)  # (texels, 3)
    return kernels.Textures(rgb[:, 0] | rgb[:, 1] << 16 | rgb[:, 2] << 32, starts, edge)


def intrinsics(camera: Camera, supersample: int) -> np.ndarray:
    """fx, fy, cx, cy in samples."""
    return np.array([camera.fx, camera.fy, camera.cx, camera.cy], float) * supersample


def _new_frames(n: int, camera: Camera) -> tuple[Frames, kernels.Target]:
    """Frames for the caller and the same memory as kernels write it."""
    h, w = camera.height, camera.width
    rgb, depth = np.zeros((n, h, w, 3), np.uint8), np.zeros((n, h, w), np.float32)
    segmentation = np.zeros((n, h, w, 2), np.int16)
    return Frames(rgb, depth, segmentation), kernels.Target(rgb, depth, segmentation.view(np.int32)[..., 0])


def look_at(position: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(3, 3) world to optical frame."""
    distance = np.linalg.norm(target - position)
    if distance < 1e-9:
        raise ValueError(f"the camera at {position} cannot look at its own position")
    forward = (target - position) / distance
    up = np.array([0.0, 1.0, 0.0] if abs(forward[2]) > 0.9999 else [0.0, 0.0, 1.0])
    right = np.cross(forward, up)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(forward, right), forward])
