"""The closed loop over DDS gives the numbers of headless evaluation."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

import simgym.evaluate as evaluate_command
from simgym.config.command import run_command
from simgym.config.schema import EvaluateConfig
from simgym.deploy import Camera, goggles_contract
from tests.ros_bridge.bridge import ROOT

pytestmark = pytest.mark.ros

# Red and blue change places: what a policy sees shows whether goggles were in between.
GOGGLES_GRAPH = """
<ir_version: 10, opset_import: ["" : 18]>
goggles (uint8[N, 60, 80, 3] image) => (uint8[N, 60, 80, 3] translated)
<int64[3] order = {2, 1, 0}>
{
    translated = Gather<axis = 3>(image, order)
}
"""


@pytest.fixture
def goggles(tmp_path: Path) -> str:
    contract = goggles_contract(
        "ChairNav", Camera.from_fov(80, 60, np.radians(69.0)), 5.0, ("standin", "sim"), "Apache-2.0"
    )
    model = onnx.parser.parse_model(GOGGLES_GRAPH)
    onnx.helper.set_model_props(model, {"simgym": contract.to_json()})
    path = tmp_path / "goggles.onnx"
    onnx.save(model, str(path))
    return str(path)


def evaluate(folder: Path, *words: str) -> tuple[dict, str]:
    """The numbers and the episodes of an evaluation."""
    assert run_command(EvaluateConfig, evaluate_command.main, [*words, f"out={folder}"]) == 0
    return json.loads((folder / "eval.json").read_text()), (folder / "episodes.csv").read_text()


@pytest.mark.parametrize("words", [["domain=sim"], ["domain=standin", "goggles"]])
def test_it_drives_as_without_ros(words: list[str], goggles: str, tmp_path: Path) -> None:
    words = [f"goggles={goggles}" if word == "goggles" else word for word in words]
    words += ["policy=pretrained", "episodes=3", "env.time_limit_s=8"]
    over, episodes = evaluate(tmp_path / "over", *words, "over=ros")
    headless, same_episodes = evaluate(tmp_path / "headless", *words, "num_envs=1")
    assert episodes == same_episodes
    measured = {"steps_per_second", "wall_seconds"}
    assert over.pop("over") == "ros"
    assert {key: over[key] for key in over.keys() - measured} == {key: headless[key] for key in over.keys() - measured}


def test_an_arm_moves_as_without_ros(tmp_path: Path) -> None:
    words = ["env=Grasp", "policy=pretrained", "episodes=2", "env.time_limit_s=3"]
    _, episodes = evaluate(tmp_path / "over", *words, "over=ros")
    _, same_episodes = evaluate(tmp_path / "headless", *words, "num_envs=1")
    assert episodes == same_episodes


def test_goggles_that_die_end_it_in_one_line(goggles: str, tmp_path: Path) -> None:
    words = ["policy=pretrained", f"goggles={goggles}", "episodes=1000", "over=ros", f"out={tmp_path / 'here'}"]
    path = os.pathsep.join((str(ROOT), str(ROOT / "ros_bridge")))
    command = [sys.executable, "-u", "-m", "simgym.evaluate", *words]
    with subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": path}, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr is not None
            said = ""
            while "evaluate:" not in said and process.poll() is None:  # the bar: it drives
                said += process.stderr.read(1)
            policy = child(process.pid, "simgym_ros.policy")
            os.kill(child(process.pid, "simgym_ros.goggles"), signal.SIGKILL)
            said += process.stderr.read()
            assert process.wait(60) == 1
        finally:
            process.kill()
    assert "simgym.evaluate: the goggles node ended with exit code -9" in said and "Traceback" not in said
    with pytest.raises(ProcessLookupError):
        os.kill(policy, 0)


def child(parent: int, module: str) -> int:
    """The process that ``parent`` started to run a module."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat, words = (folder / "stat").read_text(), (folder / "cmdline").read_text().split("\0")
        except OSError:
            continue
        if int(stat.rpartition(")")[2].split()[1]) == parent and module in words:
            return int(folder.name)
    raise ProcessLookupError(module)
