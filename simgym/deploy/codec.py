"""Pictures out of ROS image messages, by their fields: no ROS is needed, and no cv_bridge.

Encodings are those of ``sensor_msgs/image_encodings``. What a network sends may be cut off or made up: everything is
checked before it is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np

from simgym.errors import UserError

MAX_SIDE_PX = 16384
MAX_PIXELS = 1 << 26  # 67 megapixels: more than a robot's camera has, less than what fills its memory
# What a byte can hold at most, so that a damaged size costs little time: deflate packs 1032:1, and pixels may be single
# bits; of a JPEG each block of 8x8 pixels takes a bit or more.
MAX_PNG_PIXELS_PER_BYTE, MAX_JPEG_PIXELS_PER_BYTE = 1032 * 8, 8 * 8 * 8
PNG_SIGNATURE, JPEG_START, JPEG_END = b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"\xff\xd9"
# JPEG segments that state the size: every start of frame, without the tables that lie between their numbers.
JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}

Buffer: TypeAlias = "bytes | bytearray | memoryview | np.ndarray"  # or anything else that has a buffer of bytes


class CodecError(UserError, ValueError):
    """An image message that holds no picture; the message says what is wrong with it."""


@dataclass(frozen=True)
class _Layout:
    """How pixels lie in the bytes of a row."""

    bytes_per_pixel: int
    to_rgb: int | None = None  # of ``cv2.cvtColor``; None where they are RGB already
    wide: bool = False  # one channel of 16 bits, of which the upper 8 are kept
    even_width: bool = False


_MONO16 = _Layout(2, cv2.COLOR_GRAY2RGB, wide=True)
_UYVY = _Layout(2, cv2.COLOR_YUV2RGB_UYVY, even_width=True)
_YUYV = _Layout(2, cv2.COLOR_YUV2RGB_YUY2, even_width=True)
_BGR, _BGRA = _Layout(3, cv2.COLOR_BGR2RGB), _Layout(4, cv2.COLOR_BGRA2RGB)
_GREY = _Layout(1, cv2.COLOR_GRAY2RGB)
LAYOUTS = {
    "rgb8": _Layout(3),
    "bgr8": _BGR,
    "rgba8": _Layout(4, cv2.COLOR_RGBA2RGB),
    "bgra8": _BGRA,
    "mono8": _GREY,
    "mono16": _MONO16,
    "8UC1": _GREY,  # OpenCV's names say no colours; these are what they mean in practice
    "8UC3": _BGR,
    "8UC4": _BGRA,
    "16UC1": _MONO16,
    "yuv422": _UYVY,
    "uyvy": _UYVY,
    "yuv422_yuy2": _YUYV,
    "yuyv": _YUYV,
}
for _pattern in ("RGGB", "BGGR", "GBRG", "GRBG"):
    _to_rgb = getattr(cv2, f"COLOR_Bayer{_pattern}2RGB")
    LAYOUTS[f"bayer_{_pattern.lower()}8"] = _Layout(1, _to_rgb)
    LAYOUTS[f"bayer_{_pattern.lower()}16"] = _Layout(2, _to_rgb, wide=True)


def decode_raw(encoding: str, height: int, width: int, step: int, is_bigendian: bool, data: Buffer) -> np.ndarray:
    """The picture of a ``sensor_msgs/Image``.

    Args:
        encoding: one of `LAYOUTS`. Grey becomes three equal channels, transparency is dropped, and of 16 bits the
            upper 8 are kept.
        height: in pixels.
        width: in pixels.
        step: bytes from one row to the next, which may be more than its pixels; 0 for no more.
        is_bigendian: the order of the two bytes of a 16-bit pixel.
        data: the bytes.

    Returns:
        (H, W, 3) uint8 RGB; of ``rgb8`` a view of ``data`` that may not be contiguous, otherwise a new array.

    Raises:
        CodecError: an encoding that is unknown, sizes that cannot be, or fewer bytes than they promise.
    """
    layout = LAYOUTS.get(encoding)
    if layout is None:
        raise CodecError(f"unknown encoding {encoding[:40]!r}: expected one of {', '.join(LAYOUTS)}")
    _check_size(width, height)
    row = width * layout.bytes_per_pixel
    step = step or row
    if layout.even_width and width % 2:
        raise CodecError(f"{encoding} pictures have an even width, got {width}")
    if step < row:
        raise CodecError(f"a row of {width} {encoding} pixels takes {row} bytes, but step says {step}")
    values = np.frombuffer(data, np.uint8)
    if len(values) < height * step:
        raise CodecError(f"{width}x{height} {encoding} with step {step} takes {height * step} bytes, got {len(values)}")
    pixels = values[: height * step].reshape(height, step)[:, :row].reshape(height, width, layout.bytes_per_pixel)
    if layout.to_rgb is None:
        return pixels
    if layout.wide:
        pixels = np.ascontiguousarray(pixels[..., 0 if is_bigendian else 1])  # (H, W), the upper byte
    return cv2.cvtColor(pixels, layout.to_rgb)


def decode_compressed(data: Buffer) -> np.ndarray:
    """The picture of a ``sensor_msgs/CompressedImage``: a whole JPEG or PNG.

    Returns:
        (H, W, 3) uint8 RGB, as the sensor has it: a rotation noted in the file is not heeded.

    Raises:
        CodecError: it is neither, is cut off or damaged, or has a size that cannot be.
    """
    values = np.frombuffer(data, np.uint8)
    raw = values.data
    is_png = raw[:8] == PNG_SIGNATURE
    size = _png_size(raw) if is_png else _jpeg_size(raw)
    if size is None:
        raise CodecError(f"{len(raw)} bytes that are no whole JPEG or PNG picture")
    _check_size(*size)
    if size[0] * size[1] > (MAX_PNG_PIXELS_PER_BYTE if is_png else MAX_JPEG_PIXELS_PER_BYTE) * len(raw):
        raise CodecError(f"{len(raw)} bytes cannot hold the {size[0]}x{size[1]} pixels that they promise")
    try:
        image = cv2.imdecode(values, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        image = None
    if image is None:
        raise CodecError(f"a damaged picture of {size[0]}x{size[1]} pixels in {len(raw)} bytes")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)


def _check_size(width: int, height: int) -> None:
    if not (0 < width <= MAX_SIDE_PX and 0 < height <= MAX_SIDE_PX and width * height <= MAX_PIXELS):
        raise CodecError(
            f"a picture of {width}x{height} pixels: expected at least 1 and at most {MAX_SIDE_PX} a side, "
            f"and {MAX_PIXELS} in all"
        )


def _png_size(raw: memoryview) -> tuple[int, int] | None:
    """Width and height of a PNG that has an end; None if it has none."""
    if len(raw) < 33 or bytes(raw[-8:-4]) != b"IEND":
        return None
    return int.from_bytes(raw[16:20], "big"), int.from_bytes(raw[20:24], "big")


def _jpeg_size(raw: memoryview) -> tuple[int, int] | None:
    """Width and height of a JPEG that has an end; None if it has none, or is no JPEG."""
    if raw[:2] != JPEG_START or not bytes(raw[-64:]).rstrip(b"\0").endswith(JPEG_END):  # cameras may pad with zeros
        return None
    at = 2
    while at + 9 <= len(raw) and raw[at] == 0xFF:
        if raw[at + 1] in JPEG_FRAMES:
            return int.from_bytes(raw[at + 7 : at + 9], "big"), int.from_bytes(raw[at + 5 : at + 7], "big")
        # 0xFF may be repeated before a marker; every other segment here says how long it is.
        at += 1 if raw[at + 1] == 0xFF else 2 + int.from_bytes(raw[at + 2 : at + 4], "big")
    return None
