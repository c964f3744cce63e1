"""What the robot is told: never too much, never from the past, never after a stop."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from simgym.deploy import Limits, Safety, SafetyError

LIMITS = Limits(low=(0.0, -1.5), high=(0.5, 1.5), acceleration=(1.0, 6.0), max_age_s=0.25, period_s=0.2)
FULL = np.array([0.5, 1.5])


def enabled() -> Safety:
    safety = Safety(LIMITS)
    safety.enable()
    return safety


def test_it_starts_disabled():
    safety = Safety(LIMITS)
    assert safety.command(FULL, 0.0, 0.0).tolist() == [0, 0] and safety.fault == "disabled"
    assert safety.check(0.0) == "disabled"


def test_it_stands_until_there_is_input():
    assert enabled().check(100.0) == "no input yet"


def test_velocity_is_limited():
    safety = enabled()
    for k in range(20):
        out = safety.command(np.array([9.0, -9.0]), 0.2 * k, 0.2 * k)
    assert out.tolist() == [0.5, -1.5] and safety.fault == ""
    assert safety.command(np.array([-1.0, 0.0]), 4.0, 4.0).tolist() == [0, 0]  # it may not drive backwards


def test_speed_grows_by_the_time_that_passed():
    safety = enabled()
    np.testing.assert_allclose(safety.command(FULL, 0.0, 0.0), [0.2, 1.2])  # at first, of one period
    np.testing.assert_allclose(safety.command(FULL, 0.1, 0.1), [0.3, 1.5])
    np.testing.assert_allclose(safety.command(FULL, 0.1, 0.1), [0.3, 1.5])  # no time, no change
    np.testing.assert_allclose(safety.command(FULL, 0.15, 0.15), [0.35, 1.5])


def test_a_long_pause_is_no_licence_to_jump():
    safety = enabled()
    safety.command(FULL, 0.0, 0.0)
    np.testing.assert_allclose(safety.command(FULL, 60.0, 60.0)[0], 0.4)


def test_slowing_down_is_not_limited_and_turning_back_begins_at_rest():
    safety = enabled()
    for k in range(10):
        safety.command(FULL, 0.2 * k, 0.2 * k)
    np.testing.assert_allclose(safety.command(np.array([0.0, -1.5]), 1.9, 1.9), [0.0, -0.6])


@pytest.mark.parametrize("wanted", [(math.nan, 0.0), (0.0, math.inf), (-math.inf, math.nan)])
def test_numbers_that_are_not_finite_stop(wanted):
    safety = enabled()
    safety.command(FULL, 0.0, 0.0)
    assert safety.command(np.array(wanted), 0.1, 0.1).tolist() == [0, 0]
    assert "not finite" in safety.check(0.1)
    assert safety.command(FULL, 0.2, 0.2)[0] > 0 and safety.check(0.2) == ""


def test_an_answer_to_old_input_stops():
    safety = enabled()
    assert safety.command(FULL, 0.0, 0.26).tolist() == [0, 0] and "late" in safety.fault
    assert safety.command(FULL, 0.1, 0.35)[0] > 0


def test_silence_stops():
    safety = enabled()
    safety.command(FULL, 0.0, 0.1)
    assert safety.check(0.25) == ""
    assert "stale" in safety.check(0.26)
    np.testing.assert_allclose(safety.command(FULL, 0.3, 0.3), [0.2, 1.2])  # from rest again


def test_input_without_commands_stops():
    """The policy hangs while the camera goes on."""
    safety = enabled()
    safety.command(FULL, 0.0, 0.0)
    for k in range(1, 45):
        safety.saw(0.01 * k, 0.01 * k)
        assert safety.check(0.01 * k) == ""
    safety.saw(0.46, 0.46)
    assert "late" in safety.check(0.46)


def test_malformed_input_stops_until_the_next_command():
    safety = enabled()
    safety.command(FULL, 0.0, 0.0)
    assert safety.stop("malformed").tolist() == [0, 0]
    assert safety.check(0.1) == "malformed"
    assert safety.command(FULL, 0.2, 0.2)[0] == pytest.approx(0.2)


def test_enabling_forgets_what_was_before():
    safety = enabled()
    safety.command(FULL, 0.0, 0.0)
    safety.disable()
    assert safety.check(0.0) == "disabled"
    safety.enable()
    assert safety.check(0.05) == "no input yet"


def test_a_clock_that_goes_back_stops_until_there_is_input():
    safety = enabled()
    for k in range(5):
        safety.command(FULL, 100 + 0.2 * k, 100 + 0.2 * k)
    assert "clock" in safety.check(3.0)
    assert "clock" in safety.check(90.0)
    assert safety.command(FULL, 90.1, 90.1)[0] == pytest.approx(0.2)
    assert "stale" in safety.check(90.4)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"low": (0.0,)}, "one entry for each axis"),
        ({"low": (0.1, -1.0)}, "0 must lie within"),
        ({"high": (-0.1, 1.0)}, "0 must lie within"),
        ({"acceleration": (0.0, 1.0)}, "must be positive"),
        ({"acceleration": (math.inf, 1.0)}, "finite"),
        ({"high": (math.nan, 1.0)}, "finite"),
        ({"max_age_s": 0.0}, "max_age_s"),
        ({"period_s": math.inf}, "period_s"),
    ],
)
def test_senseless_limits_are_refused(change, says):
    fields: dict[str, Any] = {**vars(LIMITS), **change}
    with pytest.raises(SafetyError, match=says):
        Limits(**fields)


class Drive(RuleBasedStateMachine):
    """Anything may happen, in any order, at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.safety, self.now_s, self.in_force = Safety(LIMITS), 100.0, np.zeros(2)
        self.newest_s, self.followed_s = -math.inf, -math.inf  # inputs: that has come, that the robot acts upon

    @rule(passed_s=st.floats(0, 0.5))
    def wait(self, passed_s: float) -> None:
        self.now_s += passed_s
        if self.safety.check(self.now_s):
            self.in_force = np.zeros(2)

    @rule(to_s=st.floats(0, 1000))
    def jump(self, to_s: float) -> None:
        back = to_s < self.now_s
        self.now_s = to_s
        reason = self.safety.check(to_s)
        assert reason or not back
        if back:
            self.newest_s = -math.inf
        if reason:
            self.in_force = np.zeros(2)

    @rule()
    def enable(self) -> None:
        if not self.safety.enabled:
            self.newest_s = -math.inf  # what came before is forgotten
        self.safety.enable()

    @rule()
    def disable(self) -> None:
        self.safety.disable()
        self.in_force = np.zeros(2)

    @rule(age_s=st.floats(-0.1, 1.0))
    def see(self, age_s: float) -> None:
        self.safety.saw(self.now_s - age_s, self.now_s)
        self.newest_s = max(self.newest_s, self.now_s - age_s)

    @rule(age_s=st.floats(-0.1, 1.0), wanted=st.tuples(*[st.floats(width=32)] * 2))
    def command(self, age_s: float, wanted: tuple[float, float]) -> None:
        before, fault = self.in_force, self.safety.fault
        out = self.safety.command(np.array(wanted), self.now_s - age_s, self.now_s)
        assert (out >= LIMITS.low).all() and (out <= LIMITS.high).all()
        grown = np.abs(out) - np.where(np.sign(out) == np.sign(before), np.abs(before), 0)
        assert (grown <= np.array(LIMITS.acceleration) * LIMITS.period_s + 1e-9).all()
        if not self.safety.enabled or age_s > 0.2501 or not np.isfinite(wanted).all():
            assert not out.any() and self.safety.fault
        if fault and not self.safety.fault:
            assert (np.abs(out) <= np.array(LIMITS.acceleration) * LIMITS.period_s + 1e-9).all()
        self.in_force, self.followed_s = out, self.now_s - age_s
        self.newest_s = max(self.newest_s, self.followed_s)

    @invariant()
    def nothing_old_is_in_force(self) -> None:
        if self.in_force.any():
            assert self.safety.enabled
            fresh = self.now_s - self.newest_s <= LIMITS.max_age_s + 1e-9
            in_time = self.now_s - self.followed_s <= LIMITS.max_age_s + LIMITS.period_s + 1e-9
            assert (fresh and in_time) or self.safety.check(self.now_s)


def test_an_older_input_does_not_take_the_newest_ones_place():
    safety = enabled()
    safety.command(FULL, 100.0, 100.0)
    safety.command(FULL, 99.875, 100.0)
    assert not safety.check(100.25) and "stale" in safety.check(100.26)


TestDrive = Drive.TestCase
