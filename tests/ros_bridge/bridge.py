"""The nodes as processes of their own, and a peer that talks to them over DDS."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")  # these tests are marked `ros` and run where it is

# Not to hear other tests, nor robots in the same network. Before rclpy makes its context.
os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 100)
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"

import rclpy  # noqa: E402
from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from lifecycle_msgs.srv import ChangeState, GetState  # noqa: E402
from rcl_interfaces.srv import DescribeParameters, SetParameters  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.node import Node  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from rclpy.qos import QoSProfile, ReliabilityPolicy  # noqa: E402
from sensor_msgs.msg import CameraInfo, Image  # noqa: E402
from std_srvs.srv import SetBool, Trigger  # noqa: E402

ROOT = Path(__file__).parents[2]
PATIENCE_S = 20.0
DISCOVERY_S = 0.2
BEST_EFFORT = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)


class Peer:
    """Publishes, listens and calls; what was heard is kept with the time when it came, by topic."""

    def __init__(self) -> None:
        self._context = rclpy.Context()
        self._context.init()
        self.node = Node("peer", context=self._context)
        self.heard: dict[str, list[tuple[float, Any]]] = {}
        self._publishers: dict[str, Any] = {}
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._spin)
        self._thread.start()

    def _spin(self) -> None:
        while not self._stopped.is_set():
            self._executor.spin_once(timeout_sec=0.02)

    def close(self) -> None:
        self._stopped.set()
        self._thread.join()
        self._executor.shutdown()
        self.node.destroy_node()
        self._context.try_shutdown()

    def listen(self, kind: type, topic: str, qos: Any = 10) -> list[tuple[float, Any]]:
        """The list to which messages of a topic are added, with the time when they came."""
        heard = self.heard.setdefault(topic, [])
        self.node.create_subscription(kind, topic, lambda message: heard.append((time.time(), message)), qos)
        return heard

    def publish(self, topic: str, message: Any) -> None:
        if topic not in self._publishers:
            self._publishers[topic] = self.node.create_publisher(type(message), topic, 1)
        self._publishers[topic].publish(message)

    def wait_for_listener(self, topic: str) -> None:
        wait(lambda: self.node.count_subscribers(topic) > 0, f"nobody listens to {topic}")

    def call(self, kind: type, name: str, request: Any) -> Any:
        client = self.node.create_client(kind, name)
        assert client.wait_for_service(PATIENCE_S), f"no service {name}"
        time.sleep(DISCOVERY_S)  # that we see the server does not mean that it sees us: its answer would be lost
        future = client.call_async(request)
        wait(future.done, f"{name} does not answer")
        self.node.destroy_client(client)
        return future.result()

    def enable(self, node: str, enabled: bool = True) -> Any:
        return self.call(SetBool, f"/{node}/enable", SetBool.Request(data=enabled))

    def reset(self, node: str) -> Any:
        return self.call(Trigger, f"/{node}/reset", Trigger.Request())

    def transition(self, node: str, label: str) -> bool:
        request = ChangeState.Request()
        request.transition.label = label
        return self.call(ChangeState, f"/{node}/change_state", request).success

    def state(self, node: str) -> str:
        return self.call(GetState, f"/{node}/get_state", GetState.Request()).current_state.label

    def set_parameter(self, node: str, name: str, value: Any) -> Any:
        request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
        return self.call(SetParameters, f"/{node}/set_parameters", request).results[0]

    def description(self, node: str, name: str) -> str:
        request = DescribeParameters.Request(names=[name])
        return self.call(DescribeParameters, f"/{node}/describe_parameters", request).descriptors[0].description

    def listen_to_diagnostics(self) -> None:
        if "/diagnostics" not in self.heard:
            self.listen(DiagnosticArray, "/diagnostics")

    def diagnostics(self, node: str, accept: Callable[[Any], bool] = lambda status: True) -> Any:
        """The next status of a node that is accepted; its values are a dict."""
        self.listen_to_diagnostics()
        heard, begin = self.heard["/diagnostics"], len(self.heard["/diagnostics"])

        def found() -> Any:
            of_node = (m.status[0] for _, m in heard[begin:] if m.status[0].name == f"/{node}")
            return next((status for status in of_node if accept(status)), None)

        wait(
            lambda: found() is not None, f"no such diagnostics of {node}", lambda: [m.status[0] for _, m in heard[-2:]]
        )
        return found()

    def now(self) -> Any:
        return self.node.get_clock().now().to_msg()


def values(status: Any) -> dict[str, str]:
    return {item.key: item.value for item in status.values}


def wait(
    done: Callable[[], bool], complaint: str, seen: Callable[[], Any] = lambda: "", patience_s: float = PATIENCE_S
) -> None:
    deadline_s = time.monotonic() + patience_s
    while not done():
        assert time.monotonic() < deadline_s, f"{complaint}: {seen()}"
        time.sleep(0.005)


@contextmanager
def peer() -> Iterator[Peer]:
    made = Peer()
    try:
        yield made
    finally:
        made.close()


def environment() -> dict[str, str]:
    """In which a process finds the packages."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "ros_bridge")))}


def line(process: subprocess.Popen[str], part: str) -> str:
    """The next line of a process's output with a part in it; it is not looked at again when the process ends."""
    assert process.stdout is not None
    impatience = threading.Timer(PATIENCE_S, process.kill)
    impatience.start()
    try:
        said = next((text for text in process.stdout if part in text), None)
    finally:
        impatience.cancel()
    assert said is not None, f"it never said {part}"
    return said


@contextmanager
def running(module: str, *arguments: str, **parameters: object) -> Iterator[subprocess.Popen[str]]:
    """``python -m simgym_ros.<module> --ros-args ...``, ended by SIGINT; it exits with 0 unless it was killed."""
    options = [part for key, value in parameters.items() for part in ("-p", f"{key}:={_shown(value)}")]
    command = [sys.executable, "-m", f"simgym_ros.{module}", "--ros-args", *options, *arguments]
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield process
    except BaseException:
        process.kill()
        print(process.communicate()[0])
        raise
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode in (0, -signal.SIGKILL), output
    assert "Traceback" not in output, output


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def image(rgb: np.ndarray, stamp: Any, frame_id: str = "camera_optical_frame", encoding: str = "rgb8") -> Image:
    """An Image of (H, W, C) uint8."""
    height, width, channels = rgb.shape
    message = Image(height=height, width=width, encoding=encoding, step=width * channels, data=rgb.tobytes())
    message.header.stamp, message.header.frame_id = stamp, frame_id
    return message


def camera_info(width: int, height: int, focal: float, stamp: Any) -> CameraInfo:
    """An ideal lens, its axis in the middle."""
    message = CameraInfo(width=width, height=height, distortion_model="plumb_bob")
    message.k = [focal, 0.0, width / 2 - 0.5, 0.0, focal, height / 2 - 0.5, 0.0, 0.0, 1.0]
    message.header.stamp = stamp
    return message
