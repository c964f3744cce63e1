"""Speed of the renderers: ``python -m benchmarks.renderer [--seconds 3] [--json results.json]``.

Frames a second of rgb + depth + segmentation at the default camera, in ChairNav's own rooms, from where robots drive.
The machine is rarely ours alone, so the time of a configuration is the least of several repeats.
"""

from __future__ import annotations

import importlib.util
import math
import time
from dataclasses import replace
from typing import Any

import numpy as np

from simgym.envs.config import DOMAINS
from simgym.envs.simulation import Simulation
from simgym.envs.tasks.chair_nav.config import ChairNavConfig
from simgym.policies.evaluation import episode_seeds

from . import _figures

ROWS = [
    ("sim", 1, "raster"),
    ("sim", 16, "raster"),
    ("sim", 64, "raster"),
    ("randomized", 16, "raster"),
    ("sim", 16, "bullet"),
    ("randomized", 16, "bullet"),
]
TARGETS = {("sim", 16, "raster"): 15_000}


def measure(
    domain: str, worlds: int, renderer: str = "raster", seconds: float = 3.0, steps: int = 20
) -> dict[str, Any]:
    """Best rate over repeats of ``steps`` pictures of every world, for about ``seconds``."""
    simulation = Simulation(ChairNavConfig(), replace(DOMAINS[domain], renderer=renderer), worlds)
    simulation.reset(np.arange(worlds), np.array(episode_seeds(0, worlds, "train")))
    poses = _drive(simulation, steps)
    best, end = math.inf, time.perf_counter() + seconds
    while best == math.inf or time.perf_counter() < end:
        started = time.perf_counter()
        for pos, quat in poses:
            simulation.renderer.render(pos, quat)
        best = min(best, time.perf_counter() - started)
    simulation.close()
    parts = len(simulation.task.scene.parts)
    rate = worlds * steps / best
    return {"domain": domain, "worlds": worlds, "renderer": renderer, "parts": parts, "frames_per_second": rate}


def _drive(simulation: Simulation, steps: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Poses of all links after each of some random actions."""
    rng, poses = np.random.default_rng(0), []
    for _ in range(steps):
        simulation.step(rng.uniform(-1, 1, (simulation.num_worlds, 2)))
        state = simulation.engine.state
        poses.append((state.link_pos.copy(), state.link_quat.copy()))
    return poses


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = _figures.parser("renderer", __doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="time for each row")
    arguments = parser.parse_args()
    _figures.print_machine()
    print(f"{'domain':<12} {'worlds':>6} {'renderer':>8} {'size':>8} {'frames/s':>9} {'target':>8}")
    rows = []
    for domain, worlds, renderer in ROWS:
        if renderer == "bullet" and not importlib.util.find_spec("pybullet"):
            continue
        rows.append(row := measure(domain, worlds, renderer, arguments.seconds))
        target = TARGETS.get((domain, worlds, renderer))
        rate = f"{row['frames_per_second']:>9,.0f}"
        print(
            f"{domain:<12} {worlds:>6} {renderer:>8} {'80x60':>8} {rate} {f'{target:,}' if target else '-':>8}",
            flush=True,
        )
    _figures.write(arguments.json, rows)


if __name__ == "__main__":
    main()
