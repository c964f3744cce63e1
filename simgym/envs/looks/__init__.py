"""Looks: how a world appears. A look draws colours, textures, lights and camera offsets for a scene."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from simgym.errors import UsageError

from ..config import DomainConfig
from ..draw import Look, Setting
from ..scene import Scene
from ..terms import Drawing


class LookSampler(Protocol):
    """What every look offers."""

    @property
    def textures(self) -> np.ndarray | None:
        """(T, S, S, 3) uint8: the bank that `Look.part_texture` indexes."""

    def sample(
        self, rng: np.random.Generator, setting: Setting | None = None, terms: Drawing | None = None
    ) -> tuple[Look, dict[str, Any]]:
        """Draw one row, and the drawn values by name for ``info["draw"]``.

        Args:
            rng: the episode's stream of looks.
            setting: the room to paint; looks that paint all rooms alike need none.
            terms: of this episode, in place of the domain's, for the look that has some.
        """


def make_look(domain: DomainConfig, scene: Scene) -> LookSampler:
    """The look that a domain shows of a scene."""
    from .canonical import CanonicalLook
    from .mistaken import MistakenLook
    from .photo import PhotoLook
    from .randomized import RandomizedLook

    name = domain.shown_look
    if name == "canonical":
        return CanonicalLook(scene)
    if name == "randomized":
        return RandomizedLook(scene, domain.randomization.look)
    if name == "mistaken":
        return MistakenLook(scene, domain.randomization.mistakes)
    if name == "photo":
        return PhotoLook(scene, domain.photo, domain.textures)
    raise UsageError(f"domain.look={name!r}: expected 'canonical', 'randomized', 'mistaken' or 'photo'")
