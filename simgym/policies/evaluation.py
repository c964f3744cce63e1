"""Headless evaluation: a fixed list of episodes, whatever the number of worlds, measured the same way everywhere."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from simgym.envs.config import DomainConfig
from simgym.envs.simulation import Simulation, draw_episode_seed
from simgym.files import atomic_path

from .actors import Actor
from .metrics import wilson_interval

OVERVIEW_PX = 480


@dataclass
class Trace:
    """What one episode looked like, for reports."""

    seed: int
    poses: list[np.ndarray] = field(default_factory=list)  # (3,) x, y, yaw_rad, `Task.track`, from the start on
    images: list[np.ndarray] = field(default_factory=list)  # (H, W, 3) uint8, what the camera saw
    overview: np.ndarray | None = None  # (S, S, 3) uint8, the room from above
    overview_extent_m: float = 0.0  # edge of the square of floor that the overview shows, centred on the origin
    success: bool = False
    radius_m: float = 0.2  # of the disc that shows what is tracked


@dataclass
class Evaluation:
    """Every episode's measures, one dict a row in the order of the seeds, and the traces of the first ones."""

    episodes: list[dict[str, Any]]
    traces: list[Trace]
    steps: int
    wall_seconds: float

    def summary(self) -> dict[str, Any]:
        """The measured part of ``eval.json``."""
        episodes = self.episodes
        successes = sum(row["success"] for row in episodes)

        def mean(name: str) -> float | None:
            return float(np.mean([row[name] for row in episodes])) if name in episodes[0] else None

        return {
            "episodes": len(episodes),
            "success_rate": successes / len(episodes),
            "success_ci95": list(wilson_interval(successes, len(episodes))),
            "spl": mean("spl"),
            "soft_spl": mean("soft_spl"),
            "collision_rate": float(np.mean([row["collisions"] > 0 for row in episodes])),
            "mean_return": mean("return"),
            "mean_seconds": mean("seconds"),
            "steps_per_second": self.steps / max(self.wall_seconds, 1e-9),
            "wall_seconds": self.wall_seconds,
        }


def episode_seeds(seed: int, count: int, split: str) -> list[int]:
    """The episodes of an evaluation seed: always the same ones."""
    rng = np.random.default_rng(seed)
    return [draw_episode_seed(rng, split) for _ in range(count)]


class _Worlds:
    """Which episode runs in which world, and its running return."""

    def __init__(self, simulation: Simulation, seeds: Iterable[int], num_traces: int) -> None:
        self.simulation, n = simulation, simulation.num_worlds
        self._queue = list(enumerate(seeds))[::-1]
        spare = np.arange(len(self._queue), n)  # no episode will come here: they idle as well, in a copy of the first
        if self._queue and len(spare):
            simulation.reset(spare, np.full(len(spare), self._queue[-1][1]))
        self._num_traces = num_traces
        self.episode = np.full(n, -1)
        self.returns = np.zeros(n)
        self.begun = np.zeros(n, bool)
        self.traces: dict[int, Trace] = {}

    def start(self, free: np.ndarray) -> None:
        """Start the next episodes in ``free`` worlds; with none left, a world idles in a copy of its last one."""
        self.begun[:] = False
        count = min(len(free), len(self._queue))
        self.episode[free] = -1
        started = free[:count]
        seeds = []
        for world in started:
            self.episode[world], seed = self._queue.pop()
            seeds.append(seed)
        if count == 0:
            return
        self.simulation.reset(started, np.array(seeds))
        self.returns[started] = 0
        self.begun[started] = True
        for world, seed in zip(started, seeds, strict=True):
            if self.episode[world] < self._num_traces:
                self._begin_trace(world, seed)

    def _begin_trace(self, world: int, seed: int) -> None:
        overview, extent = self.simulation.overview(world, OVERVIEW_PX)
        self.traces[int(self.episode[world])] = Trace(
            seed, overview=overview, overview_extent_m=extent, radius_m=self.simulation.task.track_radius_m
        )
        self.record(world)

    def record(self, world: int) -> None:
        """Add the present moment of a world to its trace, if its episode has one."""
        trace = self.traces.get(int(self.episode[world]))
        if trace is not None:
            task = self.simulation.task
            trace.poses.append(task.track(self.simulation.engine.state)[world])
            trace.images.append(self.simulation.observe().image[world].copy())
            trace.success = bool(task.success[world])


