"""Real frames without labels teach too: G must make of a spoilt frame what its own moving average makes of a clean one.

The mean teacher (Tarvainen and Valpola 2017) on frames into which things of simulated ones are pasted (DACS, Tranheden
et al. 2021): half of the classes of a pair's picture, with their labels and their twin. So real surroundings come with
labels that are true, and simulated things with real surroundings.
"""

from __future__ import annotations

import torch

from .methods import Lesson
from .networks import Generator


@torch.no_grad()
def teach(teacher: Generator, real: torch.Tensor, pairs: Lesson, pasted_classes: torch.Tensor, sure: float) -> Lesson:
    """Make a lesson of real frames.

    Args:
        teacher: the moving average of G, in evaluation mode.
        real: (B, 3, H, W) frames as they come.
        pairs: as many simulated ones, without flaws.
        pasted_classes: (B, C) bool, which of their classes are pasted.
        sure: probability of a label from which on the teacher is believed.

    Returns:
        The mixture, still without flaws.
    """
    wanted, scores = teacher.with_scores(real)
    probability, labels = scores.softmax(1).max(1)  # (B, H, W)
    pasted = pasted_classes.gather(1, pairs.labels.flatten(1)).view_as(pairs.labels)  # (B, H, W)
    mask = pasted[:, None]
    return Lesson(
        images=torch.where(mask, pairs.images, real),
        wanted=torch.where(mask, pairs.wanted, wanted),
        labels=torch.where(pasted, pairs.labels, labels),
        trust=(pasted | (probability >= sure)).to(real.dtype),
    )
