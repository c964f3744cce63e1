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
def waypoint(field: np.ndarray, blocked: np.ndarray, x: float, y: float, path: np.ndarray) -> tuple[float, float]:
    """The farthest point of the way to the goal that is in straight reach."""
    count = geodesic.trace(field, x, y, path)
    best = 0
    for k in range(count):
        near = math.hypot(path[k, 0] - x, path[k, 1] - y) <= LOOKAHEAD_M
        if near and geodesic.in_sight(blocked, x, y, path[k, 0], path[k, 1]):
            best = k
    return path[best, 0], path[best, 1]


@numba.njit(cache=True)
def _nearest_in_sight(chairs: np.ndarray, opaque: np.ndarray, x: float, y: float) -> int:
    """The nearest chair that nothing hides; the nearest one if all are hidden."""
    best, at, best_is_seen = np.inf, 0, False
    for c in range(chairs.shape[0]):
        d = math.hypot(chairs[c, 0] - x, chairs[c, 1] - y)
        if d == np.inf:
            continue
        seen = geodesic.in_sight(opaque, x, y, chairs[c, 0], chairs[c, 1])
        if (seen and not best_is_seen) or (seen == best_is_seen and d < best):
            best, at, best_is_seen = d, c, seen
    return at


@numba.njit(cache=True)
def expert_command(
    field: np.ndarray,
    blocked: np.ndarray,
    opaque: np.ndarray,
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
        opaque: (N, N) bool, what hides chairs from the camera.
        chairs: (C, 2) centres, inf for slots not used.
        pose: (3,) x, y, yaw_rad of the base.
        max_speed: m/s.
        max_yaw_rate: rad/s.
        path: (M, 2) scratch.
    """
    x, y, heading = pose
    distance = geodesic.distance_at(field, x, y)
    if distance < MEETING_M:
        chair = _nearest_in_sight(chairs, opaque, x, y)
        goal_x, goal_y, speed = chairs[chair, 0], chairs[chair, 1], 0.0
    else:
        goal_x, goal_y = waypoint(field, blocked, x, y, path)
        speed = max_speed
    bearing = math.atan2(goal_y - y, goal_x - x) - heading
    bearing = (bearing + math.pi) % (2 * math.pi) - math.pi
    speed *= max(0.0, 1.0 - abs(bearing) / SLOW_DOWN_RAD)
    turn = min(max(TURN_GAIN * bearing, -max_yaw_rate), max_yaw_rate)
    return speed, turn
