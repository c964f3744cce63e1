"""How fast things move through an arm's picture, pixel by pixel: from depth, labels and the poses of all that moves."""

from __future__ import annotations

import numba
import numpy as np

from simgym.deploy.camera import Camera

from .draw import Look
from .quaternion import conjugate, from_rpy, multiply, rotate
from .renderers import Frames
from .scene import Scene

TO_OPTICAL = ((0, -1, 0), (0, 0, -1), (1, 0, 0))  # axes of the optical frame (x right, y down) in a link's (z up)


class SceneFlow:
    """The motion of ``num_worlds`` pictures, from one control step to the next.

    A hand carries its camera, its fingers and what these hold, so that each body moves through the picture in its own
    way. A point P in the camera's frame, on a body with velocity a (of its point at the eye) and turn w against the
    camera, moves by P' = a + w x P, and at (x, y) = (Px, Py) / Pz by x' = (P'x - x P'z) / Pz, likewise y'
    (Longuet-Higgins and Prazdny 1980, "The interpretation of a moving retinal image").
    """

    def __init__(self, scene: Scene, camera: Camera, num_worlds: int, dt_s: float) -> None:
        self._scene, self._camera, self._dt_s = scene, camera, dt_s
        n = num_worlds
        self._pos = np.zeros((n, scene.num_moving, 3))  # of all that moves, at the last step
        self._quat = np.zeros((n, scene.num_moving, 4))
        self._offset_m, self._mount_quat = np.zeros((n, 3)), np.zeros((n, 4))  # of the camera on its link
        self._focal_px = np.zeros((n, 2))
        self._flow = np.zeros((n, camera.height, camera.width, 2), np.float32)

    def aim(self, world: int, look: Look) -> None:
        """Take in how a world's camera is mounted."""
        self._offset_m[world] = look.camera_offset[0]
        roll, pitch, yaw = look.camera_rpy_rad[0].tolist()
        self._mount_quat[world] = from_rpy((roll, pitch, yaw))
        self._focal_px[world] = np.array([self._camera.fx, self._camera.fy]) * look.focal_scale[0]

    def begin(self, worlds: np.ndarray, pos: np.ndarray, quat: np.ndarray) -> np.ndarray:
        """Episodes begin at rest; arguments and result as of `advance`."""
        self._pos[worlds], self._quat[worlds], self._flow[worlds] = pos[worlds], quat[worlds], 0
        return self._flow

    def advance(self, pos: np.ndarray, quat: np.ndarray, frames: Frames) -> np.ndarray:
        """The flow since the last step.

        Args:
            pos: (n, M, 3) metres, of all that moves.
            quat: (n, M, 4) wxyz.
            frames: what is seen now.

        Returns:
            (n, H, W, 2) float32 pixels a second to the right and down; a buffer that the next call overwrites.
        """
        velocity = (pos - self._pos) / self._dt_s
        step = multiply(quat, conjugate(self._quat))
        turn = 2 * np.where(step[..., :1] < 0, -1, 1) * step[..., 1:] / self._dt_s  # (n, M, 3) rad/s, small angles
        self._pos[:], self._quat[:] = pos, quat
        linear, angular = self._against_camera(velocity, turn)
        centre = self._camera.cx, self._camera.cy
        for world in range(len(pos)):
            _flow_of_pixels(
                frames.depth[world],
                frames.segmentation[world, :, :, 1],
                self._scene.num_fixed,
                linear[world],
                angular[world],
                self._focal_px[world],
                centre,
                self._flow[world],
            )
        return self._flow

    def _against_camera(self, velocity: np.ndarray, turn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(n, 1 + M, 3) each, in the optical frame: a and w of what is fixed, then of each body that moves."""
        still = np.zeros((len(velocity), 1, 3))
        carrier = self._scene.camera_carrier
        if carrier < 0:
            link_quat = np.broadcast_to((1.0, 0.0, 0.0, 0.0), self._mount_quat.shape)
            eye, eye_velocity, eye_turn = self._offset_m, still[:, 0], still[:, 0]
        else:
            link_quat = self._quat[:, carrier]
            arm = rotate(link_quat, self._offset_m)
            eye, eye_turn = self._pos[:, carrier] + arm, turn[:, carrier]
            eye_velocity = velocity[:, carrier] + np.cross(eye_turn, arm)
        at_eye = velocity + np.cross(turn, eye[:, None] - self._pos)
        to_camera = conjugate(multiply(link_quat, self._mount_quat))[:, None]
        linear = np.concatenate([still, at_eye], axis=1) - eye_velocity[:, None]
        angular = np.concatenate([still, turn], axis=1) - eye_turn[:, None]
        axes = np.array(TO_OPTICAL, float).T
        return rotate(to_camera, linear) @ axes, rotate(to_camera, angular) @ axes


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _flow_of_pixels(
    depth: np.ndarray,  # (H, W) float32 metres, inf where nothing was hit
    bodies: np.ndarray,  # (H, W) int16 body index, -1 where nothing was hit
    num_fixed: int,
    linear: np.ndarray,  # (1 + M, 3) m/s
    angular: np.ndarray,  # (1 + M, 3) rad/s
    focal: np.ndarray,  # (2,) fx, fy
    centre: tuple[float, float],  # cx, cy
    out: np.ndarray,  # (H, W, 2) float32, written
) -> None:
    """See `SceneFlow`; what is infinitely far away moves by the turn alone."""
    for v in range(depth.shape[0]):
        y = (v + 0.5 - centre[1]) / focal[1]
        for u in range(depth.shape[1]):
            x = (u + 0.5 - centre[0]) / focal[0]
            k = max(int(bodies[v, u]) - num_fixed + 1, 0)
            near = 1.0 / depth[v, u]
            a, w = linear[k], angular[k]
            along_x = a[0] * near + w[1] - w[2] * y
            along_y = a[1] * near + w[2] * x - w[0]
            along_z = a[2] * near + w[0] * y - w[1] * x
            out[v, u, 0] = focal[0] * (along_x - x * along_z)
            out[v, u, 1] = focal[1] * (along_y - y * along_z)
