"""The benchmarks run, with sizes too small to tell anything, and give the figures that they promise."""

import json

import pytest

from benchmarks import _figures, environment, expert, renderer


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
