"""Which versions made a run: what its config.yaml alone cannot say."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from . import __version__

PACKAGES = ("torch", "numpy", "mujoco", "stable-baselines3", "gymnasium")
ROOT = Path(__file__).parents[1]


def versions() -> dict[str, str | None]:
    """Versions by name; ``commit`` only in a checkout, with ``-dirty`` where it has changes, and None elsewhere."""
    return {
        "simgym": __version__,
        "commit": _commit(),
        "python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    if not (ROOT / ".git").exists():  # installed, perhaps into a folder of somebody else's checkout
        return None
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):  # no git, or it does not trust the folder
        return None
