"""Occupancy grids and geodesic distances for a round robot on a floor plan, compiled with numba.

A grid is (N, N) cells of `CELL_M` centred on the world origin; cell [i, j] has its centre at
``x = (i + 0.5) * CELL_M - SIDE_M / 2`` and y likewise from j.
"""

from __future__ import annotations

import math

import numba
import numpy as np

CELL_M = 0.1
SIDE_M = 10.0
N = round(SIDE_M / CELL_M)
_STRAIGHT_LOOK_M = 0.05  # sampling step of lines of sight


@numba.njit(cache=True)
def to_cell(coordinate_m: float) -> int:
    """The index of the cell that holds a coordinate, clamped to the grid."""
    return min(max(int(math.floor((coordinate_m + SIDE_M / 2) / CELL_M)), 0), N - 1)


@numba.njit(cache=True)
def to_m(index: int) -> float:
    """The centre of a cell."""
    return (index + 0.5) * CELL_M - SIDE_M / 2


@numba.njit(cache=True)
def fill_boxes(grid: np.ndarray, boxes: np.ndarray, inflation_m: float) -> None:
    """Mark the cells whose centre lies within ``inflation_m`` of a rounded box, in place.

    Args:
        grid: (N, N) bool.
        boxes: (K, 6) centre x, y, half extents x, y, yaw_rad, rounding radius (a disc has half extents 0).
        inflation_m: usually the robot's radius and a margin.
    """
    for k in range(boxes.shape[0]):
        x, y, hx, hy, yaw, rounding = boxes[k]
        margin = rounding + inflation_m
        c, s = math.cos(yaw), math.sin(yaw)
        reach_x = abs(c) * hx + abs(s) * hy + margin
        reach_y = abs(s) * hx + abs(c) * hy + margin
        for i in range(to_cell(x - reach_x), to_cell(x + reach_x) + 1):
            for j in range(to_cell(y - reach_y), to_cell(y + reach_y) + 1):
                dx, dy = to_m(i) - x, to_m(j) - y
                outside_x = max(abs(c * dx + s * dy) - hx, 0.0)
                outside_y = max(abs(-s * dx + c * dy) - hy, 0.0)
                if outside_x * outside_x + outside_y * outside_y <= margin * margin:
                    grid[i, j] = True


@numba.njit(cache=True)
def in_sight(blocked: np.ndarray, x0: float, y0: float, x1: float, y1: float) -> bool:
    """Whether the straight line between two points crosses no blocked cell."""
    length = math.hypot(x1 - x0, y1 - y0)
    steps = int(math.ceil(length / _STRAIGHT_LOOK_M))
    for k in range(steps + 1):
        t = k / max(steps, 1)
        if blocked[to_cell(x0 + t * (x1 - x0)), to_cell(y0 + t * (y1 - y0))]:
            return False
    return True


@numba.njit(cache=True)
def mark_goal_cells(
    field: np.ndarray, blocked: np.ndarray, opaque: np.ndarray, goals: np.ndarray, radius_m: float
) -> None:
    """Set ``field`` to 0 on free cells within ``radius_m`` of a goal (K, 2) that see it past ``opaque`` cells."""
    for k in range(goals.shape[0]):
        x, y = goals[k]
        for i in range(to_cell(x - radius_m), to_cell(x + radius_m) + 1):
            for j in range(to_cell(y - radius_m), to_cell(y + radius_m) + 1):
                near = math.hypot(to_m(i) - x, to_m(j) - y) <= radius_m
                if near and not blocked[i, j] and in_sight(opaque, to_m(i), to_m(j), x, y):
                    field[i, j] = 0.0


@numba.njit(cache=True)
def sweep_distances(field: np.ndarray, blocked: np.ndarray) -> None:
    """Solve the eikonal equation |grad d| = 1 on free cells by fast sweeping (Zhao 2005), in place.

    Args:
        field: (N, N) float64; 0 at goals, inf elsewhere; on return the geodesic distance in metres, inf where
            no free path leads.
        blocked: (N, N) bool.
    """
    changed = True
    while changed:
        changed = False
        for direction in range(4):
            for a in range(1, N - 1):
                i = a if direction % 2 == 0 else N - 1 - a
                for b in range(1, N - 1):
                    j = b if direction < 2 else N - 1 - b
                    if blocked[i, j]:
                        continue
                    dx = min(field[i - 1, j], field[i + 1, j])
                    dy = min(field[i, j - 1], field[i, j + 1])
                    low = min(dx, dy)
                    if low >= field[i, j]:
                        continue
                    gap = abs(dx - dy)
                    if gap >= CELL_M:
                        d = low + CELL_M
                    else:
                        d = 0.5 * (dx + dy + math.sqrt(2 * CELL_M * CELL_M - gap * gap))
                    if d < field[i, j] - 1e-9:
                        field[i, j] = d
                        changed = True


