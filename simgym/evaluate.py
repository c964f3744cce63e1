"""Evaluate a policy headless, on layouts that training never saw.

Writes eval.json, episodes.csv, report.html and, with video=true, episodes.mp4. The same seed gives the same episodes,
whatever num_envs is.

Examples:
    python -m simgym.evaluate env=ChairNav policy=pretrained episodes=500
    python -m simgym.evaluate policy=runs/x/policy.onnx domain=randomized video=true
    python -m simgym.evaluate env=Grasp policy=expert split=train
    python -m simgym.evaluate -m policy=random,pretrained,expert
    python -m simgym.evaluate policy=pretrained goggles=runs/y/goggles.onnx domain=standin over=ros
    python -m simgym.evaluate policy=pretrained goggles=perfect domain=standin
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from simgym.config.command import run_command
from simgym.config.run_dir import run_folder
from simgym.config.schema import PERFECT, WITHOUT_CAMERA, EvaluateConfig
from simgym.errors import UsageError

if TYPE_CHECKING:
    from simgym.envs.simulation import Simulation
    from simgym.policies.actors import Actor


def main(config: EvaluateConfig) -> None:
    """Evaluate and say how well it went."""
    if config.over and config.policy in WITHOUT_CAMERA:
        raise UsageError(f"over={config.over}: policy={config.policy} is no bundle that a node could run")
    from simgym.envs.simulation import Simulation
    from simgym.policies.evaluation import episode_seeds, header, headline
    from simgym.policies.report import evaluate_and_report

    about = header(config.env, config.domain, config.split, config.policy, config.goggles, config.seed)
    about |= {"over": config.over} if config.over else {}
    seeds = episode_seeds(config.seed, config.episodes, config.split)
    worlds = 1 if config.over else min(config.num_envs, config.episodes)
    with (
        run_folder(config) as out,
        closing(Simulation(config.env, config.domain, worlds, config.split, config.goggles == PERFECT)) as simulation,
        _actor(config, simulation) as actor,
    ):
        video = out / "episodes.mp4" if config.video else None
        result = evaluate_and_report(simulation, actor, seeds, about, out, video=video)
    written = ["eval.json", "episodes.csv", "report.html", *([video.name] if video else [])]
    print(f"{headline(result)}; wrote {', '.join(written)} in {out}")


@contextmanager
def _actor(config: EvaluateConfig, simulation: Simulation) -> Iterator[Actor]:
    """Who acts: in this process, or as nodes of their own."""
    from simgym.policies.actors import make_actor

    actor = make_actor(config.policy, config.goggles, simulation, config.seed)  # checks the bundles
    if config.over is None:
        yield actor
        return
    from simgym.bridge import load_bridge

    with load_bridge().over_ros(config.policy, config.goggles, simulation) as nodes:
        yield nodes


if __name__ == "__main__":
    sys.exit(run_command(EvaluateConfig, main))
