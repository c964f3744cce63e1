"""Hands the newest item from one thread to another: what cannot be processed in time is dropped, never queued."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Mailbox(Generic[Item]):
    """Holds one item, the newest. Any thread may put, one takes.

    Every item that was put is taken, dropped, or still waiting: ``received = taken + dropped + waiting``.

    Args:
        max_age_s: what has waited longer is dropped instead of being taken.
        clock: seconds that never go back.
    """

    def __init__(self, max_age_s: float = math.inf, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_age_s, self._clock = max_age_s, clock
        self._changed = threading.Condition()
        self._slot: tuple[Item, float] | None = None  # the item and when it came
        self._received = self._dropped = 0
        self._closed = False

    def put(self, item: Item) -> None:
        """Leave an item, in the place of one that nobody took. After `close` it is dropped."""
        with self._changed:
            self._received += 1
            self._dropped += self._slot is not None or self._closed
            self._slot = None if self._closed else (item, self._clock())
            self._changed.notify()

    def take(self) -> Item | None:
        """Wait for the newest item; None once the mailbox is closed."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._slot is not None or self._closed)
                if self._slot is None:
                    return None
                (item, came_s), self._slot = self._slot, None
                if self._clock() - came_s <= self._max_age_s:
                    return item
                self._dropped += 1

    def close(self) -> None:
        """Wake whoever waits; what waits unread is dropped."""
        with self._changed:
            self._closed = True
            self._dropped += self._slot is not None
            self._slot = None
            self._changed.notify_all()

    def counts(self) -> tuple[int, int]:
        """How many items were received and how many of them dropped, at one moment."""
        with self._changed:
            return self._received, self._dropped
