"""What only a simulator knows of an episode: for a critic in training, never for a policy."""

from __future__ import annotations

import math

import numba
import numpy as np

from ... import geodesic
from .expert import MEETING_M, waypoint

RAYS = 8  # directions in which the free way is measured, from straight ahead on to the left
RAY_RANGE_M = 2.0
MAX_DISTANCE_M, DISTANCE_UNIT_M = 15.0, 5.0
# Where each value stands.
DISTANCE, ARRIVED, WAYPOINT_COS, WAYPOINT_SIN, TIME_LEFT, TIME_LEFT_SQUARED, FIRST_RAY = range(7)
PRIVILEGED_DIM = FIRST_RAY + RAYS
# In a mirror the way turns to the other side, and rays go round the other way.
MIRROR_SIGNS = np.where(np.arange(PRIVILEGED_DIM) == WAYPOINT_SIN, -1.0, 1.0)
MIRROR_ORDER = np.append(np.arange(FIRST_RAY), FIRST_RAY + -np.arange(RAYS) % RAYS)


@numba.njit(cache=True)
def privileged_view(
    field: np.ndarray, blocked: np.ndarray, pose: np.ndarray, time_left: float, path: np.ndarray, out: np.ndarray
) -> None:
    """Write what there is to know of one world into ``out`` (PRIVILEGED_DIM,), all scaled to about 1.

    Args:
        field: (N, N) geodesic distances of the episode.
        blocked: (N, N) bool, where the base cannot be.
        pose: (3,) x, y, yaw_rad of the base.
        time_left: share of the time limit.
        path: (M, 2) scratch.
        out: geodesic distance, whether it is nearly 0, direction to the next waypoint, time left, free way around.
    """
    x, y, heading = pose
    distance = geodesic.distance_at(field, x, y)
    out[DISTANCE] = min(distance, MAX_DISTANCE_M) / DISTANCE_UNIT_M
    out[ARRIVED] = 1.0 if distance < MEETING_M else 0.0
    waypoint_x, waypoint_y = waypoint(field, blocked, x, y, path)
    bearing = math.atan2(waypoint_y - y, waypoint_x - x) - heading
    out[WAYPOINT_COS], out[WAYPOINT_SIN] = math.cos(bearing), math.sin(bearing)
    out[TIME_LEFT] = time_left
    out[TIME_LEFT_SQUARED] = time_left * time_left
    for ray in range(RAYS):
        out[FIRST_RAY + ray] = _free_way(blocked, x, y, heading + 2 * math.pi * ray / RAYS) / RAY_RANGE_M


@numba.njit(cache=True)
def _free_way(blocked: np.ndarray, x: float, y: float, angle: float) -> float:
    """Metres until a blocked cell, at most about `RAY_RANGE_M`."""
    reach = 0.0
    while reach < RAY_RANGE_M:
        i = geodesic.to_cell(x + (reach + geodesic.CELL_M) * math.cos(angle))
        j = geodesic.to_cell(y + (reach + geodesic.CELL_M) * math.sin(angle))
        if blocked[i, j]:
            break
        reach += geodesic.CELL_M
    return reach
