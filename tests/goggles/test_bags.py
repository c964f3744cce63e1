"""Rosbags as sources: every version and storage, whole and truncated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from simgym.deploy import Calibration, Camera, Resampler
from simgym.goggles.sources import Frame, Report, SourceConfig, SourceError, iterate, read_frames
from tests.goggles.recorded import (
    BEGIN_NS,
    COMPRESSED,
    FORMATS,
    HEIGHT,
    IMAGE,
    INFO_TOPIC,
    PERIOD_NS,
    ROS1,
    ROS2,
    TOPIC,
    WIDTH,
    compressed_message,
    image_message,
    noise,
    pictures,
    write_bag,
    write_frames_bag,
)

COUNT = 40  # of noise: more than the 1 MiB that a chunk holds
CALIBRATION = Calibration(Camera(WIDTH, HEIGHT, 150, 140, 70, 66), "plumb_bob", (-0.2, 0.05, 0, 0, 0))


def read(source: Path, report: Report | None = None, **options: Any) -> list[Frame]:
    """All frames as they are."""
    return list(iterate(str(source), SourceConfig(**{"min_change": 0.0} | options), None, report))


def same(frames: list[Frame], expected: np.ndarray) -> bool:
    return len(frames) == len(expected) and all(np.array_equal(f.rgb, e) for f, e in zip(frames, expected, strict=True))


def storage(bag: Path) -> Path:
    """The file that holds a bag's messages."""
    return bag if bag.is_file() else next(path for path in bag.iterdir() if path.name != "metadata.yaml")


