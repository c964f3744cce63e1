"""Run folders: where a command writes, and what it needs to be run again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from ..errors import UserError
from ..files import atomic_path

CONFIG_FILE = "config.yaml"


def default_out(config: Any, command: str) -> str:
    """``out`` as given, else the resumed run, else a new ``runs/<command>/<env>/<time>``."""
    given = config.out or getattr(config, "resume", None)
    if given:
        return str(given)
    env = getattr(config, "env", None)
    parts = [command.removeprefix("simgym."), *([env.name] if env else [])]
    base = Path("runs", *parts, datetime.now().strftime("%Y-%m-%d_%H-%M-%S"))
    out, number = base, 2
    while out.exists():
        out, number = base.with_name(f"{base.name}_{number}"), number + 1
    return str(out)


def start_run(config: Any) -> Path:
    """Make the run folder of a configuration and write ``config.yaml`` into it.

    Raises:
        UserError: the folder holds something already, so that no run is ever overwritten.
    """
    out = Path(config.out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} exists already: choose another out=, or delete it")
    try:
        with atomic_path(out / CONFIG_FILE) as temporary:
            temporary.write_text(to_yaml(config))
    except OSError:
        with suppress(OSError):
            out.rmdir()  # nothing is in it yet
        raise
    return out


@contextmanager
def run_folder(config: Any) -> Iterator[Path]:
    """`start_run`, taken back where the block fails before it has written anything: a retry can use the name."""
    out = start_run(config)
    try:
        yield out
    except BaseException:
        if [path.name for path in out.iterdir()] == [CONFIG_FILE]:
            (out / CONFIG_FILE).unlink()
            out.rmdir()
        raise


def to_yaml(config: Any) -> str:
    """A configuration as YAML, keys in the order of the schema."""
    return yaml.safe_dump(_plain(asdict(config)), sort_keys=False)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
