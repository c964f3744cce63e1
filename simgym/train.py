"""Train a policy from pixels in simulation, evaluate it on held-out layouts and export it as a bundle.

Writes policy.onnx (the bundle), eval.json, episodes.csv, report.html, best_model.zip (Stable-Baselines3), checkpoints,
TensorBoard logs and config.yaml. A run that was stopped or killed goes on with resume=<run folder>, with the same
numbers that it would have had.

Examples:
    python -m simgym.train env=ChairNav
    python -m simgym.train env=ChairNav domain=randomized total_steps=2e6 seed=2
    python -m simgym.train env=ChairNav algo.learning_rate=3e-4 env.reward.collision=-5
    python -m simgym.train -m env=ChairNav seed=1,2,3
    python -m simgym.train resume=runs/train/ChairNav/2026-11-23_10-00-00
"""

from __future__ import annotations

import sys
from pathlib import Path

from simgym.config.command import run_command
from simgym.config.compose import load_config
from simgym.config.run_dir import CONFIG_FILE, start_run
from simgym.config.schema import TrainConfig


def main(config: TrainConfig) -> int:
    """Train; 130 if stopped by Ctrl-C, as shells expect."""
    from simgym.policies.training import BUNDLE, Interrupted, train

    resume = config.resume is not None
    if config.resume:
        out = Path(config.resume)
        config = load_config(TrainConfig, out / CONFIG_FILE)
    else:
        out = start_run(config)
    try:
        result = train(config, out, resume=resume)
    except Interrupted as stopped:
        print(f"{stopped}\ngo on exactly with: python -m simgym.train resume={out}", file=sys.stderr)
        return 130
    low, high = result["success_ci95"]
    print(
        f"success {result['success_rate']:.1%} (95 % interval {low:.1%} to {high:.1%}), SPL {result['spl']:.2f} "
        f"on {result['episodes']} held-out layouts\nwrote {out / BUNDLE}; read {out / 'report.html'}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(run_command(TrainConfig, main))
