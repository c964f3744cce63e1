"""The policy node over DDS: it drives where it should, and stands whenever it should."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simgym.deploy import Camera, TensorSpec, goggles_contract, policy_contract
from tests.deploy.conftest import CAMERA, GOGGLES_GRAPH, POLICY_GRAPH, write

from . import bridge
from .bridge import Peer, running, values, wait

from builtin_interfaces.msg import Time  # isort: skip
from geometry_msgs.msg import PoseStamped, Twist, TwistStamped  # isort: skip
from nav_msgs.msg import Odometry  # isort: skip
from rosgraph_msgs.msg import Clock  # isort: skip
from sensor_msgs.msg import Image, JointState  # isort: skip
from std_msgs.msg import Float64MultiArray  # isort: skip

pytestmark = pytest.mark.ros

RATE_HZ, LIMIT_S = 10.0, 0.3
# Divides by 1 less what is measured.
UNSTEADY_GRAPH = (
    POLICY_GRAPH.replace("float full = {255}", "float full = {255}, float one = {1}")
    .replace("    command =", "    gap = Sub(one, velocity)\n    command =")
    .replace("Add(chosen, velocity)", "Div(chosen, gap)")
)
# The hand moves by the brightness of the image; the gripper is told what was measured of it.
HAND_GRAPH = """
<ir_version: 10, opset_import: ["" : 18]>
policy (uint8[N, 1, 6, 8, 3] image, float[N, 5] proprio) => (float[N, 5] command)
<int64[1] first = {0}, int64[1] four = {4}, int64[1] five = {5}, int64[1] axis = {1}, int64[2] wide = {1, 4},
 int64[4] axes = {1, 2, 3, 4}, int64[2] flat = {-1, 1}, float full = {2550}>
{
    pixels = Cast<to = 1>(image)
    sums = ReduceMean<keepdims = 0>(pixels, axes)
    column = Reshape(sums, flat)
    level = Div(column, full)
    velocity = Tile(level, wide)
    opening = Slice(proprio, four, five, axis)
    command = Concat<axis = 1>(velocity, opening)
}
"""


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Drives by the brightness of its newest image and turns by that of its oldest, plus what is measured."""
    contract = policy_contract("ChairNav", CAMERA, 3, (0.0, -1.5), (0.6, 1.5), RATE_HZ, ("sim",), "Apache-2.0")
    return write(tmp_path / "policy.onnx", POLICY_GRAPH, {"simgym": contract.to_json()})


@pytest.fixture
def goggles_bundle(tmp_path: Path) -> Path:
    contract = goggles_contract(None, CAMERA, 10.0, ("standin", "sim"), "Apache-2.0")
    return write(tmp_path / "goggles.onnx", GOGGLES_GRAPH, {"simgym": contract.to_json()})


@pytest.fixture
def peer() -> Iterator[Peer]:
    with bridge.peer() as made:
        yield made


def picture(value: int, camera: Camera = CAMERA) -> np.ndarray:
    return np.full((camera.height, camera.width, 3), value, np.uint8)


def odometry(forward: float = 0.0, turn: float = 0.0) -> Odometry:
    message = Odometry()
    message.twist.twist.linear.x, message.twist.twist.angular.z = forward, turn
    return message


class Robot:
    """A camera and odometry that go on, at twice the policy's rate, until they are told not to."""

    def __init__(self, peer: Peer, topic: str = "/goggles/image_raw") -> None:
        self.peer, self.topic = peer, topic
        self.image: Callable[[], Any] = lambda: bridge.image(picture(102), peer.now())
        self.odom: Callable[[], Any] = odometry
        self.last: dict[str, float] = {}  # when each was sent last
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopped.wait(0.5 / RATE_HZ):
            for name, make, topic in (("odom", self.odom, "/odom"), ("image", self.image, self.topic)):
                message = make()
                if message is not None:
                    self.peer.publish(topic, message)
                    self.last[name] = time.time()

    def close(self) -> None:
        self._stopped.set()
        self._thread.join()


@contextmanager
def robot(peer: Peer, topic: str = "/goggles/image_raw") -> Iterator[Robot]:
    made = Robot(peer, topic)
    try:
        yield made
    finally:
        made.close()


def speed(message: TwistStamped) -> float:
    return message.twist.linear.x


def until_driving(heard: list[tuple[float, Any]]) -> None:
    begin = len(heard)
    wait(lambda: any(speed(message) > 0.3 for _, message in heard[begin:]), "it does not drive")


