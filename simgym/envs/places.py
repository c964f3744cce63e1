"""Places: buildings of the photo look, told apart by a number. One place is one seed of all that stays in it.

``domain.place=<number>`` is one building in every episode. ``domain.place=null`` is another building for every episode,
with numbers from `FIRST_DRAWN` on, so never one that can be asked for; those of `train` are even and those of `test`
odd, so that the splits share no place. What places are made of (textures, chair styles) is parted the same way: even
places take from one half, odd ones from the other.
"""

from __future__ import annotations

import numpy as np

SPLITS = ("train", "test")
MAX_PLACE = 2**31 - 1  # the highest that can be asked for
FIRST_DRAWN = MAX_PLACE + 1
PLACE_STREAM = 6  # of an episode's seed


def place_of(fixed: int | None, episode_seed: int, split: str) -> int:
    """The place of an episode: ``fixed``, or one drawn from the episode's seed for its split."""
    if fixed is not None:
        return fixed
    rng = np.random.default_rng([episode_seed, PLACE_STREAM])
    return FIRST_DRAWN + 2 * int(rng.integers(2**30)) + SPLITS.index(split)


def split_of(place: int) -> str:
    """Whose half of textures and chair styles a place takes from."""
    return SPLITS[place % 2]
