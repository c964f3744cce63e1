"""Camera flaws: closed forms, exact when off, each alone, and drawn from the episode's own streams."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simgym.deploy.camera import Camera
from simgym.envs.camera_flaws import DRIFT_S, OF_THE_UNIT, STALL_STEPS, CameraFlaws
from simgym.envs.config import DOMAINS, FlawRanges
from simgym.envs.simulation import Simulation
from simgym.envs.terms import terms_of
from simgym.errors import UsageError
from tests.envs.helpers import ALL_SENSORS, chair_nav, record, seeds_of

CAMERA = Camera.from_fov(80, 60, math.radians(69))
DT_S = 0.2
NAMES = list(terms_of(FlawRanges))
MOVED: dict[str, Any] = {
    "lens_k1": 0.1,
    "lens_blur_px": 0.6,
    "vignetting": 0.5,
    "exposure_ev": 0.5,
    "exposure_drift_ev": 0.5,
    "white_balance_ev": 0.3,
    "white_balance_drift_ev": 0.3,
    "read_noise": 5.0,
    "shot_noise": 10.0,
    "exposure_time_s": 0.05,
    "readout_s": 0.05,
    "jpeg_loss": 60,
    "dropped": 0.7,
    "stalled": 0.7,
    "latency_steps": 2,
}


def ranges(**values: float) -> FlawRanges:
    """Degenerate ranges: exactly these values."""
    return FlawRanges(**{name: (value, value) for name, value in values.items()})  # type: ignore[arg-type]


def flaws(seeds: list[int], **values: float) -> CameraFlaws:
    stage = CameraFlaws(ranges(**values), CAMERA, len(seeds), DT_S)
    for world, seed in enumerate(seeds):
        stage.apply(world, seed, seed)
    return stage


def picture(seed: int = 0, n: int = 1, height: int = 60, width: int = 80) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (n, 6, 8, 3)).astype(np.uint8)
    return np.stack([cv2.resize(one, (width, height), interpolation=cv2.INTER_LINEAR) for one in coarse])


def grey(level: int, n: int = 1) -> np.ndarray:
    return np.full((n, 60, 80, 3), level, np.uint8)


def first(rgb: np.ndarray, yaw_rate: float = 0.0, **values: float) -> np.ndarray:
    """The first picture of an episode with exactly these flaws."""
    stage = flaws([4] * len(rgb), **values)
    return stage.take(rgb, np.full(len(rgb), yaw_rate), np.arange(len(rgb))).copy()


def film(frames: np.ndarray, yaw_rate: float = 0.0, seed: int = 4, **values: float) -> np.ndarray:
    """(T, H, W, 3) frames of one world through its flaws."""
    stage = flaws([seed], **values)
    rate = np.array([yaw_rate])
    shown = [stage.take(frames[:1], rate, np.array([0]))[0].copy()]
    return np.stack(shown + [stage.take(frame[None], rate)[0].copy() for frame in frames[1:]])


# --- off is exact --------------------------------------------------------------------------------------------------


def test_all_off_hands_the_same_array_on():
    rgb = picture()
    stage = flaws([4])
    assert stage.take(rgb, np.ones(1), np.array([0])) is rgb and stage.take(rgb, np.ones(1)) is rgb
    assert stage.apply(0, 4, 4) == {}


@settings(max_examples=25)
@given(seed=st.integers(0, 1000), yaw_rate=st.floats(-3, 3))
def test_flaws_drawn_as_zero_are_exact_while_the_stage_runs(seed, yaw_rate):
    """An exposure too small to see makes every picture pass through the whole stage."""
    rgb = picture(seed, n=2)
    stage = flaws([4, 5], exposure_ev=1e-12)
    for begun in (np.arange(2), None, None):
        np.testing.assert_array_equal(stage.take(rgb, np.full(2, yaw_rate), begun), rgb)


@pytest.mark.parametrize("threads", [2, 3, 16])
def test_pictures_are_the_same_whatever_the_threads(monkeypatch, threads):
    def taken(count: int) -> list[np.ndarray]:
        monkeypatch.setattr("simgym.envs.camera_flaws.usable_cores", lambda: count)
        stage = flaws([3, 1, 4, 1, 5], **MOVED)
        rates = np.linspace(-1, 1, 5)
        first = stage.take(picture(9, 5), rates, np.array([0, 3]))[[0, 3]].copy()
        return [first, *(stage.take(picture(step, 5), rates).copy() for step in range(4))]

    for alone, shared in zip(taken(1), taken(threads), strict=True):
        np.testing.assert_array_equal(alone, shared)


def test_pictures_of_the_renderer_are_not_changed():
    rgb = picture(n=3)
    kept = rgb.copy()
    stage = flaws([4, 5, 6], **MOVED)
    for _ in range(3):
        stage.take(rgb, np.ones(3))
    np.testing.assert_array_equal(rgb, kept)


# --- each flaw -----------------------------------------------------------------------------------------------------


def test_every_flaw_is_moved_below():
    assert list(MOVED) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_flaw_alone_changes_what_is_seen(name):
    frames = np.concatenate([picture(seed) for seed in range(6)])
    assert (film(frames, yaw_rate=1.0, **{name: MOVED[name]}) != frames).any()


@settings(max_examples=20)
@given(share=st.floats(0, 1), level=st.integers(1, 255))
def test_vignetting_takes_its_share_in_the_corner_and_nothing_in_the_middle(share, level):
    seen = first(grey(level), vignetting=share)[0]
    corner = level * (1 - share)
    for row, column in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
        assert abs(seen[row, column, 0] - corner) <= 0.5 + 1e-3
    assert abs(int(seen[30, 40, 0]) - level) <= 1
    along = seen[0, :40, 0].astype(int)
    assert (np.diff(along) >= 0).all()


@settings(max_examples=20)
@given(exposure=st.floats(-2, 1), balance=st.floats(-1, 1))
def test_exposure_and_white_balance_are_gains_in_stops(exposure, balance):
    seen = first(grey(100), exposure_ev=exposure, white_balance_ev=balance)[0, 10, 10]
    expected = np.minimum(100 * 2.0 ** np.array([exposure + balance, exposure, exposure - balance]), 255)
    assert np.abs(seen - expected).max() <= 0.51


def test_drifts_have_their_deviation_and_forget_within_their_time():
    frames = np.repeat(grey(100), 4000, 0)
    seen = np.log2(film(frames, exposure_drift_ev=0.2)[:, 30, 40, 1] / 100)
    assert np.std(seen) == pytest.approx(0.2, rel=0.25)
    assert np.abs(np.mean(seen)) < 0.08
    lag = round(DRIFT_S / DT_S)
    assert np.corrcoef(seen[:-lag], seen[lag:])[0, 1] == pytest.approx(math.exp(-1), abs=0.15)
    assert np.abs(np.diff(seen)).max() < 0.3  # it drifts, it does not flicker
    colours = film(frames[:50], white_balance_drift_ev=0.2)[:, 30, 40].astype(float)
    np.testing.assert_allclose(colours[:, 0] * colours[:, 2], 100.0**2, rtol=0.02)
    assert (colours[:, 1] == 100).all()


@pytest.mark.parametrize("level", [0, 64, 128, 200])
def test_noise_depends_on_the_light(level):
    seen = first(grey(level), read_noise=3.0, shot_noise=8.0).astype(float)
    expected = math.sqrt(9 + 64 * level / 255)
    if level:
        assert np.std(seen) == pytest.approx(expected, rel=0.05)
        assert np.mean(seen) == pytest.approx(level, abs=0.2)
    else:
        assert 0 < np.std(seen) < expected  # cut off at black


@settings(max_examples=15)
@given(k1=st.floats(-0.15, 0.15))
def test_lens_distortion_is_that_of_opencv(k1):
    """A point of the straight picture lands where OpenCV projects it; looked at as ramps of brightness."""
    ramp = np.tile(np.arange(80) * 3, (60, 1)).astype(np.uint8)
    rgb = np.stack([ramp, np.tile(np.arange(60)[:, None] * 4, (1, 80)).astype(np.uint8), ramp], -1)[None]
    seen = first(rgb, lens_k1=k1)[0].astype(float)
    distortion = np.array([k1, 0.0, 0.0, 0.0])
    straight = np.array([[25.0, 20.0], [60.0, 15.0], [50.0, 45.0], [40.0, 30.0]])
    rays = np.column_stack([(straight + 0.5 - (40, 30)) / CAMERA.fx, np.ones(4)])
    landed, _ = cv2.projectPoints(rays, np.zeros(3), np.zeros(3), CAMERA.opencv_matrix, distortion)
    for (u, v), (x, y) in zip(straight, landed[:, 0], strict=True):
        column, row = int(x), int(y)
        for value, scale, channel in ((u, 3, 0), (v, 4, 1)):
            corners = seen[row : row + 2, column : column + 2, channel]
            top, low = corners @ np.array([1 - (x - column), x - column])
            assert top + (low - top) * (y - row) == pytest.approx(value * scale, abs=0.25 * scale)


def test_the_blur_of_the_lens_has_its_deviation():
    dot = grey(0)
    dot[0, 30, 40] = 255
    seen = first(dot, lens_blur_px=0.5)[0, ..., 0].astype(float)
    offsets = np.arange(80) - 40
    assert seen.sum() == pytest.approx(255, abs=6)
    assert math.sqrt((seen.sum(0) * offsets**2).sum() / seen.sum()) == pytest.approx(0.5, rel=0.05)


def turned(rgb: np.ndarray, angle: float) -> np.ndarray:
    """The picture of a camera turned left by ``angle``, by OpenCV's own warp."""
    cosine, sine = math.cos(angle), math.sin(angle)
    rotation = np.array([[cosine, 0, -sine], [0, 1, 0], [sine, 0, cosine]])  # new ray -> old ray, optical frame
    matrix = np.asarray(CAMERA.opencv_matrix)
    warp = matrix @ rotation @ np.linalg.inv(matrix)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpPerspective(rgb, warp, (80, 60), flags=flags, borderMode=cv2.BORDER_REPLICATE)


