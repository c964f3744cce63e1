"""Trains goggles by any method of networks: the same loop for all, on any device, by one process or several.

Exact resumption: what a step draws depends on nothing but the seed, the process and the step's number; all else is in
the checkpoint. A run that was killed and resumed gives the same weights, bit for bit on a CPU, as one left alone.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from simgym.checkpoint import latest_checkpoint, read_checkpoint, save_checkpoint
from simgym.config.goggles import CLASSES, NetworkMethod
from simgym.config.schema import GogglesTrainConfig
from simgym.errors import UserError
from simgym.interrupts import Interrupted, stop_on_signals

from .data import HistoryPool, Sampler
from .methods import (
    FAKES,
    OTHER_WAY,
    TAUGHT,
    Batch,
    active_weights,
    build_networks,
    class_weights,
    discriminator_terms,
    generator_terms,
)
from .networks import Generator, Painter, SegmentationNetwork, added_blocks, begin_as_nothing
from .parallel import average_buffers, average_gradients, mean
from .pictures import picture_rows
from .reopen import BUNDLE_SUFFIX, reopen
from .teaching import teach

Tensors = tuple[torch.Tensor, ...] | list[torch.Tensor]
CHECK_EVERY = 10  # steps between two looks at the loss: each costs a GPU its lead over the CPU
EXPLODED = 100.0  # times its running mean
LEVEL_MEMORY = 0.9  # of the running mean, from check to check
POOL_STREAM = 2
OPENING_BATCHES = 8  # from which the normalizations of a bundle get their statistics


class DivergenceError(UserError):
    """The loss is no number any more, or far above what it was."""


class Trainer:
    """Networks, optimizers and what else changes from step to step.

    Args:
        config: the whole configuration; its method is one of networks.
        fabric: launched.
        sampler: where batches come from.
        segmentation: S, frozen, or None.
        segmentation_ready: whether S may judge translations.
        preview: (N, H, W, 3) uint8 frames that TensorBoard shows.
        out: the run folder.
    """

    def __init__(
        self,
        config: GogglesTrainConfig,
        fabric: Fabric,
        sampler: Sampler,
        segmentation: SegmentationNetwork | None,
        segmentation_ready: bool,
        preview: np.ndarray,
        out: Path,
    ) -> None:
        method = config.goggles.method
        assert isinstance(method, NetworkMethod)
        self.config, self.method, self.fabric, self.sampler, self.out = config, method, fabric, sampler, out
        self.segmentation, self.segmentation_ready, self._preview = segmentation, segmentation_ready, preview
        torch.manual_seed(config.seed)
        self.networks = build_networks(method, config.generator, sampler.class_colours(len(CLASSES))).to(fabric.device)
        self.average = AveragedModel(self.networks["real_to_sim"], multi_avg_fn=self._average, use_buffers=True)
        self.average.eval()
        parts = {"generators": self._named(OTHER_WAY), "discriminators": self._named(("disc_sim", "disc_real"))}
        self._parameters = {name: [p for net in nets for p in net.parameters()] for name, nets in parts.items() if nets}
        self.optimizers = {
            name: torch.optim.Adam(parameters, method.learning_rate, betas=(method.beta1, 0.999))
            for name, parameters in self._parameters.items()
        }
        self.pools = {name: HistoryPool(method.pool) for name in self.networks if name.startswith("disc_")}
        self._class_weights = class_weights(method).to(fabric.device)
        self.step = 0
        self.seconds = 0.0
        self._level: float | None = None  # running mean of the loss, to tell an explosion from a start
        self._terms: set[str] = set()
        self._sums: dict[str, torch.Tensor] = {}
        self._counted = 0
        self.interrupted = threading.Event()
        if not self.active:
            raise UserError(
                f"goggles/method={method.name}: the segmentation network is not good enough to learn from, and there "
                "is no other term: raise segmentation_steps= or lower goggles.method.semantic_accuracy="
            )

    @property
    def active(self) -> dict[str, float]:
        """The weights of the terms that the next step minimizes."""
        return active_weights(self.method, self.step / self.config.steps, self.segmentation_ready)

    @property
    def translator(self) -> Generator:
        """Real to simulated, with averaged weights: the goggles."""
        module = self.average.module
        assert isinstance(module, Generator)
        return module

    def train(self) -> None:
        """Go on until the last step.

        Raises:
            DivergenceError: no further checkpoint has been written.
            Interrupted: by Ctrl-C or SIGTERM; a checkpoint has been written.
        """
        zero, config = self.fabric.is_global_zero, self.config
        writer = SummaryWriter(str(self.out / "tensorboard"), purge_step=self.step) if zero else None
        bar = tqdm(total=config.steps, initial=self.step, desc="goggles", unit="step", disable=not zero)
        started, before = time.perf_counter(), self.seconds
        self.networks.train()
        with stop_on_signals(self.interrupted), bar:
            while self.step < config.steps:
                self.take_step()
                bar.update()
                stop = False
                self.seconds = before + time.perf_counter() - started
                due = {name: self._due(getattr(config, f"{name}_every")) for name in ("checkpoint", "log", "pictures")}
                if due["checkpoint"] or due["log"] or self._due(CHECK_EVERY):
                    stop = self._check()
                if due["log"] and writer:
                    bar.set_postfix(self._log(writer))
                if due["pictures"] and writer:
                    writer.add_image("pictures", self._pictures(), self.step, dataformats="HWC")
                if due["checkpoint"] or stop:
                    self.save()
                if stop and self.step < config.steps:
                    raise Interrupted(f"stopped after {self.step} of {config.steps} steps; all is saved")
        if writer:
            writer.close()

    def take_step(self) -> None:
        """One gradient step of the generators, and one of the discriminators."""
        active = self.active
        batch = self._lessons(self.sampler.batch(self.step, active), active)
        for optimizer in self.optimizers.values():
            optimizer.param_groups[0]["lr"] = self._learning_rate()
        judges = self._named(self.pools)
        _freeze(judges, True)
        with self.fabric.autocast():
            terms, pictures = generator_terms(self.networks, self.segmentation, batch, active)
            total = torch.stack([active[name] * terms[name] for name in active]).sum()
        self._descend("generators", total)
        _freeze(judges, False)
        if "adversarial" in active:
            terms |= self._judge(batch, pictures)
        self.average.update_parameters(self.networks["real_to_sim"])
        self._count({"total": total, **terms}, set(active))
        self.step += 1

    def _lessons(self, batch: Batch, active: Mapping[str, float]) -> Batch:
        """The batch with flaws of cameras on its pairs, and with what the moving average teaches."""
        pairs = batch.paired
        if pairs is None:
            return batch
        if active.keys() & set(TAUGHT):
            assert batch.real is not None
            pasted = self.sampler.pasted_classes(self.step, len(CLASSES))
            teacher = self.translator
            assert isinstance(teacher, Painter)
            batch.taught = teach(teacher, batch.real, pairs, pasted, self.method.sure, batch.marks)
        for part, lesson in enumerate((pairs, batch.taught)):
            if lesson is not None:
                # Of both alike: `Painter.probabilities` takes out one bias, whatever a pixel was learned from.
                lesson.weights = lesson.weights * self._class_weights[lesson.labels]
                lesson.images = self.sampler.spoil(self.step, part, lesson.images)
        return batch

    def save(self) -> Path | None:
        """Write a checkpoint, if this is the process that does."""
        for module in (self.networks, self.average):
            average_buffers(self.fabric, module)
        pools = {name: self._gather(pool) for name, pool in self.pools.items()}
        if not self.fabric.is_global_zero:
            return None
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "level": self._level,
            "terms": sorted(self._terms),
            "networks": self.networks.state_dict(),
            "average": self.average.state_dict(),
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "pools": pools,
            "method": asdict(self.method),
            "generator": self.config.generator,
        }
        return save_checkpoint(self.out, self.step, state)

    def begin_with(self, path: Path) -> None:
        """Begin with the averaged generator of a checkpoint, or with a bundle; UserError says that it does not fit."""
        try:
            if path.suffix == BUNDLE_SUFFIX:
                reopen(path, self.translator, self.fabric.broadcast(self._some_images()).to(self.fabric.device))
            else:
                weights = read_checkpoint(path, self.fabric.device)["average"]
                added = added_blocks(self.average, weights)
                new = tuple(f"{name}." for name in added)
                own = {key: value for key, value in self.average.state_dict().items() if key.startswith(new)}
                self.average.load_state_dict(own | weights)
                begin_as_nothing(added.values())
            self.networks["real_to_sim"].load_state_dict(self.translator.state_dict())
        except (KeyError, RuntimeError) as error:
            raise UserError(
                f"{path} does not fit generator={self.config.generator} of goggles/method={self.method.name}: "
                f"start= takes one with the same generator or fewer blocks, with labels or without alike ({error})"
            ) from error

    def _some_images(self) -> torch.Tensor:
        """(B, 3, H, W): of the sources that the generator of the goggles learns from first, with flaws of cameras."""
        parts = []
        for step in range(OPENING_BATCHES):
            batch = self.sampler.batch(step, self.active)
            sources = batch.real, None if batch.paired is None else batch.paired.images
            parts += [self.sampler.spoil(step, n, images) for n, images in enumerate(sources) if images is not None]
        return torch.cat(parts)

    def restore(self, path: Path) -> None:
        """Go on where a checkpoint was written. Raises UserError where it does not fit."""
        state = read_checkpoint(path, self.fabric.device)
        try:
            self.networks.load_state_dict(state["networks"])
            self.average.load_state_dict(state["average"])
            for name, optimizer in self.optimizers.items():
                optimizer.load_state_dict(state["optimizers"][name])
            for name, pool in self.pools.items():
                images = state["pools"][name]  # (processes, n, 3, H, W)
                if images is not None and len(images) != self.fabric.world_size:
                    raise UserError(f"{path} is of {len(images)} processes, these are {self.fabric.world_size}")
                pool.images = None if images is None else images[self.fabric.global_rank].clone()
            self.step, self.seconds, self._level = state["step"], state["seconds"], state["level"]
            self._terms = set(state["terms"])
        except (KeyError, RuntimeError, ValueError) as error:
            raise UserError(f"{path} does not fit this training ({error}): delete it to use an earlier one") from error

    def _judge(self, batch: Batch, pictures: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """A step of the discriminators, on fresh and on remembered pictures."""
        assert batch.real is not None and batch.sim is not None
        domains = {"disc_sim": batch.sim, "disc_real": batch.real}
        fakes = {"disc_sim": FAKES["real_to_sim"], "disc_real": FAKES["sim_to_real"]}
        rng = np.random.default_rng((self.config.seed, self.fabric.global_rank, POOL_STREAM, self.step))
        remembered = {
            name: pool.exchange(pictures[fakes[name]].detach().float(), rng) for name, pool in self.pools.items()
        }
        with self.fabric.autocast():
            terms = discriminator_terms(self.networks, {name: domains[name] for name in self.pools}, remembered)
        self._descend("discriminators", torch.stack(list(terms.values())).sum())
        return terms

    def _descend(self, name: str, loss: torch.Tensor) -> None:
        optimizer = self.optimizers[name]
        optimizer.zero_grad()
        self.fabric.backward(loss)
        average_gradients(self.fabric, self._parameters[name])
        optimizer.step()

    def _learning_rate(self) -> float:
        progress, start = self.step / self.config.steps, self.method.decay_from
        return self.method.learning_rate * (1 if progress <= start else (1 - progress) / (1 - start))

    def _average(self, averaged: Tensors, current: Tensors, count: torch.Tensor | int) -> None:
        """Exponential moving average, shorter at the beginning so that it forgets the random start."""
        memory = min(self.method.ema, (1 + self.step) / (10 + self.step))
        for kept, new in zip(averaged, current, strict=True):
            if kept.is_floating_point():
                kept.lerp_(new, 1 - memory)
            else:
                kept.copy_(new)

    def _count(self, terms: Mapping[str, torch.Tensor], active: set[str]) -> None:
        if active != self._terms:  # another sum: its size says nothing about the last one's
            self._terms, self._level, self._sums, self._counted = active, None, {}, 0
        for name, value in terms.items():
            value = value.detach().float()
            self._sums[name] = self._sums[name] + value if name in self._sums else value
        self._counted += 1

    def _check(self) -> bool:
        """Whether somebody asked to stop. Raises DivergenceError where the loss exploded."""
        loss = self._sums["total"] / self._counted
        asked = torch.tensor(float(self.interrupted.is_set()), device=self.fabric.device)
        value, stop = (float(number) for number in mean(self.fabric, torch.stack([loss, asked])))
        if not math.isfinite(value) or (self._level is not None and value > EXPLODED * max(self._level, 1e-6)):
            last = latest_checkpoint(self.out)
            kept = f"the last good checkpoint is {last}" if last else "there was no checkpoint yet"
            raise DivergenceError(
                f"training diverged: the loss is {value:.3g} after {self.step} steps; {kept}; "
                f"lower goggles.method.learning_rate={self.method.learning_rate}"
            )
        self._level = value if self._level is None else LEVEL_MEMORY * self._level + (1 - LEVEL_MEMORY) * value
        return stop > 0

    def _log(self, writer: SummaryWriter) -> dict[str, str]:
        """Write the means since the last time."""
        values = {name: float(total) / self._counted for name, total in self._sums.items()}
        for name, value in values.items():
            writer.add_scalar(f"loss/{name}", value, self.step)
        writer.add_scalar("learning_rate", self._learning_rate(), self.step)
        self._sums, self._counted = {}, 0
        return {"loss": f"{values['total']:.3f}"}

    @torch.no_grad()
    def _pictures(self) -> np.ndarray:
        back = self.networks["sim_to_real"] if "sim_to_real" in self.networks else None
        return picture_rows(self._preview, self.translator, back, self.segmentation, self.fabric.device)

    def _gather(self, pool: HistoryPool) -> torch.Tensor | None:
        """(processes, n, 3, H, W): a pool of every process, equally full in all."""
        if pool.images is None:
            return None
        if self.fabric.world_size == 1:
            return pool.images[None]
        return torch.as_tensor(self.fabric.all_gather(pool.images))

    def _named(self, names: Any) -> list[nn.Module]:
        return [self.networks[name] for name in names if name in self.networks]

    def _due(self, every: int) -> bool:
        return self.step % every == 0 or self.step == self.config.steps


def _freeze(modules: list[nn.Module], frozen: bool) -> None:
    for module in modules:
        module.requires_grad_(not frozen)
