"""Training: killed and resumed equals left alone, bit for bit; what a run leaves behind; how it fails."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from stable_baselines3 import PPO

import simgym.train as train_command
from simgym import checkpoint
from simgym.config.command import run_command
from simgym.config.compose import compose_config, expand, load_config
from simgym.config.schema import PPOConfig, TrainConfig
from simgym.deploy.camera import Calibration
from simgym.deploy.policy import Policy
from simgym.envs.robot import ASSETS
from simgym.envs.simulation import Simulation
from simgym.errors import UserError
from simgym.policies import saving, training
from simgym.policies.saving import save_model
from simgym.policies.training import build_env, build_model, learning_rates, train
from tests.test_files import full_disk

RESULT = {
    "success_rate": 0.5,
    "success_ci95": [0.4, 0.6],
    "spl": 0.4,
    "collision_rate": 0.1,
    "episodes": 10,
    "split": "test",
}
TINY = [
    "algo.num_envs=4",
    "algo.n_steps=16",
    "algo.batch_size=32",
    "algo.n_epochs=1",
    "algo.channels=[4,8,8]",
    "algo.code_dim=16",
    "algo.imitation_steps=192",  # the second segment passes from imitation to PPO
    "algo.total_steps=384",
    "checkpoint_every=128",
    "eval_episodes=2",
    "final_episodes=3",
    "env.time_limit_s=4",
]

# With everything that a checkpoint must bring back, or that must be forgotten at a segment's end.
RUN = ["env=ChairNav", "domain=adr", "goggles=pretrained", "algo.remembered=2", *TINY]


def test_step_sizes_fall_over_all_of_a_training_or_anew_where_ppo_takes_over() -> None:
    algo = PPOConfig(total_steps=400, imitation_steps=100, learning_rate=1e-3)
    rate = learning_rates(algo)
    assert [rate(left) for left in (1.0, 0.75, 0.5, 0.05, 0.0)] == pytest.approx([1e-3, 7.5e-4, 5e-4, 5e-5, 5e-5])
    rate = learning_rates(replace(algo, ppo_learning_rate=2e-4))
    assert [rate(left) for left in (1.0, 0.875, 0.75)] == pytest.approx([1e-3, 5e-4, 5e-5])
    assert [rate(left) for left in (0.7499, 0.375, 0.0)] == pytest.approx([2e-4, 1e-4, 1e-5], rel=1e-3)
    for steps in (0, 400, 1000):  # one part alone has one line
        rate = learning_rates(replace(algo, imitation_steps=steps, ppo_learning_rate=2e-4))
        assert [rate(left) for left in (1.0, 0.5, -0.02)] == pytest.approx([1e-3, 5e-4, 5e-5])  # the end is overshot


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
    path = checkpoint.latest_checkpoint(out)
    assert path is not None and path.name == "step_0000000384.pt"
    return torch.load(path, weights_only=True)["policy"]


@pytest.fixture(scope="module")
def left_alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "alone"
    process = start(out, *RUN, f"out={out}")
    printed = process.communicate(timeout=300)[0]
    assert process.returncode == 0, printed
    assert "success" in printed and str(out / "policy.onnx") in printed
    return out


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_was_stopped_and_resumed_equals_one_left_alone(
    left_alone: Path, tmp_path: Path, number: signal.Signals
) -> None:
    out = tmp_path / "stopped"
    process = start(out, *RUN, f"out={out}")
    wait_for(out / "checkpoints" / "step_0000000128.pt", process)
    process.send_signal(number)
    printed = process.communicate(timeout=60)[0]
    assert not (out / "checkpoints" / "step_0000000384.pt").exists(), "it was stopped too late to prove anything"
    if number == signal.SIGINT:
        assert process.returncode == 130 and f"resume={out}" in printed
        assert (out / "last_model.zip").exists()
    (out / "checkpoints" / ".step_0000000256.1234.partial.pt").touch()  # as a run that was killed while it wrote
    resumed = start(out, f"resume={out}")
    printed = resumed.communicate(timeout=300)[0]
    assert resumed.returncode == 0, printed
    assert not [path for path in out.rglob("*") if path.name.startswith(".")]
    expected, got = weights(left_alone), weights(out)
    assert expected.keys() == got.keys()
    for name, tensor in expected.items():
        assert torch.equal(tensor, got[name]), name
    alone, stopped = (
        torch.load(run / "checkpoints" / "step_0000000384.pt", weights_only=True)["progress"]
        for run in (left_alone, out)
    )
    assert [row["mean_return"] for row in alone["curve"]] == [row["mean_return"] for row in stopped["curve"]]
    assert alone["curriculum"] == stopped["curriculum"] and any(alone["curriculum"]["outcomes"].values())


def test_a_training_behind_goggles_begins_with_the_weights_of_another_one(left_alone: Path, tmp_path: Path) -> None:
    out = tmp_path / "behind"
    words = ["goggles=pretrained", "domain=randomized", *TINY, "algo.total_steps=64", "algo.learning_rate=0"]
    process = start(out, *words, f"start={left_alone}", f"out={out}")
    printed = process.communicate(timeout=300)[0]
    assert process.returncode == 0, printed
    begun = torch.load(out / "checkpoints" / "step_0000000064.pt", weights_only=True)
    assert begun["num_timesteps"] == 64
    for name, tensor in weights(left_alone).items():
        assert torch.equal(tensor, begun["policy"][name]), name
    assert json.loads((out / "eval.json").read_text())["goggles"] == "pretrained"


def test_weights_that_do_not_fit_are_one_clear_line(tiny_model: Callable[..., PPO], tmp_path: Path) -> None:
    model = tiny_model()
    path = saving.save_training(tmp_path, model, {})
    saving.begin_with(path, model)
    torch.save({"policy": {"other": torch.zeros(3)}}, path)
    with pytest.raises(UserError, match=r"does not fit: start= wants the same task and widths of algo"):
        saving.begin_with(path, model)


def test_a_policy_for_another_task_and_engine_comes_out_as_a_bundle_too(tmp_path: Path) -> None:
    pytest.importorskip("pybullet_data", reason="it has the arm's description")
    out = tmp_path / "grasp"
    small = [*TINY, "algo.imitation_batch_size=32", "algo.total_steps=128", "env.time_limit_s=2"]
    process = start(out, "env=Grasp", "domain.engine=bullet", *small, f"out={out}")
    printed = process.communicate(timeout=300)[0]
    assert process.returncode == 0, printed
    policy = Policy(out / "policy.onnx")
    assert [spec.name for spec in policy.contract.inputs] == ["image", "proprio"]
    command = policy.act(np.zeros((60, 80, 3), np.uint8), np.zeros(5, np.float32))
    limits = policy.contract.outputs[0]
    assert (command >= np.array(limits.low) - 1e-6).all() and (command <= np.array(limits.high) + 1e-6).all()
    assert json.loads((out / "eval.json").read_text())["spl"] is None


def test_what_a_run_leaves_behind(left_alone: Path) -> None:
    names = {path.name for path in left_alone.iterdir()}
    assert names >= {
        "policy.onnx",
        "checkpoints",
        "best_model.zip",
        "tensorboard",
        "config.yaml",
        "versions.yaml",
        "eval.json",
        "episodes.csv",
        "report.html",
    }
    assert not [path for path in left_alone.rglob("*") if path.name.startswith(".")]
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
        "adr/entropy",
        "adr/dynamics.mass_scale/high",
    }


def test_a_corrupt_checkpoint_is_one_clear_line(left_alone: Path, tmp_path: Path) -> None:
    out = tmp_path / "corrupt"
    (out / "checkpoints").mkdir(parents=True)
    (out / "config.yaml").write_text((left_alone / "config.yaml").read_text())
    whole = (left_alone / "checkpoints" / "step_0000000128.pt").read_bytes()
    (out / "checkpoints" / "step_0000000128.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"step_0000000128\.pt cannot be read"):
        train(load_config(TrainConfig, out / "config.yaml"), out, resume=True)


def test_a_foreign_checkpoint_is_one_clear_line(tiny_model: Callable[..., PPO], tmp_path: Path) -> None:
    model = tiny_model()
    whole = torch.load(saving.save_training(tmp_path, model, {}), weights_only=True)
    for missing in whole:
        torch.save({name: value for name, value in whole.items() if name != missing}, tmp_path / "foreign.pt")
        with pytest.raises(UserError, match=rf"foreign\.pt cannot be resumed from \(it has no '{missing}'\)"):
            saving.load_training(tmp_path / "foreign.pt", model)


@pytest.mark.parametrize("save", [saving.save_training, lambda folder, model, _: save_model(folder, model)])
def test_a_full_disk_leaves_no_half_file(save: Callable, tiny_model: Callable[..., PPO], tmp_path: Path) -> None:
    model = tiny_model()
    with pytest.raises(OSError) as caught, full_disk():
        save(tmp_path / "new", model, {})
    assert caught.value.errno == errno.EFBIG and str(caught.value.filename).startswith(str(tmp_path / "new"))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_only_the_newest_checkpoints_are_kept(tiny_model: Callable[..., PPO], tmp_path: Path) -> None:
    model = tiny_model()
    assert checkpoint.latest_checkpoint(tmp_path) is None
    for model.num_timesteps in range(100, 700, 100):
        saving.save_training(tmp_path, model, {})
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == [
        f"step_{i:010d}.pt" for i in (400, 500, 600)
    ]
    assert checkpoint.latest_checkpoint(tmp_path) == tmp_path / "checkpoints" / "step_0000000600.pt"


def run(*words: str) -> int:
    return run_command(TrainConfig, train_command.main, words)


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (["env.robot=missing.urdf"], 1, "no robot 'missing.urdf'"),
        (["env.camera=missing.yaml"], 1, "missing.yaml"),
        (["env.control_rate_hz=7"], 2, "divisor of 20"),
        (["algo.frame_stack=17"], 2, "must be at most 16"),
        (["algo.batch_size=8000"], 2, "algo.batch_size=8000: must be at least 2 and at most"),
        (["seed=4294967296"], 2, "must be at most 4294967295"),
        (["algo.num_envs=100000000000"], 2, "must be at most 4096"),
        (["env.success_distance_m=1e6"], 2, "must be at most 5"),
        (["env.layout.room_side_m=[2,2]", "env.layout.obstacles=[8,8]"], 1, "episode seed"),
        (["start=nowhere"], 1, "start=nowhere: expected the folder of a training of a policy, with a checkpoint"),
        (["goggles=nowhere.onnx"], 1, "nowhere.onnx"),
        (["algo.ppo_mirrored=true", "algo.n_epochs=1"], 2, "takes every other pass, so at least 2"),
        (["env=Grasp", "algo.ppo_mirrored=true"], 2, "algo.target_kl=0.03: with algo.ppo_mirrored that ends an update"),
        (["resume="], 2, "resume= is empty"),
        (["resume=nowhere"], 1, "resume=nowhere: expected the folder of a run, with its config.yaml"),
        (["resume=nowhere", "algo.total_steps=5"], 2, "so give no other key"),
        (["resume=nowhere", "out=elsewhere"], 2, "so give no other key"),
    ],
)
def test_what_cannot_be_trained_is_one_line_and_leaves_nothing(
    words: list[str], code: int, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*words) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert expected in line
    assert list(tmp_path.iterdir()) == []


def test_a_gpu_that_is_not_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert run("device=cuda") == 2
    assert "device=cuda: torch finds no GPU here" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_run_can_be_resumed_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths in its configuration are absolute, and what a killed run left half-written is gone."""
    folder = tmp_path / "mine"
    folder.mkdir()
    shutil.copy(ASSETS / "rover.urdf", folder / "mine.urdf")
    Calibration.assumed(80, 60).to_yaml(folder / "camera.yaml")
    monkeypatch.chdir(folder)
    seen = []

    def note(*given):
        seen.append(given)
        return RESULT

    monkeypatch.setattr(training, "train", note)
    assert run("env.robot=mine.urdf", "env.camera=camera.yaml", f"out={tmp_path}/run") == 0
    monkeypatch.chdir(tmp_path)
    assert run("resume=run") == run("resume=run", f"out={tmp_path}/run") == 0
    (config, _, begun), (again, out, resumed), _ = seen
    assert again == config and (begun, out, resumed) == (False, Path("run"), True)
    assert config.env.robot == str(folder / "mine.urdf") and config.env.camera == str(folder / "camera.yaml")
    versions = yaml.safe_load((tmp_path / "run/versions.yaml").read_text())
    assert versions["torch"] == torch.__version__.split("+")[0] or versions["torch"] == torch.__version__
    assert {"simgym", "commit", "python", "numpy", "mujoco", "stable-baselines3", "gymnasium"} <= set(versions)


@pytest.mark.parametrize("option", ["mirrored", "ppo_mirrored"])
def test_each_phase_is_mirrored_by_its_own_option(option: str) -> None:
    (job,) = expand(TrainConfig, [f"algo.{option}=true", "algo.num_envs=2", "algo.batch_size=32"], sweep=False)
    config = compose_config(TrainConfig, job)
    with closing(build_env(config, Simulation(config.env, config.domain, 2, "train"))) as env:
        model = build_model(config, env, None)
    mirrors = {"mirrored": model._mirror, "ppo_mirrored": model._ppo_mirror}
    assert [name for name, mirror in mirrors.items() if mirror is not None] == [option]
