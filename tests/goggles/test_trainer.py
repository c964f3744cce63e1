"""The trainer learns, goes on exactly, stops where the loss explodes, and shares its work."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric

from simgym.checkpoint import CHECKPOINTS, latest_checkpoint
from simgym.config.goggles import CLASSES
from simgym.errors import UserError
from simgym.goggles.data import to_float
from simgym.goggles.methods import class_weights
from simgym.goggles.parallel import make_fabric
from simgym.goggles.trainer import DivergenceError, Trainer
from simgym.interrupts import Interrupted
from tests.goggles.scenes import domains
from tests.goggles.workers import gradients_apart, make_trainer, train_together


@pytest.fixture
def fabric() -> Fabric:
    return make_fabric("cpu", 1, "32-true")


def state(trainer: Trainer) -> dict[str, torch.Tensor]:
    """Everything that has been learned."""
    parts = {"networks": trainer.networks.state_dict(), "average": trainer.average.state_dict()}
    parts |= {name: {"images": pool.images} for name, pool in trainer.pools.items() if pool.images is not None}
    for name, optimizer in trainer.optimizers.items():
        parts[name] = {
            f"{i}.{key}": value for i, item in optimizer.state_dict()["state"].items() for key, value in item.items()
        }
    return {f"{part}/{name}": value for part, values in parts.items() for name, value in values.items()}


def assert_same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert set(first) == set(second)
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_it_learns_the_canonical_look_from_pairs(tmp_path: Path, fabric: Fabric) -> None:
    trainer = make_trainer(fabric, tmp_path, steps=60, augmentation=0.0, learning_rate=5e-3, ema=0.8)
    pairs = domains()["pairs"]
    assert pairs.canonical is not None
    seen, wanted = to_float(pairs.rgb), to_float(pairs.canonical)

    def distance() -> float:
        with torch.no_grad():
            return float((trainer.translator(seen) - wanted).abs().mean())

    before = distance()
    trainer.train()
    assert distance() < 0.5 * before


@pytest.mark.parametrize("method", ["rcan", "vr_goggles", "hybrid"])
def test_a_resumed_training_is_the_uninterrupted_one_bit_for_bit(tmp_path: Path, fabric: Fabric, method: str) -> None:
    whole = make_trainer(fabric, tmp_path / "whole", method)
    whole.train()
    first = make_trainer(fabric, tmp_path / "parts", method)
    for _ in range(4):
        first.take_step()
    first.save()
    second = make_trainer(fabric, tmp_path / "parts", method)
    checkpoint = latest_checkpoint(tmp_path / "parts")
    assert checkpoint is not None
    second.restore(checkpoint)
    assert second.step == 4
    assert_same(state(first), state(second))
    second.train()
    assert_same(state(whole), state(second))
    assert not torch.equal(state(whole)["average/n_averaged"], state(first)["average/n_averaged"])


def test_seeds_matter(tmp_path: Path, fabric: Fabric) -> None:
    trainers = [make_trainer(fabric, tmp_path, seed=seed) for seed in (1, 1, 2)]
    for trainer in trainers:
        trainer.take_step()
    first, again, other = (state(trainer) for trainer in trainers)
    assert_same(first, again)
    assert any(not torch.equal(value, other[name]) for name, value in first.items())


def test_checkpoints_hold_no_pickled_code(tmp_path: Path, fabric: Fabric) -> None:
    make_trainer(fabric, tmp_path, "cyclegan").train()
    files = sorted((tmp_path / CHECKPOINTS).iterdir())
    assert [file.name for file in files] == [f"step_{step:010d}.pt" for step in (2, 4, 6)]
    loaded = torch.load(files[-1], weights_only=True)
    assert (loaded["step"], loaded["generator"], loaded["method"]["name"]) == (6, "mobile", "cyclegan")


def test_a_loss_that_is_no_number_stops_it_and_keeps_the_last_good_checkpoint(tmp_path: Path, fabric: Fabric) -> None:
    trainer = make_trainer(fabric, tmp_path, steps=40)
    for _ in range(4):
        trainer.take_step()
    good = trainer.save()
    with torch.no_grad():
        next(trainer.networks["real_to_sim"].parameters())[0] = float("nan")
    with pytest.raises(DivergenceError, match=f"the loss is nan after 6 steps; the last good checkpoint is {good}"):
        trainer.train()
    assert good is not None
    assert all(value.isfinite().all() for value in torch.load(good, weights_only=True)["networks"].values())
    assert list((tmp_path / CHECKPOINTS).iterdir()) == [good]


def test_a_loss_that_explodes_stops_it(tmp_path: Path, fabric: Fabric) -> None:
    trainer = make_trainer(fabric, tmp_path, "cyclegan", steps=60, learning_rate=1e4, identity=1e4)
    for optimizer in trainer.optimizers.values():
        assert optimizer.param_groups[0]["lr"] == 1e4
    trainer._level = 1e-3  # as after long training
    trainer._terms = set(trainer.active)
    with pytest.raises(DivergenceError, match="there was no checkpoint yet; lower goggles.method.learning_rate=10000"):
        trainer.train()


def test_an_interrupted_training_is_saved(tmp_path: Path, fabric: Fabric) -> None:
    trainer = make_trainer(fabric, tmp_path, steps=20)
    trainer.interrupted.set()
    with pytest.raises(Interrupted, match="stopped after 2 of 20 steps"):
        trainer.train()
    assert latest_checkpoint(tmp_path) == tmp_path / CHECKPOINTS / "step_0000000002.pt"


@pytest.mark.parametrize("content", [b"", b"no checkpoint"])
def test_a_broken_checkpoint_is_named(tmp_path: Path, fabric: Fabric, content: bytes) -> None:
    trainer = make_trainer(fabric, tmp_path)
    path = tmp_path / "step_1.pt"
    path.write_bytes(content)
    with pytest.raises(UserError, match="step_1.pt cannot be read"):
        trainer.restore(path)


def test_a_checkpoint_of_another_method_does_not_fit(tmp_path: Path, fabric: Fabric) -> None:
    trainer = make_trainer(fabric, tmp_path)
    path = trainer.save()
    assert path is not None
    with pytest.raises(UserError, match="does not fit this training"):
        make_trainer(fabric, tmp_path, "cyclegan").restore(path)


def test_nothing_to_learn_is_said(tmp_path: Path, fabric: Fabric) -> None:
    with pytest.raises(UserError, match="the segmentation network is not good enough"):
        make_trainer(fabric, tmp_path, "cycada", adversarial=0.0, cycle=0.0, identity=0.0)


def test_real_frames_teach_a_class_with_the_weight_that_it_has_in_pairs(tmp_path: Path, fabric: Fabric) -> None:
    """Or the bias that weights put into the scores would be taken out where it never was, for the light classes."""
    trainer = make_trainer(fabric, tmp_path, "hybrid", unpaired_after=0.0, sure=0.0, important=CLASSES)
    batch = trainer._lessons(trainer.sampler.batch(0, trainer.active), trainer.active)
    for lesson in (batch.paired, batch.taught):
        assert lesson is not None
        assert torch.equal(lesson.weights, class_weights(trainer.method)[lesson.labels])


def test_the_learning_rate_falls_to_zero(tmp_path: Path, fabric: Fabric) -> None:
    trainer = make_trainer(fabric, tmp_path, "rcan", steps=10, learning_rate=1.0, decay_from=0.5)
    rates = []
    for trainer.step in range(11):
        rates.append(trainer._learning_rate())
    assert rates == pytest.approx([1.0] * 6 + [0.8, 0.6, 0.4, 0.2, 0.0])


def test_without_memory_the_average_is_the_network(tmp_path: Path, fabric: Fabric) -> None:
    trainer = make_trainer(fabric, tmp_path, ema=0.0)
    for _ in range(3):
        trainer.take_step()
    learned = trainer.networks["real_to_sim"].state_dict()
    assert all(torch.equal(value, learned[name]) for name, value in trainer.translator.state_dict().items())


@pytest.mark.slow
def test_two_processes_learn_the_same_weights_from_different_frames(tmp_path: Path) -> None:
    found = make_fabric("cpu", 2, "32-true").launch(partial(train_together, out=tmp_path))
    assert found["processes"] == 2 and found["draws_apart"] > 0.1
    assert found["weights_apart"] == 0.0
    checkpoint = torch.load(tmp_path / CHECKPOINTS / "step_0000000006.pt", weights_only=True)
    assert checkpoint["pools"]["disc_sim"].shape[:2] == (2, 5)


@pytest.mark.slow
def test_averaged_gradients_are_those_of_the_whole_batch() -> None:
    assert make_fabric("cpu", 2, "32-true").launch(gradients_apart) < 1e-6


def test_a_training_may_begin_with_another_ones_generator(tmp_path: Path, fabric: Fabric) -> None:
    first = make_trainer(fabric, tmp_path / "first", "rcan", steps=2)
    first.train()
    checkpoint = latest_checkpoint(tmp_path / "first")
    assert checkpoint is not None
    second = make_trainer(fabric, tmp_path / "second", "hybrid", steps=2)
    second.begin_with(checkpoint)
    learned = first.translator.state_dict()
    for network in (second.translator, second.networks["real_to_sim"]):
        assert all(torch.equal(value, learned[name]) for name, value in network.state_dict().items())
    other = make_trainer(fabric, tmp_path / "other", "hybrid", steps=2, importance=5.0)
    other.begin_with(checkpoint)
    bias = other.translator.get_buffer("bias").flatten()
    torch.testing.assert_close(bias.exp(), class_weights(other.method))  # its own, not the other training's
    with pytest.raises(UserError, match="does not fit generator=.* of goggles/method=cyclegan"):
        make_trainer(fabric, tmp_path / "third", "cyclegan", steps=2).begin_with(checkpoint)


@torch.no_grad()
def test_a_deeper_generator_begins_as_the_one_that_it_grows_from(tmp_path: Path, fabric: Fabric) -> None:
    first = make_trainer(fabric, tmp_path / "first", generator="unet", steps=2)
    with torch.enable_grad():
        first.train()
    checkpoint = latest_checkpoint(tmp_path / "first")
    assert checkpoint is not None
    second = make_trainer(fabric, tmp_path / "second", generator="deep", steps=2)
    second.begin_with(checkpoint)
    images = to_float(domains()["real"].rgb)
    painted = first.translator(images)
    for network in (second.translator, second.networks["real_to_sim"].eval()):
        torch.testing.assert_close(network(images), painted, rtol=0, atol=0)
    with torch.enable_grad():
        second.train()
    assert not torch.equal(second.translator(images), painted)