@pytest.mark.parametrize("how", FORMATS.values(), ids=FORMATS)
class TestEveryFormat:
    def test_frames_come_as_they_were_recorded(self, tmp_path: Path, how: dict[str, Any]) -> None:
        shown, report = noise(COUNT), Report("a")
        frames = read(write_frames_bag(tmp_path / "a", shown, **how), report)
        assert same(frames, shown)
        assert [frame.stamp_ns for frame in frames] == [BEGIN_NS + i * PERIOD_NS for i in range(COUNT)]
        assert {(frame.topic, frame.frame_id, frame.sequence) for frame in frames} == {(TOPIC, "camera_optical", 0)}
        assert (report.taken, report.lost, report.unreadable) == (COUNT, 0, 0)

    def test_the_beginning_of_a_truncated_one_is_used(self, tmp_path: Path, how: dict[str, Any]) -> None:
        shown, report = noise(COUNT), Report("a")
        bag = write_frames_bag(tmp_path / "a", shown, **how)
        with storage(bag).open("r+b") as file:
            file.truncate(storage(bag).stat().st_size * 6 // 10)
        frames = read(bag, report)
        assert 15 <= len(frames) <= 24
        assert same(frames, shown[: len(frames)])
        assert "is damaged" in report.summary()
        if how.get("version") == 1:
            assert "how many frames are missing at its end cannot be told" in report.summary()
        else:  # metadata.yaml has their number
            assert report.lost == COUNT - len(frames)

    def test_a_bag_of_nothing_but_the_first_bytes(self, tmp_path: Path, how: dict[str, Any]) -> None:
        bag = write_frames_bag(tmp_path / "a", noise(2), **how)
        with storage(bag).open("r+b") as file:
            file.truncate(50)
        with pytest.raises(SourceError, match="is not a bag that can be read"):
            read(bag)

    def test_its_camera_info_is_used(self, tmp_path: Path, how: dict[str, Any]) -> None:
        shown = pictures(2)
        bag = write_frames_bag(tmp_path / "a", shown, CALIBRATION, **how)
        frames, report = read_frames(str(bag))
        expected = [Resampler(CALIBRATION, Camera())(frame) for frame in shown]
        np.testing.assert_array_equal(frames.rgb, expected)
        assert frames.stamp_s == pytest.approx([0, PERIOD_NS / 1e9])
        assert f"camera of {INFO_TOPIC}" in report.summary()


@pytest.mark.parametrize("name", ["sqlite", "sqlite-file", "sqlite-message", "mcap", "mcap-chunks", "mcap-file"])
def test_a_recorder_that_was_killed_leaves_no_metadata(tmp_path: Path, name: str) -> None:
    shown = noise(5)
    bag = write_frames_bag(tmp_path / "a", shown, **FORMATS[name])
    (bag / "metadata.yaml").unlink()
    assert same(read(bag), shown)
    assert same(read(storage(bag)), shown)  # the file alone


def raw(data: np.ndarray, encoding: str, width: int, height: int, step: int = 0) -> list[tuple[str, str, int, Any]]:
    flat = np.ascontiguousarray(data).reshape(-1).view(np.uint8)
    return [(TOPIC, IMAGE, 1, image_message(ROS2, flat, encoding, width, height, step, BEGIN_NS))]


class TestEncodings:
    RGB = pictures(1, 16, 12)[0]
    GREY = cv2.cvtColor(RGB, cv2.COLOR_RGB2GRAY)

    @pytest.mark.parametrize(
        ("encoding", "data", "expected"),
        [
            ("rgb8", RGB, RGB),
            ("bgr8", RGB[..., ::-1], RGB),
            ("8UC3", RGB[..., ::-1], RGB),
            ("rgba8", np.dstack([RGB, GREY]), RGB),
            ("bgra8", np.dstack([RGB[..., ::-1], GREY]), RGB),
            ("mono8", GREY, np.dstack([GREY] * 3)),
            ("8UC1", GREY, np.dstack([GREY] * 3)),
            ("mono16", GREY.astype(np.uint16) * 257, np.dstack([GREY] * 3)),
        ],
    )
    def test_exactly(self, tmp_path: Path, encoding: str, data: np.ndarray, expected: np.ndarray) -> None:
        (frame,) = read(write_bag(tmp_path / "a", raw(data, encoding, 16, 12)))
        np.testing.assert_array_equal(frame.rgb, expected)

    @pytest.mark.parametrize("encoding", ["bayer_rggb8", "bayer_bggr8", "bayer_gbrg8", "bayer_grbg8"])
    def test_bayer(self, tmp_path: Path, encoding: str) -> None:
        """Of an even colour every filter pattern tells the colour exactly."""
        colour = dict(zip("rgb", (200, 120, 40), strict=True))
        letters = encoding.removeprefix("bayer_").removesuffix("8")
        mosaic = np.tile(np.array([colour[letter] for letter in letters], np.uint8).reshape(2, 2), (6, 8))
        (frame,) = read(write_bag(tmp_path / "a", raw(mosaic, encoding, 16, 12)))
        np.testing.assert_array_equal(frame.rgb, np.broadcast_to((200, 120, 40), (12, 16, 3)))

    @pytest.mark.parametrize(("encoding", "order"), [("yuv422", (1, 0)), ("yuv422_yuy2", (0, 1))])
    def test_yuv422(self, tmp_path: Path, encoding: str, order: tuple[int, int]) -> None:
        """Without colour, luminance from 16 to 235 is grey from 0 to 255 (BT.601)."""
        luminance = np.tile(np.array([16, 235], np.uint8), (12, 8))
        packed = np.stack([(luminance, np.full_like(luminance, 128))[i] for i in order], axis=-1)
        (frame,) = read(write_bag(tmp_path / "a", raw(packed, encoding, 16, 12)))
        np.testing.assert_allclose(frame.rgb, np.tile([[[0] * 3, [255] * 3]], (12, 8, 1)), atol=1)

    def test_padded_rows(self, tmp_path: Path) -> None:
        padded = np.pad(self.RGB.reshape(12, -1), ((0, 0), (0, 16)), constant_values=77)
        (frame,) = read(write_bag(tmp_path / "a", raw(padded, "rgb8", 16, 12, step=64)))
        np.testing.assert_array_equal(frame.rgb, self.RGB)

    @pytest.mark.parametrize(("suffix", "grey"), [(".png", False), (".png", True), (".jpg", False), (".jpg", True)])
    @pytest.mark.parametrize("store", [ROS1, ROS2], ids=["ros1", "ros2"])
    def test_compressed(self, tmp_path: Path, suffix: str, grey: bool, store: Any) -> None:
        smooth = pictures(1)[0]  # of large blotches, so that JPEG loses little
        shown = cv2.cvtColor(smooth, cv2.COLOR_RGB2GRAY) if grey else smooth
        topic, message = f"{TOPIC}/compressed", compressed_message(store, shown, BEGIN_NS, suffix)
        bag = write_bag(tmp_path / "a", [(topic, COMPRESSED, 1, message)], version=1 if store is ROS1 else 2)
        (frame,) = read(bag)
        difference = np.abs(frame.rgb.astype(int) - (np.dstack([shown] * 3) if grey else shown))
        assert difference.max() == 0 if suffix == ".png" else difference.mean() < 6

    @pytest.mark.parametrize("encoding", ["16UC1", "32FC1", "nonsense"])
    def test_what_is_no_picture_is_refused(self, tmp_path: Path, encoding: str) -> None:
        data = np.zeros((12, 16), np.float32)
        with pytest.raises(SourceError, match="a picture in colour or grey is needed"):
            read(write_bag(tmp_path / "a", raw(data, encoding, 16, 12)))

    def test_messages_with_too_few_bytes_are_unreadable(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match="1 of 1 frames cannot be read"):
            read(write_bag(tmp_path / "a", raw(self.RGB[:6], "rgb8", 16, 12)))


class TestTopics:
    def bag(self, tmp_path: Path) -> Path:
        """Two image topics, depth and something else."""
        messages = [
            ("/left/image_raw", IMAGE, 1, raw(TestEncodings.RGB, "rgb8", 16, 12)[0][3]),
            ("/right/image_raw", IMAGE, 2, raw(255 - TestEncodings.RGB, "rgb8", 16, 12)[0][3]),
            ("/depth/compressedDepth", COMPRESSED, 3, compressed_message(ROS2, TestEncodings.GREY, 3, ".png")),
            ("/said", "std_msgs/msg/String", 4, ROS2.types["std_msgs/msg/String"]("hello")),
        ]
        return write_bag(tmp_path / "a", messages)

    def test_several_are_asked_for(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match="choose with topic= from /left/image_raw, /right/image_raw$"):
            read(self.bag(tmp_path))

    @pytest.mark.parametrize("name", ["/right/image_raw", "right/image_raw"])
    def test_one_is_chosen(self, tmp_path: Path, name: str) -> None:
        assert same(read(self.bag(tmp_path), topic=name), 255 - TestEncodings.RGB[None])

    @pytest.mark.parametrize("name", ["/front", "/said"])
    def test_a_topic_that_is_not_there(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(SourceError, match=f"no image topic {name}: choose from /left/image_raw, /right/image_raw"):
            read(self.bag(tmp_path), topic=name)

    def test_a_bag_without_pictures(self, tmp_path: Path) -> None:
        message = ROS2.types["std_msgs/msg/String"]("hello")
        with pytest.raises(SourceError, match=r"no image topic with messages; .*: /said \(std_msgs/msg/String\)"):
            read(write_bag(tmp_path / "a", [("/said", "std_msgs/msg/String", 4, message)]))

    def test_an_empty_bag(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError):
            read(write_bag(tmp_path / "a", []))


class TestCamera:
    def test_without_camera_info_a_field_of_view_is_assumed_and_reported(self, tmp_path: Path) -> None:
        (shown,) = pictures(1)
        frames, report = read_frames(str(write_frames_bag(tmp_path / "a", shown[None])))
        np.testing.assert_array_equal(frames.rgb[0], Resampler(Calibration.assumed(WIDTH, HEIGHT), Camera())(shown))
        assert f"no {INFO_TOPIC} beside {TOPIC}; assumes an ideal lens 57 degrees wide" in report.summary()

    def test_a_rectified_topic_takes_the_projection_and_no_distortion(self, tmp_path: Path) -> None:
        (shown,) = pictures(1)
        bag = write_frames_bag(tmp_path / "a", shown[None], CALIBRATION)
        frames, _ = read_frames(str(bag), SourceConfig(rectified=True))
        ideal = Calibration(CALIBRATION.camera)
        np.testing.assert_array_equal(frames.rgb[0], Resampler(ideal, Camera())(shown))

    def test_what_is_asked_for_wins(self, tmp_path: Path) -> None:
        (shown,) = pictures(1)
        other = Calibration(Camera.from_fov(WIDTH, HEIGHT, 1.0))
        other.to_yaml(tmp_path / "info.yaml")
        bag = write_frames_bag(tmp_path / "a", shown[None], CALIBRATION)
        frames, _ = read_frames(str(bag), SourceConfig(camera=str(tmp_path / "info.yaml")))
        np.testing.assert_array_equal(frames.rgb[0], Resampler(other, Camera())(shown))
