"""Listening in on a robot's topics, for tests."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

import rclpy
from geometry_msgs.msg import PoseStamped, TwistStamped
from nav_msgs.msg import Odometry
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.time import Time
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, JointState
from simgym_ros.robot import RobotNode
from std_msgs.msg import Float64MultiArray, String
from std_srvs.srv import Trigger

PATIENCE_S = 60.0  # the first run compiles the renderer


class Listener(Node):
    """Keeps what a robot publishes, and may answer every frame with a command."""

    def __init__(self) -> None:
        super().__init__("listener")
        self.images: list[Image] = []
        self.infos: list[CameraInfo] = []
        self.odoms: list[Odometry] = []
        self.clocks: list[int] = []  # ns
        self.episodes: list[str] = []
        self.answer: Callable[[Image], TwistStamped | None] = lambda image: None
        self.drive = self.create_publisher(TwistStamped, "cmd_vel", 1)
        self.reset = self.create_client(Trigger, "robot/reset")
        self.create_subscription(Image, "image_raw", self._see, 10)
        self.create_subscription(CameraInfo, "camera_info", self.infos.append, 10)
        self.create_subscription(Odometry, "odom", self.odoms.append, 10)
        self.create_subscription(Clock, "/clock", lambda m: self.clocks.append(Time.from_msg(m.clock).nanoseconds), 10)
        self.create_subscription(String, "robot/episode", lambda m: self.episodes.append(m.data), 10)

    def _see(self, image: Image) -> None:
        self.images.append(image)
        command = self.answer(image)
        if command is not None:
            self.drive.publish(command)


class ArmListener(Node):
    """Keeps what an arm publishes, and may answer every frame: (vx, vy, vz, yaw rate, opening of each finger)."""

    def __init__(self) -> None:
        super().__init__("listener")
        self.images: list[Image] = []
        self.hands: list[PoseStamped] = []
        self.joints: list[JointState] = []
        self.answer: Callable[[Image], Sequence[float] | None] = lambda image: None
        self.twists = self.create_publisher(TwistStamped, "delta_twist_cmds", 1)
        self.fingers = self.create_publisher(Float64MultiArray, "gripper/commands", 1)
        self.create_subscription(Image, "image_raw", self._see, 10)
        self.create_subscription(PoseStamped, "hand_pose", self.hands.append, 10)
        self.create_subscription(JointState, "joint_states", self.joints.append, 10)

    def twist(self, stamp: Any, velocity: Sequence[float]) -> None:
        """Move the hand."""
        message = TwistStamped()
        message.header.stamp, linear = stamp, message.twist.linear
        linear.x, linear.y, linear.z, message.twist.angular.z = velocity
        self.twists.publish(message)

    def grip(self, finger_m: float) -> None:
        """Move the fingers."""
        self.fingers.publish(Float64MultiArray(data=[finger_m, finger_m]))

    def _see(self, image: Image) -> None:
        self.images.append(image)
        answer = self.answer(image)
        if answer is not None:
            self.twist(image.header.stamp, answer[:4])
            self.grip(answer[4])


def command(stamp: Any, forward: float, turn: float = 0.0) -> TwistStamped:
    message = TwistStamped()
    message.header.stamp = stamp
    message.twist.linear.x, message.twist.angular.z = forward, turn
    return message


def fuzz(robot: RobotNode, listener: Node, send: Callable[[], None], count: int) -> int:
    """Send until so many commands have come to a robot; how many of its frames came meanwhile."""
    first = robot.topics.frame_ns
    with mock.patch.object(robot.topics, "_take", wraps=robot.topics._take) as taken:

        def sent() -> bool:
            send()
            return taken.call_count >= count

        assert spin([robot, listener], sent, 2 * PATIENCE_S), f"{taken.call_count} of {count} commands came"
    return robot.topics.frame_ns - first


def spin(nodes: list[Node], until: Callable[[], bool], patience_s: float = PATIENCE_S) -> bool:
    """Run nodes until something holds; whether it came to hold."""
    executor = SingleThreadedExecutor()
    for node in nodes:
        executor.add_node(node)
    end_s = time.monotonic() + patience_s
    while not until() and time.monotonic() < end_s and rclpy.ok():
        executor.spin_once(timeout_sec=0.05)
    for node in nodes:
        executor.remove_node(node)
    executor.shutdown()
    return until()


@contextmanager
def robots(listener: type[Node], domain_ids: Iterator[int], *words: str) -> Iterator[Callable[..., Any]]:
    """Starts a robot with parameters, and who listens to it, in a domain of their own; ends them all."""
    nodes: list[Any] = []  # listener, robot

    def begin(**parameters: Any) -> tuple[RobotNode, Any]:
        given = [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]
        rclpy.init(args=["--ros-args", *words, *given], domain_id=next(domain_ids))
        nodes.extend((listener(), RobotNode()))
        assert spin(nodes, lambda: nodes[1].topics.connected)
        return nodes[1], nodes[0]

    try:
        yield begin
    finally:
        for robot in nodes[1:]:
            robot.world.close()
        for node in nodes:
            node.destroy_node()
        rclpy.try_shutdown()
