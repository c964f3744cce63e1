"""What each method is: which networks there are, and which loss terms are summed with which weights.

A method is its weights (`simgym.config.goggles.NetworkMethod`); nothing here asks for its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from simgym.config.goggles import CLASSES, NetworkMethod

from .losses import (
    cycle_loss,
    discriminator_loss,
    generator_loss,
    identity_loss,
    label_loss,
    paired_loss,
    semantic_loss,
    shift_loss,
    shift_pixels,
)
from .networks import Painter, make_discriminator, make_generator, make_painter

UNPAIRED = ("adversarial", "cycle", "identity", "semantic", "shift")
PAIRED = ("paired", "paired_labels")
TAUGHT = ("taught",)


@dataclass
class Lesson:
    """Pictures with what they should become."""

    images: torch.Tensor  # (B, 3, H, W), with flaws of cameras
    labels: torch.Tensor  # (B, H, W) int64
    weights: torch.Tensor  # (B, H, W) how much each pixel counts
    wanted: torch.Tensor | None = None  # (B, 3, H, W) in the canonical look


@dataclass
class Batch:
    """What one step learns from; a part that no term wants is None."""

    real: torch.Tensor | None = None  # (B, 3, H, W)
    sim: torch.Tensor | None = None  # (B, 3, H, W)
    sim_labels: torch.Tensor | None = None  # (B, H, W) int64
    paired: Lesson | None = None  # simulated, with their twins
    taught: Lesson | None = None  # real, see `simgym.goggles.teaching`
    shift: tuple[int, int] = (1, 1)  # dx, dy in pixels
    marks: torch.Tensor | None = None  # (B, H, W) int64, what is known of ``real``, see `simgym.goggles.marked`


def build_networks(method: NetworkMethod, generator: str, colours: torch.Tensor | None = None) -> nn.ModuleDict:
    """The networks that the method's terms need, by name; the segmentation network is not among them.

    Where a term teaches labels, the generator to simulation is a `Painter`; ``colours`` (C, 3) in 0..1 are what it
    begins with, or else grey.

    ``real_to_sim`` always; ``sim_to_real`` for the cycle; ``disc_sim`` and ``disc_real`` for the adversarial term of
    each generator there is.
    """
    forth: nn.Module = make_generator(generator)
    if method.labels_needed:
        grey = torch.full((len(CLASSES), 3), 0.5)
        forth = make_painter(generator, class_weights(method), grey if colours is None else colours, caution(method))
    networks: dict[str, nn.Module] = {"real_to_sim": forth}
    if method.cycle > 0:
        networks["sim_to_real"] = make_generator(generator)
    if method.adversarial > 0:
        networks |= {_judge(name): make_discriminator(method.discriminator) for name in list(networks)}
    return nn.ModuleDict(networks)


def active_weights(method: NetworkMethod, progress: float, segmentation_ready: bool) -> dict[str, float]:
    """The weights of the terms that count now; a term that does not is not there.

    Args:
        method: the method.
        progress: share of the steps that are done.
        segmentation_ready: whether the segmentation network is good enough to judge others.
    """
    weights = {name: getattr(method, name) for name in (*PAIRED, *UNPAIRED, *TAUGHT)}
    if method.pairs_needed and progress < method.unpaired_after:
        weights = {name: weights[name] for name in PAIRED}
    if not segmentation_ready:
        weights["semantic"] = 0.0
    return {name: weight for name, weight in weights.items() if weight > 0}


def class_weights(method: NetworkMethod) -> torch.Tensor:
    """(C,) what a pixel of each class weighs in the paired and taught terms."""
    return torch.tensor([method.importance if name in method.important else 1.0 for name in CLASSES])


def caution(method: NetworkMethod) -> torch.Tensor:
    """(C,) how much more probable a class must be than others to be painted: what is floor is where a robot drives."""
    return torch.tensor([method.caution if name == "floor" else 1.0 for name in CLASSES])


def generator_terms(
    networks: nn.ModuleDict,
    segmentation: nn.Module | None,
    batch: Batch,
    active: Mapping[str, float],
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """The unweighted loss terms of the generators, and the pictures behind them.

    All that a generator translates in its first pass goes through as one batch: that is faster, and its batch
    normalization sees the mixture whose statistics it keeps.

    Args:
        networks: see `build_networks`; discriminators do not learn here.
        segmentation: S, frozen.
        batch: what to learn from.
        active: see `active_weights`; the terms are these.

    Returns:
        Terms by name, and pictures by name: ``fake_sim``, ``fake_real``, ``rec_real``, ``rec_sim``.
    """
    inputs: dict[str, dict[str, torch.Tensor]] = {name: {} for name in networks if name in OTHER_WAY}
    for name in inputs:
        source, target = (batch.real, batch.sim) if name == "real_to_sim" else (batch.sim, batch.real)
        if active.keys() & set(UNPAIRED):
            assert source is not None and target is not None
            inputs[name]["fake"] = source
            if "shift" in active:
                inputs[name]["shifted"] = shift_pixels(source, *batch.shift)
            if "identity" in active:
                inputs[name]["identity"] = target
    lessons = {name: getattr(batch, name) for name, terms in LESSONS.items() if active.keys() & set(terms)}
    inputs["real_to_sim"] |= {name: lesson.images for name, lesson in lessons.items()}
    outputs: dict[str, dict[str, torch.Tensor]] = {}
    scores: dict[str, torch.Tensor] = {}
    for name, parts in inputs.items():
        if parts:
            labelled = name == "real_to_sim" and bool(active.keys() & {"paired_labels", "taught"})
            outputs[name], found = translate_parts(networks[name], parts, labelled)
            scores |= found
    terms, pictures = _unpaired_terms(networks, segmentation, batch, active, inputs, outputs)
    if "paired" in active:
        assert batch.paired is not None and batch.paired.wanted is not None
        translated = outputs["real_to_sim"]["paired"]
        terms["paired"] = paired_loss(translated, batch.paired.wanted, batch.paired.weights)
    for term, name in (("paired_labels", "paired"), ("taught", "taught")):
        if term in active:
            terms[term] = label_loss(scores[name], lessons[name].labels, lessons[name].weights)
    return terms, pictures


def discriminator_terms(
    networks: nn.ModuleDict, genuine: Mapping[str, torch.Tensor], fakes: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """The loss of each discriminator in ``genuine``, given its genuine pictures and (detached) translated ones."""
    terms = {}
    for name in genuine:
        scores, _ = translate_parts(networks[name], {"genuine": genuine[name], "fake": fakes[name]})
        terms[name] = discriminator_loss(scores["genuine"], scores["fake"])
    return terms


def translate_parts(
    network: nn.Module, parts: Mapping[str, torch.Tensor], labelled: bool = False
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Send several batches through a network as one; where ``labelled``, also the scores of its classes for each."""
    images, sizes = torch.cat(list(parts.values())), [len(part) for part in parts.values()]
    results: tuple[torch.Tensor, ...]
    if labelled:
        assert isinstance(network, Painter)
        results = network.with_scores(images)
    else:
        results = (network(images),)
    split = [dict(zip(parts, result.split(sizes), strict=True)) for result in results]
    return split[0], split[1] if labelled else {}


