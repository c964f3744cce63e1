"""Writes bags, videos and folders of pictures to read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import imageio_ffmpeg
import numpy as np
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin
from rosbags.rosbag2 import Writer as Writer2
from rosbags.typesys import Stores, get_typestore

from simgym.deploy import Calibration

WIDTH, HEIGHT = 160, 120
BEGIN_NS, PERIOD_NS = 1_700_000_000 * 10**9, 40_000_000
TOPIC, INFO_TOPIC = "/camera/image_raw", "/camera/camera_info"
IMAGE, COMPRESSED, CAMERA_INFO = (f"sensor_msgs/msg/{name}" for name in ("Image", "CompressedImage", "CameraInfo"))
ROS1, ROS2 = get_typestore(Stores.ROS1_NOETIC), get_typestore(Stores.LATEST)

# name -> arguments of `write_bag`
FORMATS: dict[str, dict[str, Any]] = {
    "rosbag1": {"version": 1},
    "rosbag1-bz2": {"version": 1, "compression": Writer1.CompressionFormat.BZ2},
    "rosbag1-lz4": {"version": 1, "compression": Writer1.CompressionFormat.LZ4},
    "sqlite": {"storage": StoragePlugin.SQLITE3},
    "sqlite-file": {"storage": StoragePlugin.SQLITE3, "compression": CompressionMode.FILE},
    "sqlite-message": {"storage": StoragePlugin.SQLITE3, "compression": CompressionMode.MESSAGE},
    "mcap": {"storage": StoragePlugin.MCAP},
    "mcap-chunks": {"storage": StoragePlugin.MCAP, "compression": CompressionMode.STORAGE},
    "mcap-file": {"storage": StoragePlugin.MCAP, "compression": CompressionMode.FILE},
    "mcap-message": {"storage": StoragePlugin.MCAP, "compression": CompressionMode.MESSAGE},
}


def pictures(count: int, width: int = WIDTH, height: int = HEIGHT, seed: int = 0) -> np.ndarray:
    """(count, height, width, 3) uint8: coloured blotches, each picture other ones."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, 6, 8, 3), np.uint8)
    return np.stack([cv2.resize(one, (width, height), interpolation=cv2.INTER_LINEAR) for one in coarse])


def noise(count: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """(count, height, width, 3) uint8 that no compression makes smaller."""
    return np.random.default_rng(1).integers(0, 256, (count, height, width, 3), np.uint8)


def write_folder(folder: Path, frames: np.ndarray, suffix: str = ".png") -> Path:
    """Pictures named by their numbers, not padded."""
    folder.mkdir(parents=True)
    for i, frame in enumerate(frames):
        assert cv2.imwrite(str(folder / f"{i}{suffix}"), frame[..., ::-1])
    return folder


def write_video(path: Path, frames: np.ndarray, rate_hz: float = 10.0) -> Path:
    """A video without loss, whose index stands at its beginning in .mp4."""
    options = {"codec": "libx264rgb", "pix_fmt_out": "rgb24", "output_params": ["-crf", "0", "-movflags", "+faststart"]}
    writer = imageio_ffmpeg.write_frames(
        str(path), (frames.shape[2], frames.shape[1]), fps=rate_hz, macro_block_size=2, **options
    )
    writer.send(None)
    for frame in frames:
        writer.send(np.ascontiguousarray(frame))
    writer.close()
    return path


def image_message(store: Any, data: np.ndarray, encoding: str, width: int, height: int, step: int, time_ns: int) -> Any:
    """A raw image; ``data`` is (bytes,) uint8."""
    types = store.types
    return types[IMAGE](_header(store, time_ns), height, width, encoding, 0, step, data)


def rgb_message(store: Any, frame: np.ndarray, time_ns: int) -> Any:
    height, width, _ = frame.shape
    return image_message(store, frame.reshape(-1), "rgb8", width, height, 3 * width, time_ns)


def compressed_message(store: Any, frame: np.ndarray, time_ns: int, suffix: str) -> Any:
    data = cv2.imencode(suffix, frame[..., ::-1] if frame.ndim == 3 else frame)[1]
    return store.types[COMPRESSED](_header(store, time_ns), suffix[1:], data)


def info_message(store: Any, calibration: Calibration, time_ns: int) -> Any:
    types, camera, k = store.types, calibration.camera, calibration.camera.opencv_matrix
    region = types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
    matrices = (np.array(calibration.coefficients), k.reshape(-1), np.eye(3).reshape(-1))
    p = np.hstack([k, np.zeros((3, 1))]).reshape(-1)
    about = (_header(store, time_ns), camera.height, camera.width, calibration.distortion_model)
    return types[CAMERA_INFO](*about, *matrices, p, 0, 0, region)


def _header(store: Any, time_ns: int) -> Any:
    stamp = store.types["builtin_interfaces/msg/Time"](*divmod(time_ns, 10**9))
    arguments = (0, stamp, "camera_optical") if store is ROS1 else (stamp, "camera_optical")
    return store.types["std_msgs/msg/Header"](*arguments)


def write_bag(
    path: Path,
    messages: list[tuple[str, str, int, Any]],
    version: int = 2,
    storage: StoragePlugin = StoragePlugin.SQLITE3,
    compression: Any = None,
) -> Path:
    """A bag of (topic, type, time in ns, message); a rosbag 1 gets the suffix .bag."""
    store = ROS1 if version == 1 else ROS2
    writer: Any
    if version == 1:
        path = path.with_suffix(".bag")
        writer, serialize = Writer1(path), store.serialize_ros1
        if compression is not None:
            writer.set_compression(compression)
    else:
        writer, serialize = Writer2(path, version=9, storage_plugin=storage), store.serialize_cdr
        if compression is not None:
            writer.set_compression(compression, CompressionFormat.ZSTD)
    with writer:
        connections: dict[str, Any] = {}
        for topic, msgtype, time_ns, message in messages:
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, msgtype, typestore=store)
            writer.write(connections[topic], time_ns, serialize(message, msgtype))
    return path


def write_frames_bag(path: Path, frames: np.ndarray, calibration: Calibration | None = None, **how: Any) -> Path:
    """A bag of raw colour pictures on `TOPIC`, recorded 5 ms after they were taken, with a camera_info if given."""
    store = ROS1 if how.get("version") == 1 else ROS2
    messages: list[tuple[str, str, int, Any]] = []
    for i, frame in enumerate(frames):
        stamp_ns = BEGIN_NS + i * PERIOD_NS
        messages.append((TOPIC, IMAGE, stamp_ns + 5_000_000, rgb_message(store, frame, stamp_ns)))
        if calibration is not None:
            message = info_message(store, calibration, stamp_ns)
            messages.append((INFO_TOPIC, CAMERA_INFO, stamp_ns + 5_000_000, message))
    return write_bag(path, messages, **how)
