"""Train a policy from pixels in simulation, evaluate it on held-out layouts and export it as a bundle.

Writes policy.onnx (the bundle), eval.json, episodes.csv, report.html, best_model.zip (Stable-Baselines3), checkpoints,
TensorBoard logs, config.yaml and versions.yaml. A run that was stopped or killed goes on with resume=<run folder>, with
the same numbers that it would have had.

Examples:
    python -m simgym.train env=ChairNav
    python -m simgym.train env=ChairNav domain=randomized algo.total_steps=2e6 seed=2
    python -m simgym.train env=ChairNav algo.learning_rate=3e-4 env.reward.collision=-5
    python -m simgym.train -m env=ChairNav seed=1,2,3
    python -m simgym.train env=ChairNav start=runs/x goggles=pretrained domain=lifelike algo.imitation_steps=0
    python -m simgym.train resume=runs/train/ChairNav/2026-11-23_10-00-00
"""

from __future__ import annotations

import sys
from dataclasses import fields, replace
from pathlib import Path

import yaml

from simgym.config.command import run_command
from simgym.config.compose import load_config
from simgym.config.run_dir import CONFIG_FILE, start_run
from simgym.config.schema import TrainConfig
from simgym.errors import UsageError, UserError
from simgym.files import write_bytes
from simgym.versions import versions

VERSIONS_FILE = "versions.yaml"


def main(config: TrainConfig) -> int:
    """Train; 130 if stopped by Ctrl-C, as shells expect."""
    resume = config.resume is not None
    config, out = _resume(config) if resume else _start(config)
    from simgym.interrupts import Interrupted
    from simgym.policies.evaluation import headline
    from simgym.policies.training import BUNDLE, train

    try:
        result = train(config, out, resume)
    except Interrupted as stopped:
        print(f"{stopped}\ngo on exactly with: python -m simgym.train resume={out}", file=sys.stderr)
        return 130
    print(f"{headline(result)}\nwrote {out / BUNDLE}; read {out / 'report.html'}")
    return 0


def _start(config: TrainConfig) -> tuple[TrainConfig, Path]:
    """Make the run folder, with all that is needed to go on from anywhere; not before it is clear that it can run."""
    from simgym.policies.training import check_possible

    check_possible(config)
    given = {item.name: getattr(config.env, item.name) for item in fields(config.env)}
    files = {name: value for name, value in given.items() if name in ("robot", "camera") and "." in (value or "")}
    env = replace(config.env, **{name: str(Path(value).resolve()) for name, value in files.items()})
    config = replace(config, env=env, goggles=_absolute(config.goggles), start=_absolute(config.start))
    out = start_run(config)
    write_bytes(out / VERSIONS_FILE, yaml.safe_dump(versions(), sort_keys=False).encode())
    return config, out


def _absolute(path: str | None) -> str | None:
    """A path that also holds from another folder; a name such as pretrained stays as it is."""
    return str(Path(path).resolve()) if path and Path(path).exists() else path


def _resume(config: TrainConfig) -> tuple[TrainConfig, Path]:
    """The configuration and folder of the run to go on with."""
    from simgym.policies.training import check_possible

    if not config.resume:
        raise UsageError("resume= is empty: give the folder of a run, or leave it out")
    out = Path(config.resume)
    others = replace(config, resume=None, out=None) != TrainConfig()
    if others or (config.out and Path(config.out).resolve() != out.resolve()):
        raise UsageError(f"resume={config.resume}: a run goes on with its own settings, so give no other key")
    if not (out / CONFIG_FILE).is_file():
        raise UserError(f"resume={config.resume}: expected the folder of a run, with its {CONFIG_FILE}")
    config = load_config(TrainConfig, out / CONFIG_FILE)
    check_possible(config)
    return config, out


if __name__ == "__main__":
    sys.exit(run_command(TrainConfig, main))