LESSONS = {"paired": PAIRED, "taught": TAUGHT}
OTHER_WAY = {"real_to_sim": "sim_to_real", "sim_to_real": "real_to_sim"}
FAKES = {"real_to_sim": "fake_sim", "sim_to_real": "fake_real"}
RECONSTRUCTED = {"real_to_sim": "rec_real", "sim_to_real": "rec_sim"}


def _judge(generator: str) -> str:
    """The discriminator of the domain that a generator translates into."""
    return "disc_sim" if generator == "real_to_sim" else "disc_real"


def _unpaired_terms(
    networks: nn.ModuleDict,
    segmentation: nn.Module | None,
    batch: Batch,
    active: Mapping[str, float],
    inputs: Mapping[str, Mapping[str, torch.Tensor]],
    outputs: Mapping[str, Mapping[str, torch.Tensor]],
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    terms: dict[str, list[torch.Tensor]] = {name: [] for name in UNPAIRED if name in active}
    pictures = {FAKES[name]: parts["fake"] for name, parts in outputs.items() if "fake" in parts}
    for name in (name for name in outputs if FAKES[name] in pictures):
        source, translated = inputs[name]["fake"], outputs[name]
        if "adversarial" in active:
            terms["adversarial"].append(generator_loss(networks[_judge(name)](translated["fake"])))
        if "cycle" in active:
            pictures[RECONSTRUCTED[name]] = networks[OTHER_WAY[name]](translated["fake"])
            terms["cycle"].append(cycle_loss(pictures[RECONSTRUCTED[name]], source))
        if "identity" in active:
            terms["identity"].append(identity_loss(translated["identity"], inputs[name]["identity"]))
        if "shift" in active:
            terms["shift"].append(shift_loss(translated["shifted"], translated["fake"], *batch.shift))
        if "semantic" in active:
            assert segmentation is not None
            labels = batch.sim_labels if name == "sim_to_real" else None
            if labels is None:
                with torch.no_grad():
                    labels = segmentation(source).argmax(1)  # (B, H, W)
            terms["semantic"].append(semantic_loss(segmentation(translated["fake"]), labels))
    return {name: torch.stack(values).sum() for name, values in terms.items()}, pictures
