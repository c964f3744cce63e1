"""A whole training of goggles: segmentation network, method, export, measures, report."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from lightning_fabric import Fabric
from torch import nn
from tqdm import tqdm

from simgym.allocator import keep_freed_memory
from simgym.bundling import save_bundle
from simgym.checkpoint import latest_checkpoint
from simgym.config.goggles import ColorMethod, NetworkMethod
from simgym.config.schema import GogglesTrainConfig
from simgym.deploy import Camera, Goggles, goggles_contract
from simgym.files import atomic_path, remove_leftovers, write_bytes

from .color import ColorTransfer
from .data import Sampler, Source, split
from .domains import labelled
from .export import export_goggles
from .frames import Frames
from .metrics import measure
from .networks import GENERATORS, SegmentationNetwork
from .parallel import share_cores
from .quantization import QuantizationError, quantize_goggles
from .reopen import starting_point
from .report import write_report
from .segmentation import score, train_segmentation
from .trainer import Trainer

BUNDLE, METRICS = "goggles.onnx", "metrics.json"
LICENCE = "Apache-2.0"
PREVIEW = 8  # frames that TensorBoard shows
TRANSLATED_AT_ONCE = 64  # frames; bounds the memory of measures
JUDGE_AUGMENTATION = 0.5  # of what the segmentation network learns from, whatever the method


def train(
    fabric: Fabric, config: GogglesTrainConfig, camera: Camera, domains: Mapping[str, Frames], out: Path, resume: bool
) -> dict[str, Any] | None:
    """Train goggles and write all that a run folder holds.

    Args:
        fabric: launched.
        config: the whole configuration.
        camera: whose frames these are.
        domains: see `simgym.goggles.domains.load_domains`.
        out: the run folder, with its ``config.yaml``.
        resume: go on from the newest checkpoint in ``out``.

    Returns:
        The content of ``metrics.json``; None in processes that do not write.

    Raises:
        DivergenceError, Interrupted: see `Trainer.train`.
        ExportError: see `export_goggles`.
    """
    keep_freed_memory()
    share_cores(fabric)
    if fabric.is_global_zero:
        remove_leftovers(out)
    started = time.perf_counter()
    halves = {name: split(frames) for name, frames in domains.items() if name != "marked"}
    learned = {name: half[0] for name, half in halves.items()}
    held_out = {name: half[1] for name, half in halves.items()}
    if "marked" in domains:
        learned["marked"] = domains["marked"]  # few as they are, all are learned from
    method = config.goggles.method
    sources = {name: Source(frames, fabric.device) for name, frames in learned.items()}
    segmentation = _segmentation(fabric, config, sources, held_out)
    scores = {} if segmentation is None else score(segmentation, held_out)
    about: dict[str, Any] = {
        "env": config.env.name,
        "method": method.name,
        "generator": None,
        "seed": config.seed,
        "steps": 0,
        "frames": {name: len(frames) for name, frames in learned.items()},
        "segmentation": scores,
        "segmentation_ready": None,
    }
    translator: nn.Module
    if isinstance(method, NetworkMethod):
        ready = bool(scores) and min(row["accuracy"] for row in scores.values()) >= method.semantic_accuracy
        if method.segmentation_needed and not ready and fabric.is_global_zero:
            tqdm.write(_not_ready(scores, method))
        about |= {"generator": config.generator, "steps": config.steps, "segmentation_ready": ready}
        translator, seconds = _train_networks(fabric, config, sources, held_out, segmentation, ready, out, resume)
    else:
        assert isinstance(method, ColorMethod)
        translator = ColorTransfer(method.space)
        translator.fit(learned["real"].rgb, learned["sim"].rgb)
        seconds = 0.0
    if not fabric.is_global_zero:
        return None
    about["training_seconds"] = seconds
    about["wall_seconds"] = time.perf_counter() - started  # since the last start, measures not included
    return finish(config, camera, translator, segmentation, held_out, about, out)


def finish(
    config: GogglesTrainConfig,
    camera: Camera,
    translator: nn.Module,
    segmentation: SegmentationNetwork | None,
    held_out: Mapping[str, Frames],
    about: dict[str, Any],
    out: Path,
) -> dict[str, Any]:
    """Export, measure the exported bundle on held-out frames, write numbers and report."""
    seen = "real" if "real" in held_out else "pairs"
    training = {"command": "simgym.goggles.train"} | {
        name: about[name] for name in ("method", "generator", "steps", "seed", "frames")
    }
    rate_hz = float(getattr(config.env, "control_rate_hz", 10.0))
    contract = goggles_contract(config.env.name, camera, rate_hz, (seen, "sim"), LICENCE, training)
    with atomic_path(out / BUNDLE) as temporary:  # there is no bundle before it has been measured
        difference = export_goggles(translator, contract, temporary, held_out[seen].rgb)
        wanted = config.quantized and isinstance(config.goggles.method, NetworkMethod)
        quantized = wanted and _quantize(temporary, held_out[seen].rgb)
        goggles = Goggles(temporary, threads=torch.get_num_threads())
        result = about | {"export_difference": difference, "quantized": quantized}
        for name in ("real", "pairs"):
            measured = held_out.get(name)
            result[name] = None
            if measured is not None:
                result[name] = measure(partial(translate, goggles), measured, held_out["sim"], segmentation)
        summary = {name: result[seen][name] for name in ("temporal_error", "difference_from_input", "collapse", "kid")}
        save_bundle(onnx.load(temporary), replace(contract, training={**training, **summary}), temporary)
        write_report(out, result, goggles, segmentation, held_out)
    text = json.dumps(result, indent=1, allow_nan=False) + "\n"
    write_bytes(out / METRICS, text.encode())
    return result


def _quantize(bundle: Path, frames: np.ndarray) -> bool:
    """Put 8-bit goggles in the place of those in floats, if they show the same; else say why not."""
    try:
        quantize_goggles(bundle, bundle, frames)
    except QuantizationError as error:
        tqdm.write(f"not quantized: {error}")
        return False
    return True


def translate(goggles: Goggles, rgb: np.ndarray) -> np.ndarray:
    """Translate frames (N, H, W, 3) uint8, some at a time."""
    starts = range(0, len(rgb), TRANSLATED_AT_ONCE)
    return np.concatenate([goggles.translate(rgb[start : start + TRANSLATED_AT_ONCE]) for start in starts])


def _segmentation(
    fabric: Fabric, config: GogglesTrainConfig, sources: dict[str, Source], held_out: Mapping[str, Frames]
) -> SegmentationNetwork | None:
    """S, where there are labels: methods may need it, and measures do."""
    names = labelled(held_out)
    if not names or config.segmentation_steps == 0:
        return None
    taught = {name: sources[name] for name in names}
    sampler = _sampler(fabric, config, taught, JUDGE_AUGMENTATION, 1)
    return train_segmentation(fabric, sampler, config.segmentation_steps, config.seed)


def _sampler(
    fabric: Fabric, config: GogglesTrainConfig, sources: dict[str, Source], augmentation: float, stride: int
) -> Sampler:
    rank, mirrored = fabric.global_rank, config.mirrored
    return Sampler(sources, config.batch_size, augmentation, config.crop, stride, config.seed, rank, mirrored)


def _train_networks(
    fabric: Fabric,
    config: GogglesTrainConfig,
    sources: dict[str, Source],
    held_out: Mapping[str, Frames],
    segmentation: SegmentationNetwork | None,
    ready: bool,
    out: Path,
    resume: bool,
) -> tuple[nn.Module, float]:
    """Real to simulated by a method of networks, and the seconds that it took, over all resumptions."""
    method = config.goggles.method
    assert isinstance(method, NetworkMethod)
    stride = GENERATORS[config.generator].stride
    sampler = _sampler(fabric, config, sources, method.augmentation, stride)
    preview = held_out["real" if "real" in held_out else "pairs"].rgb
    rows = np.unique(np.linspace(0, len(preview) - 1, PREVIEW).round().astype(int))
    trainer = Trainer(config, fabric, sampler, segmentation, ready, preview[rows], out)
    checkpoint = latest_checkpoint(out) if resume else None
    if checkpoint:
        trainer.restore(checkpoint)
    elif config.start is not None:
        trainer.begin_with(starting_point(config.start, config.env.name, config.generator))
    trainer.train()
    return trainer.translator, trainer.seconds


def _not_ready(scores: Mapping[str, Mapping[str, Any]], method: NetworkMethod) -> str:
    found = ", ".join(f"{row['accuracy']:.1%} of the pixels of {name}" for name, row in scores.items()) or "nothing"
    return (
        f"the segmentation network gets {found} right, below goggles.method.semantic_accuracy="
        f"{method.semantic_accuracy}: the semantic terms stay out"
    )
