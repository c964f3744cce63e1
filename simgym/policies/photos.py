"""Real photographs with chair masks: does a policy turn to the chair, and is the chair still one behind goggles?

Every photograph goes the way that a camera frame goes on the robot: resampled to the simulated camera, through the
goggles if there are any, into the policy. It stands still and has just begun: velocity zero, a fresh frame stack.

Only photographs whose largest chair lies clearly to one side are judged. The chair's place is the centroid of the
largest connected region of the mask: unlike the middle of its bounding box, it hardly moves when one leg sticks out.
Chance is 50 %.

Frames of a simulator will do in place of photographs: what the policy does with them is the most that goggles can come
to.

Chairs kept (`simgym.policies.chairs`) are counted in all photographs in which the simulated camera sees some chair.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from simgym.deploy import Calibration, CameraError, Goggles, Policy, SizedResamplers, check_camera
from simgym.deploy.camera import ASSUMED_FOV_DEG
from simgym.envs.scene import Semantic
from simgym.errors import UsageError
from simgym.files import write_bytes, write_image
from simgym.masks import PhotoError, find_pairs, read_pair
from simgym.shipped import load_goggles, load_policy

from .chairs import chair_iou, paint_overlap, summarize
from .collection import CAMERA_INFO
from .metrics import wilson_interval

CLEARLY_ASIDE = 0.15  # of the image's width, off the middle
SHEET_EXAMPLES, SHEET_COLUMNS = 40, 4
SHEET_HEIGHT_PX = 120
GREEN, RED, GREY, YELLOW, WHITE = (30, 160, 60), (210, 40, 40), (150, 150, 150), (255, 220, 0), (255, 255, 255)


@dataclass(frozen=True)
class Sight:
    """What becomes of one photograph on its way.

    Args:
        plain: (H, W, 3) uint8 RGB, resampled to the simulated camera.
        seen: (H, W, 3) uint8 RGB, what the policy saw: that, or its translation.
        command: (2,) float32, what the policy did, in m/s and rad/s.
    """

    plain: np.ndarray
    seen: np.ndarray
    command: np.ndarray


@dataclass(frozen=True)
class Judgement:
    """What the policy did on one photograph, and what became of the chair.

    Args:
        name: file name of the photograph.
        thumbnail: (120, W_thumbnail, 3) uint8 RGB, the photograph.
        seen: (H, W, 3) uint8 RGB, what the policy saw of it.
        offset: of the largest chair from the middle, as a share of the width, right positive; None without a chair.
        yaw_rate: commanded, in rad/s, left positive.
        kept: (H, W, 3) uint8 RGB, which chair pixels the policy saw as such, see `paint_overlap`.
        iou: see `chair_iou`, of the photograph as it is and of what the policy saw; None where no chair is in sight.
    """

    name: str
    thumbnail: np.ndarray
    seen: np.ndarray
    offset: float | None
    yaw_rate: float
    kept: np.ndarray
    iou: tuple[float, float] | None

    @property
    def agrees(self) -> bool | None:
        """Whether the policy turns to the chair's side; None where no chair is clearly to one side."""
        if self.offset is None or abs(self.offset) <= CLEARLY_ASIDE:
            return None
        return self.yaw_rate < 0 if self.offset > 0 else self.yaw_rate > 0


