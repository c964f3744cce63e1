"""The policy node over DDS: it drives where it should, and stands whenever it should."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from tests.deploy.conftest import POLICY_GRAPH

from . import bridge
from .bridge import running, values, wait
from .driving import (
    LIMIT_S,
    RATE_HZ,
    odometry,
    picture,
    robot,
    speed,
    stood_after,
    until_driving,
    write_hand,
    write_policy,
)

from builtin_interfaces.msg import Time  # isort: skip
from geometry_msgs.msg import PoseStamped, Twist, TwistStamped  # isort: skip
from sensor_msgs.msg import Image, JointState  # isort: skip
from std_msgs.msg import Float64MultiArray  # isort: skip

pytestmark = pytest.mark.ros

# Divides by 1 less what is measured.
UNSTEADY_GRAPH = (
    POLICY_GRAPH.replace("float full = {255}", "float full = {255}, float one = {1}")
    .replace("    command =", "    gap = Sub(one, velocity)\n    command =")
    .replace("Add(chosen, velocity)", "Div(chosen, gap)")
)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_policy(tmp_path)


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
        stamps_s = [stamp.sec + stamp.nanosec * 1e-9 for stamp in (message.header.stamp, sent[0].header.stamp)]
        assert 0 <= stamps_s[0] - stamps_s[1] < bridge.PATIENCE_S  # the time of the command, which controllers heed
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
        answered = [round(speed(m) * 255 / 2) for _, m in heard if speed(m) > 0]  # the numbers of images
        assert np.diff(answered)[:8].tolist() == [30 / RATE_HZ] * 8

    def test_twist_and_limits_by_parameter(self, peer, bundle):
        heard = peer.listen(Twist, "/cmd_vel")
        options = {"stamped": False, "max_velocity": "[0.2]", "max_acceleration": "[0.5, 3.0]"}
        with running("policy", bundle=bundle, enabled=True, **options), robot(peer):
            wait(lambda: any(m.linear.x > 0.19 for _, m in heard), "it does not drive", lambda: heard[-3:])
        speeds = [m.linear.x for _, m in heard]
        assert max(speeds) == pytest.approx(0.2) and max(np.diff(speeds)) <= 0.051

    def test_stamps_of_other_clocks_count_for_nothing_where_they_are_not_trusted(self, peer, bundle):
        heard = peer.listen(TwistStamped, "/cmd_vel")
        with running("policy", bundle=bundle, enabled=True, trust_stamps=False), robot(peer) as body:
            body.odom = lambda: odometry(stamp=Time(sec=5))
            body.image = lambda: bridge.image(picture(102), Time(sec=5, nanosec=time.time_ns() % 1_000_000_000))
            until_driving(heard)

    def test_who_listens_for_another_type_is_named(self, peer, bundle):
        peer.listen(Twist, "/cmd_vel")
        with running("policy", bundle=bundle, enabled=True), robot(peer):
            told = peer.diagnostics("policy", lambda s: "elsewhere" in s.message).message
            assert "/cmd_vel is a TwistStamped here and a Twist elsewhere: set stamped:=false" in told

    def test_it_decides_nothing_while_nobody_listens(self, peer, bundle):
        with running("policy", bundle=bundle, enabled=True), robot(peer):
            status = peer.diagnostics("policy", lambda s: values(s).get("dropped_unheard", "0") > "0")
            assert status.level == b"\x01" and status.message == "nobody listens to /cmd_vel"
            assert values(status)["published"] == "0"
            until_driving(peer.listen(TwistStamped, "/cmd_vel"))

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
            ("odom", lambda peer: odometry(stamp=Time(sec=5)), "no /odom for"),
            ("odom", lambda peer: odometry(stamp=Time(sec=2**31 - 1)), "no /odom for -"),
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
        bundle = write_policy(tmp_path, UNSTEADY_GRAPH)
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


def test_a_hand_is_moved_as_moveit_servo_takes_it(peer, tmp_path):
    bundle = write_hand(tmp_path)
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
        body.image = lambda: None
        time.sleep(0.1)
        since = body.last["image"]
        wait(lambda: all(m.twist.linear.z == 0 for _, m in twists[-3:]), "it does not stand")
        last = max(index for index, (_, m) in enumerate(twists) if m.twist.linear.z > 0)
        assert twists[last + 1][0] - since <= LIMIT_S
    moving = next(m for _, m in twists if m.twist.linear.z > 0)
    linear = moving.twist.linear
    assert [linear.x, linear.y, linear.z, moving.twist.angular.z] == pytest.approx([0.1] * 4)
    assert moving.header.frame_id == "panda_link0"
    assert list(openings[-1][1].data) == pytest.approx([0.025, 0.025])
