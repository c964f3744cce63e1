"""Steering agreement, on drawn photographs with red chairs and a policy that turns to whatever is red."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnx.parser
import pytest

import simgym.evaluate_photos as evaluate_photos_command
from simgym import shipped
from simgym.config.command import run_command
from simgym.config.schema import PhotosConfig
from simgym.deploy import BundleError, Calibration, Camera, Contract, TensorSpec, policy_contract
from simgym.deploy.camera import ASSUMED_FOV_DEG
from simgym.envs.scene import Semantic
from simgym.masks import PhotoError
from simgym.policies.photos import GREEN, RED, chair_offset, evaluate_photos

CAMERA = Camera.from_fov(16, 12, math.radians(69))
ROOMS = os.environ.get("SIMGYM_PHOTOS")  # a folder with rgb/ and chair_mask/
# Yaw rate = mean of red - mean of green, left half minus right half, in the newest frame.
POLICY_GRAPH = """
<ir_version: 10, opset_import: ["" : 18]>
policy (uint8[N, 2, 12, 16, 3] image, float[N, 2] velocity) => (float[N, 2] command)
<int64 newest = {1}, float[3] colour = {1, -1, 0}, int64[1] rows = {1}, int64[2] halves = {0, -1},
 float[16, 2] sides = {0,1, 0,1, 0,1, 0,1, 0,1, 0,1, 0,1, 0,1, 0,-1, 0,-1, 0,-1, 0,-1, 0,-1, 0,-1, 0,-1, 0,-1},
 float scale = {1000}>
{
    pixels = Cast<to = 1>(image)
    frame = Gather<axis = 1>(pixels, newest)
    redness = MatMul(frame, colour)
    columns = ReduceMean<keepdims = 0>(redness, rows)
    balance = MatMul(columns, sides)
    turn = Div(balance, scale)
    command = Add(turn, velocity)
}
"""
# Goggles that mirror the image.
GOGGLES_GRAPH = """
<ir_version: 10, opset_import: ["" : 18]>
goggles (uint8[N, 12, 16, 3] image) => (uint8[N, 12, 16, 3] translated)
<int64[1] start = {-1}, int64[1] end = {-100}, int64[1] axis = {2}, int64[1] step = {-1}>
{ translated = Slice(image, start, end, axis, step) }
"""


def save(path: Path, graph: str, contract: Contract) -> Path:
    model = onnx.parser.parse_model(graph)
    onnx.helper.set_model_props(model, {"simgym": contract.to_json()})
    onnx.save(model, path)
    return path


@pytest.fixture
def make_policy(tmp_path: Path) -> Callable[[str], Path]:
    """Turns to the red side."""

    def make(task: str) -> Path:
        contract = policy_contract(task, CAMERA, 2, (0.0, -1.5), (0.6, 1.5), 10.0, ("sim",), "Apache-2.0")
        return save(tmp_path / "policy.onnx", POLICY_GRAPH, contract)

    return make


@pytest.fixture
def policy(make_policy: Callable[[str], Path]) -> Path:
    """Of the right task."""
    return make_policy("ChairNav")


@pytest.fixture
def make_goggles(tmp_path: Path) -> Callable[[Camera], Path]:
    """Goggles that mirror the image."""

    def make(camera: Camera = CAMERA) -> Path:
        image = TensorSpec("image", ("N", 12, 16, 3), "uint8", "sRGB")
        translated = TensorSpec("translated", image.shape, "uint8", "sRGB")
        contract = Contract("goggles", None, camera, 1, (image,), (translated,), 10.0, ("a", "b"), "Apache-2.0")
        return save(tmp_path / "goggles.onnx", GOGGLES_GRAPH, contract)

    return make


def draw_room(chairs: list[tuple[int, int]], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A grey room, 160x120, with red chairs from column to column; returns the BGR photograph and the mask."""
    photo = np.random.default_rng(seed).integers(90, 110, (120, 160, 3)).astype(np.uint8)
    mask = np.zeros((120, 160), np.uint8)
    for left, right in chairs:
        photo[50:100, left:right] = (20, 20, 220)
        mask[50:100, left:right] = 255
    return photo, mask


ROOM_CHAIRS = {
    "left": [(5, 45)],
    "right": [(110, 150)],
    "middle": [(70, 95)],
    "empty": [],
    "two": [(20, 30), (100, 150)],
    "far_left": [(0, 20)],
}


@pytest.fixture
def rooms(tmp_path: Path) -> Path:
    """Six photographs, four of them with the largest chair to one side."""
    for name in ("rgb", "masks"):
        (tmp_path / "rooms" / name).mkdir(parents=True)
    for seed, (name, chairs) in enumerate(ROOM_CHAIRS.items()):
        photo, mask = draw_room(chairs, seed)
        cv2.imwrite(str(tmp_path / "rooms" / "rgb" / f"{name}.jpg"), photo)
        cv2.imwrite(str(tmp_path / "rooms" / "masks" / f"{name}.png"), mask)
    return tmp_path / "rooms"


