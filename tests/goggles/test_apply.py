"""`python -m simgym.goggles.apply`: pictures, videos and bags behind goggles that show the negative."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import onnx.parser
import pytest

import simgym.goggles.apply as apply
from simgym import shipped
from simgym.config.command import run_command
from simgym.config.schema import ApplyConfig
from simgym.deploy import Calibration, Camera, Contract, Resampler, TensorSpec
from simgym.goggles.sources import SourceConfig, iterate
from tests.goggles.recorded import (
    BEGIN_NS,
    FORMATS,
    HEIGHT,
    PERIOD_NS,
    WIDTH,
    noise,
    pictures,
    write_folder,
    write_frames_bag,
    write_video,
)

CAMERA = Camera.from_fov(WIDTH // 2, HEIGHT // 2, 1.0)
SHAPE = f"uint8[N, {CAMERA.height}, {CAMERA.width}, 3]"
NEGATIVE = f"""
<ir_version: 10, opset_import: ["" : 18]>
goggles ({SHAPE} image) => ({SHAPE} translated)
<uint8 full = {{255}}> {{ translated = Sub(full, image) }}
"""


@pytest.fixture(autouse=True)
def in_folder_with_goggles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shape = ("N", CAMERA.height, CAMERA.width, 3)
    contract = Contract(
        kind="goggles",
        task=None,
        camera=CAMERA,
        frame_stack=1,
        inputs=(TensorSpec("image", shape, "uint8", "sRGB", (0,), (255,)),),
        outputs=(TensorSpec("translated", shape, "uint8", "sRGB", (0,), (255,)),),
        rate_hz=10.0,
        domains=("standin", "sim"),
        licence="Apache-2.0",
    )
    model = onnx.parser.parse_model(NEGATIVE)
    onnx.helper.set_model_props(model, {"simgym": contract.to_json()})
    onnx.save(model, "goggles.onnx")


def run(source: Path | str, *words: str, code: int = 0) -> None:
    assert run_command(ApplyConfig, apply.main, ["goggles=goggles.onnx", f"source={source}", "out=out", *words]) == code


def seen(frame: np.ndarray) -> np.ndarray:
    """What the goggles see of a frame whose camera nobody knows."""
    return Resampler(Calibration.assumed(frame.shape[1], frame.shape[0]), CAMERA)(frame)


def picture(path: str) -> np.ndarray:
    image = cv2.imread(path)
    assert image is not None
    return image[..., ::-1]


def test_pictures(capsys: pytest.CaptureFixture[str]) -> None:
    shown = pictures(40)  # more than a batch
    run(write_folder(Path("a"), shown))
    assert sorted(path.name for path in Path("out").iterdir()) == ["config.yaml", "pictures"]
    assert len(list(Path("out/pictures").iterdir())) == 40
    for i in (0, 39):
        np.testing.assert_array_equal(picture(f"out/pictures/{i}.png"), 255 - seen(shown[i]))
    assert capsys.readouterr().out.startswith("40 frames of a (pictures); ")


def test_pretrained_goggles_are_those_of_the_task(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(shipped.FOLDERS, "goggles", Path())
    (shown,) = pictures(1)
    source = write_folder(Path("a"), shown[None])
    Path("goggles.onnx").rename("ChairNav_goggles.onnx")
    words = ["goggles=pretrained", f"source={source}"]
    assert run_command(ApplyConfig, apply.main, [*words, "out=out"]) == 0
    np.testing.assert_array_equal(picture("out/pictures/0.png"), 255 - seen(shown))
    assert run_command(ApplyConfig, apply.main, [*words, "env=Grasp", "out=other"]) == 1
    error = capsys.readouterr().err
    assert "goggles=pretrained: simgym ships none for Grasp" in error and error.count("\n") == 1
    assert not Path("other").exists()


def test_side_by_side() -> None:
    (shown,) = pictures(1)
    run(write_folder(Path("a"), shown[None]), "side_by_side=true")
    np.testing.assert_array_equal(picture("out/pictures/0.png"), np.hstack([seen(shown), 255 - seen(shown)]))


def test_pictures_of_the_same_name_are_all_kept() -> None:
    for name in "ab":
        write_folder(Path("all", name), pictures(1))
    run("all/*/*.png")
    assert sorted(path.name for path in Path("out/pictures").iterdir()) == ["0.png", "0_2.png"]


def test_a_video_keeps_its_rate_and_its_still_moments() -> None:
    shown = np.repeat(pictures(3), 4, axis=0)
    run(write_video(Path("a.mp4"), shown, rate_hz=8))
    frames = list(iterate("out/translated.mp4", SourceConfig(min_change=0.0)))
    assert [frame.stamp_ns for frame in frames] == [i * 125_000_000 for i in range(12)]
    for frame, original in zip(frames, shown, strict=True):
        assert np.abs(frame.rgb.astype(int) - (255 - seen(original))).mean() < 8  # H.264 loses some


@pytest.mark.parametrize("name", ["rosbag1", "sqlite", "mcap-chunks"])
def test_a_bag(name: str) -> None:
    shown = pictures(3)
    calibration = Calibration(Camera(WIDTH, HEIGHT, 150, 140, 70, 66), "plumb_bob", (-0.2, 0.05, 0, 0, 0))
    run(write_frames_bag(Path("a"), shown, calibration, **FORMATS[name]))
    frames = list(iterate("out/bag", SourceConfig(topic="/camera/goggles/image_raw", min_change=0.0), CAMERA))
    expected = [255 - Resampler(calibration, CAMERA)(frame) for frame in shown]
    np.testing.assert_array_equal([frame.rgb for frame in frames], expected)  # its camera_info is the goggles' camera
    assert [frame.stamp_ns for frame in frames] == [BEGIN_NS + i * PERIOD_NS for i in range(3)]
    assert {frame.frame_id for frame in frames} == {"camera_optical"}


def test_a_truncated_bag_is_translated_as_far_as_it_goes(capsys: pytest.CaptureFixture[str]) -> None:
    bag = write_frames_bag(Path("a"), noise(40), **FORMATS["mcap"])
    with (bag / "a.mcap").open("r+b") as file:
        file.truncate(1_200_000)
    run(bag)
    count = len(list(iterate("out/bag", SourceConfig(min_change=0.0))))
    assert 10 < count < 30
    assert f"{40 - count} lost at a truncated end" in capsys.readouterr().out


def test_refusals_leave_nothing_behind(capsys: pytest.CaptureFixture[str]) -> None:
    bag = write_frames_bag(Path("a"), pictures(2))
    for name in "bc":
        write_video(Path(f"{name}.mp4"), pictures(2))
    for words, code, message in [
        ((bag, "side_by_side=true"), 2, "must be those of its camera_info"),
        (("*.mp4",), 2, "several recordings: give one at a time"),
        (("nowhere",), 1, "no nowhere: expected a folder"),
        ((bag, "goggles=missing.onnx"), 1, "no bundle at missing.onnx"),
        ((bag, "frames.topic=/other"), 1, "choose from /camera/image_raw"),
    ]:
        run(*words, code=code)  # type: ignore[arg-type]
        assert message in capsys.readouterr().err
        assert not Path("out").exists()
