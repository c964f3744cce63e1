"""The C library's way with freed memory, which a training on a CPU feels."""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
LARGEST_MMAP_THRESHOLD = 32 * 2**20  # glibc refuses more
KEPT = 2**30


def keep_freed_memory() -> None:
    """Have glibc keep up to 1 GiB of freed memory for the next arrays instead of giving it back to the system.

    Every gradient step makes and frees the same large arrays; asking the system for their pages anew each time costs
    a tenth of the learning time or more (`benchmarks.learning`). Does nothing where the C library is another one.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD)
        mallopt(M_TRIM_THRESHOLD, KEPT)
