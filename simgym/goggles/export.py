"""Exports goggles to a bundle that needs no torch, and proves that it does the same."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import torch
from torch import nn

from simgym.bundling import save_bundle, to_onnx
from simgym.deploy import Goggles
from simgym.deploy.bundle import Contract
from simgym.errors import UserError
from simgym.files import atomic_path

from .data import to_float, to_uint8
from .networks import Painter

ROUNDING = 1  # grey levels: where sums in another order fall on the other side of a half
FLIPPED_SHARE = 1e-4  # of the values that may differ by more: where a painter finds two classes as probable
MEAN_DIFFERENCE = 0.01  # grey levels
COMPARED_AT_ONCE = 64  # frames; bounds the memory of the comparison


class ExportError(UserError):
    """Goggles cannot be exported, or the exported graph does not do what they do."""


class DeployedGoggles(nn.Module):
    """What a robot runs: bytes in, bytes out; scaling lives in the graph.

    Args:
        translator: (N, 3, H, W) in [-1, 1] -> the same.
    """

    def __init__(self, translator: nn.Module) -> None:
        super().__init__()
        self.translator = translator

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(N, H, W, 3) uint8 -> (N, H, W, 3) uint8."""
        return to_uint8(self.translator(image.permute(0, 3, 1, 2).float() / 127.5 - 1))


def export_goggles(translator: nn.Module, contract: Contract, path: str | Path, frames: np.ndarray) -> float:
    """Write a goggles bundle, compare it with the module, and keep it only if they agree.

    Args:
        translator: (N, 3, H, W) in [-1, 1] -> the same; it is not changed.
        contract: as `simgym.deploy.goggles_contract` makes it.
        path: the ``.onnx`` file to write; an earlier one stays untouched if anything fails.
        frames: (N, H, W, 3) uint8 real frames to compare on.

    Returns:
        The mean difference found, in grey levels.

    Raises:
        ExportError: weights that are not finite, no frames, or a pixel that differs by more than 1 grey level; of a
            painter, more than the few pixels where it may decide either way.
    """
    if len(frames) == 0:
        raise ExportError("the exported goggles are compared with the network on real frames, but none were given")
    if not all(torch.isfinite(value).all() for value in translator.state_dict().values()):
        raise ExportError("the goggles have weights that are not finite, their training diverged: export a checkpoint")
    module = copy.deepcopy(translator).to("cpu").eval()
    graph = to_onnx(DeployedGoggles(module), contract)
    with atomic_path(path) as temporary:
        save_bundle(graph, contract, temporary)
        difference = _difference(module, Goggles(temporary), frames)
        flips = FLIPPED_SHARE if isinstance(module, Painter) else 0.0
        if (difference > ROUNDING).mean() > flips or difference.mean() > MEAN_DIFFERENCE:
            raise ExportError(
                f"the exported goggles differ from the network by up to {difference.max()} grey levels, "
                f"{difference.mean():.3g} in the mean, so nothing was written: look for an operation that torch.onnx "
                "translates differently"
            )
    return float(difference.mean())


@torch.no_grad()
def _difference(module: nn.Module, bundle: Goggles, frames: np.ndarray) -> np.ndarray:
    """Grey levels by which each value of (N, H, W, 3) differs."""
    differences = []
    for start in range(0, len(frames), COMPARED_AT_ONCE):
        part = frames[start : start + COMPARED_AT_ONCE]
        expected = to_uint8(module(to_float(part))).numpy().astype(np.int16)
        differences.append(np.abs(bundle.translate(part) - expected))
    return np.concatenate(differences)