class Viewer:
    """The way of one photograph into the policy.

    Args:
        policy: the policy.
        goggles: translates what the policy sees; None shows it the resampled photograph.
        calibration: the camera that took the photographs; None assumes an ideal one.
        horizontal_fov_rad: of the assumed camera.

    Raises:
        BundleError: the goggles were made for another camera than the policy.
    """

    def __init__(
        self,
        policy: Policy,
        goggles: Goggles | None = None,
        calibration: Calibration | None = None,
        horizontal_fov_rad: float = math.radians(ASSUMED_FOV_DEG),
    ) -> None:
        if goggles is not None:
            check_camera(goggles.contract, policy.contract.camera)
        self._policy = policy
        self._goggles = goggles
        self._resample = SizedResamplers(policy.contract.camera, calibration, horizontal_fov_rad)

    def __call__(self, photo: np.ndarray) -> Sight:
        """Show the policy one photograph.

        Args:
            photo: (H_photo, W_photo, 3) uint8 RGB.

        Raises:
            CameraError: the photograph has another size than the calibration.
        """
        plain = self._resample(photo)
        seen = plain if self._goggles is None else self._goggles.translate(plain[None])[0]
        self._policy.reset()
        return Sight(plain, seen, self._policy.act(seen, np.zeros(2, np.float32)))

    def chair(self, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A mask (H_photo, W_photo) as the policy's camera sees it, (H, W) bool, and which of these pixels are real."""
        resampler = self._resample.of_size(mask.shape[1], mask.shape[0])
        return resampler(mask) > 127, resampler.seen


def evaluate_photos(
    policy: str | Path,
    rgb: str | Path,
    masks: str | Path | None,
    out: str | Path,
    goggles: str | Path | None = None,
    calibration: Calibration | None = None,
    horizontal_fov_rad: float = math.radians(ASSUMED_FOV_DEG),
    task: str = "ChairNav",
) -> dict[str, Any]:
    """Measure steering agreement and chairs kept, write ``photos.json`` and the picture sheet ``photos.png``.

    Args:
        policy: a policy bundle, or ``pretrained``.
        rgb: folder of photographs; without ``masks``, what `simgym.collect` wrote.
        masks: folder of masks with the photographs' stems and sizes; 255 is chair.
        out: folder to write into.
        goggles: a goggles bundle, ``pretrained``, or None.
        calibration: of the camera that took the photographs; None assumes an ideal one, of collected frames their own.
        horizontal_fov_rad: of the assumed camera.
        task: that the policy must be for.

    Returns:
        What ``photos.json`` holds: ``n`` photographs judged of ``photos``, ``agreement`` in 0..1 with its 95 % Wilson
        interval ``ci95``, the same for chairs on the ``left`` and on the ``right`` alone, ``chair_iou`` (see
        `simgym.policies.chairs.summarize`), what it was measured on, and a row for every photograph.

    Raises:
        BundleError: a bundle is missing, corrupt or made for something else.
        UsageError: there are no ``masks``, and ``rgb`` was not collected.
        CameraError: the camera of collected frames is not known.
        PhotoError: a photograph or a mask is missing or cannot be read, or none can be judged. A share of the
            photographs that happened to be readable would be another measure, so none is skipped.
    """
    if masks is None:
        calibration = calibration or _own_calibration(Path(rgb))
    worn = load_goggles(goggles, task) if goggles else None
    viewer = Viewer(load_policy(policy, task), worn, calibration, horizontal_fov_rad)
    judgements = [judge(viewer, *marked) for marked in _marked(Path(rgb), masks)]
    judged = [judgement for judgement in judgements if judgement.agrees is not None]
    if not judged:
        raise PhotoError(
            f"none of the {len(judgements)} photographs in {rgb} has a chair more than {CLEARLY_ASIDE:.0%} of the "
            "width off the middle: steering can only be judged where a chair lies to one side"
        )
    result = {
        "policy": str(policy),
        "goggles": str(goggles) if goggles else None,
        "rgb": Path(rgb).resolve().name,
        "photos": len(judgements),
        **_agreement(judged),
        "left": _agreement([judgement for judgement in judged if (judgement.offset or 0) < 0]),
        "right": _agreement([judgement for judgement in judged if (judgement.offset or 0) > 0]),
        "chair_iou": _chairs_kept(judgements, worn is not None),
        "horizontal_fov_deg": math.degrees(
            calibration.camera.horizontal_fov_rad if calibration else horizontal_fov_rad
        ),
        "rows": [_row(judgement) for judgement in judgements],
    }
    write_image(Path(out) / "photos.png", draw_sheet(judged))
    write_bytes(Path(out) / "photos.json", (json.dumps(result, indent=1) + "\n").encode())
    return result


def _own_calibration(collected: Path) -> Calibration:
    if not (collected / "segmentation").is_dir():
        raise UsageError(f"masks= is needed: rgb={collected} is no folder that simgym.collect wrote, with labels")
    return Calibration.from_yaml(collected / CAMERA_INFO)


def _marked(rgb: Path, masks: str | Path | None) -> Iterator[tuple[Path, np.ndarray, np.ndarray]]:
    """Photographs or collected frames: where each is, the picture, and its mask."""
    if masks is not None:
        for photo_path, mask_path in find_pairs(rgb, Path(masks)):
            yield photo_path, *read_pair(photo_path, mask_path)
        return
    for frame_path, label_path in find_pairs(rgb / "rgb", rgb / "segmentation"):
        frame, labels = read_pair(frame_path, label_path)
        yield frame_path, frame, np.where(labels == Semantic.CHAIR, 255, 0).astype(np.uint8)


def _agreement(judged: Sequence[Judgement]) -> dict[str, Any]:
    """How many there are, in which share of them the policy turns to the chair, and its 95 % interval."""
    agreeing, n = sum(bool(judgement.agrees) for judgement in judged), len(judged)
    return {
        "n": n,
        "agreement": agreeing / n if n else None,
        "ci95": list(wilson_interval(agreeing, n)) if n else None,
    }


def judge(viewer: Viewer, path: Path, photo: np.ndarray, mask: np.ndarray) -> Judgement:
    """Show the policy one photograph.

    Args:
        viewer: its way into the policy.
        path: of the photograph.
        photo: (H_photo, W_photo, 3) uint8 RGB.
        mask: (H_photo, W_photo) uint8, more than 127 is chair.

    Raises:
        PhotoError: the photograph does not fit the calibration.
    """
    try:
        sight = viewer(photo)
    except CameraError as error:
        raise PhotoError(f"{path}: {error}") from error
    chair, counted = viewer.chair(mask)
    visible = bool((chair & counted).any())
    return Judgement(
        name=path.name,
        thumbnail=_to_height(photo, cv2.INTER_AREA),
        seen=sight.seen,
        offset=chair_offset(mask),
        yaw_rate=float(sight.command[1]),
        kept=paint_overlap(sight.seen, chair, counted),
        iou=(chair_iou(sight.plain, chair, counted), chair_iou(sight.seen, chair, counted)) if visible else None,
    )


def _chairs_kept(judgements: Sequence[Judgement], translated: bool) -> dict[str, Any]:
    pairs = [judgement.iou for judgement in judgements if judgement.iou is not None]
    after = [pair[1] for pair in pairs] if translated else None
    return summarize([pair[0] for pair in pairs], after)


def chair_offset(mask: np.ndarray) -> float | None:
    """Where the largest chair is.

    Args:
        mask: (H, W) uint8, more than 127 is chair; separate chairs are separate regions.

    Returns:
        The centroid of the largest region, from the middle of the image, as a share of its width: -0.5 the left edge,
        0.5 the right one. None without any chair.
    """
    chairs = (mask > 127).astype(np.uint8)
    count, _, stats, centroids = cv2.connectedComponentsWithStats(chairs, connectivity=8)
    if count < 2:  # the background alone
        return None
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    return float((centroids[largest, 0] + 0.5) / mask.shape[1] - 0.5)


def draw_sheet(judgements: Sequence[Judgement]) -> np.ndarray:
    """Some photographs, what the policy saw, what passed for a chair there, and where it turned.

    Arrows are green to the chair and red away from it. Pixels of the chair are orange where they passed for one and
    violet where not; blue is what passed for a chair and is none.

    Up to 40 examples, spread evenly, so that none is picked by hand.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    shown = min(SHEET_EXAMPLES, len(judgements))
    chosen = [judgements[i] for i in np.linspace(0, len(judgements) - 1, shown).round().astype(int)]
    cells = [_draw_cell(judgement) for judgement in chosen]
    width = max(cell.shape[1] for cell in cells)
    cells = [_pad(cell, width) for cell in cells]
    cells += [np.full_like(cells[0], 255)] * (-len(cells) % SHEET_COLUMNS)
    rows = [np.hstack(cells[i : i + SHEET_COLUMNS]) for i in range(0, len(cells), SHEET_COLUMNS)]
    return np.vstack(rows)


def _draw_cell(judgement: Judgement) -> np.ndarray:
    photo = judgement.thumbnail.copy()
    if judgement.offset is not None:
        x = round((judgement.offset + 0.5) * photo.shape[1])
        cv2.line(photo, (x, 0), (x, SHEET_HEIGHT_PX // 8), YELLOW, 3)
    return np.hstack(
        [photo, _to_height(judgement.seen, cv2.INTER_NEAREST), _draw_kept(judgement), _draw_arrow(judgement)]
    )


def _draw_kept(judgement: Judgement) -> np.ndarray:
    panel = _to_height(judgement.kept, cv2.INTER_NEAREST)
    if judgement.iou is not None:
        _write(panel, f"IoU {judgement.iou[1]:.2f}")
    return panel


def _draw_arrow(judgement: Judgement) -> np.ndarray:
    """Straight up is straight on; to the left or the right for a turn of 1 rad/s or more."""
    panel = np.full((SHEET_HEIGHT_PX, SHEET_HEIGHT_PX, 3), 255, np.uint8)
    angle = math.pi / 2 * float(np.clip(judgement.yaw_rate, -1, 1))  # left positive
    foot = (SHEET_HEIGHT_PX // 2, SHEET_HEIGHT_PX * 3 // 4)
    length = SHEET_HEIGHT_PX * 0.45
    tip = (round(foot[0] - length * math.sin(angle)), round(foot[1] - length * math.cos(angle)))
    colour = {True: GREEN, False: RED, None: GREY}[judgement.agrees]
    cv2.arrowedLine(panel, foot, tip, colour, 4, cv2.LINE_AA, tipLength=0.3)
    _write(panel, f"{judgement.yaw_rate:+.2f} rad/s")
    return panel


def _write(panel: np.ndarray, text: str) -> None:
    cv2.putText(panel, text, (4, SHEET_HEIGHT_PX - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.4, GREY, 1, cv2.LINE_AA)


def _to_height(image: np.ndarray, interpolation: int) -> np.ndarray:
    width = round(image.shape[1] * SHEET_HEIGHT_PX / image.shape[0])
    return cv2.resize(image, (width, SHEET_HEIGHT_PX), interpolation=interpolation)


def _pad(cell: np.ndarray, width: int) -> np.ndarray:
    """White to the right, up to ``width``, and a gap around every cell."""
    return cv2.copyMakeBorder(cell, 3, 3, 3, 12 + width - cell.shape[1], cv2.BORDER_CONSTANT, value=WHITE)


def _row(judgement: Judgement) -> dict[str, Any]:
    return {
        "name": judgement.name,
        "chair_offset": judgement.offset,
        "yaw_rate_radps": judgement.yaw_rate,
        "agrees": judgement.agrees,
        "chair_iou": judgement.iou and judgement.iou[1],
    }
