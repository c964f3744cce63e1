"""Kinematics of an arm's chain of joints: where its end is, and how to move it, by damped least squares."""

from __future__ import annotations

import math

import numba
import numpy as np

from .arm import Arm
from .quaternion import from_rpy, to_matrix

DAMPING = 0.02  # keeps joints from racing where the arm is stretched
ITERATIONS = 4  # a control step moves the hand by some centimetres: then it is there within 0.1 mm
POSTURE_GAIN = 0.05  # of the pull of the joints' free motion towards the posture at rest

inner = numba.njit(cache=True)


class Chain:
    """The joints of an arm from its base to the grasp point."""

    def __init__(self, arm: Arm) -> None:
        turns = [to_matrix(np.array(from_rpy(rpy))) for _, rpy in arm.origins]
        self._offset = np.array([pos for pos, _ in arm.origins])  # (J + E, 3) of each joint, then of what is fixed
        self._turn = np.array(turns)  # (J + E, 3, 3)
        count = len(arm.origins) - arm.fixed_to_end
        self.low, self.high = arm.low[:count].copy(), arm.high[:count].copy()

    def forward(self, joint_rad: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Where the end is for joint angles (n, J): position (n, 3), rotation (n, 3, 3) and Jacobian (n, 6, J)."""
        n, count = joint_rad.shape
        pos, rotation, jacobian = np.zeros((n, 3)), np.zeros((n, 3, 3)), np.zeros((n, 6, count))
        for i in range(n):
            _forward(joint_rad[i], self._offset, self._turn, pos[i], rotation[i], jacobian[i])
        return pos, rotation, jacobian

    def solve(self, joint_rad: np.ndarray, pos: np.ndarray, yaw_rad: np.ndarray, rest_rad: np.ndarray) -> np.ndarray:
        """Joint angles (n, J), near ``joint_rad``, that bring the end to a pose, pointing down; always within limits.

        Args:
            joint_rad: (n, J) where to begin.
            pos: (n, 3) of the end.
            yaw_rad: (n,) heading of the end's x axis.
            rest_rad: (J,) the posture that the free motion of the elbow keeps near.
        """
        out = np.ascontiguousarray(joint_rad, float).copy()
        target = np.ascontiguousarray(pos, float), np.ascontiguousarray(yaw_rad, float)
        _solve(out, *target, rest_rad, self.low, self.high, self._offset, self._turn)
        return out


@inner
def _rotate(matrix: np.ndarray, vector: np.ndarray, out: np.ndarray) -> None:
    """Add ``matrix @ vector`` to ``out``."""
    for i in range(3):
        out[i] += matrix[i, 0] * vector[0] + matrix[i, 1] * vector[1] + matrix[i, 2] * vector[2]


@inner
def _forward(
    joint_rad: np.ndarray,
    offset: np.ndarray,
    turn: np.ndarray,
    pos: np.ndarray,
    rotation: np.ndarray,
    jacobian: np.ndarray,
) -> None:
    """Position (3,), rotation (3, 3) and Jacobian (6, J) of the end, for joint angles (J,)."""
    count = len(joint_rad)
    pos[:] = 0.0
    rotation[:] = np.eye(3)
    moved = np.empty((3, 3))
    for j in range(len(offset)):
        _rotate(rotation, offset[j], pos)
        for i in range(3):
            for k in range(3):
                moved[i, k] = (
                    rotation[i, 0] * turn[j, 0, k] + rotation[i, 1] * turn[j, 1, k] + rotation[i, 2] * turn[j, 2, k]
                )
        c, s = (math.cos(joint_rad[j]), math.sin(joint_rad[j])) if j < count else (1.0, 0.0)
        for i in range(3):
            rotation[i, 0] = c * moved[i, 0] + s * moved[i, 1]
            rotation[i, 1] = c * moved[i, 1] - s * moved[i, 0]
            rotation[i, 2] = moved[i, 2]
        if j < count:
            jacobian[:3, j] = pos
            jacobian[3:, j] = rotation[:, 2]
    for j in range(count):
        x, y, z = pos[0] - jacobian[0, j], pos[1] - jacobian[1, j], pos[2] - jacobian[2, j]
        a, b, c = jacobian[3, j], jacobian[4, j], jacobian[5, j]
        jacobian[0, j], jacobian[1, j], jacobian[2, j] = b * z - c * y, c * x - a * z, a * y - b * x


@inner
def _factor(matrix: np.ndarray) -> None:
    """The lower triangle of a positive definite matrix becomes its Cholesky factor."""
    for j in range(len(matrix)):
        for i in range(j, len(matrix)):
            total = matrix[i, j]
            for k in range(j):
                total -= matrix[i, k] * matrix[j, k]
            matrix[i, j] = math.sqrt(total) if i == j else total / matrix[j, j]


@inner
def _back(factor: np.ndarray, vector: np.ndarray) -> None:
    """Solve with a Cholesky factor, in place."""
    size = len(vector)
    for i in range(size):
        for k in range(i):
            vector[i] -= factor[i, k] * vector[k]
        vector[i] /= factor[i, i]
    for i in range(size - 1, -1, -1):
        for k in range(i + 1, size):
            vector[i] -= factor[k, i] * vector[k]
        vector[i] /= factor[i, i]


@inner
def _error(now: np.ndarray, rotation: np.ndarray, pos: np.ndarray, yaw_rad: float, out: np.ndarray) -> None:
    """Way and turn (6,) to a pose that points down, the turn by its sine about its axis."""
    c, s = math.cos(yaw_rad), math.sin(yaw_rad)
    wanted = np.array([[c, s, 0.0], [s, -c, 0.0], [0.0, 0.0, -1.0]])  # columns are the axes
    for i in range(3):
        out[i] = pos[i] - now[i]
        a, b = (i + 1) % 3, (i + 2) % 3
        out[3 + i] = 0.0
        for k in range(3):
            out[3 + i] += 0.5 * (rotation[a, k] * wanted[b, k] - rotation[b, k] * wanted[a, k])


@numba.njit(cache=True)
def _solve(
    joint_rad: np.ndarray,
    pos: np.ndarray,
    yaw_rad: np.ndarray,
    rest_rad: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    offset: np.ndarray,
    turn: np.ndarray,
) -> None:
    """`Chain.solve`, in place."""
    count = joint_rad.shape[1]
    now, rotation, jacobian = np.empty(3), np.empty((3, 3)), np.empty((6, count))
    square, error, pull = np.empty((6, 6)), np.empty(6), np.empty(count)
    for world in range(len(joint_rad)):
        for _ in range(ITERATIONS):
            _forward(joint_rad[world], offset, turn, now, rotation, jacobian)
            _error(now, rotation, pos[world], yaw_rad[world], error)
            for j in range(count):
                pull[j] = POSTURE_GAIN * (rest_rad[j] - joint_rad[world, j])
            for i in range(6):
                for k in range(6):
                    square[i, k] = DAMPING * DAMPING if i == k else 0.0
                    for j in range(count):
                        square[i, k] += jacobian[i, j] * jacobian[k, j]
                for j in range(count):  # the pull may not move the end
                    error[i] -= jacobian[i, j] * pull[j]
            _factor(square)
            _back(square, error)
            for j in range(count):
                step = pull[j]
                for i in range(6):
                    step += jacobian[i, j] * error[i]
                joint_rad[world, j] = min(max(joint_rad[world, j] + step, low[j]), high[j])
