"""The segmentation network: trained on labelled simulated frames, frozen, then the judge of translations.

It learns on every look there is, also the randomized one, with flaws of cameras, so that what it says of real frames
means something.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch.nn import functional
from tqdm import tqdm

from simgym.config.goggles import CLASSES

from .data import Sampler, to_float
from .domains import labelled
from .frames import Frames
from .networks import SegmentationNetwork, make_segmentation
from .parallel import average_buffers, average_gradients

COMPARED_AT_ONCE = 128  # frames; bounds the memory of measures
LEARNING_RATE = 2e-3  # of Adam; falls linearly to 0


def train_segmentation(fabric: Fabric, sampler: Sampler, steps: int, seed: int) -> SegmentationNetwork:
    """Train and freeze S. It takes minutes, so a killed run does it again, with the same result."""
    torch.manual_seed(seed)
    network = make_segmentation(len(CLASSES)).to(fabric.device)
    parameters = list(network.parameters())
    optimizer = torch.optim.Adam(parameters, LEARNING_RATE)
    bar = tqdm(range(steps), desc="segmentation", unit="step", disable=not fabric.is_global_zero)
    for step in bar:
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * (1 - step / steps)
        images, labels = sampler.labelled(step)
        with fabric.autocast():
            loss = functional.cross_entropy(network(images), labels)
        optimizer.zero_grad()
        fabric.backward(loss)
        average_gradients(fabric, parameters)
        optimizer.step()
        if step % 50 == 0:
            bar.set_postfix(loss=f"{loss.item():.3f}")
    average_buffers(fabric, network)
    return network.eval().requires_grad_(False)


def score(network: SegmentationNetwork, held_out: Mapping[str, Frames]) -> dict[str, dict[str, Any]]:
    """Agreement with the labels of held-out frames by source, see `overlap_of_classes`."""
    found = {}
    for name in labelled(held_out):
        labels = held_out[name].segmentation
        assert labels is not None
        found[name] = overlap_of_classes(predict(network, held_out[name].rgb), labels)
    return found


@torch.no_grad()
def predict(network: SegmentationNetwork, rgb: np.ndarray) -> np.ndarray:
    """The class of every pixel, (N, H, W) uint8, of frames (N, H, W, 3) uint8."""
    return np.concatenate([network(part).argmax(1).to(torch.uint8).cpu().numpy() for part in _parts(network, rgb)])


@torch.no_grad()
def embed(network: SegmentationNetwork, rgb: np.ndarray) -> torch.Tensor:
    """(N, D) features of frames (N, H, W, 3) uint8, see `SegmentationNetwork.features`."""
    return torch.cat([network.features(part).cpu() for part in _parts(network, rgb)])


def overlap_of_classes(predicted: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """How well a segmentation agrees with the labels, both (N, H, W) uint8.

    Returns:
        ``accuracy``, the share of pixels that agree; ``iou``, intersection over union by class, of all frames
        together, without the classes that neither has; ``mean_iou`` of these.
    """
    size = len(CLASSES)
    table = np.bincount(labels.astype(np.int64).ravel() * size + predicted.ravel(), minlength=size**2)
    table = table.reshape(size, size)
    both, either = np.diag(table), table.sum(0) + table.sum(1) - np.diag(table)
    iou = {name: float(both[i] / either[i]) for i, name in enumerate(CLASSES) if either[i]}
    return {
        "accuracy": float(both.sum() / table.sum()),
        "mean_iou": float(np.mean(list(iou.values()))),
        "iou": iou,
    }


def _parts(network: SegmentationNetwork, rgb: np.ndarray) -> list[torch.Tensor]:
    device = next(network.parameters()).device
    starts = range(0, len(rgb), COMPARED_AT_ONCE)
    return [to_float(rgb[start : start + COMPARED_AT_ONCE]).to(device) for start in starts]
