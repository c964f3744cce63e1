"""Occupancy grids and geodesic distances against brute force, closed forms and Dijkstra's algorithm."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra

from simgym.envs import geodesic
from simgym.envs.geodesic import CELL_M, SIDE_M, N

CENTRES = (np.arange(N) + 0.5) * CELL_M - SIDE_M / 2
X, Y = np.meshgrid(CENTRES, CENTRES, indexing="ij")
SETTINGS = settings(max_examples=40, derandomize=True)
inside = st.floats(-4.5, 4.5)
box = st.tuples(
    st.floats(-6, 6),
    st.floats(-6, 6),
    st.floats(0, 3),
    st.floats(0, 3),
    st.floats(-math.pi, math.pi),
    st.floats(0, 0.5),
)


def test_marks_are_read_at_the_cell_of_each_worlds_own_point():
    rng = np.random.default_rng(0)
    grids, points, out = rng.random((50, N, N)) < 0.5, rng.uniform(-6, 6, (50, 2)), np.zeros(50, bool)
    geodesic.marked_at(grids, points, out)
    cells = np.clip(np.floor((points + SIDE_M / 2) / CELL_M).astype(int), 0, N - 1)
    np.testing.assert_array_equal(out, grids[np.arange(50), *cells.T])


def no_walls() -> np.ndarray:
    return np.zeros((N, N), bool)


def solve(goals: np.ndarray, blocked: np.ndarray) -> np.ndarray:
    field = np.where(goals, 0.0, np.inf)
    geodesic.sweep_distances(field, blocked)
    return field


def rooms(seed: int, pieces: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """A walled square with random boxes, and the goal cells around one free point."""
    rng = np.random.default_rng(seed)
    blocked = no_walls()
    boxes = rng.uniform((-4, -4, 0.05, 0.05, -3, 0), (4, 4, 0.8, 0.8, 3, 0.2), (pieces, 6))
    geodesic.fill_boxes(blocked, boxes, 0.22)
    blocked[:5] = blocked[-5:] = blocked[:, :5] = blocked[:, -5:] = True
    i, j = rng.choice(np.argwhere(~blocked))
    goals = (np.hypot(X - CENTRES[i], Y - CENTRES[j]) <= 0.5) & ~blocked
    return goals, blocked


def dijkstra_distances(goals: np.ndarray, blocked: np.ndarray) -> np.ndarray:
    """Shortest 8-connected paths from any goal; moves do not cut the corner of a blocked cell."""
    index = np.arange(N * N).reshape(N, N)
    rows, columns, costs = [], [], []
    for di, dj in ((1, 0), (0, 1), (1, 1), (1, -1)):
        here = (slice(0, N - di), slice(max(-dj, 0), N - max(dj, 0)))
        there = (slice(di, N), slice(max(dj, 0), N - max(-dj, 0)))
        corner_a, corner_b = (here[0], there[1]), (there[0], here[1])
        free = ~(blocked[here] | blocked[there] | blocked[corner_a] | blocked[corner_b])
        rows.append(index[here][free])
        columns.append(index[there][free])
        costs.append(np.full(free.sum(), math.hypot(di, dj) * CELL_M))
    graph = coo_array(
        (np.concatenate(costs), (np.concatenate(rows), np.concatenate(columns))), shape=(N * N, N * N)
    ).tocsr()
    return dijkstra(graph, directed=False, indices=index[goals], min_only=True).reshape(N, N)


# --- cells ---------------------------------------------------------------------------------------------------------


def test_cells_and_metres_are_inverse():
    assert [geodesic.to_cell(geodesic.to_m(i)) for i in range(N)] == list(range(N))
    np.testing.assert_allclose([geodesic.to_m(i) for i in range(N)], CENTRES, atol=1e-12)
    assert (geodesic.to_cell(-99.0), geodesic.to_cell(99.0)) == (0, N - 1)


@given(box, st.floats(0, 0.6))
@SETTINGS
def test_fill_boxes_marks_the_cells_within_reach_of_a_rounded_box_and_no_other(values, inflation):
    x, y, hx, hy, turn, rounding = values
    grid = no_walls()
    geodesic.fill_boxes(grid, np.array([values]), inflation)
    u = np.cos(turn) * (X - x) + np.sin(turn) * (Y - y)
    v = -np.sin(turn) * (X - x) + np.cos(turn) * (Y - y)
    gap = np.hypot(np.maximum(np.abs(u) - hx, 0), np.maximum(np.abs(v) - hy, 0)) - (rounding + inflation)
    clear = np.abs(gap) > 1e-9
    np.testing.assert_array_equal(grid[clear], (gap <= 0)[clear])


def test_fill_boxes_adds_to_what_is_there():
    grid = no_walls()
    grid[3, 4] = True
    geodesic.fill_boxes(grid, np.array([[1.0, 1.0, 0.2, 0.2, 0.0, 0.0], [-1.0, 1.0, 0.0, 0.0, 0.0, 0.3]]), 0.0)
    assert grid[3, 4]
    assert grid[geodesic.to_cell(1.0), geodesic.to_cell(1.0)] and grid[geodesic.to_cell(-1.0), geodesic.to_cell(1.0)]


# --- lines of sight ------------------------------------------------------------------------------------------------


def longest_blocked_chord(blocked: np.ndarray, a: np.ndarray, b: np.ndarray, grow: float) -> float:
    """Exact length of the longest piece of a segment in one blocked cell grown by so much (slab method); -1: none."""
    longest = -1.0
    for i, j in np.argwhere(blocked):
        low = np.array([CENTRES[i], CENTRES[j]]) - CELL_M / 2 - grow
        t0, t1 = 0.0, 1.0
        for axis in range(2):
            d = b[axis] - a[axis]
            ends = (low[axis] - a[axis], low[axis] + CELL_M + 2 * grow - a[axis])
            if abs(d) < 1e-12:
                t0, t1 = (t0, t1) if ends[0] <= 0 <= ends[1] else (1.0, 0.0)
            else:
                near, far = sorted(end / d for end in ends)
                t0, t1 = max(t0, near), min(t1, far)
        if t1 >= t0:
            longest = max(longest, (t1 - t0) * float(np.hypot(*(b - a))))
    return longest


@given(st.tuples(inside, inside), st.tuples(inside, inside), st.integers(0, 99))
@SETTINGS
def test_in_sight_agrees_with_exact_geometry(a, b, seed):
    blocked = np.random.default_rng(seed).random((N, N)) < 0.01
    tiny = 1e-6  # a line along the edge of cells belongs to either side
    surely = longest_blocked_chord(blocked, np.array(a), np.array(b), -tiny)
    possibly = longest_blocked_chord(blocked, np.array(a), np.array(b), tiny)
    if geodesic.in_sight(blocked, *a, *b):
        assert surely <= 0.05  # no more than a corner of a cell lies between two samples
    else:
        assert possibly >= 0  # what it says is in the way is in the way


@given(inside, inside)
@SETTINGS
def test_a_point_sees_itself_where_it_is_free(x, y):
    blocked = no_walls()
    assert geodesic.in_sight(blocked, x, y, x, y)
    blocked[:] = True
    assert not geodesic.in_sight(blocked, x, y, x, y)


def test_goal_cells_are_free_near_and_in_sight():
    blocked, opaque, field = no_walls(), no_walls(), np.full((N, N), np.inf)
    geodesic.fill_boxes(opaque, np.array([[0.5, 0.0, 0.06, 3.0, 0.0, 0.0]]), 0.0)  # a wall beside the goal
    geodesic.fill_boxes(blocked, np.array([[0.0, 0.0, 0.2, 0.2, 0.0, 0.0]]), 0.22)
    goal = np.array([[0.0, 0.0]])
    geodesic.mark_goal_cells(field, blocked, opaque, goal, 0.95)
    marked = field == 0
    near = np.hypot(X, Y) <= 0.95
    np.testing.assert_array_equal(marked, near & ~blocked & (X < 0.4))
    assert np.isinf(field[~marked]).all()


# --- distances -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("goal", [(50, 50), (20, 75), (3, 3)])
def test_distance_to_a_point_in_the_open_is_the_straight_one(goal):
    """First-order fast sweeping errs by O(h log 1/h), always upwards, most along the diagonals."""
    goals = no_walls()
    goals[goal] = True
    field = solve(goals, no_walls())
    exact = np.hypot(X - CENTRES[goal[0]], Y - CENTRES[goal[1]])[1:-1, 1:-1]
    error = field[1:-1, 1:-1] - exact
    assert error.min() > -1e-9
    assert error.max() < 0.6 * CELL_M * math.log(SIDE_M / CELL_M)
    axis = field[goal[0], 1:-1]
    np.testing.assert_allclose(axis, np.abs(CENTRES[1:-1] - CENTRES[goal[1]]), atol=1e-9)  # exact along the axes


def test_distance_around_a_wall_goes_over_its_end():
    blocked, goals = no_walls(), no_walls()
    blocked[50, :60] = True
    goals[30, 20] = True
    field = solve(goals, blocked)
    tip = np.array([CENTRES[50], CENTRES[60]])
    start, goal = np.array([CENTRES[75], CENTRES[15]]), np.array([CENTRES[30], CENTRES[20]])
    exact = np.hypot(*(start - tip)) + np.hypot(*(goal - tip))
    assert field[75, 15] == pytest.approx(exact, rel=0.04)
    assert field[75, 15] > exact - CELL_M


@pytest.mark.parametrize("seed", range(8))
def test_distances_agree_with_dijkstra(seed):
    """8-connected paths are up to 8.24 % longer than straight ones; fast sweeping errs by a cell or so at corners."""
    goals, blocked = rooms(seed)
    field, reference = solve(goals, blocked), dijkstra_distances(goals, blocked)
    free = ~blocked
    reached = np.isfinite(reference)
    assert reached[free].mean() > 0.5
    np.testing.assert_array_equal(np.isfinite(field)[free], reached[free])
    assert np.isinf(field[blocked]).all()
    assert (field[reached] <= reference[reached] * 1.03 + 0.1).all()
    assert (field[reached] >= reference[reached] / 1.0824 - 0.1).all()


@pytest.mark.parametrize("seed", range(3))
def test_the_field_solves_the_upwind_equation(seed):
    """Godunov's scheme for |grad d| = 1 holds in every free cell: the definition of what sweeping converges to."""
    goals, blocked = rooms(seed)
    field = solve(goals, blocked)
    padded = np.pad(field, 1, constant_values=np.inf)
    dx = np.minimum(padded[:-2, 1:-1], padded[2:, 1:-1])
    dy = np.minimum(padded[1:-1, :-2], padded[1:-1, 2:])
    held = np.isfinite(field) & ~goals
    slope = np.hypot(np.maximum(field[held] - dx[held], 0), np.maximum(field[held] - dy[held], 0))
    np.testing.assert_allclose(slope, CELL_M, atol=1e-6)


