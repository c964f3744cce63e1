"""The robot node, over real DDS."""

from __future__ import annotations

import itertools
import json
import random
import signal
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from simgym.config.compose import compose_config
from simgym.deploy.camera import Calibration, Camera
from simgym.deploy.resampling import Resampler
from simgym.envs.camera_flaws import _lens_offsets
from simgym.policies.evaluation import episode_seeds
from tests.ros_bridge.bridge import line, running

import rclpy  # isort: skip
from builtin_interfaces.msg import Time as Stamp  # isort: skip
from rclpy.qos import ReliabilityPolicy  # isort: skip
from rclpy.time import Time  # isort: skip
from simgym_ros import robot as robot_module  # isort: skip
from simgym_ros import robot_topics  # isort: skip
from simgym_ros.robot import RobotNode  # isort: skip
from simgym_ros.world import World, WorldConfig  # isort: skip
from std_srvs.srv import Trigger  # isort: skip

from geometry_msgs.msg import TwistStamped  # isort: skip

from tests.ros_bridge.fuzzing import anything  # isort: skip
from tests.ros_bridge.listening import Listener, command, fuzz, robots, spin  # isort: skip

pytestmark = pytest.mark.ros

DOMAIN_IDS = itertools.count(101, -1)  # far from those of other tests
DT_S = 0.2
FUZZED = 10_000  # commands that came
Start = Callable[..., tuple[RobotNode, Listener]]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    with robots(Listener, DOMAIN_IDS) as begin:
        yield begin


def stamps(messages: list[Any]) -> list[int]:
    return [Time.from_msg(message.header.stamp).nanoseconds for message in messages]


class TFMessage:
    """In the place of that of tf2_msgs, of which there is no wheel."""

    def __init__(self, transforms: list[Any]) -> None:
        self.transforms = transforms


def test_transforms_lead_from_the_camera_to_where_odom_says(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, list[TFMessage]] = {"/tf": [], "/tf_static": []}
    create = RobotNode.create_publisher

    def recorder(self: RobotNode, kind: type, topic: str, *arguments: Any, **options: Any) -> Any:
        if kind is TFMessage:
            return SimpleNamespace(publish=told[topic].append)
        return create(self, kind, topic, *arguments, **options)

    monkeypatch.setattr(robot_topics, "TFMessage", TFMessage)
    monkeypatch.setattr(RobotNode, "create_publisher", recorder)
    robot, listener = start(lock_step=True)
    listener.answer = lambda image: command(image.header.stamp, 0.3, 0.5)
    assert spin([robot, listener], lambda: len(listener.odoms) > 5)

    ((mount,),) = (message.transforms for message in told["/tf_static"])
    assert (mount.header.frame_id, mount.child_frame_id) == ("base_link", "camera_optical_frame")
    assert mount.transform.translation.z == pytest.approx(0.3, abs=0.1)
    turned = (mount.transform.rotation.x, mount.transform.rotation.y, mount.transform.rotation.z)
    np.testing.assert_allclose(turned, (-0.5, 0.5, -0.5), atol=0.1)  # REP 103, but for a slight pitch

    placed = {Time.from_msg(base.header.stamp).nanoseconds: base for (base,) in (m.transforms for m in told["/tf"])}
    for odom in listener.odoms:
        base, pose = placed[Time.from_msg(odom.header.stamp).nanoseconds], odom.pose.pose
        assert (base.header.frame_id, base.child_frame_id) == (odom.header.frame_id, odom.child_frame_id)
        assert (base.header.frame_id, base.child_frame_id) == ("odom", "base_link")
        to = base.transform.translation
        assert (to.x, to.y, to.z) == (pose.position.x, pose.position.y, pose.position.z)
        assert base.transform.rotation == pose.orientation


