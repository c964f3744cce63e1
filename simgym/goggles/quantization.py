"""Goggles in whole numbers: convolutions with 8 bits, which a CPU does in little more than half the time."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from simgym.deploy import Goggles
from simgym.deploy.bundle import METADATA_KEY
from simgym.errors import UserError
from simgym.files import atomic_path

CALIBRATION_FRAMES = 256
AT_ONCE = 16  # frames; bounds the memory of calibration
MEAN_DIFFERENCE = 3.0  # grey levels: the noise of a camera
FAR_OFF, FAR_OFF_SHARE = 30, 0.01  # grey levels, and the share of values that may differ by more: of another class


class QuantizationError(UserError):
    """The goggles would show something else with 8 bits."""


def quantize_goggles(source: str | Path, path: str | Path, frames: np.ndarray) -> float:
    """Write a bundle whose convolutions multiply 8-bit integers, if it shows the same.

    Ranges of activations are those of ``frames`` (static quantization, Jacob et al. 2018, "Quantization and training
    of neural networks for efficient integer-arithmetic-only inference"); each channel of weights has a scale of its
    own. The last convolution stays in floats, because its steps would be seen as grey levels. Weights have 7 bits, or
    sums of products would overflow on processors without VNNI.

    Args:
        source: goggles bundle in floats.
        path: the ``.onnx`` file to write; an earlier one stays untouched if anything fails. May be ``source``.
        frames: (N, H, W, 3) uint8 frames such as are to be translated.

    Returns:
        The mean difference between the two on these frames, in grey levels.

    Raises:
        QuantizationError: it differs by more than 3 grey levels in the mean, or by more than 30 in 1 % of the values.
    """
    graph = onnx.load(source)
    contract = {entry.key: entry.value for entry in graph.metadata_props}[METADATA_KEY]
    convolutions = [node.name for node in graph.graph.node if node.op_type == "Conv"]
    rows = np.unique(np.linspace(0, len(frames) - 1, CALIBRATION_FRAMES).round().astype(int))
    with atomic_path(path) as temporary:
        with _quiet():
            quantize_static(
                graph,
                temporary,
                _Frames(graph.graph.input[0].name, frames[rows]),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=["Conv", "Relu", "Add", "Resize"],
                nodes_to_exclude=convolutions[-1:],
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
        quantized = onnx.load(temporary)
        onnx.helper.set_model_props(quantized, {METADATA_KEY: contract})
        onnx.save(quantized, temporary)
        difference = _difference(Goggles(source), Goggles(temporary), frames[rows])
        far_off = float((difference > FAR_OFF).mean())
        if difference.mean() > MEAN_DIFFERENCE or far_off > FAR_OFF_SHARE:
            raise QuantizationError(
                f"with 8 bits the goggles differ by {difference.mean():.2f} grey levels in the mean and by more than "
                f"{FAR_OFF} in {far_off:.2%} of the values: they stay in floats"
            )
    return float(difference.mean())


class _Frames(CalibrationDataReader):
    """Feeds frames to the calibration, some at a time."""

    def __init__(self, name: str, frames: np.ndarray) -> None:
        self._batches = ({name: frames[start : start + AT_ONCE]} for start in range(0, len(frames), AT_ONCE))

    def get_next(self) -> dict[str, Any] | None:
        """The next batch; None after the last one."""
        return next(self._batches, None)


def _difference(first: Goggles, second: Goggles, frames: np.ndarray) -> np.ndarray:
    """Grey levels by which each value of (N, H, W, 3) differs."""
    parts = [frames[start : start + AT_ONCE] for start in range(0, len(frames), AT_ONCE)]
    return np.concatenate([np.abs(first.translate(part).astype(np.int16) - second.translate(part)) for part in parts])


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the advice that the quantizer logs to the root logger."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
