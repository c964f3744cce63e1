"""`python -m simgym.preview`: a grid of draws."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest

import simgym.preview as preview
from simgym.config.command import run_command
from simgym.config.schema import PreviewConfig
from simgym.envs.config import DOMAINS

TASKS = ["ChairNav", *(["Grasp"] if find_spec("pybullet_data") else [])]
CELL, GAP = (180, 480), 8  # height and width of a cell, pixels between them


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def draw(out: str, *words: str) -> np.ndarray:
    assert run_command(PreviewConfig, preview.main, [f"out={out}", *words]) == 0
    assert sorted(path.name for path in Path(out).iterdir()) == ["config.yaml", "preview.png"]
    sheet = cv2.imread(f"{out}/preview.png")
    assert sheet is not None
    return sheet


def test_every_cell_shows_another_room(capsys: pytest.CaptureFixture[str]) -> None:
    sheet = draw("a", "domain=randomized", "rows=2", "columns=3")
    height, width = CELL
    assert sheet.shape == (2 * height + GAP, 3 * width + 2 * GAP, 3)
    cells = [
        sheet[top : top + height, left : left + width].tobytes()
        for top in (0, height + GAP)
        for left in (0, width + GAP, 2 * (width + GAP))
    ]
    assert len(set(cells)) == 6
    assert capsys.readouterr().out == "drew 6 worlds of randomized; wrote a/preview.png\n"


def test_a_seed_always_draws_the_same_whatever_the_grid() -> None:
    words = ("domain=randomized", "seed=5")
    square, row = draw("a", *words, "rows=2", "columns=2"), draw("b", *words, "rows=1", "columns=4")
    height, width = CELL
    np.testing.assert_array_equal(square[:height, :width], row[:, :width])
    np.testing.assert_array_equal(square[height + GAP :, :width], row[:, 2 * (width + GAP) :][:, :width])
    assert (draw("c", "domain=randomized", "seed=6", "rows=1", "columns=1") != square[:height, :width]).any()


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("domain", DOMAINS)
def test_every_domain_of_every_task_can_be_looked_at(task: str, domain: str) -> None:
    if domain == "standin" and not find_spec("pybullet"):
        pytest.skip("needs PyBullet")
    sheet = draw("a", f"env={task}", f"domain={domain}", "rows=1", "columns=1")
    world, aside = np.split(sheet.astype(int), [CELL[1] // 2], axis=1)
    assert world.std() > 10 and aside.std() > 10


def test_impossible_settings_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(PreviewConfig, preview.main, ["rows=0"]) == 2
    assert "rows=0: must be at least 1" in capsys.readouterr().err
    assert list(Path().iterdir()) == []


def test_a_missing_robot_leaves_no_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(PreviewConfig, preview.main, ["env.robot=missing.urdf", "out=here"]) == 1
    assert "missing.urdf" in capsys.readouterr().err
    assert list(Path().iterdir()) == []