def test_in_lock_step_a_frame_waits_for_its_command(start: Start) -> None:
    robot, listener = start(lock_step=True, cmd_vel_timeout=5.0)
    first = robot.topics.frame_ns
    assert not spin([robot, listener], lambda: robot.topics.frame_ns != first, patience_s=0.5)
    for other in (first - 1, first + 1):
        listener.drive.publish(command(Time(nanoseconds=other).to_msg(), 0.5))
        assert not spin([robot, listener], lambda: robot.topics.frame_ns != first, patience_s=0.3)
    listener.drive.publish(command(Time(nanoseconds=first).to_msg(), 0.5))
    assert spin([robot, listener], lambda: robot.topics.frame_ns != first, patience_s=2.0)
    assert robot.topics.frame_ns == first + DT_S * 1e9
    assert robot.world.simulation.task.steps[0] == 1


def test_without_a_command_it_stands(start: Start) -> None:
    robot, listener = start(lock_step=True, cmd_vel_timeout=0.1)
    assert spin([robot, listener], lambda: len(listener.odoms) >= 4)
    positions = [message.pose.pose.position for message in listener.odoms]
    assert np.ptp([(p.x, p.y) for p in positions], axis=0) == pytest.approx(0.0, abs=1e-4)


def test_what_is_published_belongs_together(start: Start) -> None:
    robot, listener = start(lock_step=True)
    listener.answer = lambda image: command(image.header.stamp, 0.3, 0.4)
    assert spin([robot, listener], lambda: len(listener.images) >= 20)
    spin([robot, listener], lambda: False, patience_s=0.2)
    known_ns = max(stamps(messages)[0] for messages in (listener.images, listener.infos, listener.odoms))
    known_ns = max(known_ns, listener.clocks[0])  # from then on every topic was connected
    seen = [stamp for stamp in stamps(listener.images) if stamp >= known_ns][
        :-3
    ]  # it drives on, the last may be on their way
    assert len(seen) >= 10 and set(np.diff(seen)) <= {DT_S * 1e9, 3e9}  # of a step, and between episodes
    assert set(seen) <= set(stamps(listener.infos)) and set(seen) <= set(stamps(listener.odoms))
    assert listener.clocks == sorted(listener.clocks) and {stamp + 1 for stamp in seen} <= set(listener.clocks)
    image, odom = listener.images[0], listener.odoms[0]
    assert (image.encoding, image.height, image.width, image.step, len(image.data)) == ("rgb8", 60, 80, 240, 14400)
    assert image.header.frame_id == listener.infos[0].header.frame_id == "camera_optical_frame"
    assert (odom.header.frame_id, odom.child_frame_id) == ("odom", "base_link")


def test_frames_are_those_of_the_same_episode_without_ros(start: Start) -> None:
    robot, listener = start(lock_step=True, domain="standin", seed=3, cmd_vel_timeout=10.0)
    first, drive = robot.topics.frame_ns, np.array([0.25, 0.3])
    listener.answer = lambda image: command(image.header.stamp, *drive)
    robot.topics.publish(first)  # once more, for a listener that was not there yet
    assert spin([robot, listener], lambda: robot.topics.frame_ns - first >= 7 * DT_S * 1e9)
    images = dict(zip(stamps(listener.images), listener.images, strict=True))
    velocities = {stamp: m.twist.twist for stamp, m in zip(stamps(listener.odoms), listener.odoms, strict=True)}
    world = World(compose_config(WorldConfig, ["domain=standin", "seed=3"]))
    world.begin()
    for step in range(7):
        observation, stamp = world.simulation.observe(), first + round(step * DT_S * 1e9)
        assert bytes(images[stamp].data) == observation.image[0].tobytes()
        if stamp in velocities:  # the listener may have found the other topics first
            twist = velocities[stamp]
            assert [twist.linear.x, twist.angular.z] == observation.velocity[0].tolist()
        world.step(drive)
    world.close()
    assert len(velocities) >= 4


def test_who_resamples_by_camera_info_gets_the_picture_itself(start: Start) -> None:
    robot, listener = start(lock_step=True, domain="standin", cmd_vel_timeout=0.1, calibrated=False)
    assert spin([robot, listener], lambda: bool(listener.images and listener.infos))
    info, image = listener.infos[-1], listener.images[-1]
    calibration = Calibration.from_camera_info(info.width, info.height, info.k, info.distortion_model, info.d)
    picture = np.frombuffer(image.data, np.uint8).reshape(60, 80, 3)
    camera: Camera = robot.world.simulation.camera
    np.testing.assert_array_equal(Resampler(calibration, camera)(picture), picture)