@pytest.mark.parametrize("yaw_rate", [-1.5, 0.7, 1.5])
def test_rolling_shutter_of_a_pure_rotation_is_each_row_at_its_own_time(yaw_rate):
    rgb, readout = picture(3), 0.06
    seen = first(rgb, yaw_rate, readout_s=readout)[0].astype(int)
    for row in (5, 20, 40, 55):
        angle = yaw_rate * ((row + 0.5) / 60 - 0.5) * readout
        expected = turned(rgb[0], angle)[row].astype(int)
        assert np.abs(seen[row] - expected)[4:-4].max() <= 4


def test_a_camera_that_turns_left_sees_things_move_right_down_the_rows():
    line = grey(0)
    line[0, :, 40] = 255
    seen = first(line, 1.5, readout_s=0.1)[0, ..., 0].astype(float)
    centre = (seen * np.arange(80)).sum(1) / seen.sum(1)
    expected = 39.5 + CAMERA.fx * np.tan(1.5 * ((np.arange(60) + 0.5) / 60 - 0.5) * 0.1 + math.atan(0.5 / CAMERA.fx))
    np.testing.assert_allclose(centre, expected, atol=0.1)


def test_motion_blur_is_as_wide_as_the_turn_and_nothing_at_rest():
    line = grey(0)
    line[0, :, 40] = 255
    np.testing.assert_array_equal(first(line, 0.0, exposure_time_s=0.05, readout_s=0.05), line)
    seen = first(line, 1.5, exposure_time_s=0.05)[0, 30, :, 0].astype(float)
    width = CAMERA.fx * 1.5 * 0.05
    assert np.count_nonzero(seen > 5) == pytest.approx(width + 1, abs=1.1)
    assert seen.sum() == pytest.approx(255, rel=0.06)
    assert (seen * np.arange(80)).sum() / seen.sum() == pytest.approx(40, abs=0.1)


