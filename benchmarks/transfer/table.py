"""Puts the numbers of finished pieces together: one dict, and the same as Markdown."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simgym.config.goggles import METHODS, NetworkMethod
from simgym.policies.metrics import paired_interval, wilson_interval

from .pieces import DONE, Piece, state
from .plan import HALVES, USUAL, Cell, Plan

ALL_PAIRS_OF = "none"  # every row is compared with this one, and with the default goggles
TERMS = [("vr_goggles", "cyclegan"), ("vr_goggles", "cycada"), ("cycada", "cyclegan")]  # published ones, one by one
MEASURES = ("wanted_iou", "content", "paired_l1", "temporal_error", "warped_temporal_error")


@dataclass(frozen=True)
class Result:
    """A row of a half, over all its settings.

    Args:
        outcomes: by setting and episode seed, whether it succeeded.
        figures: what JSON holds of it.
    """

    outcomes: dict[tuple[str, int], bool]
    figures: dict[str, Any]


def gather(plan: Plan) -> tuple[dict[str, dict[str, Result]], dict[str, dict[str, Any]]]:
    """By half and row what is finished in all settings of the half, and by row what was found on photographs."""
    halves: dict[str, dict[str, Result]] = {}
    for half in HALVES:
        cells = [cell for cell in plan.cells if cell.setting.half == half]
        for name in dict.fromkeys(cell.row.name for cell in cells):
            own = [cell for cell in cells if cell.row.name == name]
            if all(_finished(cell.evaluation) for cell in own):
                halves.setdefault(half, {})[name] = _result(own)
    photographs = {
        name: json.loads(piece.path.read_text()) for name, piece in plan.photographs.items() if _finished(piece)
    }
    return halves, photographs


def compare(results: dict[str, Result]) -> list[dict[str, Any]]:
    """Every two rows of a half on the episodes that both drove: the difference of success with its 95 % interval."""
    found = []
    for (first, one), (second, other) in itertools.permutations(results.items(), 2):
        keys = [key for key in one.outcomes if key in other.outcomes]
        if not keys:
            continue
        a, b = ([outcomes[key] for key in keys] for outcomes in (one.outcomes, other.outcomes))
        found.append(
            {
                "first": first,
                "second": second,
                "episodes": len(keys),
                "difference": float(np.mean(a) - np.mean(b)),
                "ci95": list(paired_interval(a, b)),
            }
        )
    return found


def as_json(halves: dict[str, dict[str, Result]], photographs: dict[str, dict[str, Any]], env: str) -> dict[str, Any]:
    """What ``transfer.json`` holds."""
    return {
        "env": env,
        "default": USUAL.goggles.method.name,
        "halves": {
            half: {
                "rows": {name: result.figures for name, result in results.items()},
                "comparisons": compare(results),
            }
            for half, results in halves.items()
        },
        "photographs": {
            name: {key: value for key, value in found.items() if key != "rows"} for name, found in photographs.items()
        },
    }


def as_markdown(content: dict[str, Any]) -> str:
    """The table for people."""
    parts = [f"# {content['env']}: what is left of success in the stand-in"]
    for half, found in content["halves"].items():
        parts += [f"## {HALVES[half]}", _success_table(found, content["default"]), _terms(found, content["default"])]
    if content["photographs"]:
        parts += ["## Real photographs", _photo_table(content["photographs"])]
    return "\n\n".join(part for part in parts if part) + "\n"


def _finished(piece: Piece) -> bool:
    return state(piece)[0] == DONE


def _result(cells: Sequence[Cell]) -> Result:
    episodes = {cell.setting.name: _episodes(cell.evaluation.folder / "episodes.csv") for cell in cells}
    outcomes = {
        (setting, int(row["seed"])): row["success"] == "True" for setting, rows in episodes.items() for row in rows
    }
    rows = list(itertools.chain.from_iterable(episodes.values()))
    won = sum(outcomes.values())
    figures: dict[str, Any] = {
        "policy": cells[0].row.policy,
        "goggles": cells[0].row.goggles,
        "episodes": len(rows),
        "success_rate": won / len(rows),
        "success_ci95": list(wilson_interval(won, len(rows))),
        "by_setting": {
            setting: float(np.mean([row["success"] == "True" for row in own])) for setting, own in episodes.items()
        },
        "spl": float(np.mean([float(row["spl"]) for row in rows])) if "spl" in rows[0] else None,
        "collision_rate": float(np.mean([float(row["collisions"]) > 0 for row in rows])),
    }
    return Result(outcomes, figures | _measures(cells) | {"training": _training(cells)})


def _episodes(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _measures(cells: Iterable[Cell]) -> dict[str, float | None]:
    """Means over settings; None where some are not there."""
    pieces = [cell.measures for cell in cells]
    finished = [piece for piece in pieces if piece is not None and _finished(piece)]
    if not finished or len(finished) < len(pieces):
        return dict.fromkeys(MEASURES)
    found = [json.loads(piece.path.read_text()) for piece in finished]
    return {name: float(np.mean([each[name] for each in found])) for name in MEASURES}


def _training(cells: Iterable[Cell]) -> dict[str, Any] | None:
    """The budget of one of the trainings, and whether any collapsed."""
    paths = dict.fromkeys(cell.training.path for cell in cells if cell.training)
    if not paths:
        return None
    found = [json.loads(path.read_text()) for path in paths]
    about = {name: found[0][name] for name in ("method", "generator", "steps", "frames")}
    seconds = float(np.mean([each["training_seconds"] for each in found]))
    collapsed = [
        str(part["collapse"]) for each in found for part in (each["real"], each["pairs"]) if part and part["collapse"]
    ]
    judged = METHODS[about["method"]]
    unjudged = (
        isinstance(judged, NetworkMethod)
        and judged.segmentation_needed
        and not all(each["segmentation_ready"] for each in found)
    )
    return about | {
        "trainings": len(found),
        "mean_training_seconds": seconds,
        "collapsed": collapsed,
        "semantic_left_out": unjudged,  # the segmentation network was not good enough: another method than its name
    }


# --- Markdown ---


def _success_table(found: dict[str, Any], usual: str) -> str:
    against = [name for name in (ALL_PAIRS_OF, usual) if name in found["rows"]]
    head = ["row", "episodes", "success (95 % interval)", *(f"less {name}, points" for name in against)]
    head += ["SPL", "collisions", "IoU of what is looked for"]
    head += ["temporal error under shifts", "under motion", "training"]
    lines = []
    for name, row in found["rows"].items():
        low, high = row["success_ci95"]
        cells = [name, str(row["episodes"]), f"{100 * row['success_rate']:.1f} % ({100 * low:.1f}–{100 * high:.1f})"]
        cells += [_difference(found, name, other) for other in against]
        cells += [_number(row["spl"], ".2f"), f"{100 * row['collision_rate']:.1f} %"]
        cells += [_number(row["wanted_iou"], ".2f"), _number(row["temporal_error"], ".1f")]
        cells += [_number(row["warped_temporal_error"], ".1f"), _budget(row["training"])]
        lines.append(cells)
    return _table(head, lines)


def _terms(found: dict[str, Any], usual: str) -> str:
    """What single terms and generators bring: methods that differ in one thing."""
    ablations = [(usual, name) for name in found["rows"] if name.startswith(f"{usual}_")]
    lines = [
        [first, second, _difference(found, first, second)]
        for first, second in TERMS + ablations
        if first in found["rows"] and second in found["rows"]
    ]
    return _table(["row", "less", "points (95 % interval)"], lines) if lines else ""


def _photo_table(photographs: dict[str, dict[str, Any]]) -> str:
    lines = []
    for name, found in photographs.items():
        low, high = found["ci95"]
        agreement = f"{100 * found['agreement']:.1f} % ({100 * low:.1f}–{100 * high:.1f})"
        chairs = [_mean(found["chair_iou"][part]) for part in ("before", "after", "gain")]
        lines.append([name, str(found["n"]), agreement, *chairs])
    chairs_head = ["chair IoU without goggles", "behind them", "gain"]
    return _table(["row", "photographs", "steering agreement (95 % interval)", *chairs_head], lines)


def _difference(found: dict[str, Any], first: str, second: str) -> str:
    for pair in found["comparisons"]:
        if (pair["first"], pair["second"]) == (first, second):
            low, high = pair["ci95"]
            return f"{100 * pair['difference']:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"
    return "–"


def _mean(part: dict[str, Any] | None) -> str:
    return "–" if part is None else f"{part['mean']:.3f} ({part['ci95'][0]:.3f} to {part['ci95'][1]:.3f})"


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _budget(training: dict[str, Any] | None) -> str:
    if training is None:
        return "–"
    remarks = f", collapsed ({', '.join(training['collapsed'])})" if training["collapsed"] else ""
    if training["semantic_left_out"]:
        remarks += ", semantic terms left out"
    if not training["steps"]:
        return f"statistics{remarks}"
    minutes = training["mean_training_seconds"] / 60
    return f"{training['generator']}, {training['steps']:,} steps, {minutes:.0f} min{remarks}"


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
