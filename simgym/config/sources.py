"""What can be asked of a source of frames; shared by the commands that take one."""

from __future__ import annotations

from dataclasses import dataclass

from .option import option

ASSUMED_FOV_DEG = 57.0  # as simgym.deploy assumes, which is not imported for it


@dataclass(frozen=True, kw_only=True)
class SourceConfig:
    """How the frames of a folder, video or bag are chosen, and how their camera is known."""

    topic: str | None = option(None, "image topic of a bag; may be left out where there is only one")
    stride: int = option(1, "take every so many-th frame", low=1)
    limit: int = option(0, "take at most so many frames; 0: all", low=0)
    crop: tuple[int, int, int, int] = option(
        (0, 0, 0, 0), "left, top, width, height of the part to use; zeros: all of it", unit="px", low=0
    )
    camera: str | None = option(None, "camera_info YAML of the camera; else the bag's own, else horizontal_fov_deg")
    rectified: bool = option(False, "pictures are rectified already, as of a topic called image_rect")
    horizontal_fov_deg: float = option(
        ASSUMED_FOV_DEG, "assumed where nothing else is known", unit="deg", low=1.0, high=170.0
    )
    min_change: float = option(
        1.0,
        "leave out what differs less from the last frame taken, mean grey levels of 255 at 20x15; 0: keep all",
        low=0.0,
        high=255.0,
    )


@dataclass(frozen=True, kw_only=True)
class PlaybackConfig(SourceConfig):
    """The same for playing a source back: a robot that stands still stays in the film."""

    min_change: float = option(
        0.0,
        "leave out what differs less from the last frame taken, mean grey levels of 255 at 20x15; 0: keep all",
        low=0.0,
        high=255.0,
    )