def colours(path: Path) -> set[tuple[int, ...]]:
    """The colours of a picture, as RGB."""
    picture = cv2.imread(str(path))
    assert picture is not None
    return {tuple(colour[::-1].tolist()) for colour in np.unique(picture.reshape(-1, 3), axis=0)}


def test_a_policy_that_turns_to_the_chairs(policy, rooms, tmp_path):
    result = evaluate_photos(policy, rooms / "rgb", rooms / "masks", tmp_path / "out")
    assert (result["photos"], result["n"], result["agreement"]) == (6, 4, 1.0)
    assert result["ci95"] == pytest.approx([0.5101, 1.0], abs=1e-4)  # Wilson's interval for 4 of 4
    rows = {row["name"]: row for row in result["rows"]}
    assert rows["left.jpg"]["yaw_rate_radps"] > 0 > rows["right.jpg"]["yaw_rate_radps"]
    assert rows["middle.jpg"]["agrees"] is None and rows["empty.jpg"]["chair_offset"] is None


def test_chairs_are_kept_where_goggles_leave_them_as_they_were(policy, rooms, tmp_path):
    """The drawn chairs have nearly the red that simulated ones have: only the pixels at their edges are mixed."""
    chairs = evaluate_photos(policy, rooms / "rgb", rooms / "masks", tmp_path / "out")["chair_iou"]
    assert chairs["photos"] == 5  # one room is empty
    assert chairs["before"]["mean"] > 0.6 and chairs["after"] is None and chairs["gain"] is None


def test_chairs_are_lost_where_goggles_move_them(policy, make_goggles, rooms, tmp_path):
    result = evaluate_photos(policy, rooms / "rgb", rooms / "masks", tmp_path / "out", goggles=make_goggles())
    chairs = result["chair_iou"]
    after = {row["name"]: row["chair_iou"] for row in result["rows"]}
    assert after["left.jpg"] == after["far_left.jpg"] == 0 and after["middle.jpg"] > 0.3 and after["empty.jpg"] is None
    assert chairs["after"]["mean"] == pytest.approx(np.mean([iou for iou in after.values() if iou is not None]))
    assert chairs["gain"]["mean"] == pytest.approx(chairs["after"]["mean"] - chairs["before"]["mean"])
    assert chairs["gain"]["ci95"][1] < 0


def test_what_is_written(policy, rooms, tmp_path):
    result = evaluate_photos(policy, rooms / "rgb", rooms / "masks", tmp_path / "out")
    assert json.loads((tmp_path / "out/photos.json").read_text()) == result
    assert result["rgb"] == "rgb" and result["policy"] == str(policy) and result["goggles"] is None
    assert colours(tmp_path / "out/photos.png") >= {GREEN}
    assert RED not in colours(tmp_path / "out/photos.png")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["photos.json", "photos.png"]


def test_goggles_are_worn(policy, make_goggles, rooms, tmp_path):
    """Behind goggles that mirror, the policy turns away from every chair."""
    result = evaluate_photos(policy, rooms / "rgb", rooms / "masks", tmp_path / "out", goggles=make_goggles())
    assert result["agreement"] == 0.0
    assert colours(tmp_path / "out/photos.png") >= {RED}


def test_goggles_of_another_camera_are_refused(policy, make_goggles, rooms, tmp_path):
    goggles = make_goggles(Camera.from_fov(16, 12, 1.0))
    with pytest.raises(BundleError, match="another camera"):
        evaluate_photos(policy, rooms / "rgb", rooms / "masks", tmp_path / "out", goggles=goggles)


def test_each_side_is_told_apart(policy, rooms, tmp_path):
    """A policy that prefers a side agrees by chance with every chair there."""
    (rooms / "rgb/far_left.jpg").unlink()
    photo = cv2.imread(str(rooms / "rgb/two.jpg"))
    assert photo is not None
    cv2.imwrite(str(rooms / "rgb/two.jpg"), photo[:, ::-1])  # so the policy turns away from where the mask says
    result = evaluate_photos(policy, rooms / "rgb", rooms / "masks", tmp_path / "out")
    assert result["agreement"] == pytest.approx(2 / 3)
    assert (result["left"]["n"], result["left"]["agreement"]) == (1, 1.0)
    assert (result["right"]["n"], result["right"]["agreement"]) == (2, 0.5)


