"""Real frames without labels teach too: G must see in a spoilt frame what its own moving average sees in a clean one.

The mean teacher (Tarvainen and Valpola 2017) on frames into which things of simulated ones are pasted (DACS, Tranheden
et al. 2021): half of the classes of a pair's picture, with their labels. So real surroundings come with labels that are
true, and simulated things with real surroundings. Where somebody has marked chairs, the average believes that. Only
labels are taught: colours follow from them.
"""

from __future__ import annotations

import torch

from .marked import constrain
from .methods import Lesson
from .networks import Painter


@torch.no_grad()
def teach(
    teacher: Painter,
    real: torch.Tensor,
    pairs: Lesson,
    pasted_classes: torch.Tensor,
    sure: float,
    marks: torch.Tensor | None = None,
) -> Lesson:
    """Make a lesson of real frames.

    The teacher has learned with weighted classes; its probabilities are without that bias (`Painter.probabilities`), or
    it would believe itself and see the heavy classes ever more often.

    Args:
        teacher: the moving average of G, in evaluation mode.
        real: (B, 3, H, W) frames as they come.
        pairs: as many simulated ones, without flaws.
        pasted_classes: (B, C) bool, which of their classes are pasted.
        sure: probability of a label from which on the teacher is believed.
        marks: (B, H, W) what people know of the real frames, see `simgym.goggles.marked`; None is nothing.

    Returns:
        The mixture, still without flaws.
    """
    probabilities = teacher.probabilities(teacher.with_scores(real)[1])
    if marks is not None:
        probabilities = constrain(probabilities, marks)
    probability, labels = probabilities.max(1)  # (B, H, W)
    pasted = pasted_classes.gather(1, pairs.labels.flatten(1)).view_as(pairs.labels)  # (B, H, W)
    return Lesson(
        images=torch.where(pasted[:, None], pairs.images, real),
        labels=torch.where(pasted, pairs.labels, labels),
        weights=torch.where(pasted, pairs.weights, (probability >= sure).to(real.dtype)),
    )