def stood_after(heard: list[tuple[float, Any]], since: float) -> float:
    """Seconds from ``since`` until the last command that was not zero had been taken back."""

    def stands() -> bool:
        newest = [message for _, message in heard[-3:]]
        return time.time() > since + LIMIT_S and len(newest) == 3 and not any(map(speed, newest))

    wait(stands, "it does not stand", lambda: heard[-5:])
    last = max(index for index, (_, message) in enumerate(heard) if speed(message) > 0)
    return heard[last + 1][0] - since


class TestDriving:
    def test_it_starts_disabled_and_leaves_the_topic_alone(self, peer, bundle):
        heard = peer.listen(TwistStamped, "/cmd_vel")
        with running("policy", bundle=bundle), robot(peer):
            status = peer.diagnostics("policy", lambda s: values(s).get("dropped_disabled", "0") > "0")
            assert status.level == b"\x01" and "disabled: call ~/enable" in status.message
            assert not heard

    def test_it_drives_by_what_it_sees_and_measures(self, peer, bundle):
        heard = peer.listen(TwistStamped, "/cmd_vel")
        sent: list[Image] = []
        with running("policy", bundle=bundle), robot(peer) as body:
            body.odom = lambda: odometry(0.1, -0.2)

            def see() -> Image:
                sent.append(bridge.image(picture(102), peer.now()))
                return sent[-1]

            body.image = see
            peer.wait_for_listener("/goggles/image_raw")
            assert peer.enable("policy").success
            until_driving(heard)
            status = peer.diagnostics("policy", lambda s: s.level == b"\x00")
        message = next(message for _, message in heard if speed(message) > 0.3)
        assert speed(message) == pytest.approx(102 / 255 + 0.1) and message.header.frame_id == "base_link"
        assert message.twist.angular.z == pytest.approx(102 / 255 - 0.2)
        assert message.header.stamp in [image.header.stamp for image in sent]
        assert status.message == "driving" and int(values(status)["dropped_between_decisions"]) > 0

    def test_decisions_are_a_control_period_apart_by_the_stamps(self, peer, bundle):
        """A camera three times as fast: the oldest of three frames is two periods old."""
        heard = peer.listen(TwistStamped, "/cmd_vel")
        with running("policy", bundle=bundle, trust_stamps=True, enabled=True), robot(peer) as body:
            peer.wait_for_listener("/goggles/image_raw")
            body.image = lambda: None
            begin_s = time.time()
            for k in range(60):
                time.sleep(max(0.0, begin_s + k / 30 - time.time()))
                whole = int(begin_s + k / 30)
                stamp = Time(sec=whole, nanosec=int((begin_s + k / 30 - whole) * 1e9))
                peer.publish("/goggles/image_raw", bridge.image(picture(min(2 * k, 140)), stamp))
            wait(lambda: len([m for _, m in heard if speed(m) > 0]) > 8, "too few commands")
        stamps = [m.header.stamp.sec + m.header.stamp.nanosec * 1e-9 for _, m in heard if speed(m) > 0]
        np.testing.assert_allclose(np.diff(stamps)[:8], 1 / RATE_HZ, atol=1e-3)

    def test_twist_and_limits_by_parameter(self, peer, bundle):
        heard = peer.listen(Twist, "/cmd_vel")
        options = {"stamped": False, "max_velocity": "[0.2]", "max_acceleration": "[0.5, 3.0]"}
        with running("policy", bundle=bundle, enabled=True, **options), robot(peer):
            wait(lambda: any(m.linear.x > 0.19 for _, m in heard), "it does not drive", lambda: heard[-3:])
        speeds = [m.linear.x for _, m in heard]
        assert max(speeds) == pytest.approx(0.2) and max(np.diff(speeds)) <= 0.051

    def test_a_wrong_limit_is_named(self, peer, bundle):
        with running("policy", bundle=bundle, max_velocity="[0.2, 0.1, 0.3]"):
            assert "max_velocity must hold 1 or 2" in peer.diagnostics("policy", lambda s: s.level == b"\x02").message


