"""The default training, timed: ``python -m benchmarks.training [--env Grasp] [--seeds 1,2,3] [--json results.json]``.

For each seed: `python -m simgym.train env=... seed=...` as a user runs it (wall time and the memory of the process
by the operating system's own account), then `python -m simgym.evaluate` of its bundle on 500 held-out layouts. Takes
about 9 minutes a seed on 2 cores, for Grasp 42, so `make bench` leaves it out.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from . import _figures

EPISODES = 500
EVALUATION_SEEDS = {"ChairNav": 77, "Grasp": 31001}
TARGETS = {
    "ChairNav": "10 minutes, 4 GiB, success 95 % (93 % with every seed), SPL 0.80",
    "Grasp": "60 minutes, 5 GiB, success 90 %",
}


def run(arguments: list[str]) -> tuple[float, float]:
    """Run a simgym command; its wall seconds and its largest resident memory in GiB."""
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", *arguments])
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f"{' '.join(arguments)} failed")
    return time.perf_counter() - started, usage.ru_maxrss / 2**20


def measure(task: str, seed: int, out: Path, extra: list[str]) -> dict[str, Any]:
    """Train with ``seed`` into ``out`` and evaluate the bundle."""
    seconds, memory = run(["simgym.train", f"env={task}", f"seed={seed}", f"out={out / 'train'}", *extra])
    run(
        [
            "simgym.evaluate",
            f"env={task}",
            f"policy={out / 'train' / 'policy.onnx'}",
            f"episodes={EPISODES}",
            f"seed={EVALUATION_SEEDS[task]}",
            f"out={out / 'evaluate'}",
        ]
    )
    result = json.loads((out / "evaluate" / "eval.json").read_text())
    names = ("success_rate", "success_ci95", "spl", "collision_rate")
    return {"seed": seed, "train_seconds": seconds, "memory_gib": memory} | {name: result[name] for name in names}


def main() -> None:
    """Measure every seed, print a table, write JSON."""
    parser = _figures.parser("training", __doc__)
    parser.add_argument("--env", choices=sorted(TARGETS), default="ChairNav", help="the task")
    parser.add_argument("--seeds", default="1,2,3", help="comma-separated")
    parser.add_argument("--out", type=Path, help="keep the runs in this folder")
    parser.add_argument("extra", nargs="*", help="further words for simgym.train")
    arguments = parser.parse_args()
    base = arguments.out or Path(tempfile.mkdtemp())
    rows = [
        measure(arguments.env, int(seed), base / f"seed{seed}", arguments.extra) for seed in arguments.seeds.split(",")
    ]
    print(f"{'seed':>4} {'minutes':>8} {'GiB':>5} {'success':>8} {'95 % interval':>16} {'SPL':>5} {'collisions':>10}")
    for row in rows:
        low, high = row["success_ci95"]
        spl = "-" if row["spl"] is None else f"{row['spl']:.2f}"
        print(
            f"{row['seed']:>4} {row['train_seconds'] / 60:>8.1f} {row['memory_gib']:>5.2f} {row['success_rate']:>8.1%} "
            f"{low:>7.1%} - {high:.1%} {spl:>5} {row['collision_rate']:>10.1%}"
        )
    print(f"targets: {TARGETS[arguments.env]}")
    _figures.write(arguments.json, rows)


if __name__ == "__main__":
    main()
