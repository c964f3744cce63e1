"""Puts the weights of a bundle back into a network that can learn: shipped goggles become those of another place.

A bundle has less than the network that it was exported from: normalizations are folded into convolutions, and these
may have 8 bits. So convolutions are read as floats, and every batch normalization gets the statistics of what comes to
it with just the scale and offset that undo them. The network then does what the bundle does, and learns as any other,
also if it is a larger one: its additional blocks begin as nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn

from simgym.checkpoint import checkpoint_to_start_from, read_checkpoint
from simgym.deploy.bundle import load_bundle
from simgym.errors import BundleError, UserError
from simgym.shipped import PRETRAINED, bundle_path

from .networks import GENERATORS, Generator, Painter, added_blocks, begin_as_nothing

BUNDLE_SUFFIX = ".onnx"
PREFIX, SUFFIX = "translator.", ".weight"  # around a layer's name in the graph of `DeployedGoggles`
QUANTIZED = "_quantized"  # as ONNX Runtime ends the names of what it has rounded


class Convolution(NamedTuple):
    """What a layer multiplies by and adds."""

    weight: torch.Tensor
    bias: torch.Tensor | None


def starting_point(start: str, task: str, generator: str) -> Path:
    """The file that ``start=`` means: goggles, or the newest checkpoint of a run.

    Raises:
        UserError: there is none, or these are goggles of a generator that this one does not grow from.
    """
    if start != PRETRAINED and Path(start).suffix != BUNDLE_SUFFIX:
        path = checkpoint_to_start_from(start, "goggles")
        made_by = read_checkpoint(path, torch.device("cpu")).get("generator")
    else:
        path = bundle_path(start, "goggles", task)
        made_by = load_bundle(path, "goggles")[1].training.get("generator")
    if made_by not in GENERATORS:
        raise UserError(f"start={start}: expected goggles of one of the generators {', '.join(GENERATORS)}")
    if not GENERATORS[generator].grows_from(GENERATORS[made_by]):
        raise UserError(
            f"start={start}: these goggles have generator={made_by}, not {generator}: give generator={made_by}"
        )
    return path


def reopen(path: str | Path, network: Generator, images: torch.Tensor) -> None:
    """Make ``network`` do what the goggles at ``path`` do.

    Args:
        path: the ``.onnx`` file.
        network: fresh, of the kind that was exported, or with more residual blocks; in evaluation mode afterwards.
        images: (B, 3, H, W) in [-1, 1], such as it will learn from: normalizations get their statistics.

    Raises:
        BundleError: it is no goggles bundle, or of another network.
    """
    load_bundle(path, "goggles")
    graph = onnx.load(path).graph
    try:
        values = _values(graph)
        folded = _convolutions(graph, values)
        colours = _colours(graph, values) if isinstance(network, Painter) else None
    except (KeyError, ValueError) as error:
        raise BundleError(f"{path} was not exported by simgym: its weights cannot be found ({error})") from error
    layers = {name: m for name, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)}
    added = added_blocks(network, folded)
    new = tuple(f"{name}." for name in added)
    shapes = {name: layer.weight.shape for name, layer in layers.items() if not name.startswith(new)}
    if shapes != {name: layer.weight.shape for name, layer in folded.items()}:
        raise BundleError(f"{path} was exported from another generator, or another kind of goggles/method")
    begin_as_nothing(added.values())
    with torch.no_grad():
        for name, (weight, bias) in folded.items():
            layers[name].weight.copy_(weight)
            if bias is not None:
                offset = _offset(network, name)
                assert offset is not None
                offset.copy_(bias)
        if isinstance(network, Painter) and colours is not None:
            network.colours.copy_(colours)
        _settle(network.eval(), images)


def _values(graph: onnx.GraphProto) -> dict[str, np.ndarray]:
    """The constants of a graph by name, those of 8 bits also as the floats that they stand for."""
    values = {entry.name: numpy_helper.to_array(entry) for entry in graph.initializer}
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in values:
            rounded, scale, zero = (values[name].astype(np.float32) for name in node.input)
            along = (-1, *[1] * (rounded.ndim - 1)) if scale.size > 1 else ()
            values[node.output[0]] = (rounded - zero.reshape(along)) * scale.reshape(along)
    return values


def _convolutions(graph: onnx.GraphProto, values: Mapping[str, np.ndarray]) -> dict[str, Convolution]:
    """The convolutions by the names of the network's layers."""
    rounded = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    found = {}
    for node in graph.node:
        if node.op_type in ("Conv", "ConvTranspose"):
            name = rounded.get(node.input[1], node.input[1]).removesuffix(QUANTIZED)
            constants = [torch.tensor(values[constant]) for constant in node.input[1:]]
            layer = name.removeprefix(PREFIX).removesuffix(SUFFIX)
            found[layer] = Convolution(constants[0], constants[1] if len(constants) > 1 else None)
    return found


def _colours(graph: onnx.GraphProto, values: Mapping[str, np.ndarray]) -> torch.Tensor:
    """(C, 3) colours of the classes that a painter picks from."""
    (palette,) = (values[node.input[0]] for node in graph.node if node.op_type.startswith("Gather"))
    return torch.tensor(palette)


def _offset(network: nn.Module, name: str) -> torch.Tensor | None:
    """What is added to the result of a layer: by itself, by the batch normalization behind it, or by nothing (None)."""
    layer = network.get_submodule(name)
    if isinstance(layer.bias, torch.Tensor):
        return layer.bias
    parent, _, number = name.rpartition(".")
    row = network.get_submodule(parent)
    assert isinstance(row, nn.Sequential)  # as all layers without a bias stand in one
    following = row[int(number) + 1]
    return following.bias if isinstance(following, nn.BatchNorm2d) else None


def _settle(network: nn.Module, images: torch.Tensor) -> None:
    """Give the batch normalizations the statistics of what comes to them, and let them only add their biases.

    Those with a scale of zero end blocks that are nothing yet, and stay so.
    """

    def adopt(norm: nn.BatchNorm2d, inputs: tuple[torch.Tensor, ...]) -> None:
        variance, mean = torch.var_mean(inputs[0], (0, 2, 3), correction=0)  # (C,)
        assert norm.running_mean is not None and norm.running_var is not None  # they are unless one asks for none
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        heard = norm.weight != 0
        norm.weight.copy_(heard * (variance + norm.eps).sqrt())
        norm.bias.add_(heard * mean)

    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    hooks = [norm.register_forward_pre_hook(adopt) for norm in norms]
    network(images)
    for hook in hooks:
        hook.remove()
