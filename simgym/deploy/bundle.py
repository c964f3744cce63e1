"""Bundles: one ``.onnx`` file with its contract, as JSON, in ``metadata_props["simgym"]``; nothing pickled.

The contract says what goes in and what comes out, in which units, for which camera and how the network was trained.
`load_bundle` refuses what does not keep to it. Bundles are written by `simgym.policies.export` and
`simgym.goggles.export`, where onnx is at hand.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import onnxruntime

from simgym.errors import BundleError

from .camera import Camera, CameraError

METADATA_KEY = "simgym"
CONTRACT_VERSION = 3  # raised whenever an older simgym could not run a newer bundle
KINDS = ("policy", "goggles")
CAMERA_TOLERANCE_PX = 0.01
ONNX_TYPES = {"uint8": "tensor(uint8)", "float32": "tensor(float)"}


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of the graph.

    Args:
        name: as in the graph.
        shape: sizes; a name such as ``"N"`` stands for any size.
        dtype: ``uint8`` or ``float32``.
        unit: of the values, such as ``"m/s, rad/s"``, one for each entry of the last axis or one for all.
        low: smallest values, one for each entry of the last axis or one for all; empty where there is no limit.
        high: largest values, likewise.

    Raises:
        BundleError: an unknown dtype, or limits that do not fit the shape or each other.
    """

    name: str
    shape: tuple[int | str, ...]
    dtype: str
    unit: str
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.dtype not in ONNX_TYPES:
            raise BundleError(f"{self.name}: dtype must be one of {', '.join(ONNX_TYPES)}, got {self.dtype!r}")
        if len(self.low) != len(self.high) or len(self.low) not in (0, 1, self.shape[-1]):
            raise BundleError(
                f"{self.name}: low and high must hold 1 value or {self.shape[-1]}, got {self.low} and {self.high}"
            )
        if not all(low < high for low, high in zip(self.low, self.high, strict=True)):
            raise BundleError(f"{self.name}: low must be below high, got {self.low} and {self.high}")


VELOCITY = TensorSpec("velocity", ("N", 2), "float32", "m/s, rad/s")  # forward speed, yaw rate (positive is left)


