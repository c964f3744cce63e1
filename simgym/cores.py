"""How many CPU cores there are to use. Needs the standard library only."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """Cores that this process may run on, which can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
