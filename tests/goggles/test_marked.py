"""Marked chairs: read as the camera sees them, drawn with their pictures, believed where the average errs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from simgym.config.command import run_command
from simgym.config.goggles import HYBRID, RCAN
from simgym.config.schema import GogglesTrainConfig
from simgym.config.sources import SourceConfig
from simgym.deploy import Camera
from simgym.envs.scene import Semantic
from simgym.errors import UsageError
from simgym.goggles.data import MARKED, Sampler, Source
from simgym.goggles.domains import check_needs
from simgym.goggles.frames import Frames
from simgym.goggles.marked import CHAIR, OTHER, UNKNOWN, constrain, load_marked
from simgym.goggles.methods import PAIRED, TAUGHT, UNPAIRED, Lesson
from simgym.goggles.networks import make_painter
from simgym.goggles.teaching import teach
from simgym.goggles.train import main
from simgym.masks import PhotoError
from tests.goggles.scenes import domains, write_source

CPU = torch.device("cpu")
CLASSES = len(Semantic)
BATCH = 8


def write_marked(folder: Path, count: int = 12, size: tuple[int, int] = (120, 160)) -> Path:
    """Photographs in which chairs are red, and their masks."""
    rng = np.random.default_rng(0)
    for name in ("rgb", "chair_mask"):
        (folder / name).mkdir(parents=True)
    for i in range(count):
        mask = np.zeros(size, np.uint8)
        top, left = rng.integers((20, 20), (60, 100))
        mask[top : top + 40, left : left + 40] = 255
        photo = np.where(mask[..., None] > 0, (0, 0, 250), (120, 110, 100)).astype(np.uint8)  # BGR
        cv2.imwrite(str(folder / "rgb" / f"{i}.png"), photo)
        cv2.imwrite(str(folder / "chair_mask" / f"{i}.png"), mask)
    return folder


def marked(count: int = 12) -> Frames:
    """Frames that are white where the chair is."""
    masks = np.random.default_rng(3).integers(0, 2, (count, 24, 32), dtype=np.uint8)
    return Frames(masks[..., None].repeat(3, -1) * 255, np.zeros(count, np.int64), np.full(count, np.nan), masks)


def sampler(crop: float = 1.0, **more: Frames) -> Sampler:
    sources = {name: Source(frames, CPU) for name, frames in (domains() | more).items()}
    return Sampler(sources, BATCH, 0.0, crop, 8, 0)


# --- reading ---


def test_masks_go_the_way_of_their_pictures(tmp_path: Path) -> None:
    frames, said = load_marked(str(write_marked(tmp_path)), SourceConfig(horizontal_fov_deg=75), Camera())
    assert "12 photographs" in said and "an ideal lens 75 degrees wide, which sees 100%" in said
    assert frames.rgb.shape == (12, 60, 80, 3) and frames.segmentation is not None
    assert set(np.unique(frames.segmentation)) == {OTHER, CHAIR}
    red = frames.rgb[..., 0].astype(int) - frames.rgb[..., 1]
    edge = np.abs(red - 118) < 100  # mixtures of both
    assert edge.mean() < 0.1
    np.testing.assert_array_equal(frames.segmentation[~edge] == CHAIR, red[~edge] > 118)


def test_nothing_is_known_beyond_the_edge_of_a_photograph(tmp_path: Path) -> None:
    """The resampler repeats edges there, and a chair at an edge would grow."""
    folder = write_marked(tmp_path, count=1)
    cv2.imwrite(str(folder / "chair_mask" / "0.png"), np.full((120, 160), 255, np.uint8))
    frames, said = load_marked(str(folder), SourceConfig(horizontal_fov_deg=40), Camera())
    marks = frames.segmentation
    assert marks is not None and set(np.unique(marks)) == {CHAIR, UNKNOWN}
    assert 0.1 < (marks == CHAIR).mean() < 0.5 and marks[0, 30, 40] == CHAIR and marks[0, 0, 0] == UNKNOWN
    assert f"sees {(marks == CHAIR).mean():.0%} of the picture" in said


def test_masks_without_any_chair_are_refused(tmp_path: Path) -> None:
    """Such as masks of 0 and 1, which would teach that nothing is a chair."""
    folder = write_marked(tmp_path)
    for path in (folder / "chair_mask").iterdir():
        cv2.imwrite(str(path), np.ones((120, 160), np.uint8))
    with pytest.raises(PhotoError, match="no mask in .*chair_mask has a chair .*255 is chair"):
        load_marked(str(folder), SourceConfig(), Camera())


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    folder = write_marked(tmp_path)
    cv2.imwrite(str(folder / "chair_mask" / "3.png"), np.zeros((60, 80), np.uint8))
    with pytest.raises(PhotoError, match=r"3\.png is 80x60, but its photograph is 160x120"):
        load_marked(str(folder), SourceConfig(), Camera())
    (folder / "chair_mask" / "3.png").unlink()
    with pytest.raises(PhotoError, match=r"no mask in .*chair_mask for 1 photographs .*first is 3\.png"):
        load_marked(str(folder), SourceConfig(), Camera())
    with pytest.raises(PhotoError, match="no folder"):
        load_marked(str(tmp_path / "elsewhere"), SourceConfig(), Camera())


def test_methods_that_are_not_taught_refuse_them() -> None:
    given = {**domains(), "marked": marked()}
    check_needs(HYBRID, given)
    for method in (RCAN, replace(HYBRID, taught=0.0)):
        with pytest.raises(UsageError, match=f"marked= does nothing with goggles/method={method.name} unless"):
            check_needs(method, given)


# --- batches ---


@pytest.mark.parametrize("crop", [1.0, 0.8])
def test_a_share_of_the_real_frames_is_marked_and_all_else_is_as_without(crop: float) -> None:
    terms = (*PAIRED, *TAUGHT)
    plain, mixed = sampler(crop).batch(5, terms), sampler(crop, marked=marked()).batch(5, terms)
    assert plain.marks is None and mixed.marks is not None
    assert plain.real is not None and mixed.real is not None and plain.paired and mixed.paired
    part = BATCH // MARKED
    assert torch.equal(mixed.real[part:], plain.real[part:]) and bool((mixed.marks[part:] == UNKNOWN).all())
    assert torch.equal(mixed.paired.images, plain.paired.images)
    white = mixed.real[:part, 0] > 0
    assert torch.equal(mixed.marks[:part] == CHAIR, white), "cropped and mirrored together"
    assert torch.equal(mixed.marks[:part] == OTHER, ~white)


def test_they_stay_out_where_nothing_is_taught() -> None:
    assert sampler(marked=marked()).batch(5, (*PAIRED, *UNPAIRED)).marks is None


# --- belief ---


def beliefs() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    probabilities = torch.randn(4, CLASSES, 6, 8, generator=generator).mul(3).softmax(1)
    return probabilities, torch.randint(0, 3, (4, 6, 8), generator=generator)


def test_what_is_known_is_believed_and_the_rest_keeps_its_odds() -> None:
    before, marks = beliefs()
    after = constrain(before, marks)
    assert torch.allclose(after.sum(1), torch.ones(4, 6, 8))
    chair = after[:, Semantic.CHAIR]
    assert bool((chair[marks == CHAIR] == 1).all()) and bool((chair[marks == OTHER] == 0).all())
    unknown = (marks == UNKNOWN)[:, None].expand_as(before)
    assert torch.equal(after[unknown], before[unknown])
    floor, wall = Semantic.FLOOR, Semantic.WALL
    there = marks == OTHER
    odds = [part[:, floor][there] / part[:, wall][there] for part in (before, after)]
    assert torch.allclose(odds[0], odds[1], rtol=1e-4)


def test_a_teacher_who_is_sure_of_a_chair_where_there_is_none_gives_no_nonsense() -> None:
    sure = torch.zeros(1, CLASSES, 1, 1)
    sure[:, Semantic.CHAIR] = 1
    assert bool((constrain(sure, torch.tensor([[[OTHER]]])) == 0).all()), "so its label is below any threshold"


def test_marks_overrule_the_teacher() -> None:
    torch.manual_seed(0)
    teacher = make_painter("mobile", torch.ones(CLASSES), torch.rand(CLASSES, 3)).eval()
    real, images = torch.rand(2, 4, 3, 16, 24)
    pairs = Lesson(images, torch.zeros(4, 16, 24, dtype=torch.int64), torch.ones(4, 16, 24))
    nothing = torch.zeros(4, CLASSES, dtype=torch.bool)
    marks = torch.randint(0, 3, (4, 16, 24))
    plain, told = (teach(teacher, real, pairs, nothing, 0.5, known) for known in (None, marks))
    assert bool((told.labels[marks == CHAIR] == Semantic.CHAIR).all())
    assert bool((told.weights[marks == CHAIR] == 1).all())
    assert not bool((told.labels[(marks == OTHER) & (told.weights > 0)] == Semantic.CHAIR).any())
    unknown = marks == UNKNOWN
    assert torch.equal(told.labels[unknown], plain.labels[unknown])
    assert torch.equal(told.weights[unknown], plain.weights[unknown])


# --- the command ---


def test_a_training_learns_from_them(tmp_path: Path) -> None:
    made = domains(20, Camera())
    real, pairs = (write_source(tmp_path / name, replace(made[name])) for name in ("real", "pairs"))
    folder, out = write_marked(tmp_path / "rooms"), tmp_path / "run"
    words = [f"real={real}", f"pairs={pairs}", f"marked={folder}", f"out={out}", "steps=4", "batch_size=4"]
    words += ["goggles.method.unpaired_after=0", "segmentation_steps=0", "generator=mobile", "device=cpu"]
    assert run_command(GogglesTrainConfig, main, [*words, "quantized=false"]) == 0
    assert json.loads((out / "metrics.json").read_text())["frames"]["marked"] == 12, "none is held out"
    assert (out / "goggles.onnx").is_file()
