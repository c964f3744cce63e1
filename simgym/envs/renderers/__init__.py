"""Renderers: scene + layout + look + body poses -> rgb, depth and segmentation. A renderer steps no physics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from simgym.cores import usable_cores
from simgym.deploy.camera import Camera
from simgym.errors import UsageError

from ..draw import Layout, Look
from ..scene import Scene


@dataclass
class Frames:
    """One picture a world. Buffers are owned by the renderer and overwritten by its next call."""

    rgb: np.ndarray  # (n, H, W, 3) uint8
    depth: np.ndarray  # (n, H, W) float32 metres along the optical axis; inf where nothing was hit
    segmentation: np.ndarray  # (n, H, W, 2) int16: semantic class, body index; (0, -1) where nothing was hit


class Renderer(Protocol):
    """What every renderer offers. ``load`` once, ``apply`` at resets and where a look changes, ``render`` at steps."""

    def load(self, scene: Scene, camera: Camera, num_worlds: int) -> None:
        """Compile the scene for ``num_worlds`` worlds seen by ``camera``."""

    def apply(self, worlds: np.ndarray, layout: Layout, look: Look) -> None:
        """Take row ``i`` of a draw as the new variation of world ``worlds[i]``."""

    def render(self, moving_pos: np.ndarray, moving_quat: np.ndarray, worlds: np.ndarray | None = None) -> Frames:
        """Draw the given worlds, or all, with what moves at ``moving_pos (n, V, 3)``, ``moving_quat (n, V, 4)`` wxyz.

        The V bodies that move are the scene's objects, then its links.

        The rows of the other worlds stay as they are.
        """

    def snapshot(
        self, world: int, camera: Camera, position: ArrayLike, target: ArrayLike, supersample: int = 3
    ) -> np.ndarray:
        """A picture (H, W, 3) uint8 of one world from ``position`` (3,) towards ``target`` (3,), for people."""

    def close(self) -> None:
        """Release everything; may be called twice."""


def make_renderer(name: str, textures: np.ndarray | None = None, num_worlds: int = 1) -> Renderer:
    """The renderer of a domain, with a look's textures, not loaded yet. Raises UsageError with the known names."""
    if name == "raster":
        from .raster import RasterRenderer

        return RasterRenderer(textures)
    if name == "bullet":
        from .bullet import BulletRenderer
        from .workers import WorkerRenderer

        processes = min(num_worlds, usable_cores())
        return WorkerRenderer(textures, processes) if processes > 1 else BulletRenderer(textures)
    raise UsageError(f"domain.renderer={name!r}: expected 'raster' or 'bullet'")
