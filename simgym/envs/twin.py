"""The canonical twin: the same worlds and the same moment in the canonical look, whatever domain shows them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from simgym.deploy.camera import Camera

from .draw import Layout, Look
from .looks.canonical import canonical_look, decoration
from .motion import CameraPose
from .renderers import Frames
from .renderers.raster import RasterRenderer
from .scene import Scene


class CanonicalTwin:
    """Draws worlds a second time, by the default renderer in the canonical look.

    The twin's camera has the mount and the focal length that the episode drew, not the nominal ones: a pair shows the
    same things at the same pixels, so that goggles learn to change appearance and nothing else. What the camera's lens
    does on top of that (`CameraFlaws`) is left out. Decoration is left out too: the wall or the floor shows instead, as
    it does where policies are trained. Furniture of every kind stays.

    Args:
        scene: of the worlds.
        camera: nominal.
        num_worlds: how many.
    """

    def __init__(self, scene: Scene, camera: Camera, num_worlds: int) -> None:
        self._renderer = RasterRenderer()
        self._renderer.load(scene, camera, num_worlds)
        self._look = canonical_look(scene)
        self._shown = ~decoration(scene)[: scene.num_placed_parts]

    def apply(self, world: int, layout: Layout, look: Look) -> None:
        """Take one row of a draw as the new variation of ``world``."""
        mount = {name: getattr(look, name) for name in ("camera_offset", "camera_rpy_rad", "focal_scale")}
        plain = replace(layout, part_visible=layout.part_visible & self._shown)
        self._renderer.apply(np.array([world]), plain, replace(self._look, **mount))

    def render(self, moving_pos: np.ndarray, moving_quat: np.ndarray) -> Frames:
        """See `Renderer.render`; of all worlds."""
        return self._renderer.render(moving_pos, moving_quat)

    def camera_pose(self, world: int) -> CameraPose:
        """See `RasterRenderer.camera_pose`."""
        return self._renderer.camera_pose(world)

    def close(self) -> None:
        """See `Renderer.close`."""
        self._renderer.close()
