"""Several processes that share a training: one averaged gradient instead of wrapped networks.

A step of a GAN sends batches through a network several times and freezes others meanwhile, which
DistributedDataParallel's hooks do not survive. Averaging the gradients after the backward pass is the same mathematics.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import TorchElasticEnvironment
from torch import nn

from simgym.cores import usable_cores
from simgym.errors import UsageError


def make_fabric(device: str, devices: int, precision: str) -> Fabric:
    """Where to compute, and by how many processes; under ``torchrun`` there are as many as it started.

    Raises:
        UsageError: there is no such device, or not as many.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("device=cuda: torch finds no GPU here; leave it out, or give device=cpu")
    accelerator = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    if accelerator == "cuda" and devices > torch.cuda.device_count():
        raise UsageError(f"devices={devices}: torch finds {torch.cuda.device_count()} GPUs here")
    arguments: dict[str, Any] = {"accelerator": accelerator, "precision": precision}
    if TorchElasticEnvironment.detect():
        local, nodes = (int(os.environ[name]) for name in ("LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE"))
        return Fabric(devices=local, num_nodes=nodes, strategy="ddp", **arguments)
    return Fabric(devices=devices, strategy="ddp_spawn" if devices > 1 else "auto", **arguments)


def share_cores(fabric: Fabric) -> None:
    """Let processes on CPUs part the cores between them."""
    if fabric.world_size > 1:
        torch.set_num_threads(max(1, usable_cores() // fabric.world_size))


def mean(fabric: Fabric, value: torch.Tensor) -> torch.Tensor:
    """The mean of a tensor over all processes."""
    return value if fabric.world_size == 1 else torch.as_tensor(fabric.all_reduce(value, reduce_op="mean"))


def average_gradients(fabric: Fabric, parameters: Iterable[nn.Parameter]) -> None:
    """Replace every gradient by its mean over all processes, in one message."""
    if fabric.world_size > 1:
        _average(fabric, [parameter.grad for parameter in parameters if parameter.grad is not None])


def average_buffers(fabric: Fabric, module: nn.Module) -> None:
    """Replace the statistics of batch normalization by their mean over all processes."""
    if fabric.world_size > 1:
        _average(fabric, [buffer for buffer in module.buffers() if buffer.is_floating_point()])


def _average(fabric: Fabric, tensors: list[torch.Tensor]) -> None:
    if tensors:
        flat = mean(fabric, torch.cat([tensor.reshape(-1) for tensor in tensors]))
        for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(part.view(tensor.shape))
