"""Picture sheets of the table: what the camera saw, what each pair of goggles made of it, what it should have been."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from simgym.deploy import Goggles
from simgym.goggles.training import translate
from simgym.report_page import VOID, enlarge, tile

from .frames import load
from .pieces import DONE, state
from .plan import Cell, Plan

COLUMNS = 9  # frames, shared between the settings of a half
ENLARGED = 2
INK = (230, 230, 230)


def draw_half(plan: Plan, half: str) -> np.ndarray | None:
    """The sheet of a half of the table, (H, W, 3) uint8; None where nothing is finished.

    Frames are evenly spaced over those that are measured on, so that none is picked by hand.
    """
    cells = [cell for cell in plan.cells if cell.setting.half == half and cell.row.policy == "canonical"]
    frames = {
        cell.setting.name: load(str(cell.setting.test_frames.folder))
        for cell in cells
        if cell.setting.test_frames and state(cell.setting.test_frames)[0] == DONE
    }
    if not frames:
        return None
    share = max(1, COLUMNS // len(frames))
    chosen = {name: np.linspace(0, len(part) - 1, share).round().astype(int) for name, part in frames.items()}
    seen = {name: part.rgb[chosen[name]] for name, part in frames.items()}
    rows = {"camera": np.concatenate(list(seen.values()))}
    for name in dict.fromkeys(cell.row.name for cell in cells if cell.training):
        own = {cell.setting.name: cell for cell in cells if cell.row.name == name}
        if all(setting in own and _ready(own[setting]) for setting in seen):
            rows[name] = np.concatenate([_translated(own[setting], rgb) for setting, rgb in seen.items()])
    twins = [part.canonical[chosen[name]] for name, part in frames.items() if part.canonical is not None]
    rows["canonical twin"] = np.concatenate(twins)
    return label_rows(rows)


def label_rows(rows: dict[str, np.ndarray]) -> np.ndarray:
    """Rows (N, H, W, 3) uint8 with their names to the left, enlarged, (H', W', 3) uint8."""
    images: list[np.ndarray] = []
    for name, pictures in rows.items():
        large = [enlarge(picture, ENLARGED) for picture in pictures]
        images += [_label(name, large[0].shape), *large]
    return tile(images, columns=1 + len(next(iter(rows.values()))))


def _ready(cell: Cell) -> bool:
    return cell.training is not None and state(cell.training)[0] == DONE


def _translated(cell: Cell, rgb: np.ndarray) -> np.ndarray:
    assert cell.training is not None
    return translate(Goggles(cell.training.folder / "goggles.onnx"), rgb)


def _label(text: str, shape: Sequence[int]) -> np.ndarray:
    panel = np.full(shape, VOID, np.uint8)
    for line, part in enumerate(text.split("_")):
        cv2.putText(panel, part, (6, 24 + 20 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.5, INK, 1, cv2.LINE_AA)
    return panel
