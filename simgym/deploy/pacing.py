"""Which frames of a camera a policy acts on: one each control period, by their stamps."""

from __future__ import annotations

from enum import Enum

MAX_GAP_S = 1.0
CLOSE = 0.1  # of a period: a camera that is off by less is taken as it comes


class Turn(Enum):
    """What to do with a frame."""

    SKIP = "skip"
    ACT = "act"
    BEGIN = "begin"  # act, and forget what was before: it does not belong together


class Pacer:
    """Chooses frames so that decisions are a period apart, however fast the camera is.

    A policy remembers by counting its decisions, so on a robot they must come as often as in simulation. With a camera
    whose rate is a multiple of the policy's they are exactly a period apart; otherwise the nearest frames are taken,
    and a slower camera's are all taken. A frame with the stamp of the last one is the same frame.

    Args:
        period_s: between decisions.
        max_gap_s: after a longer time without frames, an episode begins.
    """

    def __init__(self, period_s: float, max_gap_s: float = MAX_GAP_S) -> None:
        self._period_s, self._max_gap_s = period_s, max(max_gap_s, 2 * period_s)
        self.reset()

    def reset(self) -> None:
        """The next frame begins an episode."""
        self._newest_s: float | None = None
        self._due_s = 0.0

    def turn(self, stamp_s: float) -> Turn:
        """What to do with the frame of this time; where time goes back, an episode begins."""
        newest_s, self._newest_s = self._newest_s, stamp_s
        if newest_s is None or not 0 <= stamp_s - newest_s <= self._max_gap_s:
            self._due_s = stamp_s + self._period_s
            return Turn.BEGIN
        interval_s = stamp_s - newest_s
        early_s = self._due_s - stamp_s
        if interval_s == 0 or early_s > interval_s / 2:  # the next frame is nearer
            return Turn.SKIP
        as_it_comes = early_s < -self._period_s or abs(early_s) <= CLOSE * self._period_s
        self._due_s = (stamp_s if as_it_comes else self._due_s) + self._period_s
        return Turn.ACT
