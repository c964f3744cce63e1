"""Rosbags: version 1, and version 2 as SQLite or MCAP, through the `rosbags` library."""

from __future__ import annotations

import logging
from collections.abc import Generator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.image import ImageError, image_to_cvimage
from rosbags.image.image import to_cvtype

from simgym.deploy.camera import Calibration, CameraError
from simgym.files import decode_image

from .frame import Frame, Load, Part, Report, SourceError, Unreadable
from .recordings import STORAGE, Recording, open_recording

SUFFIXES = (".bag", ".db3", ".mcap", ".db3.zstd", ".mcap.zstd")
IMAGE, COMPRESSED, CAMERA_INFO = (f"sensor_msgs/msg/{name}" for name in ("Image", "CompressedImage", "CameraInfo"))
# OpenCV's names say no colours; those of ROS that mean the same in practice. 16UC1 is depth and stays unknown.
ALIASES = {"8UC1": "mono8", "8UC3": "bgr8", "8UC4": "bgra8"}


def is_bag(path: Path) -> bool:
    """Whether a file is a bag by its name, or a folder holds one."""
    if path.is_dir():
        return (path / "metadata.yaml").is_file() or any(any(path.glob(ending)) for ending in STORAGE)
    return path.name.endswith(SUFFIXES)


def open_bag(path: Path, topic: str | None, rectified: bool, report: Report) -> Part:
    """The pictures of one topic, with the calibration that the bag has of its camera.

    Args:
        path: a rosbag 1, a file of a rosbag 2, or the folder of one.
        topic: the image topic; may be None where there is only one.
        rectified: the pictures are rectified, whatever their topic is called.
        report: told what cannot be read.

    Raises:
        SourceError: it is no bag, or does not have the topic, or has several and none was asked for.
    """
    recording = open_recording(path, report)
    try:
        topic = _choose(path, recording, topic)
        calibration = _calibration(recording, topic, rectified, report)
    except BaseException:
        recording.close()
        raise
    return Part(f"{path} {topic}", recording.kind, _frames(path, recording, topic), calibration)


def _choose(path: Path, recording: Recording, wanted: str | None) -> str:
    images = [topic for topic, kind in sorted(recording.topics.items()) if _shows_pictures(topic, kind)]
    if not images:
        others = ", ".join(f"{topic} ({kind})" for topic, kind in sorted(recording.topics.items())) or "none at all"
        raise SourceError(f"{path} has no image topic with messages; topics with messages: {others}")
    if wanted is None and len(images) > 1:
        raise SourceError(f"{path} has several image topics: choose with topic= from {', '.join(images)}")
    matches = [topic for topic in images if wanted is None or topic.strip("/") == wanted.strip("/")]
    if not matches:
        raise SourceError(f"{path} has no image topic {wanted}: choose from {', '.join(images)}")
    return matches[0]


def _shows_pictures(topic: str, kind: str) -> bool:
    return kind in (IMAGE, COMPRESSED) and not topic.endswith("/compressedDepth")


def _calibration(recording: Recording, topic: str, rectified: bool, report: Report) -> Calibration | None:
    """Of the ``camera_info`` beside the topic, as image_transport has it; None where there is none that is usable."""
    base = topic.removesuffix("/compressed")
    info = f"{base.rpartition('/')[0]}/camera_info"
    has_info = recording.topics.get(info) == CAMERA_INFO
    message = next((message for _, message in recording.messages(info)), None) if has_info else None
    if message is None:
        report.note(f"no {info} beside {topic}")
        return None
    rectified = rectified or base.rpartition("/")[2].startswith("image_rect")
    try:
        calibration = _stated(message, rectified)
    except CameraError as error:
        report.note(f"{info} is of no use: {error}")
        return None
    report.note(f"camera of {info}")
    return calibration


def _stated(message: Any, rectified: bool) -> Calibration:
    """The calibration in a CameraInfo; ROS 1 has its matrices in capitals."""
    k, d, p = (getattr(message, name if hasattr(message, name) else name.upper()) for name in "kdp")
    size = message.width, message.height
    if rectified:
        return Calibration.from_camera_info(*size, np.reshape(p, (3, 4))[:, :3], "plumb_bob", ())
    return Calibration.from_camera_info(*size, k, message.distortion_model, d)


def _frames(path: Path, recording: Recording, topic: str) -> Generator[Load, None, None]:
    try:
        for count, (time_ns, message) in enumerate(recording.messages(topic)):
            yield partial(_load, f"{path.name}:{count}", topic, time_ns, message)
    finally:
        recording.close()


def _load(name: str, topic: str, time_ns: int, message: Any) -> Frame:
    """The frame of a message; its stamp is the header's, or when it was recorded where the header has none."""
    if message is None:
        raise Unreadable(name)
    header = message.header
    stamp_ns = header.stamp.sec * 10**9 + header.stamp.nanosec
    return Frame(_decode(name, message), name, 0, stamp_ns or time_ns, topic, header.frame_id)


def _decode(name: str, message: Any) -> np.ndarray:
    if hasattr(message, "format"):
        rgb = decode_image(message.data.tobytes())
        if rgb is None:
            raise Unreadable(name)
        return rgb
    encoding = ALIASES.get(message.encoding, message.encoding)
    try:
        rgb = image_to_cvimage(replace(message, encoding=encoding, data=_without_padding(message, encoding)), "rgb8")
    except ImageError as error:
        raise SourceError(f"{name}: {error}: a picture in colour or grey is needed") from error
    except (TypeError, ValueError):  # fewer bytes than height and step promise
        raise Unreadable(name) from None
    return rgb


def _without_padding(message: Any, encoding: str) -> np.ndarray:
    """The bytes of the pixels alone: rows may be longer than their pixels, which `rosbags.image` does not know."""
    bits, _, _, channels = to_cvtype(encoding)
    row = message.width * channels * bits // 8
    if message.step in (0, row):
        return message.data
    rows = message.data[: message.height * message.step].reshape(message.height, message.step)
    return np.ascontiguousarray(rows[:, :row]).reshape(-1)


logging.getLogger("rosbags").setLevel(logging.ERROR)  # what is wrong with a bag is in our report
