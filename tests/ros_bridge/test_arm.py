"""An arm as the robot node: what it measures and what moves it, over real DDS."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from simgym.envs.tasks.grasp.task import CAMERAS

pytest.importorskip("rclpy")

from builtin_interfaces.msg import Time as Stamp  # isort: skip
from rclpy.time import Time  # isort: skip
from simgym_ros.robot import RobotNode  # isort: skip
from simgym_ros.robots import hand_pose  # isort: skip

from geometry_msgs.msg import TwistStamped  # isort: skip
from std_msgs.msg import Float64MultiArray  # isort: skip

from tests.ros_bridge.fuzzing import anything  # isort: skip
from tests.ros_bridge.listening import ArmListener, fuzz, robots, spin  # isort: skip

pytestmark = pytest.mark.ros

DOMAIN_IDS = itertools.count(60)  # far from those of other tests
DT_S = 0.1
FUZZED = 10_000  # commands that came
Start = Callable[..., tuple[RobotNode, ArmListener]]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    with robots(ArmListener, DOMAIN_IDS, "-p", "env:=Grasp") as begin:
        yield begin


def waits_for_both(robot: RobotNode, listener: ArmListener, twist_first: bool) -> None:
    """Half of a command changes nothing; the other half makes the robot step."""
    frame_ns = robot.topics.frame_ns
    parts = [lambda: listener.twist(Time(nanoseconds=frame_ns).to_msg(), (0, 0, 0, 0)), lambda: listener.grip(0)]
    one, other = parts if twist_first else parts[::-1]
    one()
    assert not spin([robot, listener], lambda: robot.topics.frame_ns != frame_ns, patience_s=0.4)
    other()
    assert spin([robot, listener], lambda: robot.topics.frame_ns == frame_ns + DT_S * 1e9, patience_s=5.0)


def test_a_frame_waits_for_both_parts_of_its_command_in_any_order(start: Start) -> None:
    robot, listener = start(lock_step=True, cmd_vel_timeout=9.0)
    waits_for_both(robot, listener, twist_first=True)
    waits_for_both(robot, listener, twist_first=False)


def test_a_twist_from_before_all_time_answers_no_frame(start: Start) -> None:
    robot, listener = start(lock_step=True, cmd_vel_timeout=9.0)
    first = robot.topics.frame_ns
    listener.twist(Stamp(sec=-1), (0, 0, 0, 0))
    listener.grip(0)
    assert not spin([robot, listener], lambda: robot.topics.frame_ns != first, patience_s=0.4)
    listener.twist(Time(nanoseconds=first).to_msg(), (0, 0, 0, 0))
    assert spin([robot, listener], lambda: robot.topics.frame_ns != first, patience_s=5.0)


def test_it_measures_what_the_policy_is_trained_with(start: Start) -> None:
    robot, listener = start(lock_step=True, cmd_vel_timeout=0.1)
    assert spin([robot, listener], lambda: len(listener.hands) >= 3 and len(listener.joints) >= 3)
    simulation = robot.world.simulation

    def newest_came() -> bool:
        return Time.from_msg(listener.hands[-1].header.stamp).nanoseconds == robot.topics.frame_ns

    assert spin([robot, listener], newest_came)
    newest, known = listener.hands[-1], simulation.observe().proprio[0]
    assert np.array(hand_pose(newest), np.float32).tolist() == known[:4].tolist()
    joints = listener.joints[-1]
    assert joints.name[-2:] == ["panda_finger_joint1", "panda_finger_joint2"] and len(joints.position) == 9
    assert newest.header.frame_id == joints.header.frame_id == "panda_link0"


def test_commands_move_hand_and_fingers(start: Start) -> None:
    robot, listener = start(lock_step=True, cmd_vel_timeout=9.0)
    state, before = robot.world.simulation.engine.state, robot.world.simulation.observe().proprio[0].copy()
    listener.answer = lambda image: (0.0, 0.1, 0.05, 0.3, 0.01)
    assert spin([robot, listener], lambda: robot.world.simulation.task.steps[0] >= 8 or robot.world.episode > 0)
    moved = robot.world.simulation.task.measure(state)[0] - before
    assert robot.world.episode == 0 and moved[1] > 0.03 and moved[2] > 0.01 and moved[3] > 0.05
    assert state.joint_pos[0, 7:] == pytest.approx(0.01, abs=0.004)


@pytest.mark.parametrize("broken", [(np.nan, 0.1, 0.0, 0.0, 0.02), (0.0, 0.1, 0.0, 0.0, np.inf)])
def test_what_is_not_finite_stops_hand_or_fingers(start: Start, broken: tuple[float, ...]) -> None:
    robot, listener = start(lock_step=True, cmd_vel_timeout=9.0)
    state, before = robot.world.simulation.engine.state, robot.world.simulation.observe().proprio[0].copy()
    listener.answer = lambda image: broken
    assert spin([robot, listener], lambda: robot.world.simulation.task.steps[0] >= 6 or robot.world.episode > 0)
    moved = robot.world.simulation.task.measure(state)[0] - before
    assert robot.world.episode == 0
    if np.isnan(broken[0]):
        assert abs(moved[1]) < 0.005
    else:
        assert moved[1] > 0.02 and abs(moved[4]) < 0.005  # the fingers stay open


def test_without_commands_it_stands_and_keeps_what_it_holds(start: Start) -> None:
    robot, listener = start(cmd_vel_timeout=0.3)
    state = robot.world.simulation.engine.state
    listener.answer = lambda image: (0.0, 0.05, 0.0, 0.0, 0.0)
    assert spin([robot, listener], lambda: robot.world.simulation.task.steps[0] >= 10, patience_s=20)
    listener.answer = lambda image: None
    spin([robot, listener], lambda: False, patience_s=1.0)
    at = robot.world.simulation.task.measure(state)[0].copy()
    spin([robot, listener], lambda: False, patience_s=0.6)
    assert np.abs(robot.world.simulation.task.measure(state)[0] - at)[:3].max() < 0.004
    assert state.joint_pos[0, 7:].sum() < 0.02  # closed, not open as at rest
    assert np.array_equal(robot.topics.still[:4], np.zeros(4)) and robot.topics.still[4] == 0


def test_fuzzed_commands_do_no_harm(start: Start) -> None:
    robot, listener = start(lock_step=True, cmd_vel_timeout=0.05)
    rng = random.Random(4)

    def send() -> None:
        listener.twists.publish(anything(rng, TwistStamped))
        listener.fingers.publish(anything(rng, Float64MultiArray))

    assert fuzz(robot, listener, send, FUZZED) > 0
    assert np.isfinite(robot.world.simulation.engine.state.joint_pos).all()
    begin = len(listener.hands)
    listener.answer = lambda image: (0.0, 0.1, 0.05, 0.3, 0.01)
    assert spin([robot, listener], lambda: len(listener.hands) > begin + 3)


@pytest.mark.parametrize("view", CAMERAS)
def test_the_camera_sits_where_its_description_says(start: Start, view: str) -> None:
    robot, _ = start(lock_step=True, overrides=f"[env.view={view}]")
    mount = robot.topics.mount(0)
    to = mount.transform.translation
    assert (mount.header.frame_id, mount.child_frame_id) == (CAMERAS[view].link, "camera_optical_frame")
    assert (to.x, to.y, to.z) == pytest.approx(CAMERAS[view].pos, abs=1e-5)