def test_frames_of_a_simulator_need_no_masks(policy, rooms, tmp_path):
    for folder in ("rgb", "segmentation"):
        (tmp_path / "run" / folder).mkdir(parents=True)
    for name in ("left", "right", "middle"):
        photo, mask = draw_room(ROOM_CHAIRS[name], 0)
        cv2.imwrite(str(tmp_path / f"run/rgb/{name}.png"), photo)
        labels = np.where(mask > 0, Semantic.CHAIR, Semantic.WALL).astype(np.uint8)
        cv2.imwrite(str(tmp_path / f"run/segmentation/{name}.png"), labels)
    Calibration.assumed(160, 120).to_yaml(tmp_path / "run/camera_info.yaml")
    words = [f"policy={policy}", f"rgb={tmp_path / 'run'}", f"out={tmp_path / 'out'}"]
    assert run_command(PhotosConfig, evaluate_photos_command.main, words) == 0
    result = json.loads((tmp_path / "out/photos.json").read_text())
    assert (result["photos"], result["n"], result["agreement"]) == (3, 2, 1.0)


def test_a_calibration_is_used(policy, rooms, tmp_path):
    calibration = Calibration(Camera.from_fov(160, 120, math.radians(75)), "plumb_bob", (-0.1, 0.0, 0.0, 0.0))
    result = evaluate_photos(policy, rooms / "rgb", rooms / "masks", tmp_path / "out", calibration=calibration)
    assert result["agreement"] == 1.0
    assert result["horizontal_fov_deg"] == pytest.approx(75)
    with pytest.raises(PhotoError, match=r"empty.jpg: expected a uint8 image of 320x240"):
        evaluate_photos(
            policy, rooms / "rgb", rooms / "masks", tmp_path / "o", calibration=Calibration.assumed(320, 240)
        )


class TestChairOffset:
    def test_the_largest_of_several(self):
        mask = np.zeros((10, 100), np.uint8)
        mask[2:5, 0:10] = 255
        mask[2:9, 80:90] = 255
        assert chair_offset(mask) == pytest.approx(0.35)

    def test_symmetric(self):
        mask = np.zeros((10, 100), np.uint8)
        mask[:, 40:60] = 255
        assert chair_offset(mask) == pytest.approx(0)
        mask = np.zeros((10, 100), np.uint8)
        mask[:, 3:17] = 255
        assert chair_offset(mask) == pytest.approx(-0.4)
        assert chair_offset(mask[:, ::-1]) == pytest.approx(0.4)

    def test_no_chair(self):
        assert chair_offset(np.zeros((10, 100), np.uint8)) is None

    def test_nothing_but_chair(self):
        assert chair_offset(np.full((10, 100), 255, np.uint8)) == pytest.approx(0)


