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


def multiply(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The rotation ``second`` followed by ``first``: (..., 4) and (..., 4) -> (..., 4)."""
    w, axis = first[..., :1], first[..., 1:]
    real = w * second[..., :1] - (axis * second[..., 1:]).sum(-1, keepdims=True)
    return np.concatenate([real, w * second[..., 1:] + second[..., :1] * axis + np.cross(axis, second[..., 1:])], -1)


def conjugate(quat: np.ndarray) -> np.ndarray:
    """The inverse rotation of (..., 4)."""
    return quat * (1.0, -1.0, -1.0, -1.0)


def from_matrix(matrix: np.ndarray) -> np.ndarray:
    """A rotation matrix (3, 3) -> (4,), w not negative."""
    # The matrix of Bar-Itzhack, whose eigenvector of the largest eigenvalue is the quaternion xyzw.
    r = matrix
    k = np.array(
        [
            [r[0, 0] - r[1, 1] - r[2, 2], r[1, 0] + r[0, 1], r[2, 0] + r[0, 2], r[2, 1] - r[1, 2]],
            [r[1, 0] + r[0, 1], r[1, 1] - r[0, 0] - r[2, 2], r[2, 1] + r[1, 2], r[0, 2] - r[2, 0]],
            [r[2, 0] + r[0, 2], r[2, 1] + r[1, 2], r[2, 2] - r[0, 0] - r[1, 1], r[1, 0] - r[0, 1]],
            [r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1], r[0, 0] + r[1, 1] + r[2, 2]],
        ]
    )
    x, y, z, w = np.linalg.eigh(k)[1][:, -1]
    return np.array([w, x, y, z]) * (1.0 if w >= 0 else -1.0)


def to_matrix(quat: np.ndarray) -> np.ndarray:
    """(4,) -> rotation matrix (3, 3)."""
    w, x, y, z = quat.tolist()
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def wrap_angle(angle_rad: np.ndarray) -> np.ndarray:
    """Wrap to [-pi, pi)."""
    return (angle_rad + np.pi) % (2 * np.pi) - np.pi
