"""The scripted expert: goes over a grasp, down to it, closes the fingers and lifts. The ceiling for policies.

It keeps no memory: what it does is a function of the present state, so it can label any state for imitation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...quaternion import rotate, yaw
from ...quaternion import wrap_angle as wrap
from .objects import LOWEST_M

GAIN_PER_S = 4.0  # of velocity over distance
DOWN_GAIN_PER_S = 1.8  # on the way down: commands may be late by a third of a second, and the table is near
TRAVEL_M = 0.25  # height on the way: the same over all usual things, so that who imitates need not know the tallest
ABOVE_M = 0.06  # over the tops of things that are taller
OVER_M = 0.01  # the hand is over the grasp where it is off by no more
FUNNEL = 0.25  # metres off for each metre above the grasp
ARM_M_PER_RAD = 0.1  # what a turn counts as an offset
UNDER_M = 0.08  # so far below the funnel the hand stops moving across
THERE_M, THERE_RAD, DEEP_M = 0.012, 0.15, 0.008  # and closes where it is so near to it
PALM_RADIUS_M, PALM_ABOVE_M = 0.11, 0.03  # what stands within the palm's reach is no higher than this over the grasp
LYING = 0.9  # cosine of the tilt beyond which a thing's own grasps are no good
YAW_RANGE_RAD = 1.7
LIFT_EXTRA_M = 0.03
BLOCKED_M = 10.0  # what a grasp costs that the palm cannot get to


@dataclass
class Seen:
    """What there is to see of hand and things. Arrays over n worlds, M things, G grasps."""

    hand: np.ndarray  # (n, 5) x, y, z, yaw_rad of the grasp point, opening
    object_pos: np.ndarray  # (n, M, 3)
    object_quat: np.ndarray  # (n, M, 4)
    present: np.ndarray  # (n, M) bool: there, and not fallen off the table
    half_m: np.ndarray  # (n, M, 3) of the bounding boxes
    lowest_m: np.ndarray  # (n, M) lowest points
    held: np.ndarray  # (n, M) bool: both fingers touch it
    grasps: np.ndarray  # (n, M, G, 4) in the things' frames; NaN where there is none

    def grasps_in_world(self) -> np.ndarray:
        """(n, M, G, 4) x, y, z, yaw_rad, NaN where there is none; of equal yaws that nearest to the hand's.

        A thing that fell over is taken at its middle, across.
        """
        quat = self.object_quat[:, :, None]
        pos = self.object_pos[:, :, None] + rotate(quat, self.grasps[..., :3])
        free = np.isinf(self.grasps[..., 3])  # the hand may stay as it is turned
        kept = np.clip(self.hand[:, None, None, 3], -YAW_RANGE_RAD, YAW_RANGE_RAD)
        heading = np.where(free, kept, yaw(self.object_quat)[..., None] + np.where(free, 0.0, self.grasps[..., 3]))
        axis = rotate(self.object_quat, np.array([0.0, 0.0, 1.0]))  # (n, M, 3)
        lies = (axis[..., 2] < LYING) & self.present
        middle = self.object_pos + axis * self.half_m[..., 2:]
        middle[..., 2] = np.maximum(middle[..., 2], LOWEST_M)
        along = np.arctan2(axis[..., 1], axis[..., 0])
        pos = np.where(lies[..., None, None], middle[:, :, None], pos)
        heading = np.where(lies[..., None], along[..., None], heading)
        pos = np.where(np.isnan(self.grasps[..., :1]) | ~self.present[..., None, None], np.nan, pos)
        hand = self.hand[:, None, None, 3]
        turned = hand + (heading - hand + np.pi / 2) % np.pi - np.pi / 2
        turned -= np.pi * np.sign(turned) * (np.abs(turned) > YAW_RANGE_RAD)
        return np.concatenate([pos, turned[..., None]], axis=-1)

    def nearest_grasp_m(self) -> np.ndarray:
        """(n,) metres from the hand to the nearest grasp; 0 with nothing to grasp."""
        away = np.linalg.norm(self.grasps_in_world()[..., :3] - self.hand[:, None, None, :3], axis=-1)
        nearest = np.nan_to_num(away, nan=np.inf).min((1, 2))
        return np.where(np.isfinite(nearest), nearest, 0.0)

    def tops_m(self) -> np.ndarray:
        """(n, M) highest points of the bounding boxes; things that are not there are lowest."""
        up = rotate(self.object_quat * (1.0, -1.0, -1.0, -1.0), np.array([0.0, 0.0, 1.0]))
        height = 2 * (np.abs(up) * self.half_m).sum(-1)
        return np.where(self.present, self.lowest_m + height, -1.0)


def best_grasps(seen: Seen) -> np.ndarray:
    """(n, 4) x, y, z, yaw_rad of the grasp that costs least: near, little to turn, the palm free."""
    grasps = seen.grasps_in_world()
    n, things, count, _ = grasps.shape
    away = grasps[..., :3] - seen.hand[:, None, None, :3]
    cost = np.linalg.norm(away, axis=-1) + 0.1 * np.abs(wrap(grasps[..., 3] - seen.hand[:, None, None, 3]))
    # What stands under the palm, other than the thing itself: (n, M, G, M).
    centre = seen.object_pos[:, None, None, :, :2]
    apart = np.linalg.norm(grasps[..., None, :2] - centre, axis=-1) - np.hypot(*seen.half_m[..., :2].T).T[:, None, None]
    high = seen.tops_m()[:, None, None] > grasps[..., 2:3] + PALM_ABOVE_M
    other = ~np.eye(things, dtype=bool)[None, :, None]
    cost = cost + BLOCKED_M * ((apart < PALM_RADIUS_M) & high & other).sum(-1)
    lowest = np.nan_to_num(cost, nan=np.inf).reshape(n, -1).argmin(1)
    chosen = grasps.reshape(n, -1, 4)[np.arange(n), lowest]
    return np.where(np.isnan(chosen), seen.hand[:, :4], chosen)


def expert_command(seen: Seen, limits: np.ndarray, lift_m: float) -> np.ndarray:
    """(n, 5) commands: velocity of the hand, yaw rate, opening.

    Args:
        seen: what there is.
        limits: (5,) the most of each.
        lift_m: how high to lift.
    """
    goal, hand = best_grasps(seen), seen.hand
    offset = goal[:, :3] - hand[:, :3]
    turn = wrap(goal[:, 3] - hand[:, 3])
    across = np.hypot(offset[:, 0], offset[:, 1])
    there = (across < THERE_M) & (np.abs(turn) < THERE_RAD) & (-offset[:, 2] < DEEP_M)
    held = (seen.held & seen.present).any(1)
    travel = np.maximum(seen.tops_m().max(1) + ABOVE_M, TRAVEL_M)
    # The hand rides on a funnel around the grasp: what it is off by, across or turned, decides how high it is to be.
    off = np.maximum(np.hypot(across, ARM_M_PER_RAD * turn) - OVER_M, 0.0)
    climb = np.minimum(goal[:, 2] + off / FUNNEL, travel) - hand[:, 2]
    velocity = GAIN_PER_S * offset
    velocity[:, 2] = np.where(climb < 0, DOWN_GAIN_PER_S, GAIN_PER_S) * climb
    velocity[:, :2] *= np.clip((UNDER_M - climb) / UNDER_M, 0.0, 1.0)[:, None]  # from far below it, up first
    command = np.column_stack([velocity, GAIN_PER_S * turn, np.full(len(hand), limits[4])])
    command[there | held, 4] = 0.0
    command[there, :4] = 0.0
    lowest = np.where(seen.held & seen.present, seen.lowest_m, -np.inf).max(1)
    rise = GAIN_PER_S * (lift_m + LIFT_EXTRA_M - np.where(held, lowest, 0.0))
    command[held, :4] = 0.0
    command[held, 2] = rise[held]
    command[:, :4] = np.clip(command[:, :4], -limits[:4], limits[:4])
    return command
