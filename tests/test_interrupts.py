"""SIGTERM closes what is open."""

from __future__ import annotations

import os
import signal
import time

import pytest

from simgym.interrupts import exit_on_sigterm


def test_sigterm_closes_what_is_open_and_is_its_exit_code() -> None:
    closed = []
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as stopped, exit_on_sigterm():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1)
        finally:
            closed.append(True)
    assert stopped.value.code == 143 and closed == [True]
    assert signal.getsignal(signal.SIGTERM) == before
