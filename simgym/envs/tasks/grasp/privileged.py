"""What only a simulator knows of an episode: for a critic in training, never for a policy."""

from __future__ import annotations

import numpy as np

from ...quaternion import wrap_angle
from .expert import Seen, best_grasps

# Where each value stands: of the episode as a whole, then PER_OBJECT values for every slot of an object.
GRASP_X, GRASP_Y, GRASP_Z, GRASP_COS, GRASP_SIN, OPENING, HOLDING, HELD, TIME_LEFT, TIME_LEFT_SQUARED = range(10)
FIRST_OBJECT, PER_OBJECT, OBJECT_Y = 10, 6, 2
DISTANCE_UNIT_M, HEIGHT_UNIT_M, OPENING_UNIT_M = 0.3, 0.1, 0.08


def privileged_dim(num_objects: int) -> int:
    """How many values there are."""
    return FIRST_OBJECT + PER_OBJECT * num_objects


def mirror_signs(num_objects: int) -> np.ndarray:
    """(privileged_dim,) signs in a mirror: what lies aside, and turns, changes sides."""
    signs = np.ones(privileged_dim(num_objects))
    signs[[GRASP_Y, GRASP_SIN]] = -1
    signs[FIRST_OBJECT + OBJECT_Y :: PER_OBJECT] = -1
    return signs


def privileged_view(seen: Seen, held: np.ndarray, time_left: np.ndarray) -> np.ndarray:
    """(n, privileged_dim) float32 of what there is to know, all scaled to about 1.

    Args:
        seen: hand and objects.
        held: (n,) share of the time for which an object must be held up.
        time_left: (n,) share of the time limit.

    Returns:
        The expert's grasp as seen from the hand (offset in the base's axes / 0.3 m, cosine and sine of the turn), the
        opening / 0.08 m, whether both fingers hold an object, ``held``, the time left and its square; then for each
        slot whether an object is in it, its offset from the hand / 0.3 m, its lowest point / 0.1 m, whether it is held.
    """
    grasp, hand = best_grasps(seen), seen.hand
    turn = wrap_angle(grasp[:, 3] - hand[:, 3])
    out = np.zeros((len(hand), privileged_dim(seen.present.shape[1])))
    out[:, GRASP_X : GRASP_Z + 1] = (grasp[:, :3] - hand[:, :3]) / DISTANCE_UNIT_M
    out[:, GRASP_COS], out[:, GRASP_SIN] = np.cos(turn), np.sin(turn)
    out[:, OPENING] = hand[:, 4] / OPENING_UNIT_M
    out[:, HOLDING], out[:, HELD] = (seen.held & seen.present).any(1), held
    out[:, TIME_LEFT], out[:, TIME_LEFT_SQUARED] = time_left, time_left**2
    offset = (seen.object_pos - hand[:, None, :3]) / DISTANCE_UNIT_M
    values = np.concatenate([offset, seen.lowest_m[..., None] / HEIGHT_UNIT_M, seen.held[..., None]], axis=-1)
    there = seen.present[..., None].astype(float)
    each = np.concatenate([there, there * np.clip(values, -10, 10)], axis=-1)  # (n, M, 6)
    out[:, FIRST_OBJECT:] = each.reshape(len(hand), -1)
    return out.astype(np.float32)
