"""The report of a training of goggles: ``report.html`` with picture sheets and the measures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from simgym.deploy import Goggles
from simgym.report_page import encode, enlarge, write_page

from .frames import Frames
from .networks import SegmentationNetwork
from .pictures import paint, sheet
from .segmentation import predict

TEMPLATE = Path(__file__).parent / "templates" / "report.html.j2"
REPORT = "report.html"
SHOWN = 12  # frames of a source, evenly spaced
COLUMNS = 6
LEAST_WIDTH_PX = 150  # of a picture
TITLES = {"real": "Real frames", "pairs": "Simulated frames in other looks"}


def write_report(
    folder: str | Path,
    result: dict[str, Any],
    goggles: Goggles,
    segmentation: SegmentationNetwork | None,
    held_out: Mapping[str, Frames],
) -> Path:
    """Write ``report.html``.

    Args:
        folder: to write into.
        result: the content of ``metrics.json``.
        goggles: what was trained.
        segmentation: S; without it no classes are shown.
        held_out: frames that training did not see, by source.

    Returns:
        The file.
    """
    path = Path(folder) / REPORT
    sources = [
        {"name": name, "title": title, "measures": result[name], **_sheets(held_out[name], goggles, segmentation)}
        for name, title in TITLES.items()
        if result[name] is not None
    ]
    write_page(path, TEMPLATE, title=f"{result['env']}: goggles by {result['method']}", result=result, sources=sources)
    return path


def _sheets(frames: Frames, goggles: Goggles, segmentation: SegmentationNetwork | None) -> dict[str, Any]:
    """Picture sheets as data addresses, and what their rows are."""
    rows = np.unique(np.linspace(0, len(frames) - 1, SHOWN).round().astype(int))
    pictures = {"input": frames.rgb[rows]}
    pictures["translated"] = goggles.translate(pictures["input"])
    if frames.canonical is not None:
        pictures["canonical twin"] = frames.canonical[rows]
    if segmentation is not None:
        pictures["classes of the translation"] = paint(predict(segmentation, pictures["translated"]))
    factor = max(1, -(-LEAST_WIDTH_PX // frames.rgb.shape[2]))
    sheets = [
        sheet([look[start : start + COLUMNS] for look in pictures.values()]) for start in range(0, len(rows), COLUMNS)
    ]
    return {"rows": list(pictures), "sheets": [encode(enlarge(picture, factor), ".png") for picture in sheets]}
