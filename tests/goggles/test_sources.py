"""Folders, globs, videos and collected frames as sources, and what is chosen of them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simgym.deploy import Calibration, Camera, Resampler
from simgym.errors import UsageError
from simgym.goggles.sources import Frame, Report, SourceConfig, SourceError, iterate, read_frames
from tests.goggles.recorded import HEIGHT, WIDTH, noise, pictures, write_folder, write_video

CAMERA = Camera.from_fov(WIDTH, HEIGHT, 1.2)
PHOTOGRAPHS = Path(__file__).parents[2] / "../shared/data/nav"


def read(source: Path, report: Report | None = None, **options: Any) -> list[Frame]:
    """All frames as they are, without leaving out near-duplicates unless asked for."""
    return list(iterate(str(source), SourceConfig(**{"min_change": 0.0} | options), None, report))


def same(frames: list[Frame], expected: np.ndarray) -> bool:
    return len(frames) == len(expected) and all(np.array_equal(f.rgb, e) for f, e in zip(frames, expected, strict=True))


class TestFolders:
    def test_pictures_come_in_the_order_of_their_numbers(self, tmp_path: Path) -> None:
        shown = pictures(12)
        folder = write_folder(tmp_path / "a", shown)
        (folder / "notes.txt").write_text("no picture")
        frames = read(folder)
        assert same(frames, shown)
        assert [frame.name for frame in frames] == [f"{i}.png" for i in range(12)]
        assert {frame.sequence for frame in frames} == {0} and {frame.stamp_ns for frame in frames} == {None}

    def test_a_glob_makes_a_sequence_of_each_folder(self, tmp_path: Path) -> None:
        shown = pictures(5)
        write_folder(tmp_path / "a", shown[:2])
        write_folder(tmp_path / "b", shown[2:])
        frames = read(tmp_path / "*" / "*.png")
        assert same(frames, shown)
        assert [frame.sequence for frame in frames] == [0, 0, 1, 1, 1]

    def test_one_picture_is_a_source(self, tmp_path: Path) -> None:
        folder = write_folder(tmp_path / "a", pictures(2))
        assert [frame.name for frame in read(folder / "1.png")] == ["1.png"]

    def test_a_folder_with_magic_in_its_name_is_a_folder(self, tmp_path: Path) -> None:
        assert len(read(write_folder(tmp_path / "run [1]", pictures(3)))) == 3

    @pytest.mark.parametrize("kind", ["grey", "alpha", "16 bit"])
    def test_every_kind_of_picture_becomes_rgb_of_8_bits(self, tmp_path: Path, kind: str) -> None:
        rgb = noise(1)[0]
        stored = {
            "grey": rgb[..., 0],
            "alpha": np.dstack([rgb[..., ::-1], rgb[..., 0]]),
            "16 bit": rgb[..., ::-1].astype(np.uint16) * 257,
        }[kind]
        cv2.imwrite(str(tmp_path / "a.png"), stored)
        (frame,) = read(tmp_path)
        assert frame.rgb.dtype == np.uint8
        np.testing.assert_array_equal(frame.rgb, rgb[..., [0, 0, 0]] if kind == "grey" else rgb)

    @pytest.mark.parametrize("damage", [b"", b"not a picture", "half"])
    def test_a_damaged_picture_is_left_out_and_named(self, tmp_path: Path, damage: bytes | str) -> None:
        folder = write_folder(tmp_path / "a", pictures(20), ".jpg")
        data = (folder / "3.jpg").read_bytes()
        (folder / "3.jpg").write_bytes(damage if isinstance(damage, bytes) else data[: len(data) // 2])
        report = Report("a")
        assert len(read(folder, report)) == 19
        assert (report.looked_at, report.taken, report.unreadable) == (20, 19, 1)
        assert "1 unreadable (3.jpg)" in report.summary()

    @pytest.mark.parametrize(("damaged", "works"), [(2, True), (3, False)])
    def test_more_than_a_tenth_damaged_is_an_error(self, tmp_path: Path, damaged: int, works: bool) -> None:
        folder = write_folder(tmp_path / "a", pictures(20))
        for i in range(damaged):
            (folder / f"{i}.png").write_bytes(b"?")
        if works:
            assert len(read(folder)) == 18
        else:
            with pytest.raises(SourceError, match=r"3 of 20 frames cannot be read \(0.png, 1.png, 2.png\)"):
                read(folder)


class TestVideos:
    def test_frames_and_stamps(self, tmp_path: Path) -> None:
        shown = pictures(7)
        frames = read(write_video(tmp_path / "a.mp4", shown, rate_hz=20))
        assert same(frames, shown)
        assert [frame.stamp_ns for frame in frames] == [i * 50_000_000 for i in range(7)]

    def test_what_is_left_of_a_truncated_one_is_used_and_the_rest_counted(self, tmp_path: Path) -> None:
        shown = noise(30)
        path = write_video(tmp_path / "a.mp4", shown)
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size * 6 // 10)
        report = Report("a")
        frames = read(path, report)
        assert 10 < len(frames) < 20
        assert all(np.array_equal(f.rgb, e) for f, e in zip(frames, shown, strict=False))
        assert report.taken + report.lost == 30
        assert f"{report.lost} lost" in report.summary()

    def test_a_file_that_is_no_video(self, tmp_path: Path) -> None:
        (tmp_path / "a.mp4").write_bytes(bytes(1000))
        with pytest.raises(SourceError, match="a.mp4 is not a video that can be read"):
            read(tmp_path / "a.mp4")

    def test_several_are_several_sequences(self, tmp_path: Path) -> None:
        for name in "ab":
            write_video(tmp_path / f"{name}.mp4", pictures(3))
        assert [frame.sequence for frame in read(tmp_path / "*.mp4")] == [0, 0, 0, 1, 1, 1]


@pytest.fixture(scope="module")
def ten(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """A folder of ten small pictures, and these."""
    shown = pictures(10, 16, 12)
    return write_folder(tmp_path_factory.mktemp("ten") / "a", shown), shown


class TestChoosing:
    @given(stride=st.integers(1, 12), limit=st.integers(0, 12))
    def test_stride_and_limit_are_a_slice(self, ten: tuple[Path, np.ndarray], stride: int, limit: int) -> None:
        folder, shown = ten
        assert same(read(folder, stride=stride, limit=limit), shown[::stride][: limit or None])

    def test_a_robot_that_stands_still_is_seen_once(self, tmp_path: Path) -> None:
        still, other = pictures(2)
        rng = np.random.default_rng(0)
        shaky = [np.clip(still + rng.normal(0, 3, still.shape), 0, 255).astype(np.uint8) for _ in range(8)]
        folder = write_folder(tmp_path / "a", np.array([*shaky, other, still]))
        report = Report("a")
        frames = read(folder, report, min_change=1.0)
        assert [frame.name for frame in frames] == ["0.png", "8.png", "9.png"]
        assert report.repeated == 7 and "7 left out as near-duplicates" in report.summary()
        assert len(read(folder, min_change=0.0)) == 10

    def test_a_crop_cuts(self, tmp_path: Path) -> None:
        shown = pictures(2)
        folder = write_folder(tmp_path / "a", shown)
        assert same(read(folder, crop=(10, 20, 30, 40)), shown[:, 20:60, 10:40])

    def test_a_picture_that_is_smaller_than_the_crop(self, tmp_path: Path) -> None:
        folder = write_folder(tmp_path / "a", pictures(1))
        with pytest.raises(SourceError, match=r"0.png is 160x120, smaller than crop=\[0, 0, 161, 120\]"):
            read(folder, crop=(0, 0, 161, 120))

    def test_a_crop_without_a_size(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match="give left, top, width and height"):
            read(write_folder(tmp_path / "a", pictures(1)), crop=(5, 5, 0, 0))

    def test_values_out_of_bounds(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="stride=0: must be at least 1"):
            read(tmp_path, stride=0)


class TestResampling:
    def test_the_simulated_cameras_own_pictures_stay_as_they_are(self, tmp_path: Path) -> None:
        shown = noise(2)
        Calibration(CAMERA).to_yaml(tmp_path / "info.yaml")
        folder = write_folder(tmp_path / "a", shown)
        config = SourceConfig(camera=str(tmp_path / "info.yaml"))
        np.testing.assert_array_equal(read_frames(str(folder), config, CAMERA)[0].rgb, shown)

    def test_a_calibration_and_an_assumed_field_of_view(self, tmp_path: Path) -> None:
        (shown,) = pictures(1)
        folder = write_folder(tmp_path / "a", shown[None])
        calibration = Calibration(Camera(WIDTH, HEIGHT, 150, 140, 70, 66), "plumb_bob", (-0.2, 0.05, 0, 0, 0))
        calibration.to_yaml(tmp_path / "info.yaml")
        frames, _ = read_frames(str(folder), SourceConfig(camera=str(tmp_path / "info.yaml")))
        np.testing.assert_array_equal(frames.rgb[0], Resampler(calibration, Camera())(shown))
        frames, report = read_frames(str(folder), SourceConfig(horizontal_fov_deg=40))
        assumed = Calibration.assumed(WIDTH, HEIGHT, np.radians(40))
        np.testing.assert_array_equal(frames.rgb[0], Resampler(assumed, Camera())(shown))
        assert frames.rgb.shape == (1, 60, 80, 3)
        assert "assumes an ideal lens 40 degrees wide" in report.summary()
        assert report.coverage == Resampler(assumed, Camera()).coverage < 0.5

    def test_a_crop_does_not_turn_the_camera(self, tmp_path: Path) -> None:
        """What a cropped picture still shows is where the whole one shows it."""
        folder = write_folder(tmp_path / "a", pictures(1))
        small = Camera.from_fov(40, 30, 0.3)  # looks at the middle only
        whole, _ = read_frames(str(folder), SourceConfig(), small)
        cut, _ = read_frames(str(folder), SourceConfig(crop=(20, 10, 110, 95)), small)
        assert np.abs(whole.rgb.astype(int) - cut.rgb).max() <= 1

    def test_a_calibration_of_another_size(self, tmp_path: Path) -> None:
        Calibration(Camera()).to_yaml(tmp_path / "info.yaml")
        folder = write_folder(tmp_path / "a", pictures(1))
        with pytest.raises(SourceError, match="0.png: expected a uint8 image of 80x60 as in the calibration"):
            read_frames(str(folder), SourceConfig(camera=str(tmp_path / "info.yaml")))


class TestLoading:
    def test_stamps_count_from_the_beginning_of_each_sequence(self, tmp_path: Path) -> None:
        for name in "ab":
            write_video(tmp_path / f"{name}.mp4", pictures(4), rate_hz=10)
        frames, report = read_frames(str(tmp_path / "*.mp4"), SourceConfig(stride=2))
        assert frames.sequence.tolist() == [0, 0, 1, 1] and frames.sequence.dtype == np.int64
        assert frames.stamp_s.tolist() == [0.0, 0.2, 0.0, 0.2]
        assert frames.segmentation is None and frames.canonical is None
        assert report.taken == len(frames) == 4

    def test_pictures_have_no_clock(self, tmp_path: Path) -> None:
        frames, _ = read_frames(str(write_folder(tmp_path / "a", pictures(3))))
        assert np.isnan(frames.stamp_s).all()

    def test_too_few_frames(self, tmp_path: Path) -> None:
        folder = write_folder(tmp_path / "a", pictures(1))
        with pytest.raises(SourceError, match="a: 2 frames are needed at least, but this gives only 1 frames of"):
            read_frames(str(folder), minimum=2)


class TestCollected:
    def folder(self, tmp_path: Path, camera: Camera = CAMERA) -> tuple[Path, np.ndarray]:
        """Two episodes of three frames, as `simgym.collect` writes them."""
        shown, root = pictures(6), tmp_path / "collected"
        rows = [{"frame": f"{e}_{i}.png", "episode": 7 + e, "time_s": 0.2 * i} for e in range(2) for i in (0, 1, 8)]
        for name, values in (("rgb", shown), ("canonical", 255 - shown), ("segmentation", shown[..., 0])):
            (root / name).mkdir(parents=True)
            for row, value in zip(rows, values, strict=True):
                cv2.imwrite(str(root / name / str(row["frame"])), value[..., ::-1] if value.ndim == 3 else value)
        Calibration(camera).to_yaml(root / "camera_info.yaml")
        with (root / "frames.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return root, shown

    def test_labels_and_twins_come_with_the_frames(self, tmp_path: Path) -> None:
        root, shown = self.folder(tmp_path)
        frames, report = read_frames(str(root), SourceConfig(), CAMERA)
        np.testing.assert_array_equal(frames.rgb, shown)
        np.testing.assert_array_equal(frames.canonical, 255 - shown)
        np.testing.assert_array_equal(frames.segmentation, shown[..., 0])
        assert frames.sequence.tolist() == [0, 0, 0, 1, 1, 1]
        assert frames.stamp_s == pytest.approx([0, 0.2, 1.6] * 2)
        assert report.kinds == ["collected"]

    def test_another_camera_or_a_crop_would_move_the_labels(self, tmp_path: Path) -> None:
        root, _ = self.folder(tmp_path)
        with pytest.raises(SourceError, match="collected with another camera"):
            read_frames(str(root), SourceConfig(), Camera())
        with pytest.raises(SourceError, match="leave out crop and camera"):
            read_frames(str(root), SourceConfig(crop=(0, 0, 10, 10)), CAMERA)

    def test_an_interrupted_collection_is_no_source(self, tmp_path: Path) -> None:
        root, _ = self.folder(tmp_path)
        (root / "frames.csv").unlink()
        with pytest.raises(SourceError, match="it was interrupted"):
            read(root)

    def test_a_table_of_something_else(self, tmp_path: Path) -> None:
        root, _ = self.folder(tmp_path)
        (root / "frames.csv").write_text("a,b\n1,2\n")
        with pytest.raises(SourceError, match="has no column frame, episode, time_s"):
            read(root)


class TestMissing:
    def test_nothing_there(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match="no .*nowhere: expected a folder or a glob"):
            read(tmp_path / "nowhere")

    def test_a_glob_without_matches(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match="matches nothing"):
            read(tmp_path / "*.png")

    def test_an_empty_folder(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match="no pictures in"):
            read(tmp_path)

    def test_a_folder_of_folders_says_where_pictures_are(self, tmp_path: Path) -> None:
        write_folder(tmp_path / "a", pictures(1), ".jpg")
        with pytest.raises(SourceError, match=r"a has some: give that folder, or the glob '.*/\*/\*.jpg'"):
            read(tmp_path)

    def test_an_unknown_kind(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_text("hello")
        with pytest.raises(SourceError, match="a.txt is of no known kind"):
            read(tmp_path / "a.txt")


def test_frames_are_decoded_only_as_they_are_asked_for(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "a", pictures(3))
    frames = iterate(str(folder), SourceConfig(min_change=0.0))
    next(frames)
    (folder / "1.png").write_bytes(b"changed behind its back")
    assert next(frames).name == "2.png"
    frames.close()  # type: ignore[attr-defined]


@pytest.mark.skipif(not PHOTOGRAPHS.is_dir(), reason="the real photographs are not here")
def test_real_photographs_of_several_cameras() -> None:
    frames, report = read_frames(str(PHOTOGRAPHS / "*" / "*.jpg"), SourceConfig(stride=10))
    assert frames.rgb.shape[1:] == (60, 80, 3)
    assert len(set(frames.sequence.tolist())) >= 5 and report.unreadable == 0
    assert 20 < frames.rgb.mean() < 235
