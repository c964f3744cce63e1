"""A training killed in the middle against one left alone: ``python -m benchmarks.resume [--json results.json]``.

Runs `python -m simgym.train env=ChairNav` twice, with the default network and worlds, for a few short segments: one is
left alone, the other is killed (SIGKILL) in its second segment and resumed. On a CPU all weights are the same, bit for
bit. Takes about two minutes.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from . import _figures

SEGMENT = 16_384  # steps
SEGMENTS = 3
SHORT = [
    f"algo.total_steps={SEGMENTS * SEGMENT}",
    f"algo.imitation_steps={SEGMENT + SEGMENT // 2}",  # the kill falls between imitation and PPO
    f"checkpoint_every={SEGMENT}",
    "eval_episodes=10",
    "final_episodes=10",
    "device=cpu",
]
INTO_SEGMENT_S = 3.0


def checkpoint(out: Path, segment: int) -> Path:
    """The file written after so many segments."""
    return out / "checkpoints" / f"step_{segment * SEGMENT:010d}.pt"


def train(*words: str) -> subprocess.Popen[bytes]:
    """Start a training."""
    return subprocess.Popen([sys.executable, "-m", "simgym.train", *words])


def finish(process: subprocess.Popen[bytes]) -> None:
    """Wait for a training; leave if it failed."""
    if process.wait() != 0:
        raise SystemExit("the training failed")


def kill_in_second_segment(out: Path) -> None:
    """Start a training, and kill it some seconds after its first checkpoint."""
    process = train("env=ChairNav", f"out={out}", *SHORT)
    while not checkpoint(out, 1).exists():
        if process.poll() is not None:
            raise SystemExit("the training ended before its first checkpoint")
        time.sleep(0.05)
    time.sleep(INTO_SEGMENT_S)
    process.kill()
    process.wait()
    if checkpoint(out, 2).exists():
        raise SystemExit("the second segment was over before the kill: this machine is too fast for INTO_SEGMENT_S")


def main() -> None:
    """Train, kill, resume, compare, write JSON."""
    import torch

    parser = _figures.parser("resume", __doc__)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        alone, killed = Path(folder, "alone"), Path(folder, "killed")
        finish(train("env=ChairNav", f"out={alone}", *SHORT))
        kill_in_second_segment(killed)
        finish(train(f"resume={killed}"))
        weights = [torch.load(checkpoint(out, SEGMENTS), weights_only=True)["policy"] for out in (alone, killed)]
    same = {name: torch.equal(value, weights[1][name]) for name, value in weights[0].items()}
    print(f"{sum(same.values())} of {len(same)} tensors are the same, bit for bit")
    _figures.write(arguments.json, {"tensors": len(same), "same": sum(same.values())})
    if not all(same.values()) or weights[0].keys() != weights[1].keys():
        raise SystemExit("target: all of them")


if __name__ == "__main__":
    main()
