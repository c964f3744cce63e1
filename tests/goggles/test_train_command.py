"""`python -m simgym.goggles.train`: what a user types and what is in the run folder."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import yaml

from simgym.config.command import run_command
from simgym.config.schema import GogglesTrainConfig
from simgym.deploy import Camera, Goggles
from simgym.goggles.frames import Frames
from simgym.goggles.train import main
from tests.goggles.scenes import CHAIR, domains, frames, without, write_source

CAMERA = Camera()
TINY = ("batch_size=2", "segmentation_steps=2", "generator=mobile", "device=cpu")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("sources")
    made = domains(20, CAMERA)
    made["labelled_real"] = replace(made["real"], segmentation=made["sim"].segmentation)
    return {name: write_source(folder / name, source) for name, source in made.items()}


def run(*words: object) -> int:
    return run_command(GogglesTrainConfig, main, [str(word) for word in words])


def error_line(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.splitlines()[-1]


def operations(bundle: Path) -> set[str]:
    return {node.op_type for node in onnx.load(bundle).graph.node}


def test_color_needs_no_network(tmp_path: Path, sources: dict[str, Path], capsys) -> None:
    out = tmp_path / "run"
    words = (f"sim={sources['sim']}", f"real={sources['real']}", "goggles/method=color", "segmentation_steps=0")
    assert run(*words, f"out={out}") == 0
    assert f"wrote goggles.onnx, metrics.json, report.html and checkpoints in {out}" in capsys.readouterr().out
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["method"] == "color" and metrics["generator"] is None
    assert metrics["real"]["temporal_error"] == 0.0 and metrics["real"]["collapse"] is None
    assert metrics["real"]["kid"] is None and metrics["pairs"] is None
    contract = Goggles(out / "goggles.onnx").contract
    assert (contract.kind, contract.task, contract.camera) == ("goggles", "ChairNav", CAMERA)
    assert contract.rate_hz == 5.0 and contract.training["method"] == "color"


def test_a_whole_training_and_its_resumption(tmp_path: Path, sources: dict[str, Path], capsys) -> None:
    out = tmp_path / "run"
    words = [f"{name}={sources[name]}" for name in ("sim", "pairs")] + [f"real={sources['labelled_real']}"]
    words += [
        *TINY,
        "quantized=false",
        "steps=4",
        "checkpoint_every=2",
        "pictures_every=2",
        "goggles.method.semantic_accuracy=0",
    ]
    assert run(*words, f"out={out}") == 0
    written = {path.name for path in out.iterdir()}
    assert written == {
        *("goggles.onnx", "metrics.json", "report.html", "checkpoints", "tensorboard", "config.yaml", "versions.yaml")
    }
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["frames"] == {"sim": 18, "real": 18, "pairs": 18}  # the other 2 are held out
    assert set(metrics["segmentation"]) == {"sim", "pairs"} and metrics["segmentation_ready"]
    assert "chair" in metrics["segmentation"]["pairs"]["iou"]
    assert metrics["real"]["content"]["after"]["accuracy"] >= 0  # its labels measure, and teach nothing
    assert metrics["pairs"]["paired_l1"]["after"] > 0
    assert not metrics["quantized"] and "QuantizeLinear" not in operations(out / "goggles.onnx")
    page = (out / "report.html").read_text()
    assert "<img" in page and 'src="http' not in page and "canonical twin" in page and "hybrid" in page
    assert yaml.safe_load((out / "config.yaml").read_text())["sim"] == str(sources["sim"].resolve())

    bundle = (out / "goggles.onnx").read_bytes()
    (out / "checkpoints" / "step_0000000004.pt").unlink()
    (out / "goggles.onnx").unlink()
    assert run(f"resume={out}") == 0
    frame = np.zeros((1, 60, 80, 3), np.uint8)
    again = Goggles(out / "goggles.onnx").translate(frame)
    (tmp_path / "first.onnx").write_bytes(bundle)
    np.testing.assert_array_equal(Goggles(tmp_path / "first.onnx").translate(frame), again)
    assert run(f"resume={out}", "steps=9") == 2
    assert "goes on with its own settings" in error_line(capsys)


def test_pairs_alone_are_enough_for_rcan(tmp_path: Path, sources: dict[str, Path], capsys) -> None:
    out = tmp_path / "run"
    words = (f"pairs={sources['pairs']}", "goggles/method=rcan", "steps=2", *TINY, f"out={out}")
    assert run(*words) == 0
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["real"] is None and metrics["pairs"]["kid"] is not None
    assert metrics["quantized"] and "QuantizeLinear" in operations(out / "goggles.onnx")
    assert not metrics["segmentation_ready"]
    assert "the semantic terms stay out" not in capsys.readouterr().out, "labels of pairs are true"
    assert Goggles(out / "goggles.onnx").contract.domains == ("pairs", "sim")


def test_a_training_begins_with_a_run_or_with_goggles(tmp_path: Path, sources: dict[str, Path], capsys) -> None:
    frame = domains(1, CAMERA)["pairs"].rgb
    words = (f"pairs={sources['pairs']}", "goggles/method=rcan", *TINY, "generator=unet", "steps=1", "quantized=false")

    def shown(name: str, rate: float, *more: str) -> np.ndarray:
        assert run(*words, f"goggles.method.learning_rate={rate}", f"out={tmp_path / name}", *more) == 0
        return Goggles(tmp_path / name / "goggles.onnx").translate(frame).astype(int)

    first = shown("first", 0.03)
    unlike = np.abs(shown("another", 1e-9) - first).mean()
    for name, start in (("run", tmp_path / "first"), ("bundle", tmp_path / "first" / "goggles.onnx")):
        assert np.abs(shown(name, 1e-9, f"start={start}") - first).mean() < unlike / 4, name
        grown = shown(f"{name} grown", 1e-9, f"start={start}", "generator=deep")
        assert np.abs(grown - first).mean() < unlike / 4, name
    assert run(*words, f"start={tmp_path / 'run grown'}", f"out={tmp_path / 'pruned'}") == 1
    assert "these goggles have generator=deep, not unet: give generator=deep" in error_line(capsys)
    assert not (tmp_path / "pruned").exists()


MISTAKES = [
    ("goggles/method=color real={real} sim={sim} start=pretrained", 2, "start= does nothing with goggles/method=color"),
    ("goggles/method=rcan pairs={pairs} start=nowhere", 1, "expected the folder of a training of goggles"),
    ("goggles/method=rcan pairs={pairs} start=nowhere.onnx", 1, "nowhere.onnx"),
    ("goggles/method=rcan pairs={pairs} start=pretrained generator=mobile", 1, "generator=deep, not mobile"),
    ("goggles/method=rcan pairs={pairs} start=pretrained generator=unet", 1, "not unet: give generator=deep"),
    ("goggles/method=vr_goggles sim={sim}", 2, "goggles/method=vr_goggles needs real=: give a source"),
    ("goggles/method=rcan", 2, "goggles/method=rcan needs pairs=: give a source"),
    ("goggles/method=color", 2, "needs real= and sim=: give a source"),
    ("goggles/method=rcan goggles.method.paired=0 goggles.method.paired_labels=0 pairs={pairs}", 2, "all weights"),
    ("real={sim} sim=nowhere", 1, "nowhere"),
    ("goggles/method=rcan pairs={sim}", 1, "its frames have no canonical twins"),
    ("goggles/method=color real={few} sim={sim}", 1, "10 frames are needed at least, but this gives only 9 frames"),
    ("goggles/method=color real={small} sim={sim}", 1, "was collected with another camera"),
    ("goggles/method=color real={sim} sim={unknown}", 1, "its labels go up to 14, but there are only 14 classes"),
    ("goggles/method=cycada real={real} sim={real}", 1, "needs labelled simulated frames"),
    ("goggles/method=cyclegan real={real} sim={sim} crop=0.3", 2, "crop=0.3: crops of 24x18 pixels"),
    ("goggles/method=color real={real} sim={sim} env.camera=nowhere.yaml", 1, "nowhere.yaml"),
    ("resume=nowhere", 1, "expected the folder of a run"),
]


@pytest.mark.parametrize(("words", "code", "expected"), MISTAKES)
def test_a_mistake_is_one_line_and_leaves_nothing(
    tmp_path: Path, sources: dict[str, Path], capsys, words: str, code: int, expected: str
) -> None:
    bad = spoiled_sources(tmp_path)
    out = tmp_path / "run"
    given = words.format(**sources, **bad).split()
    assert run(*given, *([] if "resume" in words else [f"out={out}"])) == code
    assert expected in error_line(capsys)
    assert not out.exists()


def spoiled_sources(folder: Path) -> dict[str, Path]:
    """Sources that no training can use."""
    made = domains(10, CAMERA)
    unknown = made["sim"].segmentation
    assert unknown is not None
    few = frames(made["real"].rgb[:9])
    small = frames(made["real"].rgb[:, :30, :40])
    bad: dict[str, Frames] = {
        "few": few,
        "small": small,
        "unknown": replace(made["sim"], segmentation=np.where(unknown == CHAIR, 14, unknown).astype(np.uint8)),
    }
    return {name: write_source(folder / name, source) for name, source in bad.items()}


def test_a_folder_that_exists_is_left_alone(tmp_path: Path, sources: dict[str, Path], capsys) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    assert run(f"sim={sources['sim']}", f"real={sources['real']}", "goggles/method=color", f"out={tmp_path}") == 1
    assert "exists already" in error_line(capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_paired_source_may_serve_for_both(tmp_path: Path, sources: dict[str, Path]) -> None:
    from simgym.goggles.domains import load_domains

    config = GogglesTrainConfig(sim=str(sources["pairs"]), real=str(sources["real"]))
    found = load_domains(config, CAMERA)
    pairs = domains(20, CAMERA)["pairs"]
    np.testing.assert_array_equal(found["sim"].rgb, pairs.canonical)
    np.testing.assert_array_equal(found["pairs"].rgb, pairs.rgb)
    assert found["real"].segmentation is None
    np.testing.assert_array_equal(found["pairs"].sequence, pairs.sequence)


def test_a_broken_picture_is_named(tmp_path: Path, capsys) -> None:
    folder = write_source(tmp_path / "real", without(domains(12, CAMERA)["real"]))
    for name in ("000003.png", "000004.png"):
        (folder / "rgb" / name).write_bytes(b"no picture")
    assert run(f"real={folder}", f"sim={folder}", "goggles/method=color", f"out={tmp_path / 'run'}") == 1
    assert "000003.png, 000004.png" in error_line(capsys)


def test_help_says_how_to_choose_a_method(capsys) -> None:
    assert run("--help") == 0
    text = capsys.readouterr().out
    assert "goggles/method=hybrid" in text and "color, cyclegan, cycada, vr_goggles, rcan, hybrid" in text


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [["-m"], ["-m", "torch.distributed.run", "--nproc-per-node=2", "-m"]])
def test_two_processes_share_a_training(tmp_path: Path, sources: dict[str, Path], launcher: list[str]) -> None:
    out = tmp_path / "run"
    words = [f"{name}={sources[name]}" for name in ("sim", "pairs", "real")] + [f"out={out}", *TINY, "steps=2"]
    words += ["devices=2"] if launcher == ["-m"] else []
    command = [sys.executable, *launcher, "simgym.goggles.train", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("wrote goggles.onnx") == 1
    checkpoint = torch.load(out / "checkpoints" / "step_0000000002.pt", weights_only=True)
    assert len(checkpoint["pools"]["disc_sim"]) == 2