@given(inside, inside)
@SETTINGS
def test_interpolated_distances_are_exact_on_linear_fields(x, y):
    assert geodesic.distance_at(2 * X - 3 * Y + 40, x, y) == pytest.approx(2 * x - 3 * y + 40, abs=1e-6)


def test_interpolation_uses_only_reachable_cells():
    field = np.full((N, N), np.inf)
    assert geodesic.distance_at(field, 0.0, 0.0) == np.inf
    field[50, 50] = 3.0
    assert geodesic.distance_at(field, CENTRES[50] - 0.04, CENTRES[50] - 0.09) == pytest.approx(3.0)
    out = np.zeros(2)
    points = np.array([[CENTRES[50], CENTRES[50]], [2.0, 2.0]])
    geodesic.distances_at(np.stack([field, field]), points, np.array([7.0, 8.0]), out)
    assert out == pytest.approx([3.0, 8.0])


# --- ways ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(10))
def test_a_traced_way_goes_down_to_a_goal_through_free_cells(seed):
    goals, blocked = rooms(seed)
    field = solve(goals, blocked)
    path = np.zeros((1000, 2))
    for i, j in np.random.default_rng(seed).permutation(np.argwhere(np.isfinite(field)))[:40]:
        count = geodesic.trace(field, CENTRES[i], CENTRES[j], path)
        cells = np.array([[geodesic.to_cell(x), geodesic.to_cell(y)] for x, y in path[:count]])
        along = field[tuple(cells.T)]
        assert cells[0].tolist() == [i, j]
        assert (np.diff(along) < 0).all()
        assert along[-1] == 0.0
        assert np.abs(np.diff(cells, axis=0)).max(initial=0) <= 1
        assert not blocked[tuple(cells.T)].any()


