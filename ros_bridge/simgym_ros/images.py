"""Between ROS messages and what `simgym.deploy` takes."""

from __future__ import annotations

import array
from dataclasses import replace
from typing import Any

import numpy as np
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from simgym.deploy import Calibration, Camera, CodecError, decode_compressed, decode_raw

TYPES = {"raw": Image, "compressed": CompressedImage}  # by image transport


def decode(message: Any) -> np.ndarray:
    """The picture of an Image or CompressedImage, (H, W, 3) uint8 RGB.

    Raises:
        CodecError: it holds none.
    """
    if isinstance(message, CompressedImage):
        if "compressedDepth" in message.format:
            raise CodecError("a compressedDepth message holds distances and no picture: take the colour camera's topic")
        return decode_compressed(message.data)
    return decode_raw(
        message.encoding, message.height, message.width, message.step, bool(message.is_bigendian), message.data
    )


def image_message(header: Any, rgb: np.ndarray) -> Image:
    """An Image of (H, W, 3) uint8 RGB; the header is kept as it is."""
    message = Image(header=header, height=rgb.shape[0], width=rgb.shape[1], encoding="rgb8", step=rgb.shape[1] * 3)
    message.data = array.array("B", rgb.tobytes())  # anything else is checked byte by byte
    return message


def camera_info_message(header: Any, camera: Camera) -> CameraInfo:
    """The CameraInfo of the simulated camera: an ideal lens."""
    k = camera.opencv_matrix  # (3, 3)
    return CameraInfo(
        header=header,
        height=camera.height,
        width=camera.width,
        distortion_model="plumb_bob",
        d=[0.0] * 5,
        k=k.ravel().tolist(),
        r=np.eye(3).ravel().tolist(),
        p=np.hstack([k, np.zeros((3, 1))]).ravel().tolist(),
    )


def calibration(info: CameraInfo, rectified: bool) -> Calibration:
    """The calibration of the pictures beside a CameraInfo, with the part of the sensor that they show.

    Raises:
        CameraError: the camera is not calibrated, or its lens model is unknown.
    """
    if rectified:
        k = np.reshape(info.p, (3, 4))[:, :3]
        whole = Calibration.from_camera_info(info.width, info.height, k, "plumb_bob", ())
    else:
        whole = Calibration.from_camera_info(info.width, info.height, info.k, info.distortion_model, info.d)
    roi = info.roi
    if roi.width and roi.height:
        whole = whole.cropped(roi.x_offset, roi.y_offset, roi.width, roi.height)
    return _binned(whole, max(info.binning_x, 1), max(info.binning_y, 1))


def _binned(full: Calibration, across: int, down: int) -> Calibration:
    """The same lens before a sensor that joins ``across`` x ``down`` pixels to one."""
    camera = full.camera
    size = {"width": camera.width // across, "height": camera.height // down}
    return replace(
        full,
        camera=replace(
            camera, **size, fx=camera.fx / across, cx=camera.cx / across, fy=camera.fy / down, cy=camera.cy / down
        ),
    )
