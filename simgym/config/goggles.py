"""The methods of training goggles (`goggles/method=`) and their weights, each number with its source.

A method is a set of loss terms with weights (`simgym.goggles.losses`); a weight of zero means that the term, and the
networks that only it needs, do not exist. Pictures are scaled to [-1, 1].
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from simgym.envs.scene import Semantic

from .option import option

CLASSES = tuple(member.name.lower() for member in Semantic)  # by the number that a pixel of a segmentation holds

THINGS = ("chair", "table", "cabinet", "box", "bin", "plant", "clutter", "object")  # what stands about


@dataclass(frozen=True, kw_only=True)
class GogglesMethod:
    """Some method."""

    name: str = option("", "the method")


@dataclass(frozen=True, kw_only=True)
class ColorMethod(GogglesMethod):
    """Per-channel mean and standard deviation of the real frames set to those of the simulated ones; no network.

    Reinhard et al. 2001, "Color transfer between images", in Oklab (Ottosson 2020) instead of their l-alpha-beta, whose
    logarithm has no value at black.
    """

    name: str = option("color", "the method")
    space: str = option("oklab", "where the statistics are matched", choices=("oklab", "rgb"))


@dataclass(frozen=True, kw_only=True)
class NetworkMethod(GogglesMethod):
    """Weights of the loss terms, and how they are minimized. The defaults of terms are off."""

    name: str = option("rcan", "the method")
    adversarial: float = option(0.0, "weight of the least-squares GAN loss, one for each generator", low=0.0)
    cycle: float = option(0.0, "weight of the cycle loss, of both domains; without it there is no way back", low=0.0)
    identity: float = option(0.0, "weight of the identity loss, of each generator", low=0.0)
    semantic: float = option(0.0, "weight of the semantic loss of unpaired frames", low=0.0)
    shift: float = option(0.0, "weight of the shift loss, of each generator", low=0.0)
    paired: float = option(0.0, "weight of the distance to the canonical twin", low=0.0)
    paired_labels: float = option(0.0, "weight of the cross-entropy of the labels that G gives pairs", low=0.0)
    taught: float = option(
        0.0, "weight of the cross-entropy of the labels that G gives real frames, to its moving average's", low=0.0
    )
    sure: float = option(0.7, "probability of a label from which on the average is believed", low=0.0, high=1.0)
    important: tuple[str, ...] = option(
        THINGS, "classes that weigh more in what pairs teach: few pixels are theirs", choices=CLASSES
    )
    importance: float = option(4.0, "how much more", low=1.0)
    caution: float = option(
        3.0,
        "how much worse it is to take something for floor than floor for something, where labels are taught",
        low=1.0,
    )
    semantic_accuracy: float = option(
        0.85,
        "share of held-out pixels that the segmentation network must get right, or its terms stay out",
        low=0.0,
        high=1.0,
    )
    unpaired_after: float = option(
        0.0, "share of the steps on pairs alone, before all other terms start", low=0.0, high=0.95
    )
    augmentation: float = option(
        0.0, "flaws of cameras on what pairs and taught terms see; 0 is none, 1 the most", low=0.0, high=1.0
    )
    discriminator: str = option(
        "small", "PatchGAN that sees patches of 70 pixels (basic) or of 34 (small)", choices=("basic", "small")
    )
    pool: int = option(50, "translated frames that the discriminators remember", low=0)
    learning_rate: float = option(2e-4, "step size of Adam; constant, then falls linearly to 0", low=0.0)
    beta1: float = option(0.5, "Adam's memory of gradients", low=0.0, high=0.999)
    decay_from: float = option(0.5, "share of the steps after which it falls", low=0.0, high=1.0)
    ema: float = option(0.998, "memory of the moving average of weights; 0 is none", low=0.0, high=0.99999)

    @property
    def pairs_needed(self) -> bool:
        """Whether a term wants frames with a canonical twin."""
        return self.taught_needed or max(self.paired, self.paired_labels) > 0

    @property
    def taught_needed(self) -> bool:
        """Whether a term learns from real frames without a discriminator."""
        return self.taught > 0

    @property
    def real_needed(self) -> bool:
        """Whether a term wants frames of the real domain."""
        return self.taught_needed or self.unpaired_needed

    @property
    def unpaired_needed(self) -> bool:
        """Whether a term wants frames of both domains that need not belong together."""
        return max(self.adversarial, self.cycle, self.identity, self.semantic, self.shift) > 0

    @property
    def segmentation_needed(self) -> bool:
        """Whether a term wants the segmentation network."""
        return self.semantic > 0

    @property
    def labels_needed(self) -> bool:
        """Whether a term wants the generator to label what it translates."""
        return max(self.paired_labels, self.taught) > 0


# CycleGAN (Zhu et al. 2017), defaults of the authors' code: cycle 10, identity 0.5 of that, pool 50, Adam 2e-4 with
# beta1 0.5, 70x70 PatchGAN. A moving average of weights is ours, here and below.
CYCLEGAN = NetworkMethod(name="cyclegan", adversarial=1.0, cycle=10.0, identity=5.0, discriminator="basic")
# CyCADA (Hoffman et al. 2018): semantic weight 1 in the authors' code. Their gate is a classifier loss below 1.
CYCADA = replace(CYCLEGAN, name="cycada", semantic=1.0)
# VR-Goggles (Zhang et al. 2019): shift weight 1000 for CARLA, 100 for videos; of what norm and reduction is not
# published. Ours is a mean of squares: 1000 blurs all, 60 halves the flicker (docs/goggles.md, "Small budgets").
VR_GOGGLES = replace(CYCADA, name="vr_goggles", shift=60.0)
# RCAN (James et al. 2019) does not publish weights. These are of our trials; so are learning rate and augmentation.
RCAN = NetworkMethod(
    name="rcan", paired=1.0, paired_labels=1.0, augmentation=0.6, learning_rate=2e-3, beta1=0.9, decay_from=0.3
)
# Ours: pairs teach what things are, then real frames are taught by the moving average (Tarvainen and Valpola 2017).
HYBRID = replace(RCAN, name="hybrid", taught=0.5, unpaired_after=0.6)
METHODS: dict[str, Any] = {
    method.name: method for method in (ColorMethod(), CYCLEGAN, CYCADA, VR_GOGGLES, RCAN, HYBRID)
}
