"""The benchmarks run, with sizes too small to tell anything, and give the figures that they promise."""

import json
import os
import subprocess
import sys

import pytest

from benchmarks import _figures, deploy_latency, environment, expert, memory, renderer
from simgym.deploy import Camera


@pytest.mark.parametrize(("domain", "name"), [("sim", "raster"), ("randomized", "raster"), ("randomized", "bullet")])
def test_renderer(domain, name):
    if name == "bullet":
        pytest.importorskip("pybullet")
    row = renderer.measure(domain, 2, name, seconds=0.0, steps=2)
    assert row["domain"] == domain and row["worlds"] == 2 and row["renderer"] == name
    assert row["parts"] > 50 and row["frames_per_second"] > 0


def test_renderer_targets_are_of_rows_that_are_measured():
    assert set(renderer.TARGETS) <= set(renderer.ROWS)


@pytest.mark.parametrize(("task", "domain", "split"), [(*row, "train") for row in expert.ROWS[::2]])
def test_expert(task, domain, split):
    if task == "Grasp":
        pytest.importorskip("pybullet")
    row = expert.measure(task, domain, split, episodes=2)
    assert (row["task"], row["domain"], row["split"], row["episodes"]) == (task, domain.name, split, 2)
    low, high = row["success_ci95"]
    assert low <= row["success_rate"] <= high
    assert {"spl", "collision_rate"} <= set(row)


@pytest.mark.parametrize("domain", ["sim", environment.BULLET, environment.BULLET_PICTURES])
def test_environment_in_a_batch(domain):
    if domain != "sim":
        pytest.importorskip("pybullet")
    assert environment.batch_speed(domain, num_steps=2) > 0


def test_grasp_in_a_batch():
    pytest.importorskip("pybullet_data")
    assert environment.batch_speed("sim", num_steps=2, task="Grasp") > 0


def test_environment():
    pytest.importorskip("pybullet_data")
    for task in ("ChairNav", "Grasp"):
        assert environment.single_speed(num_steps=2, task=task) > 0
        assert environment.reset_ms(count=2, task=task) > 0


def test_figures_are_written_into_a_folder_of_their_own(tmp_path, capsys):
    path = tmp_path / "runs" / "benchmarks" / "renderer.json"
    _figures.write(path, [{"worlds": 16}])
    assert json.loads(path.read_text()) == [{"worlds": 16}]
    assert str(path) in capsys.readouterr().out
    assert str(_figures.parser("renderer", "").parse_args([]).json) == "runs/benchmarks/renderer.json"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("name", ["sim", "standin"])
def test_memory(name):
    if name != "sim":
        pytest.importorskip("pybullet")
    row = memory.measure(name, resets=10, warm_up=16)
    assert row["name"] == name and row["resets"] == 10
    assert 0 < row["before_mb"] <= 1.5 * row["after_mb"] <= 1.5 * row["largest_mb"]
    assert row["growth_percent"] == pytest.approx(100 * (row["largest_mb"] - row["before_mb"]) / row["before_mb"])


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_of_descendants_counts():
    code = "kept = b'1' * 300_000_000; print(len(kept), flush=True); input()"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}])"
    alone = memory.resident_mb(os.getpid())
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        with_them = memory.resident_mb(os.getpid())
        child.communicate(b"\n")
    assert alone + 300 < with_them
    assert memory.resident_mb(os.getpid()) < alone + 100


def test_goggles_on_a_robot(tmp_path):
    bundle = deploy_latency.export_random("mobile", Camera(), tmp_path / "goggles.onnx")
    row = deploy_latency.measure_goggles("mobile", bundle, repeats=3, warm_up=0)
    assert row["stage"] == "resample, goggles mobile, 80x60"
    assert 0 < row["median_ms"] <= row["p95_ms"] <= row["p99_ms"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_goggles_need_no_torch_and_little_memory(tmp_path):
    bundle = deploy_latency.export_random("mobile", Camera(), tmp_path / "goggles.onnx")
    found = deploy_latency.measure_memory(bundle)
    assert not found["torch"] and 30 < found["resident_mb"] <= found["peak_mb"] and found["resident_mb"] < 300
