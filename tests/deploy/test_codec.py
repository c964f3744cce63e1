"""Image messages, whole and broken, decoded without ROS; some of them through real CDR, as DDS carries it."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simgym.deploy import CodecError, decode_compressed, decode_raw
from simgym.deploy.codec import LAYOUTS

from .cdr import made, through_cdr

BAYER = {f"bayer_{order.lower()}{bits}": order for order in ("RGGB", "BGGR", "GBRG", "GRBG") for bits in (8, 16)}


def picture(height: int = 6, width: int = 8, seed: int = 0) -> np.ndarray:
    """(H, W, 3) uint8 RGB noise."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def grey(image: np.ndarray) -> np.ndarray:
    return np.repeat(image[..., :1], 3, axis=2)


def encode(image: np.ndarray, encoding: str, big: bool = False) -> np.ndarray:
    """(H, W * bytes per pixel) uint8, written out by hand; of one channel, the red one."""
    alpha = np.full_like(image[..., :1], 77)
    if encoding in ("mono16", "16UC1"):
        values = image[..., 0].astype(np.uint16) * 256 + 13
        return values.astype(">u2" if big else "<u2").view(np.uint8)
    layouts = {
        "rgb8": [image],
        "bgr8": [image[..., ::-1]],
        "8UC3": [image[..., ::-1]],
        "rgba8": [image, alpha],
        "bgra8": [image[..., ::-1], alpha],
        "8UC4": [image[..., ::-1], alpha],
        "mono8": [image[..., :1]],
        "8UC1": [image[..., :1]],
    }
    return np.concatenate(layouts[encoding], axis=2).reshape(len(image), -1)


def pad(rows: np.ndarray, extra: int) -> np.ndarray:
    return np.pad(rows, ((0, 0), (0, extra)), constant_values=99)


SIMPLE = ["rgb8", "bgr8", "rgba8", "bgra8", "8UC3", "8UC4", "mono8", "8UC1", "mono16", "16UC1"]


