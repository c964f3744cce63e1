"""Camera geometry: the simulated pinhole, and a real lens as ROS describes it.

Two conventions meet here. simgym puts pixel centres at integer + 0.5 (OpenGL, MuJoCo); OpenCV and ROS put them at
integers. The same camera therefore has ``cx = cx_ros + 0.5`` and ``cy = cy_ros + 0.5``; the focal lengths agree.
`Camera` and `Calibration` hold ours. The half pixel is added where ROS numbers come in (`Calibration.from_camera_info`)
and taken off where numbers go out (`Camera.opencv_matrix`, `Calibration.to_yaml`), nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import yaml
from numpy.typing import ArrayLike

from simgym.errors import UserError
from simgym.files import atomic_path

# How many coefficients each ROS distortion model has; 0 is an ideal lens, 12 and 14 add OpenCV's thin prism and tilt.
DISTORTION_MODELS = {
    "plumb_bob": (0, 4, 5),
    "rational_polynomial": (0, 8, 12, 14),
    "equidistant": (0, 4),
}
ASSUMED_FOV_DEG = 57.0  # horizontal, of a camera that nobody calibrated: a Kinect's colour camera


class CameraError(UserError, ValueError):
    """A camera, a calibration or an image does not fit; the message is one line that says how to mend it."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera, in pixels; pixel centres lie at integer + 0.5, as in OpenGL and MuJoCo.

    The optical frame is REP 103's: z forward, x right, y down. Point (x, y, z) falls on pixel coordinate
    ``u = cx + fx * x / z`` where the left edge of the image is u = 0 and the right edge u = width.

    Raises:
        CameraError: a size or focal length that is not positive, or a number that is not finite.
    """

    width: int = 80
    height: int = 60
    fx: float = 58.2005
    fy: float = 58.2005
    cx: float = 40.0
    cy: float = 30.0

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise CameraError(f"a camera needs at least 1x1 pixels, got width {self.width}, height {self.height}")
        intrinsics = (self.fx, self.fy, self.cx, self.cy)
        if not all(math.isfinite(value) for value in intrinsics) or self.fx <= 0 or self.fy <= 0:
            raise CameraError(
                f"fx, fy, cx, cy must be finite and the focal lengths positive, got {intrinsics}: "
                "calibrate the camera (an uncalibrated ROS driver publishes zeros)"
            )

    @classmethod
    def from_fov(cls, width: int, height: int, horizontal_fov_rad: float) -> Camera:
        """Square pixels, the principal point in the middle.

        Raises:
            CameraError: a field of view outside (0, pi) radians, which no pinhole has.
        """
        if not 0 < horizontal_fov_rad < math.pi:
            raise CameraError(
                f"the horizontal field of view must lie between 0 and pi radians, got {horizontal_fov_rad}: "
                "is it given in degrees?"
            )
        focal = width / 2 / math.tan(horizontal_fov_rad / 2)
        return cls(width, height, focal, focal, width / 2, height / 2)

    @classmethod
    def from_yaml(cls, path: str | Path) -> Camera:
        """The pinhole of a ROS ``camera_info`` YAML: its camera matrix, with the lens distortion left out.

        Raises:
            CameraError: as `Calibration.from_yaml`.
        """
        return Calibration.from_yaml(path).camera

    @property
    def horizontal_fov_rad(self) -> float:
        """The angle between the left and the right edge of the image."""
        return math.atan(self.cx / self.fx) + math.atan((self.width - self.cx) / self.fx)

    @property
    def opencv_matrix(self) -> np.ndarray:
        """(3, 3) float64 camera matrix K in OpenCV's and ROS's convention (pixel centres at integers)."""
        return np.array([[self.fx, 0, self.cx - 0.5], [0, self.fy, self.cy - 0.5], [0, 0, 1]])


@dataclass(frozen=True)
class Calibration:
    """A real camera: a pinhole and the distortion of its lens.

    Args:
        camera: image size in pixels and intrinsics, in simgym's convention (see the module's docstring).
        distortion_model: ``plumb_bob``, ``rational_polynomial`` or ``equidistant``, as in ROS (REP 2003).
        coefficients: D as ROS and OpenCV order it; empty for an ideal lens.

    Raises:
        CameraError: an unknown model, or a number of coefficients that the model does not have.
    """

    camera: Camera
    distortion_model: str = "plumb_bob"
    coefficients: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.distortion_model not in DISTORTION_MODELS:
            known = ", ".join(DISTORTION_MODELS)
            raise CameraError(f"unknown distortion model {self.distortion_model!r}; simgym knows {known}")
        allowed = DISTORTION_MODELS[self.distortion_model]
        if len(self.coefficients) not in allowed:
            raise CameraError(
                f"{self.distortion_model} takes {' or '.join(map(str, allowed))} distortion coefficients, "
                f"got {len(self.coefficients)}"
            )
        if not all(math.isfinite(value) for value in self.coefficients):
            raise CameraError(f"distortion coefficients must be finite, got {self.coefficients}")

    @classmethod
    def assumed(cls, width: int, height: int, horizontal_fov_rad: float = math.radians(ASSUMED_FOV_DEG)) -> Calibration:
        """A guess for photographs without a calibration: ideal lens, centred, 57 degrees as a Kinect's colour camera.

        A wrong field of view makes everything look nearer or farther than it is; left stays left.
        """
        return cls(Camera.from_fov(width, height, horizontal_fov_rad))

    @classmethod
    def from_camera_info(
        cls, width: int, height: int, k: ArrayLike, distortion_model: str, d: Sequence[float] | np.ndarray
    ) -> Calibration:
        """The calibration that a ROS ``CameraInfo`` message states for the raw image.

        For a topic that is rectified already, pass P's left 3x3 block as ``k``, ``"plumb_bob"`` and no ``d``.

        Args:
            width: of the image, in pixels.
            height: of the image, in pixels.
            k: the camera matrix K, row by row, 9 numbers, pixel centres at integers.
            distortion_model: as in ROS; some simulators leave it empty for an ideal lens.
            d: the distortion coefficients D.

        Raises:
            CameraError: K is not of the form [fx 0 cx, 0 fy cy, 0 0 1], or the camera is uncalibrated (zeros).
        """
        matrix = np.asarray(k, float).reshape(-1)  # (9,)
        if matrix.size != 9 or matrix[[1, 3, 6, 7]].any() or (matrix[8] != 1 and matrix.any()):
            raise CameraError(f"the camera matrix must be [fx 0 cx, 0 fy cy, 0 0 1], got {matrix.tolist()}")
        fx, _, cx, _, fy, cy = matrix[:6].tolist()
        camera = Camera(int(width), int(height), fx, fy, cx + 0.5, cy + 0.5)
        if not distortion_model and len(d) == 0:
            distortion_model = "plumb_bob"
        return cls(camera, distortion_model, tuple(float(value) for value in d))

    @classmethod
    def from_yaml(cls, path: str | Path, rectified: bool = False) -> Calibration:
        """Read a ROS ``camera_info`` YAML, as ``camera_calibration`` writes it.

        Args:
            path: the file.
            rectified: the images come from a rectified topic (``image_rect``): take the projection matrix and no
                distortion. Otherwise the raw image's camera matrix and distortion.

        Raises:
            CameraError: the file is missing, is not YAML, or lacks or mangles a key; it is named in the message.
        """
        data = _read_mapping(Path(path))
        try:
            width, height = _positive_int(data, "image_width"), _positive_int(data, "image_height")
            if rectified:
                projection = _numbers(data, "projection_matrix", 12).reshape(3, 4)
                return cls.from_camera_info(width, height, projection[:, :3], "plumb_bob", ())
            k = _numbers(data, "camera_matrix", 9)
            return cls.from_camera_info(
                width, height, k, str(data.get("distortion_model", "")), _numbers(data, "distortion_coefficients")
            )
        except CameraError as error:
            raise CameraError(f"{path}: {error}") from error

    def to_yaml(self, path: str | Path, camera_name: str = "camera") -> None:
        """Write a ROS ``camera_info`` YAML; reading it back gives an equal calibration."""
        camera, k = self.camera, self.camera.opencv_matrix
        projection = np.hstack([k, np.zeros((3, 1))])
        data = {
            "image_width": camera.width,
            "image_height": camera.height,
            "camera_name": camera_name,
            "camera_matrix": _matrix(k),
            "distortion_model": self.distortion_model,
            "distortion_coefficients": _matrix(np.array([self.coefficients], float)),
            "rectification_matrix": _matrix(np.eye(3)),
            "projection_matrix": _matrix(projection),
        }
        with atomic_path(path) as temporary:
            temporary.write_text(yaml.safe_dump(data, sort_keys=False))

    def cropped(self, left: int, top: int, width: int, height: int) -> Calibration:
        """The same lens before a part of its picture, in pixels: rays keep their directions."""
        camera = replace(self.camera, width=width, height=height, cx=self.camera.cx - left, cy=self.camera.cy - top)
        return replace(self, camera=camera)

    def shrunk(self, factor: int) -> Calibration:
        """The same camera with blocks of ``factor`` x ``factor`` pixels as its pixels; the size must divide by it."""
        camera = self.camera
        lengths = {name: getattr(camera, name) / factor for name in ("fx", "fy", "cx", "cy")}
        size = {"width": camera.width // factor, "height": camera.height // factor}
        return replace(self, camera=replace(camera, **size, **lengths))

    def project(self, rays: np.ndarray) -> np.ndarray:
        """Pixels on which rays through the lens fall.

        Args:
            rays: (M, 2) float64, x / z and y / z in the optical frame.

        Returns:
            (M, 2) float64 pixel coordinates in OpenCV's convention: the middle of the top left pixel is (0, 0).
        """
        points = np.concatenate([rays, np.ones((len(rays), 1))], axis=1)[:, None]  # (M, 1, 3)
        still = np.zeros(3)
        matrix = self.camera.opencv_matrix
        if self.distortion_model == "equidistant":
            coefficients = np.array(self.coefficients or (0.0,) * 4)
            pixels, _ = cv2.fisheye.projectPoints(points, still, still, matrix, coefficients)
        else:
            pixels, _ = cv2.projectPoints(points, still, still, matrix, np.array(self.coefficients, float))
        return pixels[:, 0]

    def usable_radius(self, radius: float) -> float:
        """How far off the axis the lens model can be trusted, as x / z, at most ``radius``.

        Distortion polynomials are fitted inside the image. Beyond it they may turn back, and would show things at
        the edge of the field of view a second time; they are trusted only as far as they grow.
        """
        samples = np.linspace(0, radius, 1000)
        pixels = self._radial().project(np.stack([samples, np.zeros_like(samples)], axis=1))
        turns_back = np.flatnonzero(np.diff(pixels[:, 0]) <= 0)
        return float(samples[turns_back[0]]) if turns_back.size else radius

    def _radial(self) -> Calibration:
        """The lens without its tangential, thin prism and tilt terms."""
        if self.distortion_model == "equidistant":
            return self
        kept = tuple(c if i in (0, 1, 4, 5, 6, 7) else 0.0 for i, c in enumerate(self.coefficients))
        return Calibration(self.camera, self.distortion_model, kept)


def _read_mapping(path: Path) -> dict:
    try:
        data = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise CameraError(f"cannot read the camera_info YAML {path}: {error}") from error
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise CameraError(f"{path} is not a ROS camera_info YAML: {reason}") from error
    if not isinstance(data, dict):
        raise CameraError(f"{path} is not a ROS camera_info YAML: expected keys such as image_width, camera_matrix")
    return data


def _positive_int(data: dict, key: str) -> int:
    value = data.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise CameraError(f"{key} must be a positive whole number, got {value!r}")
    return value


def _numbers(data: dict, key: str, count: int | None = None) -> np.ndarray:
    """The ``data`` list of a matrix in the YAML, as (count,) float64."""
    entry = data.get(key)
    values = entry.get("data") if isinstance(entry, dict) else None
    if not isinstance(values, list) or not all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        raise CameraError(f"{key}.data must be a list of numbers, got {values!r}")
    if count is not None and len(values) != count:
        raise CameraError(f"{key}.data must hold {count} numbers, got {len(values)}")
    return np.array(values, float)


def _matrix(values: np.ndarray) -> dict:
    rows, cols = values.shape
    return {"rows": rows, "cols": cols, "data": [float(value) for value in values.reshape(-1)]}