class TestBadInput:
    def refusal(self, policy: Path, rooms: Path, tmp_path: Path) -> str:
        with pytest.raises(PhotoError) as caught:
            evaluate_photos(policy, rooms / "rgb", rooms / "masks", tmp_path / "out")
        assert not (tmp_path / "out").exists()
        assert "\n" not in str(caught.value)
        return str(caught.value)

    @pytest.mark.parametrize("content", [b"", b"not a picture"])
    def test_unreadable_photograph(self, policy, rooms, tmp_path, content):
        (rooms / "rgb/left.jpg").write_bytes(content)
        assert "left.jpg is not an image" in self.refusal(policy, rooms, tmp_path)

    def test_photograph_that_is_cut_off(self, policy, rooms, tmp_path):
        whole = (rooms / "rgb/left.jpg").read_bytes()
        (rooms / "rgb/left.jpg").write_bytes(whole[: len(whole) // 2])
        assert "left.jpg is not an image" in self.refusal(policy, rooms, tmp_path)

    def test_unreadable_mask(self, policy, rooms, tmp_path):
        (rooms / "masks/left.png").write_bytes(b"?")
        assert "left.png is not an image" in self.refusal(policy, rooms, tmp_path)

    def test_missing_mask(self, policy, rooms, tmp_path):
        (rooms / "masks/left.png").unlink()
        assert "the first is left.jpg" in self.refusal(policy, rooms, tmp_path)

    def test_mask_of_another_size(self, policy, rooms, tmp_path):
        cv2.imwrite(str(rooms / "masks/left.png"), np.zeros((60, 80), np.uint8))
        assert "left.png is 80x60, but its photograph is 160x120" in self.refusal(policy, rooms, tmp_path)

    def test_missing_folder(self, policy, rooms, tmp_path):
        assert "no folder" in self.refusal(policy, rooms / "absent", tmp_path)

    def test_no_images(self, policy, rooms, tmp_path):
        for path in (rooms / "rgb").iterdir():
            path.unlink()
        assert "no images in" in self.refusal(policy, rooms, tmp_path)

    @pytest.mark.parametrize("name", ["rgb/left.png", "masks/left.bmp"])
    def test_two_of_one_stem(self, policy, rooms, tmp_path, name):
        cv2.imwrite(str(rooms / name), np.zeros((120, 160, 3), np.uint8))
        assert "which one counts?" in self.refusal(policy, rooms, tmp_path)

    def test_nothing_to_judge(self, policy, rooms, tmp_path):
        for name in ("left", "right", "two", "far_left"):
            (rooms / f"rgb/{name}.jpg").unlink()
        assert "none of the 2 photographs" in self.refusal(policy, rooms, tmp_path)


@pytest.mark.skipif(not ROOMS, reason="SIMGYM_PHOTOS names no folder with photographs (rgb/) and masks (chair_mask/)")
def test_real_photographs(policy, tmp_path):
    """A policy that knows nothing of chairs: a real measurement runs through, and its interval holds chance."""
    result = evaluate_photos(policy, f"{ROOMS}/rgb", f"{ROOMS}/chair_mask", tmp_path / "out")
    assert result["n"] > 100
    assert 0.3 < result["ci95"][0] < result["agreement"] < result["ci95"][1] < 0.7


class TestCommand:
    def run(self, *words: str) -> int:
        return run_command(PhotosConfig, evaluate_photos_command.main, list(words))

    def test_measures_and_says_what_it_wrote(self, policy, rooms, tmp_path, capsys):
        words = [f"policy={policy}", f"rgb={rooms}/rgb", f"masks={rooms}/masks", f"out={tmp_path}/out"]
        assert self.run(*words) == 0
        printed = capsys.readouterr().out.splitlines()
        assert printed[0] == "steering agreement 100.0% (95 % interval 51.0% to 100.0%) on 4 of 6 photographs"
        assert printed[1] == "by the chair's side: left 100.0% of 2, right 100.0% of 2"
        assert printed[2].startswith("chairs kept, mean IoU 0.") and "on 5 photographs" in printed[2]
        assert printed[-1] == f"wrote {tmp_path}/out/photos.json and {tmp_path}/out/photos.png"
        assert (tmp_path / "out/photos.json").is_file()

    def test_an_unreadable_photograph_is_one_line_and_a_failure(self, policy, rooms, tmp_path, capsys):
        (rooms / "rgb/left.jpg").write_bytes(b"?")
        words = [f"policy={policy}", f"rgb={rooms}/rgb", f"masks={rooms}/masks", f"out={tmp_path}/out"]
        assert self.run(*words) == 1
        error = capsys.readouterr().err
        assert "left.jpg is not an image" in error and error.count("\n") == 1
        assert not (tmp_path / "out").exists()

    def test_a_policy_for_another_task(self, make_policy, rooms, tmp_path, capsys):
        words = [f"policy={make_policy('Grasp')}", f"rgb={rooms}/rgb", f"masks={rooms}/masks", f"out={tmp_path}/out"]
        assert self.run(*words) == 1
        assert "is a policy for Grasp, not for ChairNav" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()

    def test_the_name_that_was_given_is_noted(self, policy, rooms, tmp_path, monkeypatch):
        monkeypatch.setitem(shipped.FOLDERS, "policy", tmp_path)
        policy.rename(tmp_path / "ChairNav_policy.onnx")
        assert self.run("policy=pretrained", f"rgb={rooms}/rgb", f"masks={rooms}/masks", f"out={tmp_path}/out") == 0
        assert json.loads((tmp_path / "out/photos.json").read_text())["policy"] == "pretrained"

    def test_the_assumed_field_of_view_is_the_same_everywhere(self, policy, rooms, tmp_path):
        assert self.run(f"policy={policy}", f"rgb={rooms}/rgb", f"masks={rooms}/masks", f"out={tmp_path}/out") == 0
        noted = json.loads((tmp_path / "out/photos.json").read_text())["horizontal_fov_deg"]
        assert noted == pytest.approx(ASSUMED_FOV_DEG)

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            ((), "masks= is needed: rgb="),
            (("horizontal_fov_deg=69",), "horizontal_fov_deg does nothing to collected frames"),
        ],
    )
    def test_without_masks_frames_must_be_collected_ones(self, policy, rooms, tmp_path, capsys, words, message):
        if words:
            (rooms / "segmentation").mkdir()
        assert self.run(f"policy={policy}", f"rgb={rooms}", *words, f"out={tmp_path}/out") == 2
        assert message in capsys.readouterr().err

    def test_a_missing_bundle(self, rooms, tmp_path, capsys):
        words = ["policy=absent.onnx", f"rgb={rooms}/rgb", f"masks={rooms}/masks", f"out={tmp_path}/out"]
        assert self.run(*words) == 1
        assert "no bundle at absent.onnx" in capsys.readouterr().err