@dataclass(frozen=True)
class Contract:
    """What a bundle promises.

    Args:
        kind: ``policy`` or ``goggles``.
        task: the task's name, such as ``ChairNav``; None where the bundle is for any.
        camera: the simulated camera whose images the bundle takes.
        frame_stack: how many frames the bundle sees at once, oldest first; 1 for goggles.
        frame_stride: control steps between two of these frames.
        averages_s: time constants of the averages that follow what is measured in the second input of a policy.
        trail_s: time constants of where the robot was, which follows them; only of a robot that measures `VELOCITY`.
        inputs: of the graph.
        outputs: of the graph, in physical units.
        rate_hz: how often the bundle expects to be run.
        domains: the domains it was trained in; for goggles, from and to.
        training: a summary that JSON can hold: steps, seed, success_rate, success_ci95, episodes, command.
        licence: of the weights, as an SPDX identifier.
        version: of the contract's own format.

    Raises:
        BundleError: an unknown kind, another version, a trail without a velocity, or a stack, rate or time constant
            that is not positive.
    """

    kind: str
    task: str | None
    camera: Camera
    frame_stack: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    rate_hz: float
    domains: tuple[str, ...]
    licence: str
    training: Mapping[str, Any] = field(default_factory=dict)
    frame_stride: int = 1
    averages_s: tuple[float, ...] = ()
    trail_s: tuple[float, ...] = ()
    version: int = CONTRACT_VERSION

    def __post_init__(self) -> None:
        _check_version(self.version)
        if self.kind not in KINDS:
            raise BundleError(f"kind must be one of {', '.join(KINDS)}, got {self.kind!r}")
        if not isinstance(self.frame_stack, int) or self.frame_stack < 1:
            raise BundleError(f"frame_stack must be a whole number of at least 1, got {self.frame_stack!r}")
        if not isinstance(self.frame_stride, int) or self.frame_stride < 1:
            raise BundleError(f"frame_stride must be a whole number of at least 1, got {self.frame_stride!r}")
        for name in ("averages_s", "trail_s"):
            if not all(math.isfinite(value) and value > 0 for value in getattr(self, name)):
                raise BundleError(f"{name} must be positive, got {getattr(self, name)!r}")
        if self.trail_s and ([spec.name for spec in self.inputs[1:]] != [VELOCITY.name] or self.measured_dim != 2):
            raise BundleError(f"trail_s is for a policy of a robot that measures its {VELOCITY.name}, {VELOCITY.unit}")
        if not (math.isfinite(self.rate_hz) and self.rate_hz > 0):
            raise BundleError(f"rate_hz must be positive, got {self.rate_hz!r}")

    @property
    def measured_dim(self) -> int:
        """How many values a policy's robot measures; its second input has their averages and the trail as well."""
        return (int(self.inputs[1].shape[-1]) - 2 * len(self.trail_s)) // (1 + len(self.averages_s))

    def to_json(self) -> str:
        """The contract as JSON; `from_json` gives an equal one.

        Raises:
            BundleError: the training summary holds something that JSON cannot, such as NaN.
        """
        try:
            return json.dumps(asdict(self), indent=1, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise BundleError(f"the contract cannot be written as JSON: {error}") from error

    @classmethod
    def from_json(cls, text: str) -> Contract:
        """Read a contract strictly.

        Raises:
            BundleError: not JSON, an unknown or missing key, a value of the wrong type, or another version.
        """
        try:
            data = json.loads(text)
        except ValueError as error:
            raise BundleError(f"the contract is not JSON: {error}") from error
        if isinstance(data, dict) and "version" in data:
            _check_version(data["version"])  # before the keys: another version may well have others
        _check_keys(cls, data, "the contract")
        try:
            tensors = {key: tuple(_tensor_spec(item) for item in data[key]) for key in ("inputs", "outputs")}
            listed = {key: tuple(data[key]) for key in ("domains", "averages_s", "trail_s")}
            camera = Camera(**_check_keys(Camera, data["camera"], "camera"))
            return cls(**data | tensors | listed | {"camera": camera})
        except (TypeError, ValueError, CameraError) as error:
            raise BundleError(f"the contract holds a wrong value: {error}") from error


def policy_contract(
    task: str,
    camera: Camera,
    frame_stack: int,
    command_low: tuple[float, ...],
    command_high: tuple[float, ...],
    rate_hz: float,
    domains: Sequence[str],
    licence: str,
    training: Mapping[str, Any] | None = None,
    frame_stride: int = 1,
    averages_s: tuple[float, ...] = (),
    trail_s: tuple[float, ...] = (),
    measured: TensorSpec = VELOCITY,
    command_unit: str = VELOCITY.unit,
) -> Contract:
    """The contract of a policy: an image stack and what the robot measures of itself in, a command out.

    Args:
        task: the task's name.
        camera: the simulated camera.
        frame_stack: K, frames the policy sees at once.
        command_low: smallest command; of a driving policy forward speed (m/s) and yaw rate (rad/s, positive is left).
        command_high: largest, likewise.
        rate_hz: control rate.
        domains: where it was trained.
        licence: SPDX identifier of the weights' licence.
        training: the training summary.
        frame_stride: control steps between two of the frames.
        averages_s: time constants of the averages of what is measured that the policy sees as well.
        trail_s: time constants of where the robot was, likewise; only of one that drives.
        measured: what the robot measures of itself; the default is that of a driving one.
        command_unit: of the command's values.
    """
    image = ("N", frame_stack, camera.height, camera.width, 3)
    remembered = int(measured.shape[-1]) * (1 + len(averages_s)) + 2 * len(trail_s)
    return Contract(
        kind="policy",
        task=task,
        camera=camera,
        frame_stack=frame_stack,
        inputs=(
            TensorSpec("image", image, "uint8", "sRGB", (0.0,), (255.0,)),
            replace(measured, shape=("N", remembered)),
        ),
        outputs=(
            TensorSpec(
                "command",
                ("N", len(command_low)),
                "float32",
                command_unit,
                tuple(command_low),
                tuple(command_high),
            ),
        ),
        rate_hz=rate_hz,
        domains=tuple(domains),
        licence=licence,
        training=training or {},
        frame_stride=frame_stride,
        averages_s=averages_s,
        trail_s=trail_s,
    )


def goggles_contract(
    task: str | None,
    camera: Camera,
    rate_hz: float,
    domains: Sequence[str],
    licence: str,
    training: Mapping[str, Any] | None = None,
) -> Contract:
    """The contract of goggles: an image in, the same in the simulator's style out.

    Args:
        task: the task's name; None where they are for any.
        camera: the simulated camera.
        rate_hz: how often a robot needs a picture.
        domains: from and to.
        licence: SPDX identifier of the weights' licence.
        training: the training summary.
    """
    shape = ("N", camera.height, camera.width, 3)
    return Contract(
        kind="goggles",
        task=task,
        camera=camera,
        frame_stack=1,
        inputs=(TensorSpec("image", shape, "uint8", "sRGB", (0.0,), (255.0,)),),
        outputs=(TensorSpec("translated", shape, "uint8", "sRGB", (0.0,), (255.0,)),),
        rate_hz=rate_hz,
        domains=tuple(domains),
        licence=licence,
        training=training or {},
    )


def load_bundle(
    path: str | Path, kind: str, providers: Sequence[str] | None = None, threads: int = 1
) -> tuple[onnxruntime.InferenceSession, Contract]:
    """Open a bundle and check that its graph keeps its contract.

    Args:
        path: the ``.onnx`` file.
        kind: what is wanted, ``policy`` or ``goggles``.
        providers: onnxruntime execution providers in order of preference; the CPU by default.
        threads: threads of one run on the CPU; small networks are fastest with 1.

    Raises:
        BundleError: the file is missing, corrupt, not a simgym bundle, of another kind or version, or its graph does
            not have the inputs and outputs that the contract states.
    """
    path = Path(path)
    session = _open_session(path, list(providers or ["CPUExecutionProvider"]), threads)
    metadata = session.get_modelmeta().custom_metadata_map
    if METADATA_KEY not in metadata:
        raise BundleError(f"{path} is an ONNX file but no simgym bundle: it has no {METADATA_KEY!r} metadata")
    try:
        contract = Contract.from_json(metadata[METADATA_KEY])
        _check_graph(session, contract)
    except BundleError as error:
        raise BundleError(f"{path}: {error}") from error
    if contract.kind != kind:
        raise BundleError(f"{path} is a {contract.kind} bundle, but a {kind} bundle is needed here")
    return session, contract


def bundle_version(path: str | Path, contract: Contract) -> str:
    """Which bundle a file is: the version of its contract, and the first digits of the file's SHA-256."""
    return f"{contract.version}-{hashlib.sha256(Path(path).read_bytes()).hexdigest()[:12]}"


def check_camera(contract: Contract, camera: Camera) -> None:
    """Refuse a camera that the bundle was not trained for.

    Raises:
        BundleError: any intrinsic differs by more than 0.01 px.
    """
    trained, given = asdict(contract.camera), asdict(camera)
    different = [key for key in trained if abs(trained[key] - given[key]) > CAMERA_TOLERANCE_PX]
    if different:
        details = ", ".join(f"{key} {given[key]:g} instead of {trained[key]:g}" for key in different)
        raise BundleError(
            f"the {contract.kind} was made for another camera: {details}; "
            "resample to the contract's camera (simgym.deploy.Resampler)"
        )


def _open_session(path: Path, providers: list[str], threads: int) -> onnxruntime.InferenceSession:
    if not path.is_file():
        raise BundleError(f"no bundle at {path}: expected a .onnx file that simgym exported")
    available = onnxruntime.get_available_providers()
    unknown = [name for name in providers if name not in available]
    if unknown:
        raise BundleError(
            f"no execution provider {', '.join(unknown)} here; this onnxruntime has {', '.join(available)}"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # its errors reach us as exceptions; it need not print them too
    try:
        return onnxruntime.InferenceSession(path, options, providers)
    except Exception as error:  # onnxruntime raises its own unrelated classes for corrupt, truncated and newer files
        reason = " ".join(str(error).split())
        raise BundleError(f"{path} is not an ONNX file that can be run here, export it again: {reason}") from error


def _check_graph(session: onnxruntime.InferenceSession, contract: Contract) -> None:
    """The graph's inputs and outputs are those of the contract."""
    for word, nodes, specs in (
        ("inputs", session.get_inputs(), contract.inputs),
        ("outputs", session.get_outputs(), contract.outputs),
    ):
        graph = {node.name: (node.type, _fixed(node.shape)) for node in nodes}
        stated = {spec.name: (ONNX_TYPES[spec.dtype], _fixed(spec.shape)) for spec in specs}
        if graph != stated:
            raise BundleError(f"the graph's {word} are {graph}, but its contract states {stated}")


def _fixed(shape: Sequence[int | str | None]) -> tuple[int | None, ...]:
    """The shape with None for every size that is free."""
    return tuple(size if isinstance(size, int) else None for size in shape)


def _check_version(version: Any) -> None:
    if version != CONTRACT_VERSION:
        raise BundleError(
            f"its contract has version {version!r}, but this simgym reads version {CONTRACT_VERSION}: "
            "install the simgym that wrote it, or export it again"
        )


def _check_keys(cls: type, data: Any, where: str) -> dict[str, Any]:
    """``data``, if it has exactly the fields of the dataclass ``cls``."""
    if not isinstance(data, dict):
        raise BundleError(f"{where} must be a JSON object, got {type(data).__name__}")
    known = {f.name for f in fields(cls)}
    wrong = [f"unknown key {key!r}" for key in data.keys() - known] + [f"no {key!r}" for key in known - data.keys()]
    if wrong:
        raise BundleError(f"{where}: {', '.join(sorted(wrong))}")
    return data


def _tensor_spec(data: Any) -> TensorSpec:
    data = _check_keys(TensorSpec, data, "a tensor of the contract")
    return TensorSpec(**data | {key: tuple(data[key]) for key in ("shape", "low", "high")})
