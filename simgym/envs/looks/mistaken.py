"""The mistaken look: what goggles that err make of a room. Canonical, but some things show as another class."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..config import MistakeRanges
from ..draw import Look, Setting
from ..scene import Scene, Semantic
from ..terms import Drawing
from .canonical import COLORS, canonical_look, decoration
from .randomized import aim_camera

# What things pass for, the likelier the more often it is named. Goggles take what they do not know for wall first.
PASSES_FOR = (
    *(Semantic.WALL,) * 5,
    *(Semantic.FLOOR, Semantic.CHAIR, Semantic.TABLE, Semantic.CABINET, Semantic.CABINET),
    *(Semantic.BOX, Semantic.BIN, Semantic.PLANT, Semantic.CLUTTER, Semantic.CLUTTER),
)
SURE = (Semantic.FLOOR, Semantic.WALL, Semantic.CEILING, Semantic.ROBOT)  # always shown as what they are
OWN_MISTAKE = 0.2  # share of the parts that are mistaken for themselves alone
DECORATION_SHARE = 0.4  # of the confusion of things: pictures and rugs pass for nothing more often than not


class MistakenLook:
    """Draws a look. Parts of one body share a mistake four times out of five.

    What a thing passes for stays the same for an episode; whether it does is drawn again with the confusion, which may
    be an interval term: goggles err from some points of view and not from others.
    """

    textures = None

    def __init__(self, scene: Scene, ranges: MistakeRanges) -> None:
        self._terms, self._nominal = Drawing(ranges), canonical_look(scene)
        self._part_body = scene.part_body
        semantics, decor = np.array([part.semantic for part in scene.parts]), decoration(scene)
        sure = np.isin(semantics, SURE) & ~decor
        self._confusable = np.where(sure, 0.0, np.where(decor, DECORATION_SHARE, 1.0))  # (P,)
        shown = np.where(semantics == Semantic.WALL_ITEM, Semantic.WALL, semantics)  # as where policies are trained
        self._rgb = np.array([COLORS[Semantic(semantic)] for semantic in shown], np.float32)  # (P, 3)

    def sample(
        self, rng: np.random.Generator, setting: Setting | None = None, terms: Drawing | None = None
    ) -> tuple[Look, dict[str, Any]]:
        """See `LookSampler.sample`."""
        look = Look(**{name: value.copy() for name, value in vars(self._nominal).items()})
        terms = terms or self._terms
        mistaken = self._paint(rng, look, terms)
        return look, {"mistaken_parts": int(mistaken.sum())} | aim_camera(rng, look, terms)

    def _paint(self, rng: np.random.Generator, look: Look, terms: Drawing) -> np.ndarray:
        """(P,) bool, which parts show as something else."""
        parts = len(self._part_body)
        own = rng.random(parts) < OWN_MISTAKE
        source = np.where(own, np.arange(parts), np.searchsorted(self._part_body, self._part_body))
        resistance, passes_for = rng.random(parts), rng.integers(len(PASSES_FOR), size=parts)
        confusion = terms.draw(rng, "confusion", parts)
        mistaken = resistance[source] < confusion[source] * self._confusable
        other = np.array([COLORS[semantic] for semantic in PASSES_FOR], np.float32)[passes_for[source]]
        look.part_rgb[0] = np.where(mistaken[:, None], other, self._rgb)
        return mistaken
