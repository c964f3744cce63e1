"""Plays a source through goggles and writes what they show, as the kind of thing that the source is."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from simgym.config.sources import SourceConfig
from simgym.deploy import Camera, Goggles
from simgym.encode import encode
from simgym.errors import UsageError
from simgym.files import MARK, write_image

from .sources import Frame, Report, iterate
from .sources.bags import CAMERA_INFO, IMAGE

BATCH = 32  # frames
DEFAULT_RATE_HZ = 10.0  # of a video of a single frame


def write_translated(
    goggles: Goggles, source: str, config: SourceConfig, out: Path, side_by_side: bool = False
) -> tuple[Report, Path]:
    """Translate a source, resampled to the goggles' camera.

    Args:
        goggles: what to look through.
        source: a folder, a glob, a picture, a video or a bag.
        config: which frames, and what camera took them.
        out: folder to write into.
        side_by_side: put what the goggles see to the left of what they give.

    Returns:
        What was read, and what was written: the folder ``pictures``, ``translated.mp4`` or the folder ``bag``.

    Raises:
        SourceError: the source cannot be read.
        UsageError: ``side_by_side`` with a bag, whose camera has no such picture, or several videos or bags.
        VideoError: FFmpeg failed.
    """
    report, camera = Report(source), goggles.contract.camera
    frames = iterate(source, config, camera, report)
    first = next(frames)  # `iterate` raises where there is none
    kind, frames = report.kinds[0], itertools.chain([first], frames)
    translated = _translate(goggles, frames, side_by_side)
    if kind in ("pictures", "collected"):
        written = out / "pictures"
        _write_pictures(written, translated)
    elif kind == "video":
        written = out / "translated.mp4"
        first, second, translated = _peek(_single(translated, source))
        encode(written, (frame.rgb for frame in translated), _rate_hz(first, second))
    elif side_by_side:
        raise UsageError("side_by_side=true: the pictures of a bag must be those of its camera_info, so leave it out")
    else:
        written = out / "bag"
        _write_bag(written, _single(translated, source), camera)
    return report, written


def _translate(goggles: Goggles, frames: Iterable[Frame], side_by_side: bool) -> Iterator[Frame]:
    for batch in _batches(frames):
        seen = np.stack([frame.rgb for frame in batch])  # (N, H, W, 3)
        given = goggles.translate(seen)
        shown = np.concatenate([seen, given], axis=2) if side_by_side else given
        yield from (replace(frame, rgb=rgb) for frame, rgb in zip(batch, shown, strict=True))


def _batches(frames: Iterable[Frame]) -> Iterator[list[Frame]]:
    remaining = iter(frames)
    while batch := list(itertools.islice(remaining, BATCH)):
        yield batch


def _single(frames: Iterable[Frame], source: str) -> Iterator[Frame]:
    """The frames, which must be of one recording."""
    for frame in frames:
        if frame.sequence:
            raise UsageError(f"source={source} is several recordings: give one at a time (-m runs one after the other)")
        yield frame


def _peek(frames: Iterator[Frame]) -> tuple[Frame, Frame | None, Iterator[Frame]]:
    first, second = next(frames), next(frames, None)
    return first, second, itertools.chain([first], [second] if second else [], frames)


def _rate_hz(first: Frame, second: Frame | None) -> float:
    if second is None or first.stamp_ns is None or second.stamp_ns is None:
        return DEFAULT_RATE_HZ
    return 1e9 / (second.stamp_ns - first.stamp_ns)


def _write_pictures(folder: Path, frames: Iterable[Frame]) -> None:
    """Each under the name that it had; of several with the same name, the later ones are numbered."""
    counts: dict[str, int] = {}
    with _whole_folder(folder) as scratch:
        scratch.mkdir()
        for frame in frames:
            stem = Path(frame.name).stem
            counts[stem] = counts.get(stem, 0) + 1
            write_image(scratch / f"{stem}{f'_{counts[stem]}' if counts[stem] > 1 else ''}.png", frame.rgb)


def _write_bag(folder: Path, frames: Iterable[Frame], camera: Camera) -> None:
    store = get_typestore(Stores.LATEST)
    with (
        _whole_folder(folder) as scratch,
        Writer(scratch, version=9, storage_plugin=StoragePlugin.MCAP) as bag,
    ):
        topics: dict[str, Any] = {}
        for frame in frames:
            stamp_ns = frame.stamp_ns or 0
            namespace = frame.topic.removesuffix("/compressed").rpartition("/")[0]
            for name, msgtype, message in _messages(store.types, frame, stamp_ns, camera):
                topic = f"{namespace}/goggles/{name}"
                if topic not in topics:
                    topics[topic] = bag.add_connection(topic, msgtype, typestore=store)
                bag.write(topics[topic], stamp_ns, store.serialize_cdr(message, msgtype))


def _messages(types: dict[str, Any], frame: Frame, stamp_ns: int, camera: Camera) -> Iterator[tuple[str, str, Any]]:
    """The picture and the camera_info of one frame: name, type and message."""
    stamp = types["builtin_interfaces/msg/Time"](*divmod(stamp_ns, 10**9))
    header, (height, width, _) = types["std_msgs/msg/Header"](stamp, frame.frame_id), frame.rgb.shape
    yield "image_raw", IMAGE, types[IMAGE](header, height, width, "rgb8", 0, 3 * width, frame.rgb.reshape(-1))
    k, everything = camera.opencv_matrix, types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
    matrices = np.zeros(5), k.reshape(-1), np.eye(3).reshape(-1), np.hstack([k, np.zeros((3, 1))]).reshape(-1)
    info = types[CAMERA_INFO](header, height, width, "plumb_bob", *matrices, 0, 0, everything)
    yield "camera_info", CAMERA_INFO, info


@contextmanager
def _whole_folder(folder: Path) -> Iterator[Path]:
    """A name to make a folder of, which becomes ``folder`` if the block succeeds and is gone otherwise."""
    with tempfile.TemporaryDirectory(prefix=".", suffix=f".{MARK}", dir=folder.parent) as scratch:
        yield Path(scratch, folder.name)
        os.replace(Path(scratch, folder.name), folder)
