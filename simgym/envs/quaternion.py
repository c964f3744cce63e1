"""Rotations on arrays: quaternions wxyz, any leading axes."""

from __future__ import annotations

import numpy as np


def from_yaw(yaw_rad: np.ndarray | float) -> np.ndarray:
    """(...,) heading about z -> (..., 4)."""
    half = np.asarray(yaw_rad) / 2
    if half.ndim == 0:  # the usual case while furniture is built, and there twice as fast
        return np.array([np.cos(half), 0.0, 0.0, np.sin(half)])
    zero = np.zeros_like(half)
    return np.stack([np.cos(half), zero, zero, np.sin(half)], axis=-1)


def from_rpy(rpy_rad: tuple[float, float, float]) -> tuple[float, float, float, float]:
    """Roll, pitch, yaw about fixed x, y, z axes, as in URDF."""
    (cr, cp, cy), (sr, sp, sy) = np.cos(np.asarray(rpy_rad) / 2), np.sin(np.asarray(rpy_rad) / 2)
    return (
        float(cr * cp * cy + sr * sp * sy),
        float(sr * cp * cy - cr * sp * sy),
        float(cr * sp * cy + sr * cp * sy),
        float(cr * cp * sy - sr * sp * cy),
    )


def yaw(quat: np.ndarray) -> np.ndarray:
    """(..., 4) -> (...,) heading of the x axis in the xy plane, in radians."""
    w, x, y, z = np.moveaxis(quat, -1, 0)
    return np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))


def rotate(quat: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Rotate (..., 3) vectors by (..., 4) quaternions."""
    axis = quat[..., 1:]
    cross = 2 * np.cross(axis, vector)
    return vector + quat[..., :1] * cross + np.cross(axis, cross)


def wrap_angle(angle_rad: np.ndarray) -> np.ndarray:
    """Wrap to [-pi, pi)."""
    return (angle_rad + np.pi) % (2 * np.pi) - np.pi
