"""The small bundles that the package ships: what ``policy=pretrained`` and ``goggles=pretrained`` stand for."""

from __future__ import annotations

from pathlib import Path

from .deploy import Goggles, Policy
from .errors import BundleError

PRETRAINED = "pretrained"
SHIPPED_FOR = "ChairNav"  # what nodes on a robot take where they are told no task
PACKAGE = Path(__file__).parent
FOLDERS = {"policy": PACKAGE / "policies" / "pretrained", "goggles": PACKAGE / "goggles" / "pretrained"}


def bundle_path(given: str | Path, kind: str, task: str) -> Path:
    """The file behind a ``policy=`` or ``goggles=`` value.

    Args:
        given: a path, or ``pretrained``.
        kind: ``policy`` or ``goggles``.
        task: such as ``ChairNav``; a shipped file is called ``ChairNav_policy.onnx``.

    Raises:
        BundleError: nothing is shipped for this task.
    """
    if given != PRETRAINED:
        return Path(given)
    path = FOLDERS[kind] / f"{task}_{kind}.onnx"
    if not path.is_file():
        raise BundleError(
            f"{kind}={PRETRAINED}: simgym ships none for {task}: train some and give the path of the .onnx file instead"
        )
    return path


def load_policy(given: str | Path, task: str, threads: int = 1) -> Policy:
    """The policy behind a ``policy=`` value.

    Raises:
        BundleError: it is missing, corrupt or for another task.
    """
    policy = Policy(bundle_path(given, "policy", task), threads=threads)
    if policy.contract.task != task:
        raise BundleError(f"{given} is a policy for {policy.contract.task}, not for {task}")
    return policy


def load_goggles(given: str | Path, task: str, threads: int = 1) -> Goggles:
    """The goggles behind a ``goggles=`` value, whose camera and style count, not the task that they were trained for.

    Raises:
        BundleError: they are missing or corrupt.
    """
    return Goggles(bundle_path(given, "goggles", task), threads=threads)
