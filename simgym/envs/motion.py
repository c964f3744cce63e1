"""Where the points of one frame lie in the next, from depth and camera poses: a measure of flicker needs to know."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SAME_SURFACE = 0.05  # share of the depth by which the surface that is met may differ from the one that was looked for


@dataclass(frozen=True)
class CameraPose:
    """A pinhole somewhere in the world.

    Args:
        intrinsics: (4,) fx, fy, cx, cy in pixels; the middle of the first pixel is at (0.5, 0.5).
        eye_m: (3,) position in the world.
        world_to_optical: (3, 3) rotation; the optical frame has x to the right, y down, z forward.
    """

    intrinsics: np.ndarray
    eye_m: np.ndarray
    world_to_optical: np.ndarray


def known_flow(
    depth_m: np.ndarray, pose: CameraPose, next_depth_m: np.ndarray, next_pose: CameraPose
) -> tuple[np.ndarray, np.ndarray]:
    """Optical flow of a world that stands still, seen by a camera that moves.

    Args:
        depth_m: (H, W) along the optical axis; inf where nothing was hit.
        pose: of the camera that saw it.
        next_depth_m: (H, W) of the next frame.
        next_pose: of the camera then.

    Returns:
        (H, W, 2) float64 pixels to the right and down, 0 where it is not known, and (H, W) bool, where it is: the point
        lies in the next frame, and what is met there is as far away as it should be, so nothing hides it.
    """
    height, width = depth_m.shape
    known = np.isfinite(depth_m)
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)  # (H, W) each
    fx, fy, cx, cy = pose.intrinsics
    rays = np.stack([(columns - cx) / fx, (rows - cy) / fy, np.ones_like(rows)], -1)  # (H, W, 3) with z = 1
    points = rays * np.where(known, depth_m, 1.0)[..., None] @ pose.world_to_optical + pose.eye_m  # (H, W, 3) world
    seen = (points - next_pose.eye_m) @ next_pose.world_to_optical.T  # (H, W, 3) optical frame of the next camera
    known &= seen[..., 2] > 0
    z = np.where(known, seen[..., 2], 1.0)
    fx, fy, cx, cy = next_pose.intrinsics
    target = np.stack([fx * seen[..., 0] / z + cx, fy * seen[..., 1] / z + cy], -1)  # (H, W, 2) columns, rows
    known &= ((target >= 0) & (target < (width, height))).all(-1)
    column, row = np.where(known[..., None], target, 0).astype(int).transpose(2, 0, 1)
    known &= np.abs(next_depth_m[row, column] - z) <= SAME_SURFACE * z
    return np.where(known[..., None], target - np.stack([columns, rows], -1), 0.0), known
