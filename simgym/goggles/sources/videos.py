"""Video files, read as a stream by OpenCV's FFmpeg."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from pathlib import Path

import cv2

from .frame import Frame, Load, Part, Report, SourceError

SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ogv", ".gif")


def open_video(path: Path, report: Report) -> Part:
    """The frames of a video; what is missing at the end of a truncated one is reported.

    Raises:
        SourceError: FFmpeg cannot read it at all.
    """
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    if not capture.isOpened():
        raise SourceError(f"{path} is not a video that can be read: its index may be missing, as of a broken recording")
    return Part(str(path), "video", _frames(path, capture, report))


def _frames(path: Path, capture: cv2.VideoCapture, report: Report) -> Generator[Load, None, None]:
    promised, count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0
    try:
        while True:
            whole, bgr = capture.read()
            if not whole:
                break
            stamp_ns = round(capture.get(cv2.CAP_PROP_POS_MSEC) * 1e6)
            yield partial(Frame, cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), f"{path.name}:{count}", 0, stamp_ns)
            count += 1
    finally:
        capture.release()
    report.lost += max(promised - count, 0)  # some formats promise nothing
