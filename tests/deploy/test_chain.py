"""From the bytes of a camera's and a base's messages to the bytes of a command: all of `simgym.deploy`, without ROS."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simgym.deploy import (
    Calibration,
    CodecError,
    Goggles,
    Limits,
    Mailbox,
    Pacer,
    Policy,
    PolicyError,
    Safety,
    SizedResamplers,
    Turn,
    decode_compressed,
    decode_raw,
)

from .cdr import made, stamp, through_cdr
from .conftest import CAMERA
from .test_codec import compress, encode

PERIOD_S = 0.1


def image(value: int, at_s: float, encoding: str = "bgr8") -> Any:
    """A grey picture of twice the simulated camera's size."""
    height, width = 2 * CAMERA.height, 2 * CAMERA.width
    data = encode(np.full((height, width, 3), value, np.uint8), encoding)
    fields: dict[str, Any] = {"height": height, "width": width, "encoding": encoding, "is_bigendian": False}
    header = made("std_msgs/msg/Header", stamp=stamp(at_s), frame_id="camera")
    return made("sensor_msgs/msg/Image", header=header, step=data.shape[1], data=data.ravel(), **fields)


def camera_info(model: str, d: list[float]) -> Any:
    """Of the camera that takes `image`."""
    matrix = 2 * CAMERA.opencv_matrix
    matrix[:2, 2] += 0.5  # the middle of the first pixel is 0
    matrix[2, 2] = 1
    roi = {"x_offset": 0, "y_offset": 0, "height": 0, "width": 0, "do_rectify": False}
    return made(
        "sensor_msgs/msg/CameraInfo",
        height=2 * CAMERA.height,
        width=2 * CAMERA.width,
        distortion_model=model,
        d=np.array(d),
        k=matrix.ravel(),
        r=np.eye(3).ravel(),
        p=np.hstack([matrix, np.zeros((3, 1))]).ravel(),
        binning_x=0,
        binning_y=0,
        roi=made("sensor_msgs/msg/RegionOfInterest", **roi),
    )


def odometry(forward: float, turn: float) -> Any:
    def vector(**xyz: float) -> Any:
        return made("geometry_msgs/msg/Vector3", **{"x": 0.0, "y": 0.0, "z": 0.0, **xyz})

    twist = made("geometry_msgs/msg/Twist", linear=vector(x=forward), angular=vector(z=turn))
    pose = made(
        "geometry_msgs/msg/Pose",
        position=made("geometry_msgs/msg/Point", x=0.0, y=0.0, z=0.0),
        orientation=made("geometry_msgs/msg/Quaternion", x=0.0, y=0.0, z=0.0, w=1.0),
    )
    return made(
        "nav_msgs/msg/Odometry",
        child_frame_id="base_link",
        pose=made("geometry_msgs/msg/PoseWithCovariance", pose=pose, covariance=np.zeros(36)),
        twist=made("geometry_msgs/msg/TwistWithCovariance", twist=twist, covariance=np.zeros(36)),
    )


def seconds(message: Any) -> float:
    return message.header.stamp.sec + message.header.stamp.nanosec * 1e-9


class Chain:
    """What the nodes do with a message, one after the other."""

    def __init__(self, goggles: Path, policy: Path, info: Any) -> None:
        calibration = Calibration.from_camera_info(info.width, info.height, info.k, info.distortion_model, info.d)
        self.resampler = SizedResamplers(CAMERA, calibration)
        self.goggles, self.policy = Goggles(goggles), Policy(policy)
        self.pacer = Pacer(PERIOD_S)
        self.safety = Safety(Limits((0.0, -1.5), (0.6, 1.5), (6.0, 30.0), 0.25, PERIOD_S))
        self.safety.enable()
        self.mailbox: Mailbox[Any] = Mailbox()

    def act(self, odom: Any, now_s: float) -> np.ndarray:
        """The command for the newest image."""
        message = self.mailbox.take()
        assert message is not None
        if message.__msgtype__.endswith("CompressedImage"):
            picture = decode_compressed(message.data)
        else:
            picture = decode_raw(
                message.encoding, message.height, message.width, message.step, message.is_bigendian, message.data
            )
        translated = self.goggles.translate(self.resampler(picture)[None])[0]
        if self.pacer.turn(seconds(message)) is Turn.BEGIN:
            self.policy.reset()
        twist = odom.twist.twist
        wanted = self.policy.act(translated, np.array([twist.linear.x, twist.angular.z], np.float32))
        return self.safety.command(wanted, seconds(message), now_s)