class TestStanding:
    @pytest.mark.parametrize("silent", ["image", "odom"])
    def test_silence(self, peer, bundle, silent):
        heard = peer.listen(TwistStamped, "/cmd_vel")
        with running("policy", bundle=bundle, enabled=True), robot(peer) as body:
            until_driving(heard)
            before = getattr(body, silent)
            setattr(body, silent, lambda: None)
            time.sleep(0.1)
            assert stood_after(heard, body.last[silent]) <= LIMIT_S
            says = "/odom" if silent == "odom" else "no input"
            assert says in peer.diagnostics("policy", lambda s: s.level == b"\x02").message
            setattr(body, silent, before)
            until_driving(heard)

    @pytest.mark.parametrize(
        ("name", "broken", "says"),
        [
            ("image", lambda peer: bridge.image(picture(1)[:, :5], peer.now()), "5x6"),
            ("image", lambda peer: Image(height=6, width=8, encoding="rgb8", step=24, data=bytes(9)), "got 9"),
            ("image", lambda peer: bridge.image(picture(102), Time(sec=5)), "behind the clock"),
            ("image", lambda peer: bridge.image(picture(102), Time(sec=2**31 - 1)), "ahead of the clock"),
            ("odom", lambda peer: odometry(float("nan")), "/odom is malformed"),
        ],
    )
    def test_malformed_and_late_input(self, peer, bundle, name, broken, says):
        heard = peer.listen(TwistStamped, "/cmd_vel")
        with running("policy", bundle=bundle, enabled=True), robot(peer) as body:
            until_driving(heard)
            before, since = getattr(body, name), time.time()
            setattr(body, name, lambda: broken(peer))
            assert stood_after(heard, since) <= LIMIT_S + 0.5 / RATE_HZ
            assert says in peer.diagnostics("policy", lambda s: s.level == b"\x02").message
            setattr(body, name, before)
            until_driving(heard)

    def test_a_policy_that_gives_no_numbers(self, peer, tmp_path):
        contract = policy_contract("ChairNav", CAMERA, 3, (0.0, -1.5), (0.6, 1.5), RATE_HZ, ("sim",), "Apache-2.0")
        bundle = write(tmp_path / "policy.onnx", UNSTEADY_GRAPH, {"simgym": contract.to_json()})
        heard = peer.listen(TwistStamped, "/cmd_vel")
        with running("policy", bundle=bundle, enabled=True), robot(peer) as body:
            until_driving(heard)
            body.odom, since = lambda: odometry(1.0, 1.0), time.time()
            assert stood_after(heard, since) <= LIMIT_S
            assert "finite" in peer.diagnostics("policy", lambda s: s.level == b"\x02").message

    def test_disabling(self, peer, bundle):
        heard = peer.listen(TwistStamped, "/cmd_vel")
        with running("policy", bundle=bundle, enabled=True), robot(peer):
            until_driving(heard)
            peer.enable("policy", False)
            assert stood_after(heard, time.time()) <= LIMIT_S
            time.sleep(1.2)
            count = len(heard)
            time.sleep(0.3)
            assert len(heard) == count  # others may have the topic
            peer.enable("policy", True)
            until_driving(heard)

    @pytest.mark.parametrize("how", ["deactivate", "shutdown", "SIGINT", "SIGTERM"])
    def test_the_last_word_is_zero(self, peer, bundle, how):
        heard = peer.listen(TwistStamped, "/cmd_vel")
        with running("policy", bundle=bundle, enabled=True) as process, robot(peer):
            until_driving(heard)
            since = time.time()
            if how.startswith("SIG"):
                os.kill(process.pid, getattr(signal, how))
                assert process.wait(bridge.PATIENCE_S) == 0
            else:
                assert peer.transition("policy", "deactivate" if how == "deactivate" else "shutdown")
            wait(lambda: speed(heard[-1][1]) == 0, "it does not stand")
            assert heard[-1][0] - since <= LIMIT_S
            count = len(heard)
            time.sleep(0.3)
            assert len(heard) == count and speed(heard[-1][1]) == 0

    def test_an_activation_begins_disabled_again(self, peer, bundle):
        heard = peer.listen(TwistStamped, "/cmd_vel")
        with running("policy", bundle=bundle), robot(peer):
            peer.wait_for_listener("/goggles/image_raw")
            peer.enable("policy")
            until_driving(heard)
            assert peer.transition("policy", "deactivate") and peer.transition("policy", "activate")
            time.sleep(0.3)
            count = len(heard)
            time.sleep(0.3)
            assert len(heard) == count


