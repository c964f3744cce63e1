"""Bundles of a few nodes, written by hand: `simgym.deploy` is tested without torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import onnx.parser
import pytest

from simgym.deploy import Camera, Contract, TensorSpec, policy_contract

CAMERA = Camera.from_fov(8, 6, 1.2)

# Speed is the mean of the newest frame over 255, the turn that of the oldest, plus the measured velocity.
POLICY_GRAPH = """
<ir_version: 10, opset_import: ["" : 18]>
policy (uint8[N, 3, 6, 8, 3] image, float[N, 2] velocity) => (float[N, 2] command)
<int64[2] order = {2, 0}, int64[3] axes = {2, 3, 4}, float full = {255}>
{
    pixels = Cast<to = 1>(image)
    sums = ReduceMean<keepdims = 0>(pixels, axes)
    means = Div(sums, full)
    chosen = Gather<axis = 1>(means, order)
    command = Add(chosen, velocity)
}
"""
# Goggles that show the negative.
GOGGLES_GRAPH = """
<ir_version: 10, opset_import: ["" : 18]>
goggles (uint8[N, 6, 8, 3] image) => (uint8[N, 6, 8, 3] translated)
<uint8 full = {255}> { translated = Sub(full, image) }
"""


def write(path: Path, graph: str, metadata: dict[str, str]) -> Path:
    """Write the graph and the metadata, whatever they are."""
    model = onnx.parser.parse_model(graph)
    onnx.helper.set_model_props(model, metadata)
    onnx.save(model, path)
    return path


@pytest.fixture
def contract() -> Contract:
    """The contract of `policy_path`."""
    return policy_contract(
        task="ChairNav",
        camera=CAMERA,
        frame_stack=3,
        command_low=(0.0, -1.5),
        command_high=(0.6, 1.5),
        rate_hz=10.0,
        domains=("sim",),
        licence="Apache-2.0",
        training={"steps": 1000, "seed": 3, "success_rate": 0.9, "success_ci95": [0.8, 0.95], "episodes": 100},
    )


@pytest.fixture
def goggles_contract() -> Contract:
    """The contract of `goggles_path`."""
    shape = ("N", 6, 8, 3)
    return Contract(
        kind="goggles",
        task=None,
        camera=CAMERA,
        frame_stack=1,
        inputs=(TensorSpec("image", shape, "uint8", "sRGB", (0,), (255,)),),
        outputs=(TensorSpec("translated", shape, "uint8", "sRGB", (0,), (255,)),),
        rate_hz=10.0,
        domains=("standin", "sim"),
        licence="Apache-2.0",
    )


@pytest.fixture
def make_bundle(tmp_path: Path) -> Callable[..., Path]:
    """Writes a bundle: ``make_bundle(graph=, **metadata)``."""

    def make(graph: str = POLICY_GRAPH, **metadata: str) -> Path:
        return write(tmp_path / "bundle.onnx", graph, metadata)

    return make


@pytest.fixture
def policy_path(tmp_path: Path, contract: Contract) -> Path:
    """A policy bundle that keeps its contract."""
    return write(tmp_path / "policy.onnx", POLICY_GRAPH, {"simgym": contract.to_json()})


@pytest.fixture
def goggles_path(tmp_path: Path, goggles_contract: Contract) -> Path:
    """A goggles bundle that keeps its contract."""
    return write(tmp_path / "goggles.onnx", GOGGLES_GRAPH, {"simgym": goggles_contract.to_json()})