def test_jpeg_is_that_of_opencv():
    rgb = picture(5)
    _, data = cv2.imencode(".jpg", rgb[0][..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 40])
    expected = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1]
    np.testing.assert_array_equal(first(rgb, jpeg_loss=60)[0], expected)


# --- delivery ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [0, 1, 3, 5])
def test_latency_of_k_steps_shows_the_frame_of_k_steps_ago(steps):
    frames = np.concatenate([grey(10 * i) for i in range(12)])
    seen = film(frames, latency_steps=steps)
    np.testing.assert_array_equal(seen, frames[np.maximum(np.arange(12) - steps, 0)])


def test_a_lost_frame_shows_the_last_one_again():
    frames = np.concatenate([grey(i) for i in range(250)])
    levels = film(frames, dropped=0.3)[:, 0, 0, 0].astype(int)
    fresh = levels == np.arange(250)
    assert 0.2 < 1 - fresh.mean() < 0.4
    np.testing.assert_array_equal(levels[~fresh], levels[np.flatnonzero(~fresh) - 1])
    assert (film(frames, dropped=1.0) == 0).all()


def test_a_stalled_camera_repeats_its_frame_for_some_steps():
    frames = np.concatenate([grey(i) for i in range(250)])
    levels = film(frames, stalled=0.05)[:, 0, 0, 0].astype(int)
    _, runs = np.unique(levels, return_counts=True)
    assert set(runs.tolist()) <= {1, 1 + STALL_STEPS, 1 + 2 * STALL_STEPS}
    assert 1 + STALL_STEPS in runs


