"""What every kind of source is made of: frames, parts, and a report of what was read."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field

import numpy as np

from simgym.deploy.camera import Calibration
from simgym.errors import UserError

MAX_NAMED = 5  # files or frames that a message names


class SourceError(UserError):
    """A source of frames is missing, of no known kind, or does not hold what is needed."""


class Unreadable(Exception):
    """One frame cannot be decoded; the message is its name."""


@dataclass
class Frame:
    """One picture, and what its source knows of it."""

    rgb: np.ndarray  # (H, W, 3) uint8
    name: str  # of the file, or of the place in a video or bag
    sequence: int  # frames of one episode, video or bag share a number
    stamp_ns: int | None = None  # as the source has it; None: it has no clock
    topic: str = ""  # of a bag
    frame_id: str = ""  # of the ROS message's header
    segmentation: np.ndarray | None = None  # (H, W) uint8 semantic class
    canonical: np.ndarray | None = None  # (H, W, 3) uint8


Load = Callable[[], Frame]  # decodes one frame; raises Unreadable


@dataclass
class Part:
    """One folder, video or bag. Frames are decoded one by one, and only if they are wanted."""

    name: str
    kind: str
    frames: Generator[Load, None, None]
    calibration: Calibration | None = None  # of its camera, if the source says it
    simulated: bool = False  # frames of the simulator, with labels: they are never resampled


@dataclass
class Report:
    """What was read of a source, and what was not and why. Counts run along while frames are read."""

    source: str
    kinds: list[str] = field(default_factory=list)  # of its parts
    looked_at: int = 0  # frames that were to be taken, after `SourceConfig.stride`
    taken: int = 0
    repeated: int = 0  # left out because they hardly differ from the frame before
    unreadable: int = 0
    unreadable_names: list[str] = field(default_factory=list)  # the first ones
    lost: int = 0  # frames known to be missing at the end of a truncated video or bag
    notes: list[str] = field(default_factory=list)  # on cameras, and on losses that cannot be counted
    coverage: float | None = None  # least share of the simulated picture that a camera sees; None: not resampled

    def skip(self, name: str) -> None:
        """Count a frame that cannot be decoded."""
        self.unreadable += 1
        if self.unreadable <= MAX_NAMED:
            self.unreadable_names.append(name)

    def note(self, text: str) -> None:
        """Add a note, once."""
        if text not in self.notes:
            self.notes.append(text)

    def summary(self) -> str:
        """All of it in one line."""
        said = [f"{self.taken} frames of {self.source} ({', '.join(dict.fromkeys(self.kinds))})"]
        if self.repeated:
            said.append(f"{self.repeated} left out as near-duplicates")
        if self.unreadable:
            said.append(f"{self.unreadable} unreadable ({_listed(self.unreadable_names, self.unreadable)})")
        if self.lost:
            said.append(f"{self.lost} lost at a truncated end")
        if self.coverage is not None and self.coverage < 0.995:
            said.append(f"the camera sees {self.coverage:.0%} of the simulated picture, the rest repeats its edge")
        return "; ".join(said + self.notes)

    def check(self, largest_share: float) -> None:
        """Raise SourceError where more than this share of the frames is unreadable."""
        if self.unreadable > largest_share * self.looked_at:
            names = _listed(self.unreadable_names, self.unreadable)
            raise SourceError(
                f"{self.source}: {self.unreadable} of {self.looked_at} frames cannot be read ({names}): "
                "repair them or take them out"
            )


def _listed(names: list[str], count: int) -> str:
    return ", ".join(names) + (", ..." if count > len(names) else "")
