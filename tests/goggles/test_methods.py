"""A method is its weights: networks and terms exist where a weight asks for them, and only there."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from simgym.config.goggles import CLASSES, CYCLEGAN, HYBRID, METHODS, RCAN, VR_GOGGLES, NetworkMethod
from simgym.goggles.methods import (
    PAIRED,
    Batch,
    Lesson,
    active_weights,
    build_networks,
    class_weights,
    discriminator_terms,
    generator_terms,
)
from tests.goggles.scenes import CHAIR

TERMS = {
    "cyclegan": {"adversarial", "cycle", "identity"},
    "cycada": {"adversarial", "cycle", "identity", "semantic"},
    "vr_goggles": {"adversarial", "cycle", "identity", "semantic", "shift"},
    "rcan": {"paired", "paired_labels"},
    "hybrid": {"paired", "paired_labels", "taught"},
}


def batch(seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    pictures = [torch.rand(2, 3, 24, 32, generator=generator) * 2 - 1 for _ in range(4)]
    labels = torch.randint(len(CLASSES), (2, 24, 32), generator=generator)
    paired = Lesson(pictures[2], labels, torch.ones(labels.shape), pictures[3])
    taught = Lesson(pictures[0], labels, torch.ones(labels.shape))
    return Batch(pictures[0], pictures[1], labels, paired, taught, (1, 2))


@pytest.mark.parametrize("name", TERMS)
def test_presets_are_the_sums_that_they_are_said_to_be(name: str) -> None:
    assert set(active_weights(METHODS[name], 1.0, True)) == TERMS[name]
    wanted = {"real_to_sim"} if "cycle" not in TERMS[name] else {"real_to_sim", "sim_to_real", "disc_sim", "disc_real"}
    assert set(build_networks(METHODS[name], "mobile")) == wanted


def test_the_weights_of_vr_goggles() -> None:
    assert active_weights(VR_GOGGLES, 0.0, True) == {
        "adversarial": 1.0,
        "cycle": 10.0,
        "identity": 5.0,
        "semantic": 1.0,
        "shift": 60.0,
    }


def test_a_network_that_no_term_needs_does_not_exist() -> None:
    assert set(build_networks(replace(CYCLEGAN, cycle=0.0), "mobile")) == {"real_to_sim", "disc_sim"}
    assert set(build_networks(replace(CYCLEGAN, adversarial=0.0), "mobile")) == {"real_to_sim", "sim_to_real"}
    assert set(build_networks(replace(RCAN, shift=1.0), "mobile")) == {"real_to_sim"}


def test_semantic_terms_wait_for_a_good_segmentation_network() -> None:
    assert set(active_weights(VR_GOGGLES, 0.5, False)) == TERMS["vr_goggles"] - {"semantic"}
    assert set(active_weights(RCAN, 0.5, False)) == TERMS["rcan"], "its labels are true"


def test_unpaired_terms_may_come_later_where_there_are_pairs() -> None:
    assert set(active_weights(HYBRID, 0.59, True)) == set(PAIRED)
    assert set(active_weights(HYBRID, 0.6, True)) == TERMS["hybrid"]
    assert set(active_weights(replace(CYCLEGAN, unpaired_after=0.9), 0.0, True)) == TERMS["cyclegan"]


def test_important_classes_weigh_more() -> None:
    weights = class_weights(replace(RCAN, important=("chair",), importance=3.0))
    assert weights[CHAIR] == 3 and weights.sum() == len(CLASSES) + 2


def test_the_identity_costs_nothing_where_nothing_should_change() -> None:
    networks = nn.ModuleDict({"real_to_sim": nn.Identity(), "sim_to_real": nn.Identity()})
    drawn = batch()
    assert drawn.paired is not None
    drawn.paired.wanted = drawn.paired.images
    active = {"cycle": 1.0, "identity": 1.0, "shift": 1.0, "paired": 1.0}
    terms, pictures = generator_terms(networks, None, drawn, active)
    assert {name: term.item() for name, term in terms.items()} == dict.fromkeys(active, 0.0)
    assert drawn.real is not None
    assert torch.equal(pictures["fake_sim"], drawn.real) and torch.equal(pictures["rec_real"], drawn.real)


@pytest.mark.parametrize("name", TERMS)
def test_the_terms_are_those_with_a_weight_and_all_of_them_teach(name: str) -> None:
    method: NetworkMethod = METHODS[name]
    networks = build_networks(method, "mobile")
    active = active_weights(method, 1.0, True)
    segmentation = nn.Conv2d(3, len(CLASSES), 1)
    terms, _ = generator_terms(networks, segmentation, batch(), active)
    assert set(terms) == set(active)
    for term in terms.values():
        weight = next(p for name, p in networks["real_to_sim"].named_parameters() if name.startswith("trunk."))
        (gradient,) = torch.autograd.grad(term, weight, retain_graph=True)
        assert gradient.abs().max() > 0


def test_semantic_loss_takes_true_labels_of_simulated_frames() -> None:
    networks = nn.ModuleDict({"real_to_sim": nn.Identity(), "sim_to_real": nn.Identity()})
    segmentation = nn.Conv2d(3, len(CLASSES), 1)
    drawn, other = batch(), batch()
    assert other.sim_labels is not None
    other.sim_labels = (other.sim_labels + 1) % len(CLASSES)
    losses = [
        generator_terms(networks, segmentation, given, {"semantic": 1.0})[0]["semantic"] for given in (drawn, other)
    ]
    assert losses[0] != losses[1]


def test_a_discriminator_step_gives_generators_no_gradient() -> None:
    networks = build_networks(CYCLEGAN, "mobile")
    drawn = batch()
    assert drawn.sim is not None and drawn.real is not None
    _, pictures = generator_terms(networks, None, drawn, active_weights(CYCLEGAN, 0, True))
    fakes = {"disc_sim": pictures["fake_sim"].detach(), "disc_real": pictures["fake_real"].detach()}
    terms = discriminator_terms(networks, {"disc_sim": drawn.sim, "disc_real": drawn.real}, fakes)
    torch.stack(list(terms.values())).sum().backward()
    assert all(parameter.grad is None for parameter in networks["real_to_sim"].parameters())
    assert all(parameter.grad is not None for parameter in networks["disc_sim"].parameters())
