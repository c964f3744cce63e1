"""Videos of episodes, decoded again."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from simgym.policies.evaluation import Trace
from simgym.policies.pictures import BLUE, GREEN, RED
from simgym.policies.video import HOLD_S, SPEED, VideoError, video_frames, write_video
from tests.test_files import full_disk

RATE_HZ = 5.0
HOLD = round(HOLD_S * SPEED * RATE_HZ)


def trace(steps: int, success: bool = True, height: int = 60, width: int = 80) -> Trace:
    """A straight drive through a grey room, before a camera whose picture brightens."""
    poses = [np.array([0.1 * i, 0.0, 0.0]) for i in range(steps + 1)]
    images = [np.full((height, width, 3), 40 + 5 * i, np.uint8) for i in range(steps + 1)]
    return Trace(1, poses, images, np.full((100, 100, 3), 90, np.uint8), 10.0, success)


def decode(path: Path) -> tuple[float, str, np.ndarray]:
    """Frames a second, pixel format, and (T, H, W, 3) uint8 RGB frames."""
    video = cv2.VideoCapture(str(path))
    frames = []
    while (read := video.read())[0]:
        frames.append(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB))
    codec, pixels = (int(video.get(p)) for p in (cv2.CAP_PROP_FOURCC, cv2.CAP_PROP_CODEC_PIXEL_FORMAT))
    names = b" ".join(number.to_bytes(4, "little") for number in (codec, pixels)).decode()
    return video.get(cv2.CAP_PROP_FPS), names, np.array(frames)


def test_every_step_of_every_episode_is_in_the_video(tmp_path: Path) -> None:
    traces = [trace(6), trace(3, success=False)]
    count = write_video(tmp_path / "a.mp4", traces, RATE_HZ)
    rate_hz, names, frames = decode(tmp_path / "a.mp4")
    assert count == len(frames) == 7 + HOLD + 4 + HOLD
    assert names == "h264 I420"  # which every browser plays
    assert rate_hz == pytest.approx(SPEED * RATE_HZ)
    drawn = np.array(list(video_frames(traces, RATE_HZ)))
    assert drawn.shape == frames.shape
    assert np.abs(drawn[::5].astype(np.int16) - frames[::5]).mean() < 3
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_a_full_disk_is_an_error_that_leaves_no_video(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"cannot write .*a\.mp4"), full_disk():
        write_video(tmp_path / "a.mp4", [trace(6)], RATE_HZ)
    assert list(tmp_path.iterdir()) == []


def test_camera_and_path_stand_side_by_side() -> None:
    first, *_, last = video_frames([trace(5)], RATE_HZ)
    camera = first[-360:, :480]
    assert (camera == 40).all() and (last[-360:, :480] == 65).all()
    assert (first[-360:, 480:] == BLUE).all(axis=2).any()
    assert not (first == GREEN).all(axis=2).any()  # the outcome is not told before the end
    assert (last[-360:, 480:] == GREEN).all(axis=2).any()


def test_a_failure_ends_in_red() -> None:
    *_, last = video_frames([trace(2, success=False)], RATE_HZ)
    assert (last[0, 0] == RED).all()


@pytest.mark.parametrize(("height", "width"), [(45, 61), (7, 9), (481, 641)])
def test_any_camera_gives_even_sides(height: int, width: int, tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", [trace(1, height=height, width=width)], RATE_HZ)
    _, _, frames = decode(tmp_path / "a.mp4")
    assert len(frames) == 2 + HOLD
    assert frames.shape[1] % 2 == frames.shape[2] % 2 == 0


def test_without_ffmpeg_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "missing"))
    with pytest.raises(VideoError, match="cannot write .*a.mp4"):
        write_video(tmp_path / "a.mp4", [trace(1)], RATE_HZ)
    assert list(tmp_path.iterdir()) == []


def test_an_animation_for_pages_that_play_no_video(tmp_path: Path) -> None:
    write_video(tmp_path / "a.gif", [trace(4)], RATE_HZ)
    _, _, frames = decode(tmp_path / "a.gif")
    assert len(frames) == 5 + HOLD
    assert frames.shape[2] == 840 * 2 // 3
