"""What every task's configuration has in common."""

from __future__ import annotations

from dataclasses import dataclass

from simgym.config.option import option


@dataclass(frozen=True, kw_only=True)
class TaskConfig:
    """The configuration of some task."""

    name: str = option("", "the task")
