"""Opens sources given as text and reads their frames."""

from __future__ import annotations

import glob
import itertools
import math
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from simgym.config.option import check
from simgym.config.sources import SourceConfig
from simgym.deploy import Calibration, Camera, CameraError, SizedResamplers
from simgym.files import IMAGE_SUFFIXES, natural_order

from ..frames import Frames
from . import bags, videos
from .frame import Frame, Part, Report, SourceError, Unreadable
from .pictures import open_folder, open_pictures

MAX_UNREADABLE = 0.1  # share of a source's frames
THUMBNAIL = (20, 15)  # in which repeated frames are compared: noise averages out
CAMERA_TOLERANCE_PX = 0.01


def read_frames(
    source: str, config: SourceConfig | None = None, camera: Camera | None = None, minimum: int = 1
) -> tuple[Frames, Report]:
    """Load a whole source as the simulated camera would have seen it.

    Args:
        source: a folder, a glob, a picture, a video or a bag.
        config: which frames, and what camera took them.
        camera: the simulated camera; the default is 80x60 pixels.
        minimum: number of frames that are needed.

    Returns:
        The frames, with labels and canonical twins where the whole source has them, and what was read.

    Raises:
        SourceError: it cannot be read, or has fewer frames than needed; see `iterate`.
    """
    report = Report(source)
    frames = list(iterate(source, config, camera or Camera(), report))
    if len(frames) < minimum:
        raise SourceError(f"{source}: {minimum} frames are needed at least, but this gives only {report.summary()}")
    labelled = all(frame.segmentation is not None for frame in frames)
    paired = all(frame.canonical is not None for frame in frames)
    sequence = np.array([frame.sequence for frame in frames], np.int64)
    loaded = Frames(
        rgb=np.stack([frame.rgb for frame in frames]),
        sequence=sequence,
        stamp_s=_stamps(frames, sequence),
        segmentation=np.stack([frame.segmentation for frame in frames]) if labelled else None,  # type: ignore[misc]
        canonical=np.stack([frame.canonical for frame in frames]) if paired else None,  # type: ignore[misc]
    )
    return loaded, report


def iterate(
    source: str, config: SourceConfig | None = None, camera: Camera | None = None, report: Report | None = None
) -> Iterator[Frame]:
    """Stream the frames of a source, one in memory at a time.

    Args:
        source: a folder, a glob, a picture, a video or a bag.
        config: which frames, and what camera took them.
        camera: the simulated camera to resample them to; None leaves them as they are, but for the crop.
        report: filled while frames are read.

    Raises:
        SourceError: the source is missing or of no known kind, holds no frame or too many unreadable ones, a picture
            is smaller than the crop, or the calibration is for another size.
    """
    config, report = config or SourceConfig(), report or Report(source)
    check(config)
    taken = _taken(source, config, camera, report)
    yield from itertools.islice(taken, config.limit or None)
    taken.close()
    report.check(MAX_UNREADABLE)
    if not report.taken:
        raise SourceError(f"{source} holds no frames: {report.summary()}")


def _taken(source: str, config: SourceConfig, camera: Camera | None, report: Report) -> Generator[Frame, None, None]:
    first_sequence = 0
    for part in _open(source, config, report):
        report.kinds.append(part.kind)
        view, repeats, last_sequence = _View(part, config, camera, report), _Repeats(config.min_change), -1
        with closing(part.frames):
            for load in itertools.islice(part.frames, None, None, config.stride):
                report.looked_at += 1
                try:
                    frame = view(load())
                except Unreadable as error:
                    report.skip(str(error))
                    continue
                if repeats(frame):
                    report.repeated += 1
                    continue
                report.taken += 1
                last_sequence = max(last_sequence, frame.sequence)
                yield replace(frame, sequence=first_sequence + frame.sequence)
        first_sequence += last_sequence + 1


# --- kinds of sources ---


def _open(source: str, config: SourceConfig, report: Report) -> Iterator[Part]:
    """The parts of a source, each opened when the one before is done."""
    path = Path(source).expanduser()
    if path.exists():
        yield _open_one(path, config, report)
        return
    if not glob.has_magic(source):
        raise SourceError(f"no {source}: expected {_EXPECTED}")
    matches = sorted((Path(match) for match in glob.glob(str(path), recursive=True)), key=natural_order)
    if not matches:
        raise SourceError(f"{source} matches nothing: expected {_EXPECTED}")
    yield from _open_matches(matches, config, report)


_EXPECTED = (
    "a folder or a glob of pictures, a folder from simgym.collect, a video "
    f"({', '.join(videos.SUFFIXES)}) or a rosbag ({', '.join(bags.SUFFIXES)}, or a folder of such)"
)


