"""What the processes of a shared training do in tests; at the top of a module, so that they can find it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from lightning_fabric import Fabric

from simgym.config.goggles import METHODS
from simgym.config.schema import GogglesChoice, GogglesTrainConfig
from simgym.goggles.data import Sampler, Source
from simgym.goggles.parallel import average_gradients, share_cores
from simgym.goggles.trainer import Trainer
from tests.goggles.scenes import domains


def make_trainer(
    fabric: Fabric,
    out: Path,
    method: str = "rcan",
    steps: int = 6,
    ready: bool = False,
    seed: int = 1,
    generator: str = "mobile",
    **changes: object,
) -> Trainer:
    """A trainer of tiny rooms."""
    chosen = replace(METHODS[method], **{"discriminator": "small", "pool": 5} | changes)
    config = GogglesTrainConfig(
        goggles=GogglesChoice(method=chosen),
        generator=generator,
        steps=steps,
        batch_size=4,
        checkpoint_every=2,
        log_every=2,
        pictures_every=3,
        seed=seed,
    )
    frames = domains()
    sources = {name: Source(part, fabric.device) for name, part in frames.items()}
    sampler = Sampler(sources, 4, chosen.augmentation, 1.0, 8, seed, fabric.global_rank)
    return Trainer(config, fabric, sampler, None, False, frames["real"].rgb[:3], out)


def train_together(fabric: Fabric, out: Path) -> dict[str, float]:
    """How far the weights of the processes are apart after some steps, and whether they drew different frames."""
    share_cores(fabric)
    trainer = make_trainer(fabric, out, "cyclegan")
    drawn = trainer.sampler.batch(0, ["cycle"]).real
    assert drawn is not None
    trainer.train()
    weights = torch.cat([parameter.detach().flatten() for parameter in trainer.networks.parameters()])
    weights, pictures = (torch.as_tensor(fabric.all_gather(value)) for value in (weights, drawn))
    return {
        "weights_apart": float((weights[0] - weights[1]).abs().max()),
        "draws_apart": float((pictures[0] - pictures[1]).abs().mean()),
        "processes": fabric.world_size,
    }


def gradients_apart(fabric: Fabric) -> float:
    """Averaged gradients of two halves of a batch against those of the whole."""
    torch.manual_seed(0)
    layer, data = torch.nn.Linear(5, 3), torch.randn(8, 5)
    layer(data).square().mean().backward()
    whole = [parameter.grad.clone() for parameter in layer.parameters() if parameter.grad is not None]
    layer.zero_grad()
    half = data[fabric.global_rank * 4 :][:4]
    layer(half).square().mean().backward()
    average_gradients(fabric, layer.parameters())
    parts = [parameter.grad for parameter in layer.parameters() if parameter.grad is not None]
    return max(float((a - b).abs().max()) for a, b in zip(whole, parts, strict=True))
