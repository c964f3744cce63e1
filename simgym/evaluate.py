"""Evaluate a policy headless, on layouts that training never saw.

Writes eval.json, episodes.csv, report.html and, with video=true, episodes.mp4. The same seed gives the same episodes,
whatever num_envs is.

Examples:
    python -m simgym.evaluate env=ChairNav policy=pretrained episodes=500
    python -m simgym.evaluate policy=runs/x/policy.onnx domain=randomized video=true
    python -m simgym.evaluate policy=expert split=train
    python -m simgym.evaluate -m policy=random,pretrained,expert
"""

from __future__ import annotations

import sys
from contextlib import closing

from simgym.config.command import run_command
from simgym.config.run_dir import start_run
from simgym.config.schema import EvaluateConfig
from simgym.errors import UsageError

NUM_TRACES = 8  # episodes that the report shows, chosen by nothing but their order
NUM_FAILURES = 4  # failed ones that it shows as well
WITHOUT_CAMERA = ("random", "expert")


def main(config: EvaluateConfig) -> None:
    """Evaluate and say how well it went."""
    if config.goggles and config.policy in WITHOUT_CAMERA:
        raise UsageError(f"goggles={config.goggles}: policy={config.policy} sees no picture that they could change")
    from simgym.envs.simulation import Simulation
    from simgym.policies.actors import make_actor
    from simgym.policies.evaluation import (
        episode_seeds,
        evaluate,
        header,
        headline,
        trace_failures,
        write_evaluation,
    )
    from simgym.policies.report import frame_rate_hz, write_report
    from simgym.policies.video import write_video

    worlds = min(config.num_envs, config.episodes)
    with closing(Simulation(config.env, config.domain, worlds, config.split)) as simulation:
        actor = make_actor(config.policy, config.goggles, simulation, config.seed)
        out = start_run(config)  # not before: a wrong policy leaves no folder
        seeds = episode_seeds(config.seed, config.episodes, config.split)
        evaluation = evaluate(simulation, actor, seeds, NUM_TRACES)
        trace_failures(simulation, actor, evaluation, NUM_FAILURES)
    about = header(config.env, config.domain, config.split, config.policy, config.goggles, config.seed)
    result = write_evaluation(out, evaluation, about)
    written = ["eval.json", "episodes.csv", "report.html"]
    video = out / "episodes.mp4" if config.video else None
    if video:
        write_video(video, evaluation.traces, frame_rate_hz(evaluation))
        written.append(video.name)
    write_report(out, result, evaluation, video=video)
    print(f"{headline(result)}; wrote {', '.join(written)} in {out}")


if __name__ == "__main__":
    sys.exit(run_command(EvaluateConfig, main))
