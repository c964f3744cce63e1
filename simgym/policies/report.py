"""The report of an evaluation: one HTML file with everything in it, which any browser shows without a network."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, PercentFormatter

from simgym.envs.simulation import Simulation
from simgym.report_page import data_uri, encode, write_page

from .actors import Actor
from .evaluation import Evaluation, Trace, evaluate, trace_failures, write_evaluation
from .metrics import wilson_interval
from .pictures import camera_strip, draw_trace
from .video import VideoError, write_video

TEMPLATE = Path(__file__).parent / "templates" / "report.html.j2"
REPORT = "report.html"
NUM_TRACES = 8  # episodes that are shown, chosen by nothing but their order
NUM_FAILURES = 4  # failed ones that are shown as well
# Columns of episodes.csv, whose words are the groups; a task has some of them.
GROUPS = {"room": "Room shape", "chairs": "Chair style", "objects": "Object"}
SETTINGS = ("env", "domain", "engine", "renderer", "look", "split", "policy", "goggles", "seed")
PATH_PX = 480
STRIP_FRAMES, STRIP_COLUMNS = 8, 4
VIDEO_EPISODES = 6
INK = "#010203"  # stands for the colour of the page's text
GREEN, BLUE, ORANGE = "#2e9e5b", "#3f86c9", "#d9822b"  # readable on white and on black
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "svg.fonttype": "none",
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": INK,
    "grid.alpha": 0.15,
    "legend.frameon": False,
}


def evaluate_and_report(
    simulation: Simulation,
    actor: Actor,
    seeds: list[int],
    about: dict[str, Any],
    out: Path,
    curve: list[dict[str, Any]] | None = None,
    video: Path | None = None,
) -> dict[str, Any]:
    """Evaluate, and write ``eval.json``, ``episodes.csv`` and ``report.html``.

    Args:
        simulation: where.
        actor: who acts.
        seeds: one an episode.
        about: what is evaluated, see `header`.
        out: folder to write into.
        curve: of a training, see `write_report`.
        video: an MP4 to write as well.

    Returns:
        The content of ``eval.json``.
    """
    evaluation = evaluate(simulation, actor, seeds, NUM_TRACES)
    result = write_evaluation(out, evaluation, about)
    trace_failures(simulation, actor, evaluation, NUM_FAILURES)
    rate_hz = simulation.task.config.control_rate_hz
    if video:
        write_video(video, evaluation.traces, rate_hz)
    write_report(out, result, evaluation, rate_hz, curve, video)
    return result


def write_report(
    folder: str | Path,
    result: dict[str, Any],
    evaluation: Evaluation,
    rate_hz: float,
    curve: list[dict[str, Any]] | None = None,
    video: str | Path | None = None,
) -> Path:
    """Write ``report.html``.

    Args:
        folder: to write into.
        result: the content of ``eval.json``.
        evaluation: the episodes and traces behind it.
        rate_hz: control steps, so frames of traces, a second.
        curve: rows of a training's progress: ``steps``, ``wall_seconds``, ``success_rate``, ``success_ci95``, ``spl``,
            ``mean_return`` and ``terms``, each reward term's sum over an episode, as a mean of episodes.
        video: an MP4 to embed; by default one is made of the first traces that are shown.

    Returns:
        The file.
    """
    rows = {row["seed"]: row for row in evaluation.episodes}
    traces = sorted(evaluation.traces, key=lambda trace: trace.success)  # failures first, else in their order
    clip, clip_error = _clip(video, traces, rate_hz)
    write_page(
        Path(folder) / REPORT,
        TEMPLATE,
        title=f"{result['env']}: {'training' if curve else 'evaluation'}",
        result=result,
        settings={name: result[name] for name in SETTINGS},
        outcomes=_outcomes(evaluation.episodes),
        curve=Markup(draw_curve(curve)) if curve else None,
        trained=curve[-1] if curve else None,
        columns=[column for column in GROUPS if column in evaluation.episodes[0]],
        groups={
            label: _success_by(evaluation.episodes, column)
            for column, label in GROUPS.items()
            if column in evaluation.episodes[0]
        },
        shown=[_show(trace, rows[trace.seed]) for trace in traces],
        clip=clip,
        clip_error=clip_error,
    )
    return Path(folder) / REPORT


def _clip(video: str | Path | None, traces: Sequence[Trace], rate_hz: float) -> tuple[str | None, str | None]:
    """The video as a data address, or why there is none: a report must not fail for want of FFmpeg."""
    if video is not None:
        return data_uri(Path(video).read_bytes(), "video/mp4"), None
    if not traces:
        return None, None
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "clip.mp4")
        try:
            write_video(path, traces[:VIDEO_EPISODES], rate_hz)
        except VideoError as error:
            return None, str(error)
        return data_uri(path.read_bytes(), "video/mp4"), None


def _outcomes(episodes: list[dict[str, Any]]) -> dict[str, int]:
    """How episodes ended."""
    successes = sum(row["success"] for row in episodes)
    late = sum(row["truncated"] for row in episodes)
    hit = sum(_outcome(row) == "collision" for row in episodes)
    lost = len(episodes) - successes - late - hit
    ends = {"succeeded": successes, "ran out of time": late, "collided": hit}
    return ends | ({"failed otherwise": lost} if lost else {})


def _outcome(row: dict[str, Any]) -> str:
    """How an episode ended, in a word or two."""
    if row["success"]:
        return "success"
    if row["truncated"]:
        return "out of time"
    return "collision" if row["collisions"] else "failure"


def _success_by(episodes: list[dict[str, Any]], column: str) -> list[dict[str, Any]]:
    """Success where a word occurs in a column, one dict a word; an episode with two words counts for both."""
    words = sorted({word for row in episodes for word in row[column].split()})
    table = []
    for word in words:
        outcomes = [row["success"] for row in episodes if word in row[column].split()]
        low, high = wilson_interval(sum(outcomes), len(outcomes))
        rate = sum(outcomes) / len(outcomes)
        table.append({"name": word, "episodes": len(outcomes), "rate": rate, "low": low, "high": high})
    return table


def _show(trace: Trace, row: dict[str, Any]) -> dict[str, Any]:
    """What the template shows of one episode."""
    path = encode(draw_trace(trace, PATH_PX), ".jpg", [cv2.IMWRITE_JPEG_QUALITY, 88])
    strip = encode(camera_strip(trace.images, STRIP_FRAMES, STRIP_COLUMNS), ".png")
    return {"row": row, "outcome": _outcome(row), "path": path, "strip": strip}


def draw_curve(curve: list[dict[str, Any]]) -> str:
    """The learning curve as an SVG element in the colour of the text around it."""
    terms = dict.fromkeys(name for row in curve for name in row["terms"])
    names = [name for name in terms if len({row["terms"].get(name) for row in curve}) > 1]
    steps = [row["steps"] for row in curve]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.5, 5.2), layout="constrained")
        grid = figure.add_gridspec(2, 1, height_ratios=(3, 2))
        top, bottom = grid[0].subgridspec(1, 2, width_ratios=(2, 1)), grid[1].subgridspec(1, max(1, len(names)))
        _draw_success(figure.add_subplot(top[0]), steps, curve)
        _draw_line(figure.add_subplot(top[1]), steps, [row["mean_return"] for row in curve], "mean return", BLUE)
        for i, name in enumerate(names):
            values = [row["terms"].get(name, np.nan) for row in curve]
            _draw_line(figure.add_subplot(bottom[i]), steps, values, f"{name}, of an episode", ORANGE)
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    svg = text.getvalue().replace(INK, "currentColor")
    return svg[svg.index("<svg") :]  # without the head of a file of its own


def _draw_success(axes: Axes, steps: list[int], curve: list[dict[str, Any]]) -> None:
    low, high = np.array([row["success_ci95"] for row in curve]).T
    axes.fill_between(steps, low, high, color=GREEN, alpha=0.25, linewidth=0, label="95 % interval")
    axes.plot(steps, [row["success_rate"] for row in curve], ".-", color=GREEN, label="success")
    axes.plot(steps, [row["spl"] for row in curve], ".--", color=BLUE, label="SPL")
    axes.set_ylim(-0.02, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.legend()
    _label(axes, "success and SPL while training")


def _draw_line(axes: Axes, steps: list[int], values: list[float], title: str, colour: str) -> None:
    axes.plot(steps, values, ".-", color=colour)
    _label(axes, title)


def _label(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=9)
    axes.set_xlabel("steps")
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
