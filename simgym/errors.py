"""Failures that a user can mend. A command turns each into one line on stderr and its exit code, never a traceback."""

from __future__ import annotations


class UserError(Exception):
    """Something outside the code is wrong: the message says what, what was expected and how to mend it."""

    exit_code = 1


class UsageError(UserError):
    """The command line or a configuration value is wrong; nothing was started."""

    exit_code = 2


class BundleError(UserError):
    """A policy or goggles bundle is missing, corrupt, or made for something else."""
