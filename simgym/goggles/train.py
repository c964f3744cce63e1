"""Train goggles: a network that makes real camera frames look like the simulator's, and measure and export them.

Writes goggles.onnx (the bundle), metrics.json, report.html, checkpoints, TensorBoard logs, config.yaml and
versions.yaml. A source is a folder of pictures, a glob, a video or a rosbag (1, 2, MCAP); simulated ones are folders
that simgym.collect has written. A run that was stopped or killed goes on with resume=<run folder>, with the
same numbers that it would have had.

Examples:
    python -m simgym.goggles.train sim=frames/sim real=drive.mcap pairs=frames/randomized
    python -m simgym.goggles.train pairs=frames/randomized goggles/method=rcan generator=mobile
    python -m simgym.goggles.train sim=a real=b goggles/method=vr_goggles goggles.method.shift=20 generator=resnet9
    python -m simgym.goggles.train real=b pairs=c start=pretrained generator=deep goggles.method.unpaired_after=0
    python -m simgym.goggles.train real=b pairs=c marked=rooms
    python -m simgym.goggles.train resume=runs/goggles.train/ChairNav/2026-11-23_10-00-00
"""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from simgym.config.command import run_command
from simgym.config.compose import load_config
from simgym.config.goggles import NetworkMethod
from simgym.config.run_dir import CONFIG_FILE, start_run
from simgym.config.schema import GogglesTrainConfig
from simgym.errors import UsageError, UserError
from simgym.files import write_bytes
from simgym.versions import versions

if TYPE_CHECKING:
    from lightning_fabric import Fabric


VERSIONS_FILE = "versions.yaml"


def main(config: GogglesTrainConfig) -> int:
    """Train; 130 if stopped by Ctrl-C, as shells expect."""
    resume = config.resume is not None
    if resume:
        config = _resumed(config)
    from simgym.interrupts import Interrupted

    from .parallel import make_fabric

    fabric = make_fabric(config.device, config.devices, config.precision)
    result = fabric.launch(partial(_work, config=config, resume=resume))
    if isinstance(result, Interrupted):
        print(f"{result}\ngo on exactly with: python -m simgym.goggles.train resume={config.out}", file=sys.stderr)
        return 130
    if isinstance(result, UserError):
        raise result
    if result is not None:
        _say(result, config.out)
    return 0


def _work(fabric: Fabric, config: GogglesTrainConfig, resume: bool) -> Any:
    """What every process does; failures that a user can mend are handed back, as they have to cross processes."""
    from simgym.interrupts import Interrupted

    from .domains import camera_of, load_domains
    from .reopen import starting_point
    from .training import train

    try:
        camera = camera_of(config)
        if config.start is not None and not resume:
            if not isinstance(config.goggles.method, NetworkMethod):
                raise UsageError(f"start= does nothing with goggles/method={config.goggles.method.name}: leave it out")
            starting_point(config.start, config.env.name, config.generator)  # refused before anything is written
        domains = load_domains(config, camera)
        problem = _start(config) if fabric.is_global_zero and not resume else None
        problem = fabric.broadcast(problem)  # all stop where one cannot go on, or the others would wait for it
        return problem or train(fabric, config, camera, domains, Path(str(config.out)), resume)
    except (UserError, Interrupted) as error:
        return error


def _start(config: GogglesTrainConfig) -> UserError | None:
    """Make the run folder, with all that is needed to go on from anywhere; or say why that is impossible."""
    sources = {name: _absolute(getattr(config, name)) for name in ("sim", "real", "pairs", "marked", "start")}
    try:
        out = start_run(replace(config, **sources))  # type: ignore[arg-type]
    except UserError as error:
        return error
    write_bytes(out / VERSIONS_FILE, yaml.safe_dump(versions(), sort_keys=False).encode())
    return None


def _absolute(source: str | None) -> str | None:
    """A path that also holds from another folder; whatever else a source may be stays as it is."""
    return str(Path(source).resolve()) if source and Path(source).exists() else source


def _resumed(config: GogglesTrainConfig) -> GogglesTrainConfig:
    """The configuration of the run to go on with."""
    if not config.resume:
        raise UsageError("resume= is empty: give the folder of a run, or leave it out")
    out = Path(config.resume)
    others = replace(config, resume=None, out=None) != GogglesTrainConfig()
    if others or (config.out and Path(config.out).resolve() != out.resolve()):
        raise UsageError(f"resume={config.resume}: a run goes on with its own settings, so give no other key")
    if not (out / CONFIG_FILE).is_file():
        raise UserError(f"resume={config.resume}: expected the folder of a run, with its {CONFIG_FILE}")
    return replace(load_config(GogglesTrainConfig, out / CONFIG_FILE), out=str(out))


def _say(result: dict[str, Any], out: str | None) -> None:
    from .report import REPORT
    from .training import BUNDLE, METRICS

    for name in ("real", "pairs"):
        measures = result[name]
        if measures is None:
            continue
        kid = measures["kid"]
        print(
            f"{name}: temporal error {measures['temporal_error']:.1f} grey levels, changed by "
            f"{measures['difference_from_input']:.1f}"
            + (f", KID {kid['before']:.3f} -> {kid['after']:.3f}" if kid else "")
        )
        if measures["collapse"]:
            print(f"{name}: the goggles collapsed ({measures['collapse']}): they are of no use")
    print(f"wrote {BUNDLE}, {METRICS}, {REPORT} and checkpoints in {out}")


if __name__ == "__main__":
    sys.exit(run_command(GogglesTrainConfig, main))
