"""Looks: how a world appears. A look draws colours, textures, lights and camera offsets for a scene."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from ..draw import Look
from ..scene import Scene


class LookSampler(Protocol):
    """What every look offers."""

    @property
    def textures(self) -> np.ndarray | None:
        """(T, S, S, 3) uint8: the bank that `Look.part_texture` indexes."""

    def sample(self, rng: np.random.Generator) -> tuple[Look, dict[str, Any]]:
        """Draw one row, and the drawn values by name for ``info["draw"]``."""


def make_look(name: str, scene: Scene, ranges: Any) -> LookSampler:
    """The look ``canonical`` or ``randomized`` (which draws within ``ranges``, a `LookRanges`)."""
    from .canonical import CanonicalLook
    from .randomized import RandomizedLook

    if name == "canonical":
        return CanonicalLook(scene)
    if name == "randomized":
        return RandomizedLook(scene, ranges)
    from simgym.errors import UsageError

    raise UsageError(f"domain.look={name!r}: expected 'canonical' or 'randomized'")
