"""Stands between a policy and the motors: limits of velocity and acceleration, and reasons to stand still.

Logic alone: no clock, no ROS, no threads. Times are passed in, in seconds of one clock; where it goes back, everything
older is forgotten and the robot stands until new input comes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simgym.errors import UserError

DISABLED, NO_INPUT = "disabled", "no input yet"


class SafetyError(UserError, ValueError):
    """Limits that make no sense."""


@dataclass(frozen=True)
class Limits:
    """What the commands of a robot keep to; vectors have one entry for each axis of its velocity.

    Args:
        low: smallest velocity of each axis, not above 0.
        high: largest, not below 0.
        acceleration: how fast each axis may gain speed, a second, by the times of the inputs. Losing speed is never
            limited.
        max_age_s: the robot stands when its newest input is older.
        period_s: from one command to the next.

    Raises:
        SafetyError: vectors of different lengths, numbers that are not finite, or limits that do not hold 0.
    """

    low: Sequence[float]
    high: Sequence[float]
    acceleration: Sequence[float]
    max_age_s: float
    period_s: float

    def __post_init__(self) -> None:
        if not len(self.low) == len(self.high) == len(self.acceleration) > 0:
            raise SafetyError(
                f"low, high and acceleration need one entry for each axis, got {len(self.low)}, {len(self.high)} and "
                f"{len(self.acceleration)}"
            )
        if not all(math.isfinite(value) for value in (*self.low, *self.high, *self.acceleration)):
            raise SafetyError(f"limits must be finite, got {self}")
        if any(low > 0 for low in self.low) or any(high < 0 for high in self.high):
            raise SafetyError(f"0 must lie within the velocity limits, got {tuple(self.low)} to {tuple(self.high)}")
        if any(value <= 0 for value in self.acceleration):
            raise SafetyError(f"accelerations must be positive, got {tuple(self.acceleration)}")
        if not (0 < self.max_age_s < math.inf and 0 < self.period_s < math.inf):
            raise SafetyError(f"max_age_s and period_s must be positive, got {self.max_age_s} and {self.period_s}")


class Safety:
    """Turns what a policy wants into what the robot is told. It starts disabled.

    Every command is within the limits, and zero unless the robot is enabled and the command is finite and answers an
    input that is fresh. `fault` says why the robot stands; it is empty while it may move.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.enabled = False
        self.fault = DISABLED
        self._low, self._high = np.array(limits.low, float), np.array(limits.high, float)  # (C,)
        self._acceleration = np.array(limits.acceleration, float)  # (C,)
        self._zero = np.zeros(len(limits.low))
        self._now_s = -math.inf
        self._input_s, self._due_s = -math.inf, math.inf  # newest input; when the next command must be there
        self._last, self._last_s = self._zero, -math.inf  # last command, and the input that it answered

    def enable(self) -> None:
        """Let the robot move, from the next input on."""
        if not self.enabled:
            self.enabled, self.fault = True, NO_INPUT
            self._forget()

    def disable(self) -> None:
        """Let it stand until `enable`."""
        self.enabled, self.fault = False, DISABLED
        self._forget()

    def saw(self, input_s: float, now_s: float) -> None:
        """Sound input has come, of the moment ``input_s``; a command for it may follow."""
        self._advance(now_s)
        self._input_s = max(self._input_s, input_s)
        if self._due_s == math.inf:
            self._due_s = input_s + self.limits.period_s + self.limits.max_age_s

    def command(self, wanted: np.ndarray, input_s: float, now_s: float) -> np.ndarray:
        """What the robot is told where the policy wants ``wanted`` (C,), having seen the input of ``input_s``.

        Returns:
            (C,) float64 velocity: limited, or zero with the reason in `fault`.
        """
        self.saw(input_s, now_s)
        age_s = now_s - input_s
        if not self.enabled:
            return self.stop(DISABLED)
        if not np.isfinite(wanted).all():
            return self.stop(f"the policy wants {np.asarray(wanted).tolist()}, which is not finite")
        if not age_s <= self.limits.max_age_s:
            return self.stop(f"late: the command answers an input that is {age_s:.2f} s old")
        gain = self._acceleration * min(max(input_s - self._last_s, 0.0), self.limits.period_s)
        # Towards zero an axis may go at once; away from it, by so much.
        slow = np.clip(wanted, np.minimum(self._last, 0) - gain, np.maximum(self._last, 0) + gain)
        self._last, self._last_s = np.clip(slow, self._low, self._high), input_s
        self._due_s = input_s + self.limits.period_s + self.limits.max_age_s
        self.fault = ""
        return self._last.copy()

    def stop(self, fault: str) -> np.ndarray:
        """Stand for a reason, until the next command that may be followed; (C,) zeros."""
        self.fault = fault
        self._last = self._zero
        return self._zero.copy()

    def check(self, now_s: float) -> str:
        """Why the robot must stand now; empty where the last command still holds. To be called often."""
        self._advance(now_s)
        if self.enabled and self._input_s > -math.inf:
            if not now_s - self._input_s <= self.limits.max_age_s:
                self.stop(f"stale: no input for {now_s - self._input_s:.2f} s")
            elif now_s > self._due_s and not self.fault:
                self.stop(f"late: no command for {now_s - self._due_s + self.limits.max_age_s:.2f} s longer than usual")
        return self.fault

    def _advance(self, now_s: float) -> None:
        if now_s < self._now_s:
            self._forget()
            if self.enabled:
                self.stop("the clock went back")
        self._now_s = now_s

    def _forget(self) -> None:
        """Nothing was seen, the robot stands."""
        self._input_s, self._due_s = -math.inf, math.inf
        self._last, self._last_s = self._zero, -math.inf
