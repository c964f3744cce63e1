"""Failures that a user can mend. A command turns each into one line on stderr and its exit code, never a traceback."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


class UserError(Exception):
    """Something outside the code is wrong: the message says what, what was expected and how to mend it."""

    exit_code = 1


class UsageError(UserError):
    """The command line or a configuration value is wrong; nothing was started."""

    exit_code = 2


class BundleError(UserError):
    """A policy or goggles bundle is missing, corrupt, or made for something else."""


def install_command(extra: str = "") -> str:
    """The pip command that installs what an extra needs."""
    suffix = f"[{extra}]" if extra else ""
    try:
        version("simgym")
    except PackageNotFoundError:  # run from a source folder: pip must not look for the name on PyPI
        return f"pip install -e '.{suffix}'"
    return f"pip install 'simgym{suffix}'"
