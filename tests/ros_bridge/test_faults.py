"""What goes wrong with a robot: cameras, processes, clocks, bundles and thousands of broken messages, over DDS.

The robot stands within 0.3 s, obeys no old command, and drives again once the fault is over; nothing else is restarted.
"""

from __future__ import annotations

import random
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simgym.deploy import Camera

from . import bridge
from .bridge import Peer, running, wait
from .driving import (
    LIMIT_S,
    RATE_HZ,
    odometry,
    picture,
    robot,
    speed,
    stood_after,
    until_driving,
    write_goggles,
    write_hand,
    write_policy,
)
from .fuzzing import any_image, anything, flood

from builtin_interfaces.msg import Time  # isort: skip
from geometry_msgs.msg import PoseStamped, TwistStamped  # isort: skip
from nav_msgs.msg import Odometry  # isort: skip
from rosgraph_msgs.msg import Clock  # isort: skip
from sensor_msgs.msg import Image, JointState  # isort: skip

pytestmark = pytest.mark.ros
FUZZED = 10_000  # messages
FRAME_S = 0.2  # of the simulated robot's camera


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_policy(tmp_path)


@pytest.fixture
def goggles_bundle(tmp_path: Path) -> Path:
    return write_goggles(tmp_path)


def sound(peer: Peer) -> Image:
    return bridge.image(picture(102), peer.now())


def cut(peer: Peer) -> Image:
    whole = sound(peer)
    whole.data = whole.data[:100]
    return whole


class TestCamera:
    """At fault before the goggles; the policy behind them drives and stands."""

    @pytest.mark.parametrize(
        "broken",
        [
            lambda peer: None,
            cut,
            lambda peer: bridge.image(picture(102), peer.now(), encoding="32FC1"),
            lambda peer: bridge.image(picture(102), peer.now(), encoding="bgra8"),
            lambda peer: Image(height=2**31, width=2**31, encoding="rgb8", step=2**31, data=b"garbage"),
            lambda peer: bridge.image(picture(102), Time(sec=5)),
        ],
        ids=["stops", "truncated", "unknown encoding", "wrong encoding", "garbage", "late"],
    )
    def test_the_robot_stands_until_it_is_mended(self, peer, bundle, goggles_bundle, broken):
        heard = peer.listen(TwistStamped, "/cmd_vel")
        with (
            running("policy", bundle=bundle, enabled=True),
            running("goggles", bundle=goggles_bundle, horizontal_fov_deg=60.0),
            robot(peer, "/image_raw") as body,
        ):
            until_driving(heard)
            before, since = body.image, time.time()
            body.image = lambda: broken(peer)
            assert stood_after(heard, since) <= LIMIT_S + 0.5 / RATE_HZ  # the last sound image may be on its way
            body.image = before
            until_driving(heard)

    def test_it_drives_on_by_another_size_and_encoding(self, peer, bundle, goggles_bundle):
        heard = peer.listen(TwistStamped, "/cmd_vel")
        with (
            running("policy", bundle=bundle, enabled=True),
            running("goggles", bundle=goggles_bundle, horizontal_fov_deg=60.0),
            robot(peer, "/image_raw") as body,
        ):
            for height, width, encoding, channels in ((6, 8, "rgb8", 3), (480, 640, "bgra8", 4), (60, 80, "mono8", 1)):
                pixels = np.full((height, width, channels), 102, np.uint8)
                body.image = partial(lambda p, e: bridge.image(p, peer.now(), encoding=e), pixels, encoding)
                until_driving(heard)
                time.sleep(LIMIT_S)
                until_driving(heard)


