"""The pinhole camera: a simulated one, or a real one read from a ROS ``camera_info`` YAML."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Camera:
    """A pinhole camera, in pixels; pixel centres lie at integer + 0.5, as in OpenGL and MuJoCo.

    The optical frame is REP 103's: z forward, x right, y down. Point (x, y, z) falls on pixel coordinate
    ``u = cx + fx * x / z`` where the left edge of the image is u = 0 and the right edge u = width.
    """

    width: int = 80
    height: int = 60
    fx: float = 58.2005
    fy: float = 58.2005
    cx: float = 40.0
    cy: float = 30.0

    @classmethod
    def from_fov(cls, width: int, height: int, horizontal_fov_rad: float) -> Camera:
        """Square pixels, the principal point in the middle."""
        focal = width / 2 / math.tan(horizontal_fov_rad / 2)
        return cls(width, height, focal, focal, width / 2, height / 2)