@pytest.fixture
def make_chain(goggles_path: Path, policy_path: Path) -> Any:
    return lambda info: Chain(goggles_path, policy_path, through_cdr(info))


@pytest.mark.parametrize("encoding", ["bgr8", "rgba8", "mono16"])
@pytest.mark.parametrize(
    ("model", "d"),
    [("plumb_bob", [-0.1, 0.01, 0.0, 0.0, 0.0]), ("rational_polynomial", [0.1] * 8), ("equidistant", [0.0] * 4)],
)
def test_a_command_comes_of_the_newest_image(make_chain: Any, model: str, d: list[float], encoding: str) -> None:
    """The goggles show the negative; the policy drives by its brightness and adds what is measured."""
    chain = make_chain(camera_info(model, d))
    for value, at_s in ((10, 1.0), (153, 1.05)):  # nobody took the first
        chain.mailbox.put(through_cdr(image(value, at_s, encoding)))
    velocity = chain.act(through_cdr(odometry(0.05, -0.2)), now_s=1.1)
    np.testing.assert_allclose(velocity, [0.4 + 0.05, 0.4 - 0.2], atol=1e-6)
    assert chain.mailbox.counts() == (2, 1)
    command = made("geometry_msgs/msg/TwistStamped", twist=odometry(*velocity).twist.twist)
    assert through_cdr(command).twist.linear.x == velocity[0]


def test_a_compressed_image_is_as_good(make_chain: Any) -> None:
    chain = make_chain(camera_info("plumb_bob", [0.0] * 5))
    data = np.frombuffer(compress(np.full((12, 16, 3), 153, np.uint8), ".png"), np.uint8)
    chain.mailbox.put(through_cdr(made("sensor_msgs/msg/CompressedImage", format="png", data=data)))
    np.testing.assert_allclose(chain.act(through_cdr(odometry(0.0, 0.0)), now_s=1.0), [0.4, 0.4], atol=1e-6)


def test_what_is_broken_moves_nothing(make_chain: Any) -> None:
    chain = make_chain(camera_info("plumb_bob", [0.0] * 5))
    odom = through_cdr(odometry(0.0, 0.0))
    cut = image(153, 1.0)
    cut.data = cut.data[:-1]
    chain.mailbox.put(through_cdr(cut))
    with pytest.raises(CodecError, match="takes 576 bytes, got 575"):
        chain.act(odom, now_s=1.0)
    chain.mailbox.put(through_cdr(image(153, 1.0)))
    assert not chain.act(odom, now_s=1.3).any() and "late" in chain.safety.fault
    chain.mailbox.put(through_cdr(image(153, 1.4)))
    with pytest.raises(PolicyError, match="velocity must be finite"):
        chain.act(through_cdr(odometry(float("nan"), 0.0)), now_s=1.4)
    chain.mailbox.put(through_cdr(image(153, 1.5)))
    assert chain.act(odom, now_s=1.5).all()


def test_images_are_handed_from_thread_to_thread(make_chain: Any) -> None:
    chain = make_chain(camera_info("plumb_bob", [0.0] * 5))
    camera = threading.Timer(0.05, lambda: chain.mailbox.put(through_cdr(image(153, 2.0))))
    camera.start()
    assert chain.act(through_cdr(odometry(0.0, 0.0)), now_s=2.0).all()
    camera.join()
