"""Collects frames with labels: the same ones for a seed, whatever the number of worlds."""

from __future__ import annotations

import csv
import os
import tempfile
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from simgym.deploy import Calibration
from simgym.envs.camera_flaws import DELIVERY
from simgym.envs.config import DOMAINS, DomainConfig
from simgym.envs.simulation import Simulation, draw_episode_seed
from simgym.errors import UsageError
from simgym.files import MARK, atomic_path

from .actors import Actor

TABLE, CAMERA_INFO = "frames.csv", "camera_info.yaml"
OUTCOMES = ("is_success", "spl", "soft_spl")  # measures that mean something at the end of an episode only
WRITERS = 2  # threads
MAX_UNWRITTEN = 512  # pictures


class _Episodes:
    """Which episode runs where, and which frames count: the first ones in the order of the episodes.

    So it does not matter which episode happens to end first.
    """

    def __init__(self, frames: int, seed: int, split: str, num_worlds: int) -> None:
        self._frames, self._split, self._rng = frames, split, np.random.default_rng(seed)
        self._rows: list[list[dict[str, Any]]] = []  # of each episode
        self._ended: list[bool] = []
        self._taken = 0
        self._settled = self._settled_frames = 0  # leading episodes that have ended, and their frames
        self.running = np.full(num_worlds, -1)  # the episode of each world; -1: none is needed there any more

    def start(self, worlds: np.ndarray) -> list[int]:
        """The seeds of the episodes that begin now in the first of ``worlds``: none where no more frames are needed."""
        self.running[worlds] = -1
        count = len(worlds) if self._taken < self._frames else 0
        self.running[worlds[:count]] = np.arange(count) + len(self._rows)
        self._rows += [[] for _ in range(count)]
        self._ended += [False] * count
        return [draw_episode_seed(self._rng, self._split) for _ in range(count)]

    def add(self, row: dict[str, Any]) -> None:
        """Note a frame that was taken."""
        self._rows[row["episode"]].append(row)
        self._taken += 1

    def end(self, worlds: np.ndarray) -> None:
        """The episodes of these worlds have ended."""
        for episode in self.running[worlds]:
            self._ended[episode] = True
        while self._settled < len(self._ended) and self._ended[self._settled]:
            self._settled_frames += len(self._rows[self._settled])
            self._settled += 1

    @property
    def complete(self) -> bool:
        """Whether the frames that count are all there: no earlier episode may still bring others."""
        current = len(self._rows[self._settled]) if self._settled < len(self._rows) else 0
        return self._settled_frames + current >= self._frames

    def sort_out(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The rows that count, in order, and those that do not."""
        rows = [row for episode in self._rows for row in episode]
        return rows[: self._frames], rows[self._frames :]


class _Writer:
    """Encodes and writes pictures in threads, and waits where they fall behind; a failure drops what is unwritten."""

    def __init__(self) -> None:
        self._pool, self._unwritten = ThreadPoolExecutor(WRITERS), deque[Future[None]]()

    def write(self, path: Path, image: np.ndarray) -> None:
        """Write a copy of (H, W, 3) uint8 RGB or (H, W) uint8 as PNG."""
        self._unwritten.append(self._pool.submit(_write_png, path, image.copy()))
        self.wait(MAX_UNWRITTEN)

    def wait(self, at_most: int = 0) -> None:
        """Until no more pictures than this are unwritten. Raises what writing raised."""
        while len(self._unwritten) > at_most:
            self._unwritten.popleft().result()

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *failure: object) -> None:
        self._pool.shutdown(cancel_futures=True)


def _write_png(path: Path, image: np.ndarray) -> None:
    ordered = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    path.write_bytes(cv2.imencode(".png", ordered)[1].tobytes())


def fresh_frames(domain: DomainConfig) -> DomainConfig:
    """The domain with a camera that delivers each frame at once: labels are those of the moment.

    Raises:
        UsageError: the opposite was asked for.
    """
    usual = DOMAINS.get(domain.name, DOMAINS["sim"]).flaws
    for name in DELIVERY:
        value = getattr(domain.flaws, name)
        if value not in ((0, 0), getattr(usual, name)):
            raise UsageError(f"domain.flaws.{name}={list(value)}: labels fit fresh frames only, so leave it out")
    fresh: dict[str, Any] = dict.fromkeys(DELIVERY, (0, 0))
    return replace(domain, flaws=replace(domain.flaws, **fresh))


def collect(
    simulation: Simulation,
    actor: Actor,
    folder: Path,
    frames: int,
    seed: int,
    stride: int = 8,
    run: int = 2,
    paired: bool = True,
    progress: bool = True,
) -> list[dict[str, Any]]:
    """Write ``rgb/``, ``segmentation/``, ``frames.csv``, ``camera_info.yaml`` and, if paired, ``canonical/``.

    Pictures appear in ``folder`` when all are there, and ``frames.csv`` last.

    Args:
        simulation: with a canonical twin, from which labels and pairs come.
        actor: who acts.
        folder: where to write.
        frames: how many.
        seed: of the episodes.
        stride: frames are taken every so many steps,
        run: and then of so many steps in a row.
        paired: whether to write the canonical twins.
        progress: show a progress bar.

    Returns:
        The rows of ``frames.csv``, which is in the order of time within each episode.
    """
    names = ["rgb", "segmentation", *(["canonical"] if paired else [])]
    with _scratch_folder(folder) as scratch, _Writer() as writer:
        for name in names:
            (scratch / name).mkdir()
        episodes = _Episodes(frames, seed, simulation.split, simulation.num_worlds)
        with tqdm(total=frames, desc="collect", unit="frame", disable=not progress, leave=False) as bar:
            for row, pictures in _frames(simulation, actor, episodes, stride, run):
                for name in names:
                    writer.write(scratch / name / row["frame"], pictures[name])
                bar.update(bar.n < frames)
        writer.wait()
        rows, surplus = episodes.sort_out()
        for row in surplus:
            for name in names:
                (scratch / name / row["frame"]).unlink()
        Calibration(simulation.camera).to_yaml(folder / CAMERA_INFO)
        for name in names:
            os.replace(scratch / name, folder / name)
    with atomic_path(folder / TABLE) as path, path.open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return rows


def _frames(
    simulation: Simulation, actor: Actor, episodes: _Episodes, stride: int, run: int
) -> Iterator[tuple[dict[str, Any], dict[str, np.ndarray]]]:
    """Rows of the table and their pictures by the names of their folders, until those that count are all there.

    A frame is taken before the robot acts on it, so each has an action, and the last moment of an episode is no frame.
    """
    task, begun = simulation.task, np.zeros(simulation.num_worlds, bool)
    free = np.arange(simulation.num_worlds)
    while not episodes.complete:
        begun[:] = False
        if len(free):
            seeds = episodes.start(free)
            simulation.reset(free[: len(seeds)], np.array(seeds, np.int64))
            begun[free[: len(seeds)]] = True
        wanted = np.flatnonzero((episodes.running >= 0) & (task.steps % stride < run))
        measures, expert = task.info(), simulation.expert_action() if len(wanted) else None
        action = actor.act(simulation, begun)
        if expert is not None:
            twin, image = simulation.canonical(), simulation.observe().image
            labels = twin.segmentation[..., 0].astype(np.uint8)
            for world in wanted.tolist():
                row = _row(simulation, int(episodes.running[world]), world, action, expert, measures)
                episodes.add(row)
                yield row, {"rgb": image[world], "segmentation": labels[world], "canonical": twin.rgb[world]}
        outcome = simulation.step(action)
        free = np.flatnonzero((outcome.terminated | outcome.truncated) & (episodes.running >= 0))
        episodes.end(free)


def _row(
    simulation: Simulation,
    episode: int,
    world: int,
    action: np.ndarray,
    expert: np.ndarray,
    measures: dict[str, np.ndarray],
) -> dict[str, Any]:
    task, step = simulation.task, int(simulation.task.steps[world])
    measured = simulation.observe().measured[world]
    units = [unit.strip().replace("/", "_") for unit in task.measured_unit.split(",")]
    return {
        "frame": f"{episode:06d}_{step:04d}.png",
        "episode": episode,
        "episode_seed": simulation.draws[world]["episode_seed"],
        "step": step,
        "time_s": step * task.control_dt_s,
        **{f"{task.measured}_{i}_{unit}": float(measured[i]) for i, unit in enumerate(units)},
        **{f"action_{i}": float(value) for i, value in enumerate(action[world])},
        **{f"expert_{i}": float(value) for i, value in enumerate(expert[world])},
        **{name: values[world].item() for name, values in measures.items() if name not in OUTCOMES},
    }


@contextmanager
def _scratch_folder(folder: Path) -> Iterator[Path]:
    """A hidden folder within ``folder`` that goes with all that is left in it."""
    with tempfile.TemporaryDirectory(prefix=".collect.", suffix=f".{MARK}", dir=folder) as scratch:
        yield Path(scratch)
