"""Delay and lag between command and motors, and the kinematics of two wheels, against closed forms."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simgym.envs.config import MAX_DELAY_STEPS
from simgym.envs.draw import Dynamics
from simgym.envs.drive import CommandPath
from simgym.envs.robot import DifferentialDrive

DT_S = 0.2
SETTINGS = settings(max_examples=40, derandomize=True)


def path_with(delay_steps: list[int], lag_s: list[float]) -> CommandPath:
    n = len(delay_steps)
    path = CommandPath(n, DT_S, np.zeros(2))
    dynamics = replace(
        Dynamics.nominal(n), action_delay_steps=np.array(delay_steps), actuator_lag_s=np.array(lag_s, float)
    )
    path.apply(np.arange(n), dynamics)
    return path


def send_all(path: CommandPath, commands: np.ndarray) -> np.ndarray:
    return np.stack([path.send(command).copy() for command in commands])


def commands_of(n: int, steps: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (steps, n, 2))


def test_without_lag_and_delay_commands_arrive_as_sent():
    commands = commands_of(3, 20)
    np.testing.assert_array_equal(send_all(path_with([0] * 3, [0.0] * 3), commands), commands)


def test_delay_shifts_commands_by_whole_steps_and_starts_at_rest():
    delays = list(range(MAX_DELAY_STEPS + 1))
    commands = commands_of(len(delays), 20)
    arrived = send_all(path_with(delays, [0.0] * len(delays)), commands)
    for world, delay in enumerate(delays):
        assert not arrived[:delay, world].any()
        np.testing.assert_array_equal(arrived[delay:, world], commands[: 20 - delay, world])


@given(st.floats(0.001, 2.0), st.integers(0, MAX_DELAY_STEPS))
@SETTINGS
def test_a_step_response_is_that_of_a_first_order_system(lag_s, delay):
    arrived = send_all(path_with([delay], [lag_s]), np.tile([0.5, -1.5], (15, 1, 1)))[:, 0]
    held = np.maximum(np.arange(1, 16) - delay, 0) * DT_S
    expected = (1 - np.exp(-held / lag_s))[:, None] * (0.5, -1.5)
    np.testing.assert_allclose(arrived, expected, atol=1e-12)


@given(st.floats(0.001, 2.0), st.integers(0, 10_000))
@SETTINGS
def test_lag_is_linear_and_never_overshoots(lag_s, seed):
    first, second = commands_of(1, 20, seed), commands_of(1, 20, seed + 1)
    one, other, both = (send_all(path_with([1], [lag_s]), c) for c in (first, second, first + second))
    np.testing.assert_allclose(both, one + other, atol=1e-12)
    assert np.abs(one).max() <= np.abs(first).max() + 1e-12


def test_a_new_episode_forgets_the_commands_before_it_and_leaves_other_worlds_alone():
    path, undisturbed = (path_with([2, 2], [0.3, 0.3]) for _ in range(2))
    commands = commands_of(2, 12)
    for step, command in enumerate(commands):
        if step == 5:
            row = replace(Dynamics.nominal(1), action_delay_steps=np.array([1]))
            path.apply(np.array([1]), row)
        arrived = path.send(command).copy()
        expected = undisturbed.send(command)
        np.testing.assert_array_equal(arrived[0], expected[0])
        if step >= 5:
            np.testing.assert_array_equal(arrived[1], commands[step - 1, 1] if step > 5 else np.zeros(2))


# --- wheels --------------------------------------------------------------------------------------------------------

DRIVE = DifferentialDrive(("left", "right"), wheel_radius_m=0.05, wheel_separation_m=0.28)


@pytest.mark.parametrize(
    ("command", "wheels"),
    [((0.5, 0.0), (10.0, 10.0)), ((0.0, 1.0), (-2.8, 2.8)), ((0.0, -1.0), (2.8, -2.8)), ((0.14, 1.0), (0.0, 5.6))],
)
def test_wheel_speeds_of_plain_motions(command, wheels):
    np.testing.assert_allclose(DRIVE.wheel_velocity(np.array([command])), [wheels], atol=1e-12)


@given(st.floats(-1, 1), st.floats(-3, 3), st.floats(0.01, 0.5), st.floats(0.05, 1.0))
@SETTINGS
def test_wheel_speeds_give_the_command_back(forward, turn, radius, separation):
    drive = DifferentialDrive(("left", "right"), radius, separation)
    left, right = radius * drive.wheel_velocity(np.array([[forward, turn]]))[0]
    assert (left + right) / 2 == pytest.approx(forward, abs=1e-9)
    assert (right - left) / separation == pytest.approx(turn, abs=1e-9)
