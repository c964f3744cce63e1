"""Seconds of one update of the default training: ``python -m benchmarks.learning [--json results.json]``.

Splits an update of PPO (all worlds stepped `n_steps` times, then `n_epochs` passes) into simulating and learning, with
and without `simgym.allocator.keep_freed_memory`, each in a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from typing import Any

import numpy as np

from . import _figures

UPDATES = 8


def measure(keep: bool) -> dict[str, Any]:
    """Median seconds of simulating and of learning in one update, leaving out the first two."""
    import torch
    from stable_baselines3.common.logger import configure

    from simgym.allocator import keep_freed_memory
    from simgym.config.schema import TrainConfig
    from simgym.cores import usable_cores
    from simgym.envs.simulation import Simulation
    from simgym.policies.training import build_env, build_model

    if keep:
        keep_freed_memory()
    usual = TrainConfig(device="cpu")
    config = replace(usual, algo=replace(usual.algo, imitation_steps=0))
    env = build_env(config, Simulation(config.env, config.domain, config.algo.num_envs, "train"))
    model = build_model(config, env, None)
    model.set_logger(configure(None, []))
    _, callback = model._setup_learn(UPDATES * config.algo.n_steps * config.algo.num_envs)
    simulating, learning = [], []
    for _ in range(UPDATES):
        started = time.perf_counter()
        torch.set_num_threads(1)
        model.collect_rollouts(env, callback, model.rollout_buffer, config.algo.n_steps)
        simulated = time.perf_counter()
        torch.set_num_threads(usable_cores())
        model.train()
        simulating.append(simulated - started)
        learning.append(time.perf_counter() - simulated)
    env.close()
    return {
        "keep_freed_memory": keep,
        "simulating_s": float(np.median(simulating[2:])),
        "learning_s": float(np.median(learning[2:])),
        "steps_per_second": config.algo.n_steps * config.algo.num_envs / float(np.median(np.add(simulating, learning))),
    }


def main() -> None:
    """Measure both, print a table, write JSON."""
    parser = _figures.parser("learning", __doc__)
    parser.add_argument("--keep", type=int, choices=(0, 1), help="measure one of them and print JSON")
    arguments = parser.parse_args()
    if arguments.keep is not None:
        print(json.dumps(measure(bool(arguments.keep))))
        return
    rows = []
    for keep in (0, 1):
        command = [sys.executable, "-m", "benchmarks.learning", "--keep", str(keep)]
        rows.append(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    _figures.print_machine()
    print(f"{'keep_freed_memory':<18} {'simulating s':>12} {'learning s':>11} {'steps/s':>8}")
    for row in rows:
        print(
            f"{row['keep_freed_memory']!s:<18} {row['simulating_s']:>12.2f} {row['learning_s']:>11.2f} "
            f"{row['steps_per_second']:>8,.0f}"
        )
    _figures.write(arguments.json, rows)


if __name__ == "__main__":
    main()
