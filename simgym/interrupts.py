"""Ctrl-C and SIGTERM as a request that a training can heed where everything can be saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Interrupted(Exception):
    """Ctrl-C or SIGTERM: everything has been saved."""


@contextmanager
def exit_on_sigterm() -> Iterator[None]:
    """SIGTERM as SystemExit, so that what is open is closed as after Ctrl-C. Does nothing outside the main thread."""

    def leave(number: int, frame: Any) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


@contextmanager
def stop_on_signals(asked: threading.Event, second_kills: bool = True) -> Iterator[None]:
    """Set ``asked`` at Ctrl-C or SIGTERM; a second one kills, or says no more. Does nothing outside the main thread."""

    def stop(number: int, frame: Any) -> None:
        asked.set()
        if second_kills:
            signal.signal(number, signal.SIG_DFL)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
