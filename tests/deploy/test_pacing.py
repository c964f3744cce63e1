"""Decisions come a control period apart, whatever the camera does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simgym.deploy import Pacer, Turn

PERIOD_S = 0.2


def decisions(stamps: list[float]) -> list[float]:
    pacer = Pacer(PERIOD_S)
    return [stamp for stamp in stamps if pacer.turn(stamp) is not Turn.SKIP]


@pytest.mark.parametrize("multiple", [1, 2, 3, 6, 12])
def test_a_multiple_of_the_rate_gives_the_rate(multiple):
    stamps = [1e9 + k * PERIOD_S / multiple for k in range(50 * multiple)]
    assert decisions(stamps) == stamps[::multiple]


@given(st.floats(5.0, 90.0))
def test_a_faster_camera_gives_the_rate_on_average(camera_hz):
    stamps = [100 + k / camera_hz for k in range(int(20 * camera_hz))]
    gaps = np.diff(decisions(stamps))
    assert abs(gaps.mean() / PERIOD_S - 1) < 0.11
    assert gaps.max() <= PERIOD_S + 1 / camera_hz


@given(st.floats(1.0, 5.0))
def test_every_frame_of_a_slower_camera_is_taken(camera_hz):
    stamps = [100 + k / camera_hz for k in range(50)]
    assert decisions(stamps) == stamps


@given(st.integers(0, 2**31))
def test_jitter_does_not_change_the_number(seed):
    jitter_s = np.random.default_rng(seed).uniform(-0.004, 0.004, 600)
    chosen = decisions((100 + np.arange(600) / 30 + jitter_s).tolist())
    assert len(chosen) == 100 and np.abs(np.diff(chosen) - PERIOD_S).max() < 0.04


def test_the_same_frame_is_taken_once():
    assert decisions([1.0, 1.0, 1.2, 1.2, 1.2]) == [1.0, 1.2]


def test_an_episode_begins_first_after_a_gap_after_a_jump_back_and_on_demand():
    pacer = Pacer(PERIOD_S)
    turns = [pacer.turn(stamp) for stamp in (5.0, 5.2, 6.5, 6.7, 0.0, 0.2)]
    act, begin = Turn.ACT, Turn.BEGIN
    assert turns == [begin, act, begin, act, begin, act]
    pacer.reset()
    assert pacer.turn(0.4) is begin