class TestProcesses:
    def test_goggles_that_are_killed_and_come_back(self, peer, bundle, goggles_bundle):
        heard = peer.listen(TwistStamped, "/cmd_vel")
        options: dict[str, Any] = {"bundle": goggles_bundle, "horizontal_fov_deg": 60.0}
        with running("policy", bundle=bundle, enabled=True), robot(peer, "/image_raw"):
            with running("goggles", **options) as goggles:
                until_driving(heard)
                since = time.time()
                goggles.kill()
                goggles.wait()
                assert stood_after(heard, since) <= LIMIT_S
            with running("goggles", **options):
                until_driving(heard)

    def test_a_robot_whose_policy_is_killed(self, peer, tmp_path):
        """Nobody is left to say zero: the base stops by itself, as a real one must."""
        odoms = peer.listen(Odometry, "/odom")
        options: dict[str, Any] = {
            "bundle": write_policy(tmp_path, camera=Camera.from_fov(80, 60, 1.2), rate_hz=1 / FRAME_S),
            "enabled": True,
            "use_sim_time": True,
            "max_velocity": "[0.3, 1.0]",
        }

        def speeds(since_s: float) -> list[float]:
            return [abs(m.twist.twist.linear.x) for at_s, m in odoms if at_s > since_s]

        with running("robot"):
            for _ in range(2):
                begun_s = time.time()
                with running("policy", "-r", "goggles/image_raw:=image_raw", **options) as process:
                    wait(partial(lambda s: max(speeds(s), default=0) > 0.2, begun_s), "it does not drive")
                    process.kill()
                    process.wait()
                killed_s = time.time()
                wait(partial(lambda s: len(speeds(s + LIMIT_S + FRAME_S)) > 3, killed_s), "the robot is gone")
                assert max(speeds(killed_s + LIMIT_S + FRAME_S)) < 0.02

    @pytest.mark.parametrize("name", ["missing.onnx", "garbage.onnx", "goggles.onnx", ""])
    def test_a_wrong_policy_moves_nothing_and_can_be_mended(self, peer, bundle, goggles_bundle, tmp_path, name):
        (tmp_path / "garbage.onnx").write_bytes(b"no bundle")
        heard = peer.listen(TwistStamped, "/cmd_vel")
        with running("policy", bundle=tmp_path / name if name else "''", enabled=True) as process, robot(peer):
            told = peer.diagnostics("policy", lambda status: status.level == b"\x02").message
            assert (name or "no bundle") in told and "\n" not in told
            assert peer.state("policy") == "unconfigured" and not heard
            if name:
                (tmp_path / name).write_bytes(bundle.read_bytes())
                assert peer.transition("policy", "configure") and peer.transition("policy", "activate")
                until_driving(heard)
            assert process.poll() is None

    def test_a_policy_for_another_camera_moves_nothing(self, peer, goggles_bundle, tmp_path):
        heard = peer.listen(TwistStamped, "/cmd_vel")
        bundle = write_policy(tmp_path, camera=Camera.from_fov(80, 60, 1.2))
        with (
            running("policy", bundle=bundle, enabled=True),
            running("goggles", bundle=goggles_bundle, horizontal_fov_deg=60.0),
            robot(peer, "/image_raw"),
        ):
            peer.diagnostics("policy", lambda status: "8x6, expected the 80x60" in status.message)
            assert not any(speed(message) for _, message in heard)