def test_a_way_out_of_the_margin_of_an_obstacle_starts_at_a_free_cell_nearby():
    goals, blocked = no_walls(), no_walls()
    goals[80, 50] = True
    blocked[40:43, 40:60] = True
    field = solve(goals, blocked)
    path = np.zeros((1000, 2))
    count = geodesic.trace(field, CENTRES[41], CENTRES[50], path)
    assert field[geodesic.to_cell(path[0, 0]), geodesic.to_cell(path[0, 1])] < np.inf
    assert np.hypot(*(path[0] - (CENTRES[41], CENTRES[50]))) < 0.5
    assert path[count - 1] == pytest.approx((CENTRES[80], CENTRES[50]))


@pytest.mark.parametrize("seed", range(10))
def test_path_length_lies_between_the_straight_line_and_dijkstra(seed):
    goals, blocked = rooms(seed)
    field, reference = solve(goals, blocked), dijkstra_distances(goals, blocked)
    path, ends = np.zeros((1000, 2)), np.argwhere(goals)
    for i, j in np.random.default_rng(seed).permutation(np.argwhere(np.isfinite(reference) & (reference > 1)))[:40]:
        length = geodesic.path_length(field, blocked, CENTRES[i], CENTRES[j], path)
        straight = np.hypot(*(CENTRES[ends] - (CENTRES[i], CENTRES[j])).T).min()
        assert length >= straight - 1e-9
        assert length <= 1.05 * reference[i, j]


def test_path_length_in_the_open_is_the_straight_line():
    goals = no_walls()
    goals[20, 33] = True
    path = np.zeros((1000, 2))
    length = geodesic.path_length(solve(goals, no_walls()), no_walls(), CENTRES[81], CENTRES[70], path)
    assert length == pytest.approx(math.hypot(6.1, 3.7))
