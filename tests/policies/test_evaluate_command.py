"""`python -m simgym.evaluate`: what it writes, what it says, what it refuses."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

import simgym.evaluate as evaluate_command
from simgym import shipped
from simgym.config.command import run_command
from simgym.config.schema import EvaluateConfig
from simgym.deploy import Camera, Policy, goggles_contract, policy_contract
from simgym.envs.config import DOMAINS
from simgym.envs.simulation import Simulation
from simgym.envs.tasks.chair_nav.config import ChairNavConfig
from simgym.policies.actors import make_actor

# Half speed, and turns to where the red is: mean of red minus green in the right half, less that in the left half.
POLICY_GRAPH = """
<ir_version: 10, opset_import: ["" : 18]>
policy (uint8[N, 1, 60, 80, 3] image, float[N, 2] velocity) => (float[N, 2] command)
<float[3, 1] colour = {1, -1, 0}, int64[2] halves = {40, 40}, int64[4] axes = {1, 2, 3, 4}, int64[2] flat = {-1, 1},
 float gain = {0.1}, float speed = {0.25}>
{
    pixels = Cast<to = 1>(image)
    redness = MatMul(pixels, colour)
    left, right = Split<axis = 3>(redness, halves)
    left_mean = ReduceMean<keepdims = 0>(left, axes)
    right_mean = ReduceMean<keepdims = 0>(right, axes)
    balance = Sub(left_mean, right_mean)
    turn = Mul(balance, gain)
    column = Reshape(turn, flat)
    still = Sub(column, column)
    forward = Add(still, speed)
    command = Concat<axis = 1>(forward, column)
}
"""
BLINDFOLD = """
<ir_version: 10, opset_import: ["" : 18]>
goggles (uint8[N, 60, 80, 3] image) => (uint8[N, 60, 80, 3] translated) { translated = Sub(image, image) }
"""


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def bundle(
    name: str = "policy.onnx", camera: Camera | None = None, task: str = "ChairNav", rate_hz: float = 5.0
) -> str:
    camera = camera or Camera.from_fov(80, 60, np.radians(69.0))
    contract = policy_contract(task, camera, 1, (0.0, -1.5), (0.5, 1.5), rate_hz, ("sim",), "Apache-2.0")
    graph = POLICY_GRAPH.replace("60, 80, 3]", f"{camera.height}, {camera.width}, 3]")
    model = onnx.parser.parse_model(graph)
    onnx.helper.set_model_props(model, {"simgym": contract.to_json()})
    onnx.save(model, name)
    return name


def run(*words: str) -> int:
    return run_command(EvaluateConfig, evaluate_command.main, words)


def read(folder: str) -> dict:
    return json.loads((Path(folder) / "eval.json").read_text())


def names(folder: str) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


@pytest.mark.parametrize("task", ["ChairNav", "Grasp"])
@pytest.mark.parametrize("words", [("domain.engine=bullet",), ("domain=standin",)])
def test_every_task_is_judged_on_the_other_engine_and_in_the_stand_in(task: str, words: tuple[str, ...]) -> None:
    pytest.importorskip("pybullet_data")
    limits = ("env.time_limit_s=2", "episodes=2", "num_envs=2")
    assert run(f"env={task}", "policy=expert", *words, *limits, "out=here") == 0
    assert len(Path("here/episodes.csv").read_text().splitlines()) == 3


def test_it_writes_numbers_episodes_and_a_report(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("env=ChairNav", "policy=expert", "episodes=6", "num_envs=4", "out=here") == 0
    assert names("here") == ["config.yaml", "episodes.csv", "eval.json", "report.html"]
    result = read("here")
    assert (result["env"], result["domain"], result["split"], result["policy"]) == ("ChairNav", "sim", "test", "expert")
    assert (result["episodes"], result["seed"], result["goggles"]) == (6, 1, None)
    assert len(Path("here/episodes.csv").read_text().splitlines()) == 7
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"success {result['success_rate']:.1%}")
    assert line.endswith("; wrote eval.json, episodes.csv, report.html in here")


def test_a_bundle_drives_and_a_video_is_written() -> None:
    words = (f"policy={bundle()}", "domain=randomized", "episodes=3", "video=true", "seed=4", "split=train", "out=here")
    assert run(*words) == 0
    assert "episodes.mp4" in names("here")
    result = read("here")
    assert (result["domain"], result["look"], result["split"]) == ("randomized", "randomized", "train")
    assert result["policy"] == "policy.onnx" and result["episodes"] == 3


def test_the_number_of_worlds_changes_no_number() -> None:
    bundle()
    for worlds in ("1", "5"):
        assert run("policy=policy.onnx", "episodes=5", f"num_envs={worlds}", f"out={worlds}") == 0
    assert Path("1/episodes.csv").read_text() == Path("5/episodes.csv").read_text()


def test_a_run_is_not_overwritten(capsys: pytest.CaptureFixture[str]) -> None:
    Path("here").mkdir()
    Path("here/mine.txt").touch()
    assert run("policy=random", "episodes=1", "out=here") == 1
    assert "here exists already" in capsys.readouterr().err
    assert names("here") == ["mine.txt"]


def corrupt() -> str:
    Path("corrupt.onnx").write_bytes(b"not a bundle")
    return "corrupt.onnx"


def test_pretrained_goggles_are_those_of_the_task(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setitem(shipped.FOLDERS, "goggles", Path())
    words = [f"policy={bundle()}", "goggles=pretrained", "episodes=2"]
    assert run(*words, "out=missing") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "goggles=pretrained: simgym ships none for ChairNav" in line and not Path("missing").exists()

    model = onnx.parser.parse_model(BLINDFOLD)
    contract = goggles_contract("ChairNav", Camera(), 5.0, ("standin", "sim"), "Apache-2.0")
    onnx.helper.set_model_props(model, {"simgym": contract.to_json()})
    onnx.save(model, "ChairNav_goggles.onnx")
    assert run(*words, "out=blind") == 0 and run(*words[::2], "out=seeing") == 0
    assert (read("blind")["goggles"], read("seeing")["goggles"]) == ("pretrained", None)
    assert read("blind")["mean_return"] != read("seeing")["mean_return"]


def test_perfect_goggles_show_the_stand_in_as_sim_would() -> None:
    """In ``sim`` they change nothing; elsewhere the policy is shown the canonical twin, and nothing else."""
    policy = f"policy={bundle()}"
    for name, words in {"sim": ("domain=sim",), "standin": ("domain=standin",)}.items():
        common = (policy, *words, "episodes=3", "env.time_limit_s=4")
        assert run(*common, f"out={name}") == 0
        assert run(*common, "goggles=perfect", f"out={name}_perfect") == 0
    assert read("sim_perfect")["goggles"] == "perfect"
    assert Path("sim/episodes.csv").read_text() == Path("sim_perfect/episodes.csv").read_text()
    assert Path("standin/episodes.csv").read_text() != Path("standin_perfect/episodes.csv").read_text()


def test_behind_perfect_goggles_a_policy_is_shown_the_twin(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[np.ndarray] = []
    act = Policy.act_batch

    def watched(policy: Policy, images: np.ndarray, measured: np.ndarray) -> np.ndarray:
        shown.append(images)
        return act(policy, images, measured)

    monkeypatch.setattr(Policy, "act_batch", watched)
    with closing(Simulation(ChairNavConfig(), DOMAINS["standin"], 2, twin=True)) as simulation:
        simulation.reset(np.arange(2), np.array([0, 2]))
        actor = make_actor(bundle(), "perfect", simulation, 0)
        for begun in (True, False, False):
            simulation.step(actor.act(simulation, np.full(2, begun)))
            expected = simulation.canonical().rgb.copy()
            actor.act(simulation, np.zeros(2, bool))
            np.testing.assert_array_equal(shown[-1][:, -1], expected)
            assert (shown[-1][:, -1] != simulation.observe().image).any()


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (lambda: "missing.onnx", "missing.onnx"),
        (corrupt, "corrupt.onnx"),
        (lambda: bundle("a.onnx", camera=Camera.from_fov(80, 60, 0.8)), "camera"),
        (lambda: bundle("a.onnx", task="Grasp"), "a policy for Grasp, not for ChairNav"),
        (lambda: bundle("a.onnx", rate_hz=10.0), "set env.control_rate_hz=10"),
    ],
)
def test_a_wrong_policy_is_one_line_and_leaves_nothing(policy, expected: str, capsys) -> None:
    assert run(f"policy={policy()}", "episodes=1", "out=here") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert expected in line
    assert not Path("here").exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["policy=expert", "goggles=g.onnx"], "policy=expert sees no picture"),
        (["policy=pretrained", "goggles=perfect", "over=ros"], "over=ros: goggles=perfect are no bundle"),
        (["policy=random", "over=ros"], "over=ros: policy=random is no bundle that a node could run"),
        (["policy=pretrained", "over=zmq"], "over=zmq: choose from ros"),
        (["policy=random", "split=validation"], "split=validation: choose from train, test"),
        (["policy=random", "episodes=0"], "episodes=0: must be at least 1"),
        (["policy=random", "env.control_rate_hz=7"], "expected a divisor of 20"),
        ([], "policy= is required"),
    ],
)
def test_a_wrong_command_line_is_one_line(words: list[str], expected: str, capsys) -> None:
    assert run(*words, "out=here") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert expected in line
    assert not Path("here").exists()
