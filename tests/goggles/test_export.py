"""The bundle is the network: same pixels, whole or absent."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from simgym.deploy import Goggles, goggles_contract
from simgym.goggles import export
from simgym.goggles.data import to_float, to_uint8
from simgym.goggles.export import ExportError, export_goggles
from simgym.goggles.networks import Generator, make_generator, make_painter
from tests.goggles.scenes import CAMERA, domains

CONTRACT = goggles_contract("ChairNav", CAMERA, 5.0, ("real", "sim"), "Apache-2.0", {"method": "rcan"})


def generator(name: str) -> Generator:
    """Far from its start: normalization with statistics of its own, contrast that uses the range."""
    torch.manual_seed(0)
    module = make_generator(name)
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(layer.weight)
        module.train()
        for _ in range(20):
            module(torch.rand(8, 3, 24, 32) * 2 - 1)
    return module


@pytest.mark.parametrize("name", ["unet", "deep", "mobile"])
def test_parity_on_frames(tmp_path, name: str) -> None:
    module, frames = generator(name), domains()["real"].rgb
    difference = export_goggles(module, CONTRACT, tmp_path / "goggles.onnx", frames)
    assert module.training, "it is left as it was"
    goggles = Goggles(tmp_path / "goggles.onnx")
    with torch.no_grad():
        expected = to_uint8(module.eval()(to_float(frames))).numpy()
    translated = goggles.translate(frames)
    assert np.abs(translated.astype(int) - expected).max() <= 1
    assert difference < 0.01 and translated.std() > 20  # not grey in grey: the comparison meant something
    assert goggles.contract == CONTRACT
    np.testing.assert_array_equal(goggles.translate(frames[:1])[0], translated[0])


def test_painters_decide_as_the_network_does(tmp_path) -> None:
    torch.manual_seed(0)
    colours, frames = torch.rand(5, 3), domains()["real"].rgb
    painter = make_painter("mobile", torch.ones(5), colours, torch.tensor([1.0, 2.0, 1.0, 1.0, 1.0]))
    nn.init.normal_(painter.trunk.head.weight, std=1.0)
    export_goggles(painter, CONTRACT, tmp_path / "goggles.onnx", frames)
    with torch.no_grad():
        expected = to_uint8(painter.eval()(to_float(frames))).numpy()
    translated = Goggles(tmp_path / "goggles.onnx").translate(frames)
    assert (np.abs(translated.astype(int) - expected) > 1).mean() < 1e-4
    assert len(np.unique(painter.with_scores(to_float(frames))[1].argmax(1))) > 1  # there was something to decide


def test_the_published_generator_can_be_exported(tmp_path) -> None:
    torch.manual_seed(0)
    export_goggles(make_generator("resnet9"), CONTRACT, tmp_path / "goggles.onnx", domains()["real"].rgb[:2])


def test_weights_that_are_not_finite_are_refused(tmp_path) -> None:
    module = generator("mobile")
    with torch.no_grad():
        next(module.parameters())[0] = float("nan")
    with pytest.raises(ExportError, match="not finite"):
        export_goggles(module, CONTRACT, tmp_path / "goggles.onnx", domains()["real"].rgb)
    with pytest.raises(ExportError, match="none were given"):
        export_goggles(generator("mobile"), CONTRACT, tmp_path / "goggles.onnx", domains()["real"].rgb[:0])
    assert not list(tmp_path.iterdir())


def test_a_graph_that_does_something_else_is_not_written(tmp_path, monkeypatch) -> None:
    real_to_onnx = export.to_onnx

    class Darker(nn.Module):
        def __init__(self, module: nn.Module) -> None:
            super().__init__()
            self.module = module

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return self.module(image) // 2

    monkeypatch.setattr(export, "to_onnx", lambda module, contract: real_to_onnx(Darker(module), contract))
    with pytest.raises(ExportError, match="differ from the network by up to"):
        export_goggles(generator("mobile"), CONTRACT, tmp_path / "goggles.onnx", domains()["real"].rgb)
    assert not list(tmp_path.iterdir())
