"""The scripted expert drives the shortest way with full knowledge of the floor plan: the ceiling for policies."""

from __future__ import annotations

import math

import numba
import numpy as np

from ... import geodesic

LOOKAHEAD_M = 1.2
TURN_GAIN = 2.5  # rad/s per rad of bearing
SLOW_DOWN_RAD = 0.6  # turns in place beyond this bearing
MEETING_M = 0.05  # this near to success the expert turns to the chair


@numba.njit(cache=True)
def _waypoint(field: np.ndarray, blocked: np.ndarray, x: float, y: float, path: np.ndarray) -> tuple[float, float]:
    """The farthest point of the way to the goal that is in straight reach."""
    count = geodesic.trace(field, x, y, path)
    best = 0
    for k in range(count):
        near = math.hypot(path[k, 0] - x, path[k, 1] - y) <= LOOKAHEAD_M
        if near and geodesic.in_sight(blocked, x, y, path[k, 0], path[k, 1]):
            best = k
    return path[best, 0], path[best, 1]


@numba.njit(cache=True)
def _nearest(chairs: np.ndarray, x: float, y: float) -> int:
    best, at = np.inf, 0
    for c in range(chairs.shape[0]):
        d = math.hypot(chairs[c, 0] - x, chairs[c, 1] - y)
        if d < best:
            best, at = d, c
    return at


@numba.njit(cache=True)
def expert_command(
    field: np.ndarray,
    blocked: np.ndarray,
    chairs: np.ndarray,
    pose: np.ndarray,
    max_speed: float,
    max_yaw_rate: float,
    path: np.ndarray,
) -> tuple[float, float]:
    """Forward speed and yaw rate for one world.

    Args:
        field: (N, N) geodesic distances of the episode.
        blocked: (N, N) bool, where the base cannot be.
        chairs: (C, 2) centres, inf for slots not used.
        pose: (3,) x, y, yaw_rad of the base.
        max_speed: m/s.
        max_yaw_rate: rad/s.
        path: (M, 2) scratch.
    """
    x, y, heading = pose
    distance = geodesic.distance_at(field, x, y)
    if distance < MEETING_M:
        chair = _nearest(chairs, x, y)
        goal_x, goal_y, speed = chairs[chair, 0], chairs[chair, 1], 0.0
    else:
        goal_x, goal_y = _waypoint(field, blocked, x, y, path)
        speed = max_speed
    bearing = math.atan2(goal_y - y, goal_x - x) - heading
    bearing = (bearing + math.pi) % (2 * math.pi) - math.pi
    speed *= max(0.0, 1.0 - abs(bearing) / SLOW_DOWN_RAD)
    turn = min(max(TURN_GAIN * bearing, -max_yaw_rate), max_yaw_rate)
    return speed, turn


PRIVILEGED_DIM = 14
RAY_RANGE_M = 2.0
_RAYS = 8


@numba.njit(cache=True)
def privileged_view(
    field: np.ndarray, blocked: np.ndarray, pose: np.ndarray, time_left: float, path: np.ndarray, out: np.ndarray
) -> None:
    """What only a simulator knows, for the critic of one world; see `ChairNav.privileged`."""
    x, y, heading = pose
    distance = geodesic.distance_at(field, x, y)
    out[0] = min(distance, 15.0) / 5.0
    out[1] = 1.0 if distance < MEETING_M else 0.0
    waypoint_x, waypoint_y = _waypoint(field, blocked, x, y, path)
    bearing = math.atan2(waypoint_y - y, waypoint_x - x) - heading
    out[2], out[3] = math.cos(bearing), math.sin(bearing)
    out[4] = time_left
    out[5] = time_left * time_left
    for ray in range(_RAYS):
        angle = heading + 2 * math.pi * ray / _RAYS
        reach = 0.0
        while reach < RAY_RANGE_M:
            i = geodesic.to_cell(x + (reach + geodesic.CELL_M) * math.cos(angle))
            j = geodesic.to_cell(y + (reach + geodesic.CELL_M) * math.sin(angle))
            if blocked[i, j]:
                break
            reach += geodesic.CELL_M
        out[6 + ray] = reach / RAY_RANGE_M
