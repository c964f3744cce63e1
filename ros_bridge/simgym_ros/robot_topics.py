"""A simulated robot's side of ROS: camera, odometry, transforms and clock out, velocity commands in."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from geometry_msgs.msg import TransformStamped, Twist, TwistStamped
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.time import Time
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from simgym.envs.quaternion import conjugate, multiply, rotate
from simgym.envs.simulation import Simulation

from . import images

try:
    from tf2_msgs.msg import TFMessage
except ModuleNotFoundError:  # every ROS installation has it; there is no wheel of it
    TFMessage = None

ODOM_FRAME, BASE_FRAME, OPTICAL_FRAME = "odom", "base_link", "camera_optical_frame"
OPTICAL_QUAT = np.array([0.5, -0.5, 0.5, -0.5])  # wxyz, REP 103: z forward, x right, y down, seen from x forward, z up
STOP = np.zeros(2, np.float32)


class RobotTopics:
    """The topics of the robot in world 0 of a simulation, for a node that publishes and steps when it likes.

    ``camera_info`` states the simulated camera as it is meant to be, an ideal pinhole. What the domain's lens and mount
    do beyond that is what calibration left (`simgym.envs.camera_flaws`), and a real ``camera_info`` would not know of
    it either: who resamples by it gets what goggles get in headless evaluation, pixel by pixel.

    The pose in ``odom`` is the simulator's truth, in the frame of the room, and a reset moves the robot at once; its
    twist is what the robot measures, with the domain's noise.

    Args:
        node: publishes and subscribes; names are relative to its namespace.
        simulation: a batch of one driving robot.
        stamped: ``cmd_vel`` is a TwistStamped, not a Twist.
        on_command: called after each command.

    Attributes:
        command: (2,) float32, the newest command, m/s and rad/s; zero where it was not finite.
        arrived_s: when it came, `time.monotonic`.
        answered: a command for the newest frame has come: one that carries its stamp, or any Twist, which has none.
        frame_ns: stamp of the newest frame.
    """

    def __init__(
        self,
        node: Node,
        simulation: Simulation,
        stamped: bool = True,
        on_command: Callable[[], None] | None = None,
    ) -> None:
        self._node, self._simulation, self._on_command = node, simulation, on_command
        self.command, self.arrived_s, self.answered, self.frame_ns = STOP, -np.inf, False, 0
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._image = node.create_publisher(Image, "image_raw", 5)
        self._camera_info = node.create_publisher(CameraInfo, "camera_info", 5)
        self._odom = node.create_publisher(Odometry, "odom", 10)
        self._clock = node.create_publisher(Clock, "/clock", 10)
        self._transforms, self._mount = None, None
        if TFMessage is None:
            node.get_logger().warning("no tf2_msgs here, which every ROS installation has: /tf is not published")
        else:
            self._transforms = node.create_publisher(TFMessage, "/tf", 100)
            self._mount = node.create_publisher(TFMessage, "/tf_static", latched)
        self._commands = node.create_subscription(TwistStamped if stamped else Twist, "cmd_vel", self._take, 1)

    @property
    def connected(self) -> bool:
        """Whether somebody sees and measures, and somebody commands."""
        listened = all(publisher.get_subscription_count() for publisher in (self._image, self._odom))
        return listened and self._node.count_publishers("cmd_vel") > 0

    def publish(self, time_ns: int) -> None:
        """Publish what the robot senses now, all of it stamped with the simulated time; the frame comes last.

        The clock is a trifle ahead of the frame: a command that is stamped with the time, such as a zero from a policy
        that waits for input, cannot be taken for the answer to a frame that it came before.
        """
        self.tell_time(time_ns + 1)
        self.frame_ns, self.answered = time_ns, False
        observation, camera = self._simulation.observe(), self._simulation.camera
        in_odom, in_camera = header(time_ns, ODOM_FRAME), header(time_ns, OPTICAL_FRAME)
        if self._transforms is not None:
            self._transforms.publish(TFMessage(transforms=[self.base(in_odom)]))
        self._odom.publish(odometry(self.base(in_odom), observation.velocity[0]))
        self._camera_info.publish(images.camera_info_message(in_camera, camera))
        self._image.publish(images.image_message(in_camera, observation.image[0]))

    def publish_mount(self) -> None:
        """Publish where the camera sits, once the simulation has begun an episode; it stays valid."""
        if self._mount is not None:
            self._mount.publish(TFMessage(transforms=[self.mount(header(self.frame_ns, BASE_FRAME))]))

    def tell_time(self, time_ns: int) -> None:
        """Publish the simulated time."""
        self._clock.publish(Clock(clock=Time(nanoseconds=time_ns).to_msg()))

    def base(self, in_odom: Header) -> TransformStamped:
        """Where the robot is."""
        state = self._simulation.engine.state
        return transform(in_odom, BASE_FRAME, state.link_pos[0, 0], state.link_quat[0, 0])

    def mount(self, in_base: Header) -> TransformStamped:
        """Where its camera sits, as its description says."""
        state, link = self._simulation.engine.state, self._simulation.task.robot.camera_link
        to_base = conjugate(state.link_quat[0, 0])
        position = rotate(to_base, state.link_pos[0, link] - state.link_pos[0, 0])
        quat = multiply(multiply(to_base, state.link_quat[0, link]), OPTICAL_QUAT)
        return transform(in_base, OPTICAL_FRAME, position, quat)

    def _take(self, message: Twist | TwistStamped) -> None:
        """Take a command."""
        twist = message if isinstance(message, Twist) else message.twist
        command = np.array([twist.linear.x, twist.angular.z], np.float32)
        if not np.isfinite(command).all():
            self._node.get_logger().error(f"cmd_vel is not finite: {command.tolist()}; the robot stops")
            command = STOP
        self.command, self.arrived_s = command, time.monotonic()
        stamp_ns = self.frame_ns if isinstance(message, Twist) else Time.from_msg(message.header.stamp).nanoseconds
        self.answered = stamp_ns == self.frame_ns
        if self._on_command is not None:
            self._on_command()


def header(time_ns: int, frame: str) -> Header:
    """A header."""
    return Header(stamp=Time(nanoseconds=time_ns).to_msg(), frame_id=frame)


def transform(head: Header, child: str, position: np.ndarray, quat: np.ndarray) -> TransformStamped:
    """The pose (3,) m and (4,) wxyz of a frame as a message, whose quaternions are xyzw."""
    message = TransformStamped(header=head, child_frame_id=child)
    to, turn = message.transform.translation, message.transform.rotation
    to.x, to.y, to.z = position.tolist()
    turn.w, turn.x, turn.y, turn.z = quat.tolist()
    return message


def odometry(base: TransformStamped, velocity: np.ndarray) -> Odometry:
    """Where the robot is and what it measures (2,) m/s, rad/s, as a message."""
    message = Odometry(header=base.header, child_frame_id=base.child_frame_id)
    at, to = message.pose.pose, base.transform.translation
    at.position.x, at.position.y, at.position.z = to.x, to.y, to.z
    at.orientation = base.transform.rotation
    message.twist.twist.linear.x, message.twist.twist.angular.z = velocity.tolist()
    return message
