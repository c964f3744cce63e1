"""Turns a torch module and its contract into a bundle: what the exports of policies and of goggles share."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import onnx
import torch
from torch import nn

from .deploy.bundle import METADATA_KEY, Contract

OPSET = 18  # every onnxruntime that the base install allows can run it


def to_onnx(module: nn.Module, contract: Contract) -> onnx.ModelProto:
    """Translate a module whose arguments and result are those of the contract, with a free batch size N."""
    shapes = [[size if isinstance(size, int) else 2 for size in spec.shape] for spec in contract.inputs]  # N = 2
    dtypes = [getattr(torch, spec.dtype) for spec in contract.inputs]
    example = tuple(torch.zeros(shape, dtype=dtype) for shape, dtype in zip(shapes, dtypes, strict=True))
    batch = torch.export.Dim("N")
    exporter_log = logging.getLogger("torch.onnx")
    level = exporter_log.level
    exporter_log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # torch's own deprecations; what matters is checked afterwards
            program = torch.onnx.export(
                module.eval(),
                example,
                input_names=[spec.name for spec in contract.inputs],
                output_names=[spec.name for spec in contract.outputs],
                opset_version=OPSET,
                dynamic_shapes=tuple({0: batch} for _ in example),
                dynamo=True,
                verbose=False,
            )
    finally:
        exporter_log.setLevel(level)
    assert program is not None  # only without dynamo
    return _without_source(program.model_proto)


def save_bundle(graph: onnx.ModelProto, contract: Contract, path: str | Path) -> None:
    """Write ``graph`` with its contract as one file; use it within `atomic_path`."""
    onnx.helper.set_model_props(graph, {METADATA_KEY: contract.to_json()})
    onnx.checker.check_model(graph)
    onnx.save(graph, path)


def _without_source(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Drop the exporter's notes on which line of whose file made which node: large, and nobody's business."""
    del graph.metadata_props[:]
    for node in graph.graph.node:
        del node.metadata_props[:]
        node.ClearField("doc_string")
    for value in [*graph.graph.value_info, *graph.graph.input, *graph.graph.output, *graph.graph.initializer]:
        del value.metadata_props[:]
    return graph
