"""A bundle's network can learn on: it does what the bundle does, and normalizes what it now sees."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch

from simgym.config.goggles import CLASSES, HYBRID
from simgym.deploy import Goggles
from simgym.envs.config import DOMAINS
from simgym.envs.simulation import Simulation
from simgym.envs.tasks.chair_nav.config import ChairNavConfig
from simgym.errors import BundleError
from simgym.goggles.data import to_float, to_uint8
from simgym.goggles.export import export_goggles
from simgym.goggles.methods import caution, class_weights
from simgym.goggles.networks import Generator, make_generator, make_painter
from simgym.goggles.quantization import FAR_OFF, quantize_goggles
from simgym.goggles.reopen import reopen
from simgym.shipped import PRETRAINED, bundle_path
from tests.goggles.scenes import domains
from tests.goggles.test_export import CONTRACT, generator

SHIPPED = bundle_path(PRETRAINED, "goggles", "ChairNav")
GREY_LEVEL = 1 / 127.5
FRAMES = domains()["real"].rgb
IMAGES = to_float(FRAMES)


@pytest.fixture(scope="module")
def stand_in() -> np.ndarray:
    seeds = np.arange(8)
    with closing(Simulation(ChairNavConfig(), DOMAINS["standin"], len(seeds), "train")) as simulation:
        simulation.reset(seeds, seeds)
        return simulation.observe().image.copy()


def differences(network: Generator, bundle: Path, frames: np.ndarray = FRAMES) -> np.ndarray:
    with torch.no_grad():
        painted = to_uint8(network(to_float(frames))).numpy()
    return np.abs(painted.astype(int) - Goggles(bundle).translate(frames))


@pytest.mark.parametrize("name", ["unet", "deep", "mobile", "resnet9"])
def test_it_does_what_the_bundle_does_and_goes_on_so_in_training(name: str, tmp_path: Path) -> None:
    bundle, images = tmp_path / "goggles.onnx", IMAGES[:8]
    torch.manual_seed(0)
    export_goggles(generator(name) if name != "resnet9" else make_generator(name), CONTRACT, bundle, FRAMES[:4])
    network = make_generator(name)
    reopen(bundle, network, images)
    assert differences(network, bundle, FRAMES[:8]).max() <= 1
    with torch.no_grad():
        torch.testing.assert_close(network.train()(images), network.eval()(images), rtol=0, atol=GREY_LEVEL)


def test_a_deeper_network_goes_on_from_a_bundle(tmp_path: Path) -> None:
    bundle, images = tmp_path / "goggles.onnx", IMAGES[:8]
    export_goggles(generator("unet"), CONTRACT, bundle, FRAMES[:4])
    torch.manual_seed(1)
    network = make_generator("deep")
    reopen(bundle, network, images)
    assert differences(network, bundle, FRAMES[:8]).max() <= 1
    with torch.no_grad():
        torch.testing.assert_close(network.train()(images), network.eval()(images), rtol=0, atol=GREY_LEVEL)


def test_eight_bits_become_floats(tmp_path: Path) -> None:
    bundle = tmp_path / "goggles.onnx"
    export_goggles(generator("unet"), CONTRACT, bundle, FRAMES)
    quantize_goggles(bundle, bundle, FRAMES)
    network = make_generator("unet")
    reopen(bundle, network, IMAGES)
    assert differences(network, bundle).mean() < 3  # of the rounded activations
    assert Goggles(bundle).translate(FRAMES).std() > 20


def test_the_shipped_ones_paint_the_same(stand_in: np.ndarray) -> None:
    painter = make_painter("deep", class_weights(HYBRID), torch.zeros(len(CLASSES), 3), caution(HYBRID))
    reopen(SHIPPED, painter, to_float(stand_in))
    assert (differences(painter, SHIPPED, stand_in) > FAR_OFF).mean() < 0.03  # where two classes are as probable
    assert Goggles(SHIPPED).translate(stand_in).std() > 10


@pytest.mark.parametrize(("made_by", "name"), [("unet", "mobile"), ("unet", "resnet9"), ("deep", "unet")])
def test_other_networks_are_refused(made_by: str, name: str, tmp_path: Path) -> None:
    bundle = tmp_path / "goggles.onnx"
    export_goggles(generator(made_by), CONTRACT, bundle, FRAMES)
    with pytest.raises(BundleError, match="exported from another generator"):
        reopen(bundle, make_generator(name), IMAGES)


def test_policies_are_refused() -> None:
    with pytest.raises(BundleError, match="a policy bundle, but a goggles bundle is needed"):
        reopen(bundle_path(PRETRAINED, "policy", "ChairNav"), make_generator("unet"), IMAGES)