class TestRaw:
    @given(st.sampled_from(SIMPLE), st.integers(1, 20), st.integers(1, 20), st.integers(0, 7), st.booleans())
    def test_every_pixel_comes_back(self, encoding, height, width, extra, big):
        image = picture(height, width)
        rows = pad(encode(image, encoding, big), extra)
        got = decode_raw(encoding, height, width, rows.shape[1], big, rows.tobytes())
        one_channel = encoding in ("mono8", "8UC1", "mono16", "16UC1")
        np.testing.assert_array_equal(got, grey(image) if one_channel else image)
        assert got.dtype == np.uint8

    @pytest.mark.parametrize("encoding", LAYOUTS)
    def test_rows_may_be_longer_than_their_pixels(self, encoding):
        rows = np.random.default_rng(1).integers(0, 256, (6, 8 * LAYOUTS[encoding].bytes_per_pixel), np.uint8)
        plain = decode_raw(encoding, 6, 8, rows.shape[1], False, rows.tobytes())
        padded = decode_raw(encoding, 6, 8, rows.shape[1] + 5, False, pad(rows, 5).tobytes())
        np.testing.assert_array_equal(padded, plain)
        assert plain.shape == (6, 8, 3)

    def test_no_step_means_no_padding(self):
        image = picture()
        np.testing.assert_array_equal(decode_raw("rgb8", 6, 8, 0, False, image.tobytes()), image)

    def test_rgb_is_not_copied(self):
        data = np.zeros(6 * 30, np.uint8)
        got = decode_raw("rgb8", 6, 8, 30, False, data)
        data[:] = 5
        assert (got == 5).all()

    @pytest.mark.parametrize("encoding", BAYER)
    def test_bayer_shows_the_colour_of_its_sensor(self, encoding):
        """A scene of one colour: every site measures its own channel of it."""
        colour = {"R": 200, "G": 90, "B": 30}
        a, b, c, d = (colour[letter] for letter in BAYER[encoding])
        mosaic = np.tile(np.array([[a, b], [c, d]]), (5, 6))
        for big in (False, True):
            data = (mosaic * 256 + 77).astype(">u2" if big else "<u2") if encoding.endswith("16") else np.uint8(mosaic)
            got = decode_raw(encoding, 10, 12, data.strides[0], big, data.tobytes())
            assert (got == (200, 90, 30)).all()

    @pytest.mark.parametrize(("encoding", "order"), [("uyvy", (1, 0)), ("yuv422", (1, 0)), ("yuv422_yuy2", (0, 1))])
    @pytest.mark.parametrize("rgb", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (128, 128, 128), (255, 255, 255)])
    def test_yuv_shows_the_colour_of_bt601(self, encoding, order, rgb):
        """Y, U and V of studio swing (ITU-R BT.601), computed here, give the colour back to within rounding."""
        r, g, b = np.array(rgb) / 255
        y = 16 + 65.481 * r + 128.553 * g + 24.966 * b
        u = 128 - 37.797 * r - 74.203 * g + 112.0 * b
        v = 128 + 112.0 * r - 93.786 * g - 18.214 * b
        pairs = np.empty((4, 3, 2, 2), np.uint8)  # rows, pairs of pixels, first and second, the two bytes of each
        pairs[..., order.index(0)] = round(y)
        pairs[:, :, 0, order.index(1)], pairs[:, :, 1, order.index(1)] = round(u), round(v)
        got = decode_raw(encoding, 4, 6, 12, False, pairs.tobytes())
        np.testing.assert_allclose(got.astype(int), np.broadcast_to(rgb, (4, 6, 3)), atol=3)

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"encoding": "32FC1"}, "unknown encoding '32FC1': expected one of rgb8"),
            ({"encoding": ""}, "unknown encoding ''"),
            ({"encoding": "x" * 10_000}, "unknown encoding 'xxx"),
            ({"height": 0}, "8x0 pixels: expected at least 1"),
            ({"width": 2**31}, "at most 16384 a side"),
            ({"width": 16384, "height": 16384}, "67108864 in all"),
            ({"step": 23}, "takes 24 bytes, but step says 23"),
            ({"step": 2**32 - 1}, "bytes, got 144"),
            ({"height": 7}, "takes 168 bytes, got 144"),
            ({"encoding": "uyvy", "width": 7}, "even width, got 7"),
            ({"data": b""}, "got 0"),
        ],
    )
    def test_what_cannot_be_is_refused(self, change, says):
        message = {"encoding": "rgb8", "height": 6, "width": 8, "step": 24, "is_bigendian": False, "data": bytes(144)}
        with pytest.raises(CodecError, match=says) as caught:
            decode_raw(**(message | change))
        assert len(str(caught.value)) < 400 and "\n" not in str(caught.value)

    @given(
        st.sampled_from([*LAYOUTS, "", "bayer_rggb16", "rgb8\0"]),
        *[st.integers(0, 40) | st.integers(0, 2**32 - 1)] * 3,
        st.booleans(),
        st.binary(max_size=3000),
    )
    def test_garbage_is_a_picture_or_an_error(self, encoding, height, width, step, big, data):
        try:
            got = decode_raw(encoding, height, width, step, big, data)
        except CodecError:
            return
        assert got.shape == (height, width, 3) and got.dtype == np.uint8


def compress(image: np.ndarray, suffix: str) -> bytes:
    return cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()


