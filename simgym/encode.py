"""Writes video files, whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np

from .errors import UserError
from .files import atomic_path

ENCODING: dict[str, dict[str, Any]] = {
    ".mp4": {
        "codec": "libx264",
        "pix_fmt_out": "yuv420p",  # what every browser plays
        "output_params": ["-crf", "27", "-movflags", "+faststart"],
    },
    ".gif": {  # for pages that play no video; with a palette of its own
        "codec": "gif",
        "pix_fmt_out": "pal8",
        "output_params": [
            "-vf",
            "scale=iw*2/3:-1:flags=area,split[a][b];[a]palettegen[p];[b][p]paletteuse=dither=none",
        ],
    },
}


class VideoError(UserError):
    """No video can be written here."""


def encode(path: str | Path, frames: Iterable[np.ndarray], rate_hz: float) -> int:
    """Write frames as a video.

    Args:
        path: an ``.mp4`` (H.264) or a ``.gif`` file.
        frames: (H, W, 3) uint8 RGB each, at least one; H.264 wants even H and W.
        rate_hz: frames a second.

    Returns:
        The number of frames.

    Raises:
        VideoError: FFmpeg is missing or failed.
    """
    remaining = iter(frames)
    first = next(remaining)
    size, count = (first.shape[1], first.shape[0]), 0
    try:
        with atomic_path(path) as temporary:
            writer = imageio_ffmpeg.write_frames(
                str(temporary), size, fps=rate_hz, macro_block_size=2, **ENCODING[Path(path).suffix]
            )
            writer.send(None)
            try:
                for frame in chain([first], remaining):
                    writer.send(np.ascontiguousarray(frame))
                    count += 1
            finally:
                writer.close()
            _check_whole(temporary, count)
    except (RuntimeError, OSError) as error:  # as imageio_ffmpeg has it
        raise VideoError(f"cannot write {path}: {' '.join(str(error).split())}") from error
    return count


def _check_whole(path: Path, count: int) -> None:
    """Raise RuntimeError unless a video can be read and has all its frames: nobody says so when FFmpeg fails."""
    written, _ = imageio_ffmpeg.count_frames_and_secs(str(path))
    if written != count:
        raise RuntimeError(f"{written} of {count} frames were written; is the disk full?")
