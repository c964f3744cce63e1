"""Pictures of episodes: what is drawn lies where it happened."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import pytest

from simgym.envs.config import DOMAINS
from simgym.envs.simulation import Simulation
from simgym.envs.tasks.chair_nav.config import ChairNavConfig
from simgym.policies.evaluation import Trace, episode_seeds
from simgym.policies.pictures import (
    GREEN,
    RED,
    FloorPlan,
    camera_strip,
    draw_trace,
    draw_world,
)
from simgym.report_page import VOID, enlarge, tile

SIDE = 300


def where(picture: np.ndarray, like: np.ndarray, tolerance: int = 40) -> np.ndarray:
    """(2,) mean x and y in pixels, from the corner, of the pixels of about that colour."""
    rows, columns = np.nonzero(np.abs(picture.astype(int) - like).max(axis=2) < tolerance)
    assert rows.size
    return np.array([columns.mean(), rows.mean()]) + 0.5


@pytest.fixture(scope="module")
def simulation():
    with closing(Simulation(ChairNavConfig(), DOMAINS["sim"], 4, "test")) as simulation:
        simulation.reset(np.arange(4), np.array(episode_seeds(3, 4, "test")))
        yield simulation


@pytest.mark.parametrize("world", range(4))
def test_the_robot_is_drawn_where_the_renderer_shows_it(simulation: Simulation, world: int) -> None:
    plan = FloorPlan(*simulation.overview(world), SIDE)
    x, y = simulation.engine.state.link_pos[world, 0, :2]
    rendered = where(plan.image, np.array((232, 208, 48)))
    drawn = where(plan.draw_path(np.array([[x, y, 0.0]]), (255, 0, 255)), np.array((255, 0, 255)))
    np.testing.assert_allclose(rendered, drawn, atol=2.0)


def test_x_is_to_the_right_and_y_up() -> None:
    overview = np.full((100, 100, 3), 90, np.uint8)  # a room that fills the whole picture
    plan = FloorPlan(overview, 10.0, SIDE)
    drawn = where(plan.draw_path(np.array([[3.0, 2.0, 0.0]]), RED), np.array(RED))
    np.testing.assert_allclose(drawn, [SIDE / 2 + 3.0 * plan.px_per_m, SIDE / 2 - 2.0 * plan.px_per_m], atol=2)


def test_the_room_fills_the_picture() -> None:
    overview = np.zeros((200, 200, 3), np.uint8)
    overview[40:60, 100:140] = 90  # 2 m x 1 m, off the middle
    image = FloorPlan(overview, 10.0, SIDE).image
    rows, columns = np.nonzero((image == 90).all(axis=2))
    assert columns.max() - columns.min() > 0.9 * SIDE
    assert (rows.min() + rows.max()) / 2 == pytest.approx(SIDE / 2, abs=2)
    assert tuple(image[0, 0]) == VOID


def test_an_overview_of_nothing_is_not_a_failure() -> None:
    assert (FloorPlan(np.zeros((50, 50, 3), np.uint8), 10.0, SIDE).image == VOID).all()


@pytest.mark.parametrize(("success", "colour", "other"), [(True, GREEN, RED), (False, RED, GREEN)])
def test_a_path_tells_success_from_failure(success: bool, colour, other) -> None:
    overview = np.full((100, 100, 3), 90, np.uint8)
    trace = Trace(1, [np.zeros(3), np.array([2.0, 0, 0])], [], overview, 10.0, success)
    picture = draw_trace(trace, SIDE)
    assert (picture == colour).all(axis=2).any()
    assert not (picture == other).all(axis=2).any()
    np.testing.assert_array_equal(overview, 90)


def test_a_strip_has_the_first_and_the_last_frame() -> None:
    images = [np.full((4, 6, 3), i, np.uint8) for i in range(30)]
    strip = camera_strip(images, count=8, columns=4, gap_px=1)
    assert strip.shape == (9, 27, 3)
    assert strip[0, 0, 0] == 0 and strip[-1, -1, 0] == 29
    assert camera_strip(images[:3], count=8, columns=4, gap_px=1).shape == (4, 27, 3)  # fewer frames, no larger


def test_a_grid_is_filled_row_by_row() -> None:
    sheet = tile([np.full((2, 2, 3), i, np.uint8) for i in range(1, 6)], columns=3, gap_px=0, colour=(0, 0, 0))
    np.testing.assert_array_equal(sheet[::2, ::2, 0], [[1, 2, 3], [4, 5, 0]])


def test_pixels_are_enlarged_to_squares() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    np.testing.assert_array_equal(enlarge(image, 3)[1::3, 1::3], image)


def test_a_room_is_seen_whole(simulation: Simulation) -> None:
    picture = draw_world(simulation, 0, 120, 90)
    assert picture.shape == (90, 120, 3)
    border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    assert (border == VOID).all()
