"""The way from pictures of a real camera to pictures of the simulated one."""

from __future__ import annotations

import math

import cv2
import numpy as np

from .camera import ASSUMED_FOV_DEG, Calibration, Camera, CameraError

MAX_SUPERSAMPLING = 8
SAMPLES_LEFT = 3  # a simulated pixel and axis, that shrinking leaves to look up: it blurs by a tenth, 2 by a fifth
SIZES_KEPT = 8  # resamplers are some megabytes, and a camera has one size at a time


class Resampler:
    """Turns images of a real camera into images of a simulated one: where these are coarser, it shrinks, then looks up.

    Every simulated pixel is looked up where its ray meets the real sensor, through the lens distortion. Where the
    real image is finer, each simulated pixel is the mean of up to 8x8 such samples, as a sensor of large pixels
    would see it; without that, thin things would flicker. Whole blocks of pixels are averaged beforehand where enough
    samples are left: most of the pixels are read once, in order.

    Where the simulated camera sees beyond the real image, the real image's edge is repeated outwards. A black
    border would be a strong edge that no simulated frame has, and a mirrored one would invent a second chair;
    repeated edges hold no new object. ``coverage`` says how much of the simulated image is really seen.

    Args:
        calibration: the real camera.
        camera: the simulated camera, usually `simgym.deploy.Contract.camera`.

    Attributes:
        seen: (H, W) bool, the simulated pixels whose centre lies inside the real image.
        coverage: the share of ``seen``, 0..1.
    """

    def __init__(self, calibration: Calibration, camera: Camera) -> None:
        self.calibration = calibration
        self.camera = camera
        self._shrink = _shrink_factor(calibration.camera, camera)
        calibration = calibration.shrunk(self._shrink)
        real = calibration.camera
        scale = max(real.fx / camera.fx, real.fy / camera.fy)  # real pixels a simulated one, mid image
        self._samples = int(np.clip(round(scale), 1, MAX_SUPERSAMPLING))
        centres, self.seen = _lookup(calibration, camera, 1)
        pixels = centres if self._samples == 1 else _lookup(calibration, camera, self._samples)[0]
        self.coverage = float(self.seen.mean())
        # Clipping the lookup to the image is what repeats its edge outwards.
        x = np.clip(pixels[..., 0], 0, real.width - 1).astype(np.float32)  # (S*H, S*W)
        y = np.clip(pixels[..., 1], 0, real.height - 1).astype(np.float32)  # (S*H, S*W)
        self._map1, self._map2 = cv2.convertMaps(x, y, cv2.CV_16SC2)  # in 1/32 px: twice as fast as floats

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Resample one image.

        Args:
            image: (H_real, W_real, 3) or (H_real, W_real) uint8.

        Returns:
            (H, W, 3) or (H, W) uint8, as the simulated camera would have seen it.

        Raises:
            CameraError: the image is not uint8 or has another size than the calibration.
        """
        real = self.calibration.camera
        if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape[:2] != (real.height, real.width):
            raise _wrong_size(real, f"{image.dtype} of shape {image.shape}")
        if self._shrink > 1:
            image = cv2.resize(image, None, fx=1 / self._shrink, fy=1 / self._shrink, interpolation=cv2.INTER_AREA)
        sampled = cv2.remap(image, self._map1, self._map2, cv2.INTER_LINEAR)
        if self._samples == 1:
            return sampled
        return cv2.resize(sampled, (self.camera.width, self.camera.height), interpolation=cv2.INTER_AREA)


class SizedResamplers:
    """Resamples pictures of a calibrated camera or, without a calibration, of any size with an assumed field of view.

    Args:
        camera: the simulated camera.
        calibration: of the camera that took the pictures; None assumes an ideal one.
        horizontal_fov_rad: of the assumed camera.
        crop: left, top, width and height in pixels of the part to use; None uses all of it.

    Raises:
        CameraError: on a call, the picture has another size than the calibration.
    """

    def __init__(
        self,
        camera: Camera,
        calibration: Calibration | None = None,
        horizontal_fov_rad: float = math.radians(ASSUMED_FOV_DEG),
        crop: tuple[int, int, int, int] | None = None,
    ) -> None:
        self._camera, self._calibration, self._fov_rad = camera, calibration, horizontal_fov_rad
        self._crop = crop
        self._resamplers: dict[tuple[int, int], Resampler] = {}  # by the picture's width and height

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Crop and resample one picture, (H_real, W_real, 3) uint8 -> (H, W, 3) uint8."""
        resampler = self.of_size(image.shape[1], image.shape[0])
        if self._crop is not None:
            left, top, width, height = self._crop
            image = image[top : top + height, left : left + width]
        return resampler(image)

    def of_size(self, width: int, height: int) -> Resampler:
        """The resampler of pictures of a size, before they are cropped."""
        if (width, height) not in self._resamplers:
            if len(self._resamplers) == SIZES_KEPT:
                del self._resamplers[next(iter(self._resamplers))]  # the oldest
            calibration = self._calibration or Calibration.assumed(width, height, self._fov_rad)
            if (width, height) != (calibration.camera.width, calibration.camera.height):
                raise _wrong_size(calibration.camera, f"{width}x{height}")
            if self._crop is not None:
                calibration = calibration.cropped(*self._crop)
            self._resamplers[width, height] = Resampler(calibration, self._camera)
        return self._resamplers[width, height]


def _wrong_size(real: Camera, got: str) -> CameraError:
    return CameraError(
        f"expected a uint8 image of {real.width}x{real.height} as in the calibration, got {got}: "
        "calibrate at the size that the camera publishes"
    )


def _shrink_factor(real: Camera, camera: Camera) -> int:
    """The largest edge of blocks that tile the real image and leave ``SAMPLES_LEFT`` of them a simulated pixel."""
    scale = max(real.fx / camera.fx, real.fy / camera.fy)
    tiling = math.gcd(real.width, real.height)
    largest = int(min(scale / SAMPLES_LEFT, tiling))  # whatever focal length a calibration claims
    return max((edge for edge in range(2, largest + 1) if tiling % edge == 0), default=1)


def _lookup(calibration: Calibration, camera: Camera, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Where the real camera sees each of ``samples**2`` points of each simulated pixel.

    Returns:
        (S*H, S*W, 2) float64 OpenCV pixel coordinates, and (S*H, S*W) bool: inside the real image.
    """
    u = (np.arange(camera.width * samples) + 0.5) / samples
    v = (np.arange(camera.height * samples) + 0.5) / samples
    rays = np.stack(np.meshgrid((u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy), axis=-1)  # (S*H, S*W, 2)
    radius = np.linalg.norm(rays, axis=-1)  # (S*H, S*W)
    usable = calibration.usable_radius(float(radius.max()))
    shrink = np.minimum(1, usable / np.maximum(radius, 1e-9))
    pixels = calibration.project((rays * shrink[..., None]).reshape(-1, 2)).reshape(rays.shape)
    size = (calibration.camera.width, calibration.camera.height)
    inside = ((pixels >= -0.5) & (pixels <= np.array(size) - 0.5)).all(axis=-1)
    return pixels, inside & (radius <= usable)