class TestTime:
    def test_simulated_time_that_jumps_back(self, peer, bundle):
        """Another episode begins in lock-step: the policy acts on its first image, and remembers nothing."""
        heard = peer.listen(TwistStamped, "/cmd_vel")
        with running("policy", bundle=bundle, enabled=True, use_sim_time=True):
            peer.wait_for_listener("/goggles/image_raw")
            peer.wait_for_listener("/clock")
            for brightness in (140, 60):
                for k in range(10):
                    step(peer, heard, brightness, 100 + k / RATE_HZ)
                turns = [m.twist.angular.z for _, m in heard if speed(m) > 0][-10:]
                np.testing.assert_allclose(turns[3:], brightness / 255, atol=1e-5)
                assert turns[0] == pytest.approx(brightness / 255)  # its oldest frame is its first one

    def test_a_reset_begins_an_episode(self, peer, bundle):
        heard = peer.listen(TwistStamped, "/cmd_vel")
        with running("policy", bundle=bundle, enabled=True, use_sim_time=True):
            peer.wait_for_listener("/goggles/image_raw")
            for brightness, now_s in ((140, 100.0), (140, 100.1), (60, 100.2)):
                step(peer, heard, brightness, now_s)
            assert heard[-1][1].twist.angular.z == pytest.approx(140 / 255)  # two images ago
            assert peer.reset("policy").success
            step(peer, heard, 60, 100.3)
            assert heard[-1][1].twist.angular.z == pytest.approx(60 / 255)

    def test_no_command_is_obeyed_across_a_jump_back(self, peer, bundle):
        """The clock alone tells of it: the robot stands, and an image of the time before moves nothing."""
        heard = peer.listen(TwistStamped, "/cmd_vel")
        with running("policy", bundle=bundle, enabled=True, use_sim_time=True):
            peer.wait_for_listener("/goggles/image_raw")
            for k in range(5):
                step(peer, heard, 140, 100 + k / RATE_HZ)
            assert speed(heard[-1][1]) > 0.3
            begin, since = len(heard), time.time()
            while time.time() < since + 2 * LIMIT_S:
                peer.publish("/clock", Clock(clock=Time(sec=50)))
                peer.publish("/odom", odometry())
                peer.publish("/goggles/image_raw", bridge.image(picture(140), Time(sec=100, nanosec=900_000_000)))
                time.sleep(0.02)
            after = [(at_s, message) for at_s, message in heard[begin:] if message.header.stamp.sec < 100]
            assert after[0][0] - since <= LIMIT_S and len(after) == len(heard[begin:])
            assert not any(speed(message) for _, message in after)
            step(peer, heard, 140, 50.2)
            assert speed(heard[-1][1]) > 0.3


def step(peer: Peer, heard: list[tuple[float, Any]], brightness: int, now_s: float) -> None:
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


class TestFuzz:
    def test_a_policy_of_a_base(self, peer, bundle):
        heard, rng = peer.listen(TwistStamped, "/cmd_vel"), random.Random(1)

        def send() -> None:
            peer.publish("/goggles/image_raw", any_image(rng, "raw") if rng.random() < 0.7 else sound(peer))
            peer.publish("/odom", anything(rng, Odometry) if rng.random() < 0.7 else odometry())

        with running("policy", bundle=bundle, enabled=True) as process:
            with robot(peer):
                until_driving(heard)
            begin = len(heard)
            told = flood(peer, "policy", FUZZED // 2, send)
            assert int(told["published"]) > 10 and int(told["dropped_malformed"]) > FUZZED // 10
            assert len(heard) > begin
            assert all(0 <= speed(m) <= 0.6 and abs(m.twist.angular.z) <= 1.5 for _, m in heard)
            with robot(peer):
                until_driving(heard)
            assert process.poll() is None

    def test_a_policy_of_a_hand(self, peer, tmp_path):
        twists, rng = peer.listen(TwistStamped, "/delta_twist_cmds"), random.Random(2)

        names = ["panda_finger_joint1", "panda_finger_joint2"]

        def sense() -> None:
            peer.publish("/hand_pose", PoseStamped())
            peer.publish("/joint_states", JointState(name=names, position=[0.02, 0.03]))

        def send() -> None:
            peer.publish("/goggles/image_raw", any_image(rng, "raw") if rng.random() < 0.7 else sound(peer))
            if rng.random() < 0.3:
                sense()
            else:
                peer.publish("/hand_pose", anything(rng, PoseStamped))
                peer.publish("/joint_states", anything(rng, JointState))

        def moves(since: int) -> bool:
            return any(m.twist.linear.z > 0 for _, m in twists[since:])

        with running("policy", bundle=write_hand(tmp_path), enabled=True) as process:
            for stage in range(2):
                begin = len(twists)
                with robot(peer) as body:
                    body.odom = sense
                    wait(partial(moves, begin), "it does not move")
                if stage == 0:
                    told = flood(peer, "policy", FUZZED // 3, send)
                    assert int(told["published"]) > 10 and int(told["dropped_malformed"]) > FUZZED // 10
            limits = [0.25, 0.25, 0.25, 1.5]
            for _, m in twists:
                velocity = np.array([m.twist.linear.x, m.twist.linear.y, m.twist.linear.z, m.twist.angular.z])
                assert np.isfinite(velocity).all() and (np.abs(velocity) <= limits).all()
            assert process.poll() is None