# --- streams -------------------------------------------------------------------------------------------------------

STANDIN = DOMAINS["standin"].flaws


def test_draws_lie_in_their_ranges_and_reach_both_ends():
    stage = CameraFlaws(STANDIN, CAMERA, 1, DT_S)
    drawn = [stage.apply(0, seed, seed) for seed in range(300)]
    for name in NAMES:
        low, high = getattr(STANDIN, name)
        values = np.array([row[name] for row in drawn])
        assert low <= values.min() <= low + 0.05 * (high - low) and high >= values.max() >= high - 0.05 * (high - low)
        assert isinstance(drawn[0][name], int if name in ("jpeg_loss", "latency_steps") else float)


def test_ends_of_ranges_may_be_whole_numbers():
    drawn = CameraFlaws(FlawRanges(vignetting=(0, 1)), CAMERA, 1, DT_S).apply(0, 3, 3)
    assert 0 < drawn["vignetting"] < 1


def test_the_camera_unit_is_drawn_from_its_own_seed():
    stage = CameraFlaws(STANDIN, CAMERA, 1, DT_S)
    one, other, elsewhere = stage.apply(0, 1, 7), stage.apply(0, 2, 7), stage.apply(0, 1, 8)
    assert {name for name in NAMES if one[name] == other[name]} >= set(OF_THE_UNIT)
    assert {name for name in NAMES if one[name] != elsewhere[name]} == set(OF_THE_UNIT)
    assert one["exposure_ev"] != other["exposure_ev"]


@pytest.mark.parametrize("name", NAMES)
def test_switching_one_flaw_off_leaves_the_draws_of_the_others_alone(name):
    whole = CameraFlaws(STANDIN, CAMERA, 1, DT_S).apply(0, 5, 5)
    off: dict[str, Any] = {name: (0, 0)}
    without = CameraFlaws(replace(STANDIN, **off), CAMERA, 1, DT_S).apply(0, 5, 5)
    assert without == whole | {name: 0}


