"""Memory after many resets: ``python -m benchmarks.memory [--resets 200000] [--only standin] [--json results.json]``.

Each domain's resets, every one of an episode not seen before, go round a batch of worlds in a process of its own.
Given is the resident size of that process and of those that it started, after a warm-up and at the end, and the
largest at any tenth of the way, so that what grows and is freed late shows as well. The target is a growth of 2 % at
most. `standin` builds its pictures' meshes anew for each episode and makes a tenth of the resets. Linux only.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from simgym.envs.config import DOMAINS, DomainConfig
from simgym.envs.simulation import Simulation
from simgym.envs.tasks import TASKS
from simgym.errors import UserError

from . import _figures

BATCH = 16
PARTS = 10  # how often it is looked at
TARGET_PERCENT = 2.0
ROWS: dict[str, tuple[str, DomainConfig, float]] = {  # task, domain, share of the resets
    "sim": ("ChairNav", DOMAINS["sim"], 1.0),
    "randomized": ("ChairNav", DOMAINS["randomized"], 1.0),
    "bullet": ("ChairNav", replace(DOMAINS["sim"], engine="bullet"), 1.0),
    "grasp": ("Grasp", DOMAINS["sim"], 1.0),
    "standin": ("ChairNav", DOMAINS["standin"], 0.1),
}


def resident_mb(process: int) -> float:
    """Resident size of a process and all that descend from it. What they share counts once for each."""
    folder = Path("/proc") / str(process)
    pages = int((folder / "statm").read_text().split()[1])
    children = [int(child) for task in (folder / "task").iterdir() for child in (task / "children").read_text().split()]
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6 + sum(map(resident_mb, children))


def measure(name: str, resets: int, warm_up: int) -> dict[str, Any]:
    """Resident sizes of this process around so many resets of a domain."""
    task, domain, _ = ROWS[name]
    simulation = Simulation(TASKS[task].load("config")(), domain, BATCH)

    def reset(first: int, last: int) -> float:
        for k in range(first, last):
            simulation.reset(np.array([k % BATCH]), np.array([2 * k]))  # the even seeds are for training
        gc.collect()
        return resident_mb(os.getpid())

    before, started = reset(0, warm_up), time.perf_counter()
    ends = [warm_up + resets * part // PARTS for part in range(PARTS + 1)]
    sizes = [reset(first, last) for first, last in zip(ends[:-1], ends[1:], strict=True)]
    seconds = time.perf_counter() - started
    simulation.close()
    return {
        "name": name,
        "resets": resets,
        "before_mb": before,
        "after_mb": sizes[-1],
        "largest_mb": max(sizes),
        "growth_percent": 100 * (max(sizes) / before - 1),
        "reset_ms": 1000 * seconds / max(resets, 1),
    }


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = _figures.parser("memory", __doc__)
    parser.add_argument("--resets", type=int, default=200_000, help="of each domain (default: %(default)s)")
    parser.add_argument(
        "--warm-up", type=int, default=2_000, help="resets before the first look (default: %(default)s)"
    )
    parser.add_argument("--only", choices=ROWS, nargs="+", default=list(ROWS), help="domains (default: all)")
    arguments = parser.parse_args()
    if sys.platform != "linux":
        raise UserError("benchmarks.memory reads /proc, which only Linux has: run it there")
    _figures.print_machine()
    print(
        f"{'domain':<12} {'resets':>8} {'before MB':>10} {'after MB':>10} {'growth %':>9} {'target':>7} {'reset ms':>9}"
    )
    rows = []
    for name in arguments.only:
        resets = round(ROWS[name][2] * arguments.resets)
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
            rows.append(row := fresh.submit(measure, name, resets, arguments.warm_up).result())
        sizes = f"{row['before_mb']:>10.1f} {row['after_mb']:>10.1f} {row['growth_percent']:>9.2f}"
        print(f"{name:<12} {resets:>8,} {sizes} {TARGET_PERCENT:>7} {row['reset_ms']:>9.2f}", flush=True)
    _figures.write(arguments.json, rows)


if __name__ == "__main__":
    main()
