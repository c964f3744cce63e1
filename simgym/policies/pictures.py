"""Pictures of episodes for people: the path on the room seen from above, and what the camera saw."""

from __future__ import annotations

import cv2
import numpy as np

from simgym.deploy.camera import Camera
from simgym.envs.simulation import Simulation
from simgym.report_page import VOID, tile

from .evaluation import Trace

GREEN, RED, BLUE = (46, 168, 92), (222, 60, 52), (48, 132, 214)
WHITE, INK = (255, 255, 255), (24, 26, 32)
MARGIN = 0.03  # of void around the room, as a share of the picture
SHIFT = 4  # OpenCV takes integers; with so many binary digits behind the point, lines do not jitter


class FloorPlan:
    """The room of an episode from above, cut out of its overview, x to the right and y up.

    Args:
        overview: (S, S, 3) uint8, see `Simulation.overview`.
        extent_m: edge of the square of floor that it shows.
        side_px: edge of this picture.
    """

    def __init__(self, overview: np.ndarray, extent_m: float, side_px: int) -> None:
        lit = overview.max(axis=2) > 0  # (S, S) bool
        rows, columns = np.flatnonzero(lit.any(axis=1)), np.flatnonzero(lit.any(axis=0))
        if not rows.size:  # nothing to cut out
            rows = columns = np.arange(len(overview))
        low = np.array([columns[0], rows[0]])
        high = np.array([columns[-1], rows[-1]]) + 1
        scale = side_px * (1 - 2 * MARGIN) / (high - low).max()
        offset = side_px / 2 - scale * (low + high) / 2
        self.px_per_m = scale * len(overview) / extent_m
        self._centre_px = scale * len(overview) / 2 + offset  # (2,) where x = y = 0 is
        # OpenCV counts from the middle of the first pixel, everything here from its corner.
        matrix = np.column_stack([np.eye(2) * scale, offset + (scale - 1) / 2])
        self.image = cv2.warpAffine(_paint_void(overview), matrix, (side_px, side_px), borderValue=VOID)

    def draw_path(self, poses: np.ndarray, colour: tuple[int, int, int], radius_m: float = 0.2) -> np.ndarray:
        """The room with a path: a dot at the start, a disc with a heading at the end.

        Args:
            poses: (T, 3) x, y, yaw_rad.
            colour: of the path and the disc.
            radius_m: of the disc.

        Returns:
            (side_px, side_px, 3) uint8, a new array.
        """
        picture, points = self.image.copy(), self._to_px(poses[:, :2])  # (T, 2)
        width = max(1, round(len(picture) / 120))
        for stroke, ink in ((width + 2, WHITE), (width, colour)):  # the rim keeps it visible on any floor
            cv2.polylines(picture, [_fixed(points)], False, ink, stroke, cv2.LINE_AA, SHIFT)
        _disc(picture, points[0], 1.5 * width, WHITE, INK)
        self._draw_robot(picture, points[-1], poses[-1, 2], colour, radius_m)
        return picture

    def _draw_robot(
        self, picture: np.ndarray, point: np.ndarray, yaw_rad: float, colour: tuple[int, int, int], radius_m: float
    ) -> None:
        radius = max(radius_m * self.px_per_m, len(picture) / 60)
        tip = point + 1.9 * radius * np.array([np.cos(yaw_rad), -np.sin(yaw_rad)])
        for stroke, ink in ((5, WHITE), (2, INK)):
            cv2.line(picture, _fixed(point).tolist(), _fixed(tip).tolist(), ink, stroke, cv2.LINE_AA, SHIFT)
        _disc(picture, point, radius, colour, WHITE)

    def _to_px(self, xy_m: np.ndarray) -> np.ndarray:
        return self._centre_px + self.px_per_m * xy_m * (1, -1)


def draw_trace(trace: Trace, side_px: int, poses: int | None = None) -> np.ndarray:
    """A trace's path, green where it ended in success and red elsewhere, (side_px, side_px, 3) uint8."""
    assert trace.overview is not None
    plan = FloorPlan(trace.overview, trace.overview_extent_m, side_px)
    return plan.draw_path(np.array(trace.poses[:poses]), GREEN if trace.success else RED, trace.radius_m)


def draw_world(simulation: Simulation, world: int, width_px: int, height_px: int) -> np.ndarray:
    """A world as it is now, as people like to see it, (height, width, 3) uint8."""
    onlooker = simulation.task.onlooker
    camera = Camera.from_fov(width_px, height_px, onlooker.fov_rad)
    picture = simulation.renderer.snapshot(world, camera, np.array(onlooker.eye_m), np.array(onlooker.target_m))
    return _paint_void(picture)


def camera_strip(images: list[np.ndarray], count: int, columns: int, gap_px: int = 1) -> np.ndarray:
    """Up to ``count`` frames as a grid, evenly spaced from the first to the last one, (H, W, 3) uint8."""
    chosen = np.unique(np.linspace(0, len(images) - 1, count).round().astype(int))
    return tile([images[i] for i in chosen], columns, gap_px)


def _paint_void(picture: np.ndarray) -> np.ndarray:
    """Black, where the renderer hit nothing, is harsh on a page."""
    return np.where(picture.max(axis=2, keepdims=True) > 0, picture, np.array(VOID, np.uint8))


def _disc(
    picture: np.ndarray, centre: np.ndarray, radius: float, fill: tuple[int, int, int], rim: tuple[int, int, int]
) -> None:
    for size, ink in ((radius + 1.5, rim), (radius, fill)):
        cv2.circle(picture, _fixed(centre).tolist(), round(size * 2**SHIFT), ink, cv2.FILLED, cv2.LINE_AA, SHIFT)


def _fixed(points: np.ndarray) -> np.ndarray:
    """Pixels counted from the corner of the picture -> OpenCV's fixed-point numbers."""
    return ((points - 0.5) * 2**SHIFT).round().astype(np.int32)