class TestCompressed:
    def test_png_is_exact(self):
        np.testing.assert_array_equal(decode_compressed(compress(picture(), ".png")), picture())

    def test_jpeg_is_close(self):
        smooth = cv2.resize(picture(3, 4), (80, 60), interpolation=cv2.INTER_CUBIC)
        np.testing.assert_allclose(decode_compressed(compress(smooth, ".jpg")).astype(int), smooth, atol=40)
        assert np.abs(decode_compressed(compress(smooth, ".jpg")).astype(int) - smooth).mean() < 4

    @pytest.mark.parametrize("suffix", [".png", ".jpg"])
    def test_grey_becomes_three_channels(self, suffix):
        data = cv2.imencode(suffix, np.full((6, 8), 130, np.uint8))[1].tobytes()
        assert (decode_compressed(data) == 130).all()

    def test_a_camera_may_pad_a_jpeg_with_zeros(self):
        data = compress(picture(), ".jpg")
        np.testing.assert_array_equal(decode_compressed(data + bytes(16)), decode_compressed(data))

    @pytest.mark.parametrize("suffix", [".png", ".jpg"])
    def test_no_part_is_taken_for_the_whole(self, suffix):
        data = compress(picture(24, 32), suffix)
        for length in [*range(0, len(data), 7), len(data) - 1]:
            with pytest.raises(CodecError, match=f"{length} bytes"):
                decode_compressed(data[:length])

    @pytest.mark.parametrize("data", [b"GIF89a" + bytes(100), b"\x00" * 100, b"RIFF" + bytes(90)])
    def test_other_formats_are_refused(self, data):
        with pytest.raises(CodecError, match="no whole JPEG or PNG"):
            decode_compressed(data)

    # More than any camera has, and more than so few bytes can hold: decoding 8000x8000 takes seconds where it is busy.
    @pytest.mark.parametrize("side", [60_000, 8_000])
    def test_a_header_that_promises_too_much_is_refused_before_it_is_read(self, side, monkeypatch):
        png, jpeg = bytearray(compress(picture(), ".png")), bytearray(compress(picture(), ".jpg"))
        png[16:24] = side.to_bytes(4, "big") * 2
        frame = jpeg.index(b"\xff\xc0")
        jpeg[frame + 5 : frame + 9] = side.to_bytes(2, "big") * 2
        monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it was read"))
        for data in (png, jpeg):
            with pytest.raises(CodecError, match=f"{side}x{side}"):
                decode_compressed(data)

    def test_the_most_even_picture_that_there_is_can_be_read(self):
        even = np.zeros((4000, 5000), np.uint8)
        for data in (
            cv2.imencode(".png", even, [cv2.IMWRITE_PNG_BILEVEL, 1, cv2.IMWRITE_PNG_COMPRESSION, 9])[1],
            cv2.imencode(".jpg", even, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_OPTIMIZE, 1])[1],
        ):
            assert decode_compressed(data).shape == (4000, 5000, 3)

    @given(st.data(), st.sampled_from([".png", ".jpg"]))
    def test_a_damaged_file_is_a_picture_or_an_error(self, data, suffix):
        raw = bytearray(compress(picture(), suffix))
        for _ in range(data.draw(st.integers(1, 8))):
            raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
        try:
            got = decode_compressed(raw)
        except CodecError:
            return
        assert got.ndim == 3 and got.shape[2] == 3 and got.dtype == np.uint8


def sent(name: str, **fields: Any) -> Any:
    return through_cdr(made(f"sensor_msgs/msg/{name}", **fields))


class TestMessages:
    @pytest.mark.parametrize("encoding", SIMPLE)
    @pytest.mark.parametrize("big", [False, True])
    def test_raw(self, encoding, big):
        image, data = picture(), encode(picture(), encoding, big)
        padded = pad(data, 3)
        message = sent(
            "Image", height=6, width=8, encoding=encoding, is_bigendian=big, step=padded.shape[1], data=padded.ravel()
        )
        got = decode_raw(
            message.encoding, message.height, message.width, message.step, message.is_bigendian, message.data
        )
        np.testing.assert_array_equal(got, grey(image) if data.shape[1] <= 16 else image)

    def test_compressed(self):
        data = np.frombuffer(compress(picture(), ".png"), np.uint8)
        message = sent("CompressedImage", format="rgb8; png compressed bgr8", data=data)
        np.testing.assert_array_equal(decode_compressed(message.data), picture())