@numba.njit(cache=True)
def distance_at(field: np.ndarray, x: float, y: float) -> float:
    """Bilinear interpolation of ``field`` over the reachable ones of the four cells around a point; inf if none."""
    gx = (x + SIDE_M / 2) / CELL_M - 0.5
    gy = (y + SIDE_M / 2) / CELL_M - 0.5
    i0, j0 = int(math.floor(gx)), int(math.floor(gy))
    total = weight = 0.0
    for i in range(i0, i0 + 2):
        for j in range(j0, j0 + 2):
            if 0 <= i < N and 0 <= j < N and field[i, j] < np.inf:
                w = (1 - abs(gx - i)) * (1 - abs(gy - j)) + 1e-12
                total += w * field[i, j]
                weight += w
    return total / weight if weight > 0 else np.inf


@numba.njit(cache=True)
def distances_at(fields: np.ndarray, points: np.ndarray, fallback: np.ndarray, out: np.ndarray) -> None:
    """`distance_at` of point w (n, 2) in field w (n, N, N); ``fallback`` (n,) where nothing is reachable."""
    for w in range(points.shape[0]):
        d = distance_at(fields[w], points[w, 0], points[w, 1])
        out[w] = d if d < np.inf else fallback[w]


@numba.njit(cache=True)
def marked_at(grids: np.ndarray, points: np.ndarray, out: np.ndarray) -> None:
    """Whether the cell of point w (n, 2) is marked in grid w (n, N, N) bool, into ``out`` (n,)."""
    for w in range(points.shape[0]):
        out[w] = grids[w, to_cell(points[w, 0]), to_cell(points[w, 1])]


@numba.njit(cache=True)
def trace(field: np.ndarray, x: float, y: float, path: np.ndarray) -> int:
    """Walk down ``field`` from a point, cell by cell, into ``path`` (M, 2); returns how many points were written."""
    i, j = to_cell(x), to_cell(y)
    if field[i, j] == np.inf:  # the point is inside the margin of an obstacle: start from the best cell around
        best, bi, bj = np.inf, i, j
        for p in range(max(i - 3, 0), min(i + 4, N)):
            for q in range(max(j - 3, 0), min(j + 4, N)):
                score = field[p, q] + 3 * math.hypot(to_m(p) - x, to_m(q) - y)
                if score < best:
                    best, bi, bj = score, p, q
        i, j = bi, bj
    count = 0
    while count < path.shape[0]:
        path[count, 0], path[count, 1] = to_m(i), to_m(j)
        count += 1
        best, bi, bj = 0.0, i, j
        for p in range(max(i - 1, 0), min(i + 2, N)):
            for q in range(max(j - 1, 0), min(j + 2, N)):
                if field[p, q] < np.inf and (p != i or q != j):
                    slope = (field[i, j] - field[p, q]) / math.hypot(p - i, q - j)
                    if slope > best:
                        best, bi, bj = slope, p, q
        if (bi == i and bj == j) or field[i, j] == 0.0:
            break
        i, j = bi, bj
    return count


@numba.njit(cache=True)
def path_length(field: np.ndarray, blocked: np.ndarray, x: float, y: float, path: np.ndarray) -> float:
    """Length of the traced path from a point to the goal, pulled tight along lines of sight."""
    count = trace(field, x, y, path)
    length, at_x, at_y, k = 0.0, x, y, 0
    while k < count:
        reach = k
        for m in range(count - 1, k, -1):
            if in_sight(blocked, at_x, at_y, path[m, 0], path[m, 1]):
                reach = m
                break
        length += math.hypot(path[reach, 0] - at_x, path[reach, 1] - at_y)
        at_x, at_y = path[reach, 0], path[reach, 1]
        k = reach + 1
    return length
