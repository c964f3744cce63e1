"""Pieces of a long measurement: each a command's run folder, made in a process of its own, once.

A piece is finished when its product is there. It is stale when it was made with other settings than those that are
asked for now, or before what it is made from was made anew: numbers of two kinds never get into one table.
"""

from __future__ import annotations

import functools
import multiprocessing
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from simgym.config.run_dir import CONFIG_FILE, to_yaml
from simgym.config.schema import GogglesTrainConfig
from simgym.errors import UserError

DONE, TO_DO, STALE = "done", "to do", "stale"
INDIFFERENT = ("out", "device", "num_envs")  # settings that change no number, or none that is meant


@dataclass(frozen=True)
class Piece:
    """One run of one command.

    Args:
        folder: its run folder, ``config.out`` too.
        module: of the command, such as ``simgym.collect``; its ``main`` takes the configuration.
        config: of the run.
        product: the file that is written last.
        needs: the pieces that it is made from.
        files: further files that it is made from.
    """

    folder: Path
    module: str
    config: Any
    product: str
    needs: tuple[Piece, ...] = ()
    files: tuple[Path, ...] = ()

    @property
    def name(self) -> str:
        """Short, for people."""
        return f"{self.folder.parent.name}/{self.folder.name}"

    @property
    def path(self) -> Path:
        """Of the product."""
        return self.folder / self.product


def state(piece: Piece) -> tuple[str, str]:
    """DONE, TO_DO or STALE, and why it is stale."""
    changed = _changed(piece)
    if changed:
        return STALE, changed
    if not piece.path.is_file():
        return TO_DO, ""
    made = piece.path.stat().st_mtime_ns
    for need in piece.needs:
        if state(need)[0] != DONE or need.path.stat().st_mtime_ns > made:
            return STALE, f"{need.name} is to be made anew, or was since"
    for file in piece.files:
        if file.stat().st_mtime_ns > made:
            return STALE, f"{file.name} is newer"
    return DONE, ""


def closure(pieces: Iterable[Piece]) -> list[Piece]:
    """The pieces and all that they need, each once, in an order in which they can be made."""
    ordered: dict[Path, Piece] = {}
    for piece in pieces:
        for each in (*closure(piece.needs), piece):
            ordered.setdefault(each.folder, each)
    return list(ordered.values())


def describe(pieces: Sequence[Piece]) -> str:
    """The plan: a line a piece, with its state."""
    lines = []
    for number, piece in enumerate(pieces, 1):
        kind, why = state(piece)
        lines.append(f"{number:>4} {kind:<6} {piece.module:<24} {piece.name}{f' ({why})' if why else ''}")
    return "\n".join(lines)


def make(pieces: Sequence[Piece], redo: bool = False) -> dict[str, str]:
    """Make what is not finished, in order; a failure does not stop what can do without.

    Two runs at once, as of the two halves on two cores, share their pieces: who comes second to one waits for it.

    Args:
        pieces: see `closure`.
        redo: delete what is stale and make it anew.

    Returns:
        What failed, by name, and why.

    Raises:
        UserError: something is stale, and ``redo`` is not set. Nothing was started.
    """
    stale = [(piece.name, why) for piece in pieces for kind, why in [state(piece)] if kind == STALE]
    if stale and not redo:
        name, why = stale[0]
        raise UserError(
            f"{len(stale)} pieces were made otherwise, the first is {name} ({why}): --redo makes them anew, another "
            "--out keeps them"
        )
    failed: dict[str, str] = {}
    for number, piece in enumerate(pieces, 1):
        if state(piece)[0] == DONE:
            continue
        missing = [need.name for need in piece.needs if need.name in failed]
        print(f"[{number}/{len(pieces)}] {piece.module} {piece.name}", flush=True)
        started = time.perf_counter()
        try:
            if missing:
                raise UserError(f"needs {', '.join(missing)}")
            with _alone(piece):
                if state(piece)[0] != DONE:  # another run may have made it while this one waited
                    _run(piece)
        except (UserError, BrokenProcessPool) as error:
            failed[piece.name] = str(error)
            print(f"failed: {error}", flush=True)
        else:
            print(f"took {time.perf_counter() - started:.0f} s", flush=True)
    return failed


def run_apart(module: str, config: Any) -> int:
    """A command in a fresh process, so that no memory is left of it; its exit code."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
        return fresh.submit(call, module, config).result()


def call(module: str, config: Any) -> int:
    """Run a command's ``main``."""
    return import_module(module).main(config) or 0


@contextmanager
def _alone(piece: Piece) -> Iterator[None]:
    """Hold what no other run holds; the system lets go of it where a run is killed."""
    piece.folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(piece.folder.with_name(f".{piece.folder.name}.lock"))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        print("another run makes it: waiting", flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _run(piece: Piece) -> None:
    config = piece.config
    if piece.folder.exists():
        if isinstance(config, GogglesTrainConfig) and state(piece)[0] == TO_DO:
            config = GogglesTrainConfig(resume=str(piece.folder))
        else:
            shutil.rmtree(piece.folder)  # stale, or left by a run that was killed
    code = run_apart(piece.module, config)
    if code == 130:
        raise KeyboardInterrupt
    if code or not piece.path.is_file():
        raise UserError(f"{piece.module} ended with code {code} and without {piece.path}")


def _changed(piece: Piece) -> str:
    """The first setting in which what is in the folder differs from what is wanted."""
    path = piece.folder / CONFIG_FILE
    if not path.is_file():
        return ""
    found, wanted = _settings(path.read_text()), _settings(_wanted(piece.config))
    for key in wanted | found:
        if key not in INDIFFERENT and _place_free(found.get(key)) != _place_free(wanted.get(key)):
            return f"{key} was {found.get(key)}, is {wanted.get(key)}"
    return ""


def _place_free(value: Any) -> Any:
    """Of a path only its end counts: all pieces may have been made elsewhere, and copied with their times."""
    return Path(value).parts[-2:] if isinstance(value, str) and "/" in value else value


@functools.cache
def _wanted(config: Any) -> str:
    return to_yaml(config)


@functools.cache
def _settings(text: str) -> dict[str, Any]:
    return _flat(yaml.safe_load(text))


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat
