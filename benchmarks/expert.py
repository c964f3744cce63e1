"""How often the expert arrives: ``python -m benchmarks.expert [--episodes 300] [--json results.json]``.

The scripted planner with full knowledge of the floor plan is the ceiling for policies, and says whether the drawn
rooms can be solved.
"""

from __future__ import annotations

from typing import Any

from simgym.envs.config import DOMAINS
from simgym.envs.simulation import Simulation
from simgym.envs.tasks.chair_nav.config import ChairNavConfig
from simgym.policies.actors import ExpertActor
from simgym.policies.evaluation import episode_seeds, evaluate

from . import _figures

WORLDS = 16
SEED = 77
TARGET = 0.99


def measure(domain: str, split: str, episodes: int) -> dict[str, Any]:
    """Success, its 95 % interval, and directness of the expert."""
    simulation = Simulation(ChairNavConfig(), DOMAINS[domain], min(WORLDS, episodes), split)
    summary = evaluate(simulation, ExpertActor(), episode_seeds(SEED, episodes, split), progress=False).summary()
    simulation.close()
    names = ("episodes", "success_rate", "success_ci95", "spl", "collision_rate")
    return {"domain": domain, "split": split} | {name: summary[name] for name in names}


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = _figures.parser("expert", __doc__)
    parser.add_argument("--episodes", type=int, default=300, help="for each row")
    arguments = parser.parse_args()
    print(
        f"{'domain':<12} {'split':<6} {'success':>8} {'95 % interval':>16} {'target':>7} {'SPL':>5} {'collisions':>10}"
    )
    rows = []
    for domain in ("sim", "randomized"):
        for split in ("train", "test"):
            rows.append(row := measure(domain, split, arguments.episodes))
            low, high = row["success_ci95"]
            print(
                f"{domain:<12} {split:<6} {row['success_rate']:>8.1%} {low:>7.1%} - {high:.1%} {TARGET:>7.0%} "
                f"{row['spl']:>5.2f} {row['collision_rate']:>10.1%}",
                flush=True,
            )
    _figures.write(arguments.json, rows)


if __name__ == "__main__":
    main()