def evaluate(
    simulation: Simulation, actor: Actor, seeds: list[int], num_traces: int = 0, progress: bool = True
) -> Evaluation:
    """Run one episode for each seed and measure it.

    Args:
        simulation: the batch to run in; results do not depend on its number of worlds.
        actor: who acts.
        seeds: episode seeds, see `episode_seeds`.
        num_traces: keep poses and pictures of so many episodes from the start of the list.
        progress: show a progress bar.
    """
    started_at = time.perf_counter()
    worlds, steps = _Worlds(simulation, seeds, num_traces), 0
    rows: dict[int, dict[str, Any]] = {}
    worlds.start(np.arange(simulation.num_worlds))
    with tqdm(total=len(seeds), desc="evaluate", unit="episode", disable=not progress, leave=False) as bar:
        while len(rows) < len(seeds):
            outcome = simulation.step(actor.act(simulation, worlds.begun))
            running = worlds.episode >= 0
            for world in np.flatnonzero(running).tolist():
                worlds.record(world)
            steps += int(running.sum())
            worlds.returns += outcome.reward
            ended = np.flatnonzero((outcome.terminated | outcome.truncated) & running)
            for world in ended.tolist():
                episode, truncated = int(worlds.episode[world]), bool(outcome.truncated[world])
                rows[episode] = episode_row(simulation, world, episode, float(worlds.returns[world]), truncated)
            bar.update(len(ended))
            worlds.start(ended)
    traces = [worlds.traces[i] for i in sorted(worlds.traces)]
    return Evaluation([rows[i] for i in range(len(seeds))], traces, steps, time.perf_counter() - started_at)


def trace_failures(simulation: Simulation, actor: Actor, evaluation: Evaluation, count: int) -> None:
    """Add the traces of up to ``count`` failed episodes, for whoever wants to see what went wrong.

    They are run once more, which is cheaper than to keep the pictures of every episode. One that comes out otherwise is
    left out: it would show what did not happen.
    """
    traced = {trace.seed for trace in evaluation.traces}
    failed = {row["seed"]: row for row in evaluation.episodes if not row["success"] and row["seed"] not in traced}
    seeds = list(failed)[:count]
    if not seeds:
        return
    again = evaluate(simulation, actor, seeds, num_traces=len(seeds), progress=False)
    for trace, row in zip(again.traces, again.episodes, strict=True):
        if all(row[name] == failed[trace.seed][name] for name in ("success", "steps")):
            evaluation.traces.append(trace)


def episode_row(simulation: Simulation, world: int, episode: int, total: float, truncated: bool) -> dict[str, Any]:
    """What an episode that has just ended in ``world`` came to: a row of ``episodes.csv``, ready for JSON too.

    Args:
        simulation: where it ran.
        world: which of its worlds.
        episode: its number.
        total: its return.
        truncated: whether it ran out of time.
    """
    task, draw = simulation.task, simulation.draws[world]
    measures = {name: values[world].item() for name, values in task.info().items()}
    facts = {name: draw["layout"][name] for name in task.reported}
    return {
        "episode": episode,
        "seed": draw["episode_seed"],
        "success": measures.pop("is_success"),
        **measures,
        "truncated": truncated,
        "return": total,
        "steps": int(task.steps[world]),
        "seconds": float(task.steps[world] * task.control_dt_s),
        **{name: fact if isinstance(fact, str) else " ".join(fact) for name, fact in facts.items()},
    }


def header(env: Any, domain: DomainConfig, split: str, policy: str, goggles: str | None, seed: int) -> dict[str, Any]:
    """The part of ``eval.json`` that says what was evaluated, the same for every command."""
    return {
        "env": env.name,
        "domain": domain.name,
        "engine": domain.engine,
        "renderer": domain.renderer,
        "look": domain.shown_look,
        "split": split,
        "policy": policy,
        "goggles": goggles,
        "seed": seed,
    }


def headline(result: dict[str, Any]) -> str:
    """The content of ``eval.json`` in one line."""
    low, high = result["success_ci95"]
    spl = "" if result["spl"] is None else f"SPL {result['spl']:.2f}, "
    return (
        f"success {result['success_rate']:.1%} (95 % interval {low:.1%} to {high:.1%}), {spl}"
        f"collisions {result['collision_rate']:.1%}, on {result['episodes']} episodes of split {result['split']}"
    )


def write_evaluation(folder: Path, evaluation: Evaluation, header: dict[str, Any]) -> dict[str, Any]:
    """Write ``eval.json`` and ``episodes.csv``; ``header`` says what was evaluated. Returns the content of the JSON."""
    result = header | evaluation.summary()
    with atomic_path(folder / "eval.json") as path:
        path.write_text(json.dumps(result, indent=2) + "\n")
    with atomic_path(folder / "episodes.csv") as path, path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(evaluation.episodes[0]))
        writer.writeheader()
        writer.writerows(evaluation.episodes)
    return result
