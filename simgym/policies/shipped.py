"""The small bundles that the package ships: what ``policy=pretrained`` and ``goggles=pretrained`` stand for."""

from __future__ import annotations

from pathlib import Path

from simgym.deploy.policy import Policy
from simgym.errors import BundleError

PRETRAINED = "pretrained"
FOLDER = Path(__file__).parent / "pretrained"


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
    path = FOLDER / f"{task}_{kind}.onnx"
    if not path.is_file():
        raise BundleError(f"simgym ships no pretrained {kind} for {task}: train one and give its .onnx file instead")
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
