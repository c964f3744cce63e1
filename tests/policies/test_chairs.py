"""Chairs kept: the canonical look read back, and the overlap with what is a chair."""

from __future__ import annotations

import numpy as np
import pytest

from simgym.envs.config import DOMAINS
from simgym.envs.looks.canonical import AMBIENT, COLORS, LIGHT, read_classes
from simgym.envs.scene import Semantic
from simgym.envs.simulation import Simulation
from simgym.envs.tasks import TASKS
from simgym.policies.chairs import INVENTED, KEPT, LOST, REST, chair_iou, paint_overlap, summarize

RED, GREY = (220, 30, 30), (110, 110, 110)


@pytest.mark.parametrize("task", TASKS)
def test_simulated_frames_are_read_back_without_a_mistake(task: str) -> None:
    simulation = Simulation(TASKS[task].load("config")(), DOMAINS["sim"], 8, twin=True)
    simulation.reset(np.arange(8), 2 * np.arange(8))
    for _ in range(4):
        frames = simulation.canonical()
        np.testing.assert_array_equal(read_classes(frames.rgb), frames.segmentation[..., 0])
        simulation.step(simulation.expert_action())
    simulation.close()


def test_every_class_is_read_in_every_light() -> None:
    for semantic in Semantic:
        for shade in np.linspace(AMBIENT, AMBIENT + LIGHT, 7):
            colour = np.minimum(shade * 255 * np.array(COLORS[semantic]), 255).round().astype(np.uint8)
            assert read_classes(colour) == semantic


def picture(columns: list[tuple[int, int, int]]) -> np.ndarray:
    return np.tile(np.array(columns, np.uint8), (4, 1, 1))


def test_overlap() -> None:
    seen = picture([RED, RED, RED, GREY, GREY, GREY])
    chair = np.tile([False, True, True, True, False, False], (4, 1))
    everywhere = np.ones((4, 6), bool)
    assert chair_iou(seen, chair, everywhere) == 2 / 4
    assert chair_iou(seen, chair, np.tile([False, True, True, False, True, True], (4, 1))) == 1
    assert chair_iou(picture([GREY] * 6), chair, everywhere) == 0
    painted = paint_overlap(seen, chair, np.tile([True] * 5 + [False], (4, 1)))
    assert painted[0].tolist() == [list(colour) for colour in (INVENTED, KEPT, KEPT, LOST, REST, REST)]


def test_the_gain_is_taken_photograph_by_photograph() -> None:
    """So its interval is narrow although photographs differ a lot."""
    before = np.linspace(0, 0.8, 50)
    result = summarize(list(before), list(before + 0.1))
    assert result["photos"] == 50
    assert result["gain"]["mean"] == pytest.approx(0.1) and result["gain"]["ci95"] == pytest.approx([0.1, 0.1])
    low, high = result["before"]["ci95"]
    assert low < 0.4 < high and high - low > 0.1


def test_without_photographs_or_goggles_there_is_no_number() -> None:
    assert summarize([], None) == {"photos": 0, "before": None, "after": None, "gain": None}
    assert summarize([0.5], None)["before"] == {"mean": 0.5, "ci95": [0.5, 0.5]}