def test_noise_is_the_same_whether_or_not_other_flaws_are_on():
    frames = np.repeat(grey(100), 5, 0)
    alone = film(frames, read_noise=4.0)
    np.testing.assert_array_equal(film(frames, read_noise=4.0, readout_s=0.05, exposure_time_s=0.02), alone)
    np.testing.assert_array_equal(film(frames, read_noise=4.0, latency_steps=2)[2:], alone[:-2])


def test_a_camera_depends_on_its_episode_alone():
    """Not on its neighbours, nor on when they begin or what ran before."""
    rng = np.random.default_rng(0)
    frames, rates = rng.integers(0, 256, (8, 3, 60, 80, 3)).astype(np.uint8), rng.uniform(-1.5, 1.5, (8, 3))
    batch, alone = CameraFlaws(STANDIN, CAMERA, 3, DT_S), CameraFlaws(STANDIN, CAMERA, 1, DT_S)
    for world in range(3):
        batch.apply(world, 90 + world, 1)
    batch.take(frames[0], rates[0], np.arange(3))
    for step in range(3):
        batch.take(frames[step], rates[step])
    batch.apply(1, 6, 2)
    alone.apply(0, 6, 2)
    one, two = batch.take(frames[0], rates[0], np.array([1])), alone.take(frames[0, 1:2], rates[0, 1:2], np.array([0]))
    np.testing.assert_array_equal(one[1], two[0])
    for step in range(1, 8):
        one, two = batch.take(frames[step], rates[step]), alone.take(frames[step, 1:2], rates[step, 1:2])
        np.testing.assert_array_equal(one[1], two[0])


# --- the whole simulation ------------------------------------------------------------------------------------------


def live(steps: int = 12, flaw_ranges: FlawRanges | None = None, **values: float) -> dict[str, np.ndarray]:
    domain = replace(DOMAINS["sim"], flaws=flaw_ranges or ranges(**values))
    simulation = Simulation(chair_nav(), domain, 2)
    rows = record(simulation, seeds_of("train", 2), steps)
    simulation.close()
    return rows


def test_flaws_change_the_picture_and_nothing_else():
    """Depth and segmentation are the truth of the moment, also under latency."""
    clean, flawed = live(), live(flaw_ranges=STANDIN)
    assert not np.array_equal(clean["image"], flawed["image"])
    for name in set(clean) - {"image"}:
        np.testing.assert_array_equal(clean[name], flawed[name], err_msg=name)
    late = live(latency_steps=2)
    np.testing.assert_array_equal(late["image"][2:], clean["image"][:-2])
    assert {name for name in ALL_SENSORS if not np.array_equal(late[name], clean[name])} == {"image"}


def test_the_robots_turning_blurs_and_shears_the_picture():
    clean, flawed = live(), live(exposure_time_s=0.1, readout_s=0.1)
    np.testing.assert_array_equal(flawed["image"][0], clean["image"][0])  # at rest
    assert (flawed["image"][3:] != clean["image"][3:]).any()


def test_draws_tell_every_flaw():
    simulation = Simulation(chair_nav(), replace(DOMAINS["sim"], flaws=STANDIN))
    simulation.reset(np.array([0]), np.array([6]))
    assert set(simulation.draws[0]["flaws"]) == set(NAMES)
    plain = Simulation(chair_nav(), DOMAINS["sim"])
    plain.reset(np.array([0]), np.array([6]))
    assert plain.draws[0]["flaws"] == {}


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("vignetting", (0.0, 1.5)),
        ("latency_steps", (0, 9)),
        ("read_noise", (3.0, 1.0)),
        ("exposure_ev", (0.0, math.nan)),
    ],
)
def test_impossible_flaws_are_refused(name, bad):
    with pytest.raises(UsageError, match=f"domain.flaws.{name}"):
        Simulation(chair_nav(), replace(DOMAINS["sim"], flaws=replace(FlawRanges(), **{name: bad})))
