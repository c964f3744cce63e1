"""Videos of episodes: what the camera saw beside the path from above."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from simgym.encode import VideoError, encode
from simgym.report_page import enlarge

from .evaluation import Trace
from .pictures import BLUE, GREEN, INK, RED, WHITE, FloorPlan

SPEED = 3  # times real time
PANEL_PX = 360  # about the height of both pictures
CAPTION_PX = 28
HOLD_S = 1.0  # each episode's last frame stays so long

__all__ = ["VideoError", "video_frames", "write_video"]


def write_video(path: str | Path, traces: Sequence[Trace], rate_hz: float) -> int:
    """Write a video of some episodes, one after the other, faster than they were.

    Args:
        path: an ``.mp4`` (H.264) or a ``.gif`` file.
        traces: with pictures, at least one.
        rate_hz: frames a second of the traces.

    Returns:
        The number of frames.

    Raises:
        VideoError: FFmpeg is missing or failed.
    """
    return encode(path, video_frames(traces, rate_hz), SPEED * rate_hz)


def video_frames(traces: Sequence[Trace], rate_hz: float) -> Iterator[np.ndarray]:
    """The frames of a video, (H, W, 3) uint8 with even H and W, as H.264 wants them."""
    for number, trace in enumerate(traces, 1):
        frame = np.empty(0)
        for frame in _episode_frames(trace, f"episode {number} of {len(traces)}", rate_hz):
            yield frame
        for _ in range(round(HOLD_S * SPEED * rate_hz)):
            yield frame


def _episode_frames(trace: Trace, title: str, rate_hz: float) -> Iterator[np.ndarray]:
    assert trace.overview is not None
    factor = max(1, round(PANEL_PX / trace.images[0].shape[0]))
    side = trace.images[0].shape[0] * factor
    plan, poses = FloorPlan(trace.overview, trace.overview_extent_m, side), np.array(trace.poses)  # (T, 3)
    colour, outcome = (GREEN, "success") if trace.success else (RED, "failure")
    for i, image in enumerate(trace.images):
        ended = i == len(trace.images) - 1
        caption = f"{title}   {i / rate_hz:4.1f} s   {SPEED}x real time" + (f"   {outcome}" if ended else "")
        panels = np.hstack([enlarge(image, factor), plan.draw_path(poses[: i + 1], colour if ended else BLUE)])
        yield _captioned(panels, caption, colour if ended else INK)


def _captioned(panels: np.ndarray, text: str, colour: tuple[int, int, int]) -> np.ndarray:
    """A bar with text above the pictures, and one more row or column where a side would be odd."""
    height, width, _ = panels.shape
    frame = np.zeros((CAPTION_PX + height + height % 2, width + width % 2, 3), np.uint8)
    frame[:CAPTION_PX] = colour
    frame[CAPTION_PX : CAPTION_PX + height, :width] = panels
    cv2.putText(frame, text, (10, 19), cv2.FONT_HERSHEY_SIMPLEX, 0.5, WHITE, 1, cv2.LINE_AA)
    return frame