def test_camera_info_states_the_lens_that_the_domain_drew(start: Start) -> None:
    """What a distorted pixel shows is projected back to that pixel."""
    robot, listener = start(
        lock_step=True, domain="standin", cmd_vel_timeout=9.0, overrides="['domain.flaws.lens_k1=[-0.2,-0.2]']"
    )
    robot.topics.publish(robot.topics.frame_ns)
    assert spin([robot, listener], lambda: bool(listener.infos))
    info, camera, drawn = listener.infos[-1], robot.world.simulation.camera, robot.world.simulation.draws[0]
    focal_scale = drawn["look"]["focal_scale"]
    assert info.d[0] == drawn["flaws"]["lens_k1"] == -0.2 and info.k[0] == info.p[0] == camera.fx * focal_scale
    calibration = Calibration.from_camera_info(info.width, info.height, info.k, info.distortion_model, info.d)
    pixels = np.array([(5, 4), (40, 30), (70, 12)])  # columns and rows
    focal_px = np.array([camera.fx, camera.fy]) * focal_scale
    shown = pixels + _lens_offsets(camera, focal_px, -0.2)[pixels[:, 1], pixels[:, 0]]
    assert np.abs(shown - pixels).max() > 1
    rays = (shown + 0.5 - (camera.cx, camera.cy)) / focal_px
    np.testing.assert_allclose(calibration.project(rays), pixels, atol=1e-3)


def test_a_teleop_of_another_type_is_named() -> None:
    rclpy.init()
    listener = Listener()  # which drives by TwistStamped
    with running("robot", stamped=False) as robot:
        said = line(robot, "elsewhere")
    assert "/cmd_vel is a Twist here and a TwistStamped elsewhere: set stamped:=true" in said
    listener.destroy_node()
    rclpy.try_shutdown()


def test_its_quality_of_service_can_be_overridden(start: Start) -> None:
    robot, listener = start(**{"qos_overrides./cmd_vel.subscription.reliability": "best_effort"})
    (info,) = robot.get_subscriptions_info_by_topic("/cmd_vel")
    assert info.qos_profile.reliability is ReliabilityPolicy.BEST_EFFORT


def test_commands_move_it_and_are_clipped(start: Start) -> None:
    robot, listener = start(lock_step=True)
    listener.answer = lambda image: command(image.header.stamp, 9.0)
    state = robot.world.simulation.engine.state
    before = state.link_pos[0, 0].copy()
    assert spin([robot, listener], lambda: robot.world.simulation.task.steps[0] == 4 or robot.world.episode > 0)
    assert robot.world.episode > 0 or np.linalg.norm(state.link_pos[0, 0] - before) > 0.2
    assert max(odom.twist.twist.linear.x for odom in listener.odoms) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("sec", [-1, -(2**31), 2**31 - 1])
def test_a_stamp_of_any_time_answers_no_frame_and_does_no_harm(start: Start, sec: int) -> None:
    robot, listener = start(lock_step=True, cmd_vel_timeout=9.0)
    first = robot.topics.frame_ns
    listener.drive.publish(command(Stamp(sec=sec), 0.3))
    assert not spin([robot, listener], lambda: robot.topics.frame_ns != first, patience_s=0.4)
    listener.drive.publish(command(Time(nanoseconds=first).to_msg(), 0.3))
    assert spin([robot, listener], lambda: robot.topics.frame_ns != first, patience_s=5.0)


def test_fuzzed_commands_do_no_harm(start: Start) -> None:
    robot, listener = start(lock_step=True, cmd_vel_timeout=0.05)
    rng = random.Random(3)
    passed_ns = fuzz(robot, listener, lambda: listener.drive.publish(anything(rng, TwistStamped)), FUZZED)
    assert passed_ns > 10 * DT_S * 1e9
    poses = [message.pose.pose for message in listener.odoms]
    assert np.isfinite([(p.position.x, p.position.y, p.orientation.w) for p in poses]).all()
    assert all(abs(message.twist.twist.linear.x) < 0.6 for message in listener.odoms)
    listener.answer = lambda image: command(image.header.stamp, 0.3)
    begin = len(listener.odoms)
    assert spin([robot, listener], lambda: any(m.twist.twist.linear.x > 0.2 for m in listener.odoms[begin:]))