class TestFaults:
    def test_goggles_that_are_killed_and_come_back(self, peer, bundle, goggles_bundle):
        heard = peer.listen(TwistStamped, "/cmd_vel")
        options: dict[str, Any] = {"bundle": goggles_bundle, "horizontal_fov_deg": 60.0}
        with running("policy", bundle=bundle, enabled=True), robot(peer, "/image_raw"):
            with running("goggles", **options) as goggles:
                until_driving(heard)
                since = time.time()
                goggles.kill()
                goggles.wait()
                assert stood_after(heard, since) <= LIMIT_S + 0.5 / RATE_HZ
            with running("goggles", **options):
                until_driving(heard)

    def test_simulated_time_that_jumps_back(self, peer, bundle):
        """Another episode begins in lock-step: the policy acts on its first image, and remembers nothing."""
        heard = peer.listen(TwistStamped, "/cmd_vel")
        with running("policy", bundle=bundle, enabled=True, use_sim_time=True):
            peer.wait_for_listener("/goggles/image_raw")
            peer.wait_for_listener("/clock")
            for brightness in (140, 60):
                for k in range(10):
                    self._step(peer, heard, brightness, 100 + k / RATE_HZ)
                turns = [m.twist.angular.z for _, m in heard if speed(m) > 0][-10:]
                np.testing.assert_allclose(turns[3:], brightness / 255, atol=1e-5)
                assert turns[0] == pytest.approx(brightness / 255)  # its oldest frame is its first one

    def test_a_reset_begins_an_episode(self, peer, bundle):
        heard = peer.listen(TwistStamped, "/cmd_vel")
        with running("policy", bundle=bundle, enabled=True, use_sim_time=True):
            peer.wait_for_listener("/goggles/image_raw")
            for brightness, now_s in ((140, 100.0), (140, 100.1), (60, 100.2)):
                self._step(peer, heard, brightness, now_s)
            assert heard[-1][1].twist.angular.z == pytest.approx(140 / 255)  # two images ago
            assert peer.reset("policy").success
            self._step(peer, heard, 60, 100.3)
            assert heard[-1][1].twist.angular.z == pytest.approx(60 / 255)

    @staticmethod
    def _step(peer: Peer, heard: list[tuple[float, Any]], brightness: int, now_s: float) -> None:
        """Publish a moment of a simulation and wait for the command that answers it."""
        stamp = Time(sec=int(now_s), nanosec=round(now_s % 1 * 1e9))
        begin = len(heard)
        for _ in range(100):
            peer.publish("/clock", Clock(clock=Time(sec=stamp.sec, nanosec=stamp.nanosec + 1000)))
            peer.publish("/odom", odometry())
            peer.publish("/goggles/image_raw", bridge.image(picture(brightness), stamp))
            for _ in range(20):
                if any(m.header.stamp == stamp for _, m in heard[begin:]):
                    return
                time.sleep(0.005)
        raise AssertionError(f"no command for {now_s}: {heard[-2:]}")


def test_a_hand_is_moved_as_moveit_servo_takes_it(peer, tmp_path):
    unit = "m/s, m/s, m/s, rad/s, m"
    measured = TensorSpec("proprio", ("N", 5), "float32", "m, m, m, rad, m")
    low, high = (-0.25, -0.25, -0.25, -1.5, 0.0), (0.25, 0.25, 0.25, 1.5, 0.08)
    contract = policy_contract(
        "Grasp", CAMERA, 1, low, high, RATE_HZ, ("sim",), "Apache-2.0", measured=measured, command_unit=unit
    )
    bundle = write(tmp_path / "policy.onnx", HAND_GRAPH, {"simgym": contract.to_json()})
    twists = peer.listen(TwistStamped, "/delta_twist_cmds")
    openings = peer.listen(Float64MultiArray, "/gripper/commands")
    names = ["panda_joint1", "panda_finger_joint1", "panda_finger_joint2"]
    with running("policy", bundle=bundle, enabled=True, base_frame="panda_link0"), robot(peer) as body:

        def sense() -> None:
            peer.publish("/hand_pose", PoseStamped())
            peer.publish("/joint_states", JointState(name=names, position=[1.0, 0.02, 0.03]))

        body.odom = sense
        body.image = lambda: bridge.image(picture(255), peer.now())
        wait(lambda: any(m.twist.linear.z > 0 for _, m in twists) and len(openings) > 0, "it does not move")
        body.image, since = lambda: None, time.time()
        wait(lambda: all(m.twist.linear.z == 0 for _, m in twists[-3:]), "it does not stand")
        assert time.time() - since < 1
    moving = next(m for _, m in twists if m.twist.linear.z > 0)
    linear = moving.twist.linear
    assert [linear.x, linear.y, linear.z, moving.twist.angular.z] == pytest.approx([0.1] * 4)
    assert moving.header.frame_id == "panda_link0"
    assert list(openings[-1][1].data) == pytest.approx([0.025, 0.025])
