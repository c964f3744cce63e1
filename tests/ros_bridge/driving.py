"""A base that is driven by the policy node, for tests: what it senses, and what it is told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from simgym.deploy import Camera, TensorSpec, goggles_contract, policy_contract
from tests.deploy.conftest import CAMERA, GOGGLES_GRAPH, POLICY_GRAPH, write

from . import bridge
from .bridge import Peer, wait

from geometry_msgs.msg import TwistStamped  # isort: skip
from nav_msgs.msg import Odometry  # isort: skip

RATE_HZ, LIMIT_S = 10.0, 0.3
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


def write_policy(folder: Path, graph: str = POLICY_GRAPH, camera: Camera = CAMERA, rate_hz: float = RATE_HZ) -> Path:
    """Drives by the brightness of its newest image and turns by that of its oldest, plus what is measured."""
    contract = policy_contract("ChairNav", camera, 3, (0.0, -1.5), (0.6, 1.5), rate_hz, ("sim",), "Apache-2.0")
    graph = graph.replace("6, 8, 3]", f"{camera.height}, {camera.width}, 3]")
    return write(folder / "policy.onnx", graph, {"simgym": contract.to_json()})


def write_hand(folder: Path) -> Path:
    """A policy of a hand."""
    unit = "m/s, m/s, m/s, rad/s, m"
    measured = TensorSpec("proprio", ("N", 5), "float32", "m, m, m, rad, m")
    low, high = (-0.25, -0.25, -0.25, -1.5, 0.0), (0.25, 0.25, 0.25, 1.5, 0.08)
    contract = policy_contract(
        "Grasp", CAMERA, 1, low, high, RATE_HZ, ("sim",), "Apache-2.0", measured=measured, command_unit=unit
    )
    return write(folder / "policy.onnx", HAND_GRAPH, {"simgym": contract.to_json()})


def write_goggles(folder: Path, graph: str = GOGGLES_GRAPH) -> Path:
    """Goggles that show the negative."""
    contract = goggles_contract(None, CAMERA, 10.0, ("standin", "sim"), "Apache-2.0")
    return write(folder / "goggles.onnx", graph, {"simgym": contract.to_json()})


def picture(value: int, camera: Camera = CAMERA) -> np.ndarray:
    return np.full((camera.height, camera.width, 3), value, np.uint8)


def odometry(forward: float = 0.0, turn: float = 0.0, stamp: Any = None) -> Odometry:
    message = Odometry()
    if stamp is not None:
        message.header.stamp = stamp
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
