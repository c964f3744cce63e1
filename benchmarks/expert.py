"""How often the experts succeed: ``python -m benchmarks.expert [--episodes 300] [--json results.json]``.

A scripted expert that knows all there is to know is the ceiling for policies, and says whether the drawn episodes can
be solved: ChairNav's planner and Grasp's, in both engines and in the stand-in for reality.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from simgym.envs.config import DOMAINS, DomainConfig
from simgym.envs.simulation import Simulation
from simgym.envs.tasks import TASKS
from simgym.policies.actors import ExpertActor
from simgym.policies.evaluation import episode_seeds, evaluate

from . import _figures

WORLDS = 16
SEED = 77
TARGETS = {"ChairNav": 0.99, "Grasp": 0.97}
BULLET = replace(DOMAINS["sim"], engine="bullet")
ROWS = [
    ("ChairNav", DOMAINS["sim"]),
    ("ChairNav", DOMAINS["randomized"]),
    ("ChairNav", BULLET),
    ("ChairNav", DOMAINS["standin"]),
    ("Grasp", DOMAINS["sim"]),
    ("Grasp", DOMAINS["randomized"]),
    ("Grasp", BULLET),
    ("Grasp", DOMAINS["standin"]),
]


def measure(task: str, domain: DomainConfig, split: str, episodes: int) -> dict[str, Any]:
    """Success, its 95 % interval, and directness of the expert."""
    simulation = Simulation(TASKS[task].load("config")(), domain, min(WORLDS, episodes), split)
    summary = evaluate(simulation, ExpertActor(), episode_seeds(SEED, episodes, split), progress=False).summary()
    simulation.close()
    names = ("episodes", "success_rate", "success_ci95", "spl", "collision_rate", "mean_seconds")
    about = {"task": task, "domain": domain.name, "engine": domain.engine, "split": split}
    return about | {name: summary[name] for name in names}


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = _figures.parser("expert", __doc__)
    parser.add_argument("--episodes", type=int, default=300, help="for each row")
    parser.add_argument(
        "--domain", choices=sorted({domain.name for _, domain in ROWS}), help="only rows of this domain"
    )
    arguments = parser.parse_args()
    print(
        f"{'task':<9} {'domain':<11} {'engine':<7} {'split':<6} {'success':>8} {'95 % interval':>16} {'target':>7} "
        f"{'SPL':>5} {'collisions':>10}"
    )
    rows = []
    for task, domain in (row for row in ROWS if arguments.domain in (None, row[1].name)):
        for split in ("train", "test"):
            rows.append(row := measure(task, domain, split, arguments.episodes))
            low, high = row["success_ci95"]
            spl = "-" if row["spl"] is None else f"{row['spl']:.2f}"
            print(
                f"{task:<9} {domain.name:<11} {domain.engine:<7} {split:<6} {row['success_rate']:>8.1%} "
                f"{low:>7.1%} - {high:.1%} {TARGETS[task]:>7.0%} {spl:>5} {row['collision_rate']:>10.1%}",
                flush=True,
            )
    _figures.write(arguments.json, rows)


if __name__ == "__main__":
    main()
