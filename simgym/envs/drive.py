"""Between the policy's command and the motors: delay and lag, as real robots have them."""

from __future__ import annotations

import numpy as np

from .config import MAX_DELAY_STEPS
from .draw import Dynamics


class CommandPath:
    """Delays commands by whole control steps, then filters them with a first-order lag."""

    def __init__(self, num_worlds: int, control_dt_s: float, rest: np.ndarray) -> None:
        """``rest`` (C,) is the command before the first one."""
        self._dt_s, self._rest = control_dt_s, rest
        self._queue = np.zeros((MAX_DELAY_STEPS + 1, num_worlds, len(rest)))  # newest first
        self._output = np.zeros((num_worlds, len(rest)))
        self._delay = np.zeros(num_worlds, int)
        self._pass = np.ones(num_worlds)
        self._rows = np.arange(num_worlds)

    def apply(self, worlds: np.ndarray, dynamics: Dynamics) -> None:
        """Start ``worlds`` at rest with drawn delay and lag."""
        self._queue[:, worlds] = self._output[worlds] = self._rest
        self.vary(worlds, dynamics)

    def vary(self, worlds: np.ndarray, dynamics: Dynamics) -> None:
        """Take drawn delay and lag; commands that are on their way stay on it."""
        self._delay[worlds] = dynamics.action_delay_steps
        # The step response at the end of one control step; exactly 1 without lag.
        lag = np.maximum(dynamics.actuator_lag_s, 1e-9)
        self._pass[worlds] = np.where(dynamics.actuator_lag_s > 0, 1 - np.exp(-self._dt_s / lag), 1.0)

    def send(self, command: np.ndarray) -> np.ndarray:
        """(n, C) commands of the policy -> (n, C) commands that reach the motors now."""
        self._queue[1:] = self._queue[:-1].copy()
        self._queue[0] = command
        target = self._queue[self._delay, self._rows]
        self._output += self._pass[:, None] * (target - self._output)
        return self._output
