"""Training: killed and resumed equals left alone, bit for bit; what a run leaves behind; how it fails."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from simgym.config.compose import load_config
from simgym.config.schema import TrainConfig
from simgym.deploy.policy import Policy
from simgym.errors import UserError
from simgym.policies import checkpoint
from simgym.policies.training import train

TINY = [
    "algo.num_envs=4",
    "algo.n_steps=16",
    "algo.batch_size=32",
    "algo.n_epochs=1",
    "algo.channels=[4,8,8]",
    "algo.code_dim=16",
    "total_steps=384",
    "checkpoint_every=128",
    "eval_episodes=2",
    "final_episodes=3",
    "env.time_limit_s=4",
]


def start(out: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "simgym.train", *arguments]
    return subprocess.Popen(
        command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=os.environ | {"COLUMNS": "100"}
    )


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, f"{path} never came"
        time.sleep(0.005)


def weights(out: Path) -> dict[str, torch.Tensor]:
    path = checkpoint.latest_checkpoint(out / "checkpoints")
    assert path is not None and path.name == "step_0000000384.pt"
    return torch.load(path, weights_only=True)["policy"]


@pytest.fixture(scope="module")
def left_alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "alone"
    process = start(out, "env=ChairNav", *TINY, f"out={out}")
    printed = process.communicate(timeout=300)[0]
    assert process.returncode == 0, printed
    assert "success" in printed and str(out / "policy.onnx") in printed
    return out


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_was_stopped_and_resumed_equals_one_left_alone(
    left_alone: Path, tmp_path: Path, number: signal.Signals
) -> None:
    out = tmp_path / "stopped"
    process = start(out, "env=ChairNav", *TINY, f"out={out}")
    wait_for(out / "checkpoints" / "step_0000000128.pt", process)
    process.send_signal(number)
    printed = process.communicate(timeout=60)[0]
    assert not (out / "checkpoints" / "step_0000000384.pt").exists(), "it was stopped too late to prove anything"
    if number == signal.SIGINT:
        assert process.returncode == 130 and f"resume={out}" in printed
        assert (out / "last_model.zip").exists()
    resumed = start(out, f"resume={out}")
    printed = resumed.communicate(timeout=300)[0]
    assert resumed.returncode == 0, printed
    expected, got = weights(left_alone), weights(out)
    assert expected.keys() == got.keys()
    for name, tensor in expected.items():
        assert torch.equal(tensor, got[name]), name
    curves = [
        torch.load(run / "checkpoints" / "step_0000000384.pt", weights_only=True)["progress"]["curve"]
        for run in (left_alone, out)
    ]
    assert [row["mean_return"] for row in curves[0]] == [row["mean_return"] for row in curves[1]]


def test_what_a_run_leaves_behind(left_alone: Path) -> None:
    names = {path.name for path in left_alone.iterdir()}
    assert names >= {
        "policy.onnx",
        "checkpoints",
        "best_model.zip",
        "tensorboard",
        "config.yaml",
        "eval.json",
        "episodes.csv",
        "report.html",
    }
    assert not [path for path in left_alone.rglob("*") if path.name.endswith(".tmp")]
    result = json.loads((left_alone / "eval.json").read_text())
    assert result["split"] == "test" and result["episodes"] == 3
    assert load_config(TrainConfig, left_alone / "config.yaml").algo.num_envs == 4
    policy = Policy(left_alone / "policy.onnx")
    assert policy.contract.training["steps"] == 384
    assert policy.contract.training["success_rate"] == result["success_rate"]
    command = policy.act(np.zeros((60, 80, 3), np.uint8), np.zeros(2, np.float32))
    assert 0 <= command[0] <= 0.5 and abs(command[1]) <= 1.5


def test_tensorboard_has_the_usual_tags(left_alone: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accumulator = EventAccumulator(str(left_alone / "tensorboard"))
    accumulator.Reload()
    tags = set(accumulator.Tags()["scalars"])
    assert tags >= {
        "rollout/ep_rew_mean",
        "rollout/success_rate",
        "eval/success_rate",
        "eval/mean_reward",
        "eval/spl",
        "reward/progress",
        "reward/collision",
        "train/loss",
        "time/fps",
    }


def test_a_corrupt_checkpoint_is_one_clear_line(left_alone: Path, tmp_path: Path) -> None:
    out = tmp_path / "corrupt"
    (out / "checkpoints").mkdir(parents=True)
    (out / "config.yaml").write_text((left_alone / "config.yaml").read_text())
    whole = (left_alone / "checkpoints" / "step_0000000128.pt").read_bytes()
    (out / "checkpoints" / "step_0000000128.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"step_0000000128\.pt cannot be resumed from"):
        train(load_config(TrainConfig, out / "config.yaml"), out, resume=True)


def test_a_full_disk_leaves_no_half_checkpoint(
    left_alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(state: object, path: Path) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", no_space)
    config = load_config(TrainConfig, left_alone / "config.yaml")
    with pytest.raises(OSError, match="No space left"):
        train(config, tmp_path)
    assert not list((tmp_path / "checkpoints").glob("*"))


def test_only_the_newest_checkpoints_are_kept(tmp_path: Path, left_alone: Path) -> None:
    kept = sorted((left_alone / "checkpoints").iterdir())
    assert len(kept) == checkpoint.KEEP
    assert checkpoint.latest_checkpoint(tmp_path) is None
