"""Threads that share a batch of worlds, for work that lets go of the interpreter lock."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


class Crew:
    """Some threads, of which the caller is one.

    They claim a few worlds at a time, and the caller does what nobody claimed. A thread that another process keeps from
    running so costs nothing, where OpenMP's barrier (numba's ``prange``) would wait milliseconds for it.

    Args:
        threads: how many there are, the caller among them.
        name: theirs.
    """

    def __init__(self, threads: int, name: str) -> None:
        self.threads = threads
        self._pool = ThreadPoolExecutor(threads, name)

    def share_out(self, count: int, work: Callable[[int, int, int], object]) -> None:
        """Have ``work(first, last, thread)`` done for ``count`` things, those from first to last - 1 at a time."""
        step = max(1, count // (4 * self.threads))
        claims = iter(range(0, count, step))  # the interpreter lock makes each claim atomic

        def run(thread: int) -> None:
            for first in claims:
                work(first, min(first + step, count), thread)

        helpers = [self._pool.submit(run, thread) for thread in range(1, min(self.threads, count))]
        run(0)
        for helper in helpers:
            if not helper.cancel():
                helper.result()

    def close(self) -> None:
        """Let the threads go."""
        self._pool.shutdown()