def test_a_command_that_is_not_finite_stops_it(start: Start) -> None:
    robot, listener = start(lock_step=True)
    listener.answer = lambda image: command(image.header.stamp, float("nan"), 1.0)
    assert spin([robot, listener], lambda: len(listener.odoms) >= 5)
    assert max(abs(odom.twist.twist.angular.z) for odom in listener.odoms) < 1e-3


def test_in_real_time_a_second_is_a_second_and_old_commands_count_for_nothing(start: Start) -> None:
    robot, listener = start(cmd_vel_timeout=0.5)
    begun = robot.topics.frame_ns
    listener.drive.publish(command(Time().to_msg(), 0.5))
    spin([robot, listener], lambda: False, patience_s=2.5)
    assert (robot.topics.frame_ns - begun) / 1e9 == pytest.approx(2.4, abs=0.4)
    speeds = [odom.twist.twist.linear.x for odom in listener.odoms]
    assert max(speeds) > 0.3 and abs(speeds[-1]) < 0.05
    assert len(listener.clocks) > 2 * len(listener.odoms)  # time goes on between frames


def test_reset_begins_the_next_episode(start: Start) -> None:
    robot, listener = start(lock_step=True, cmd_vel_timeout=5.0, seed=7)
    begun = robot.topics.frame_ns
    answer = listener.reset.call_async(Trigger.Request())
    assert spin([robot, listener], answer.done)
    assert answer.result().success and answer.result().message == "episode 1 begins"
    assert robot.topics.frame_ns > begun + 2e9
    assert robot.world.simulation.draws[0]["episode_seed"] == episode_seeds(7, 2, "test")[1]


def test_it_tells_what_episodes_came_to(start: Start) -> None:
    robot, listener = start(lock_step=True, cmd_vel_timeout=0.02, overrides="[env.time_limit_s=1.0]", seed=5)
    assert spin([robot, listener], lambda: len(listener.episodes) >= 3)
    rows = [json.loads(text) for text in listener.episodes]
    last = rows[-1]["episode"]
    assert [row["episode"] for row in rows] == list(range(last + 1 - len(rows), last + 1))
    seeds = episode_seeds(5, last + 1, "test")
    assert [row["seed"] for row in rows] == seeds[-len(rows) :]
    assert all(row["truncated"] and row["steps"] == 5 and not row["success"] for row in rows)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("domain:=mars", "mars"),
        ("seed:=-1", "seed=-1: must be at least 0"),
        ("overrides:=[env.max_sped_m_s=1]", "env.max_sped_m_s"),
    ],
)
def test_a_wrong_parameter_is_one_line(word: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert robot_module.main(["--ros-args", "-p", word]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("simgym_ros.robot: ") and expected in line


def test_as_a_process_it_drives_and_ends_when_interrupted() -> None:
    rclpy.init()
    listener = Listener()
    listener.answer = lambda image: command(image.header.stamp, 0.3)
    with running("robot", lock_step=True):
        assert spin([listener], lambda: len(listener.images) > 5)
    listener.destroy_node()
    rclpy.try_shutdown()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_tears_no_step_apart(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception that a signal raises wherever Python happens to be may meet rclpy inside a conversion of its own."""
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    whole: list[int] = []
    step = World.step

    def interrupted(self: World, action: np.ndarray) -> Any:
        signal.raise_signal(number)
        ended = step(self, action)
        whole.append(self.episode)
        return ended

    monkeypatch.setattr(World, "step", interrupted)
    before = signal.getsignal(number)
    assert robot_module.main([]) == 0
    assert len(whole) == 1  # and no other step was begun
    assert signal.getsignal(number) is before