def _open_matches(matches: Iterable[Path], config: SourceConfig, report: Report) -> Iterator[Part]:
    """What a glob found: the pictures of each folder are one part, and so is everything else of its own."""

    def part_of(path: Path) -> Path:
        return path.parent if _is_picture(path) else path

    for owner, paths in itertools.groupby(matches, part_of):
        files = list(paths)
        yield open_pictures(str(owner), files) if _is_picture(files[0]) else _open_one(owner, config, report)


def _open_one(path: Path, config: SourceConfig, report: Report) -> Part:
    if bags.is_bag(path):
        return bags.open_bag(path, config.topic, config.rectified, report)
    if path.is_dir():
        return open_folder(path)
    if _is_picture(path):
        return open_pictures(str(path), [path])
    if path.suffix.lower() in videos.SUFFIXES:
        return videos.open_video(path, report)
    raise SourceError(f"{path} is of no known kind: expected {_EXPECTED}")


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.is_dir()


# --- what becomes of each frame ---


class _View:
    """Cuts and resamples the frames of one part."""

    def __init__(self, part: Part, config: SourceConfig, camera: Camera | None, report: Report) -> None:
        self._part, self._report = part, report
        self._crop = config.crop if any(config.crop) else None
        if self._crop is not None and not (config.crop[2] and config.crop[3]):
            raise SourceError(f"crop={list(config.crop)}: give left, top, width and height, both sizes above 0")
        self._resample: SizedResamplers | None = None
        if part.simulated:
            _check_simulated(part, config, camera)
        elif camera is not None:
            self._resample = SizedResamplers(
                camera, _calibration(part, config, report), math.radians(config.horizontal_fov_deg), self._crop
            )

    def __call__(self, frame: Frame) -> Frame:
        """The frame as it is used. Raises SourceError where crop or calibration do not fit it."""
        height, width, _ = frame.rgb.shape
        if self._crop is not None:
            left, top, wide, high = self._crop
            if left + wide > width or top + high > height:
                raise SourceError(
                    f"{self._part.name}: {frame.name} is {width}x{height}, smaller than crop={list(self._crop)} reaches"
                )
            if self._resample is None:
                return replace(frame, rgb=frame.rgb[top : top + high, left : left + wide])
        if self._resample is None:
            return frame
        try:
            rgb = self._resample(frame.rgb)
            coverage = self._resample.of_size(width, height).coverage
        except CameraError as error:
            raise SourceError(f"{self._part.name}: {frame.name}: {error}") from error
        self._report.coverage = min(coverage, 1.0 if self._report.coverage is None else self._report.coverage)
        return replace(frame, rgb=rgb)


def _check_simulated(part: Part, config: SourceConfig, camera: Camera | None) -> None:
    """Collected frames have labels, so they must come from the very camera that they are for."""
    if any(config.crop) or config.camera:
        raise SourceError(f"{part.name} was collected in simulation and knows its camera: leave out crop and camera")
    if camera is None or part.calibration is None:
        return
    own = part.calibration.camera
    if any(abs(value - getattr(own, name)) > CAMERA_TOLERANCE_PX for name, value in vars(camera).items()):
        raise SourceError(f"{part.name} was collected with another camera, {own}, not {camera}: collect again")


def _calibration(part: Part, config: SourceConfig, report: Report) -> Calibration | None:
    """What is known of the camera; None: nothing but an assumed field of view."""
    if config.camera:
        report.note(f"camera of {config.camera}")
        return Calibration.from_yaml(config.camera, config.rectified)
    if part.calibration is None:
        report.note(f"assumes an ideal lens {config.horizontal_fov_deg:g} degrees wide")
    return part.calibration


class _Repeats:
    """Tells whether a frame hardly differs from the last one of its sequence that was taken."""

    def __init__(self, min_change: float) -> None:
        self._min_change = min_change
        self._sequence, self._last = -1, np.zeros(0)

    def __call__(self, frame: Frame) -> bool:
        if self._min_change == 0:
            return False
        small = cv2.resize(frame.rgb, THUMBNAIL, interpolation=cv2.INTER_AREA)
        grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(float)
        if frame.sequence == self._sequence and np.abs(grey - self._last).mean() < self._min_change:
            return True
        self._sequence, self._last = frame.sequence, grey
        return False


def _stamps(frames: list[Frame], sequence: np.ndarray) -> np.ndarray:
    """(N,) float64 seconds since the first frame of each sequence; NaN where there is no clock."""
    stamps = np.full(len(frames), np.nan)
    begins: dict[int, int] = {}
    for i, frame in enumerate(frames):
        if frame.stamp_ns is not None:
            stamps[i] = (frame.stamp_ns - begins.setdefault(int(sequence[i]), frame.stamp_ns)) / 1e9
    return stamps
