"""What signals ask for, and what they close."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from simgym.interrupts import exit_on_sigterm, stop_on_signals


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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("second_kills", [True, False])
def test_a_signal_is_a_request_and_whether_a_second_one_kills_is_said(number: int, second_kills: bool) -> None:
    asked, before = threading.Event(), signal.getsignal(number)
    with stop_on_signals(asked, second_kills):
        assert not asked.is_set()
        signal.raise_signal(number)
        assert asked.is_set()
        assert (signal.getsignal(number) is signal.SIG_DFL) == second_kills
        if not second_kills:
            signal.raise_signal(number)  # and the test lives
    assert signal.getsignal(number) is before
