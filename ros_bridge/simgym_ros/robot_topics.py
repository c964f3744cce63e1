"""A simulated robot's side of ROS: camera, measurements, transforms and clock out, commands in."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped, TransformStamped, Twist, TwistStamped
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.time import Time
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Float64MultiArray, Header

from simgym.envs.arm import GRASP_POINT, Arm
from simgym.envs.quaternion import conjugate, multiply, rotate
from simgym.envs.simulation import Simulation

from . import images
from .node import OVERRIDABLE, nanoseconds, twist_conflict

try:
    from tf2_msgs.msg import TFMessage
except ModuleNotFoundError:  # every ROS installation has it; there is no wheel of it
    TFMessage = None

ODOM_FRAME, BASE_FRAME, OPTICAL_FRAME = "odom", "base_link", "camera_optical_frame"
OPTICAL_QUAT = np.array([0.5, -0.5, 0.5, -0.5])  # wxyz, REP 103: z forward, x right, y down, seen from x forward, z up
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class RobotTopics(ABC):
    """The topics of the robot in world 0 of a simulation, for a node that publishes and steps when it likes.

    Args:
        node: publishes and subscribes; names are relative to its namespace.
        simulation: a batch of one.
        on_command: called after each command.

    Attributes:
        calibrated: ``camera_info`` states the lens that the domain drew for this very camera, as its calibration would
            find it. Else it states the camera as it is meant to be, an ideal pinhole: who resamples by that gets what
            goggles get in headless evaluation, pixel by pixel.
        command: (C,) float32, the newest command, in the units of the task.
        arrived_s: when it came, `time.monotonic`.
        frame_ns: stamp of the newest frame.
    """

    def __init__(self, node: Node, simulation: Simulation, on_command: Callable[[], None] | None = None) -> None:
        self._node, self._simulation, self._on_command = node, simulation, on_command
        self.calibrated = False
        self.arrived_s, self.frame_ns = -np.inf, 0
        self._answer_ns: int | None = None  # the frame that the newest command answers
        self._image = self._publisher(Image, "image_raw", 5)
        self._camera_info = self._publisher(CameraInfo, "camera_info", 5)
        self._clock = node.create_publisher(Clock, "/clock", 10)
        self._mount = None if TFMessage is None else node.create_publisher(TFMessage, "/tf_static", LATCHED)
        self.rest()

    @property
    @abstractmethod
    def still(self) -> np.ndarray:
        """(C,) the command that stops the robot."""

    @property
    @abstractmethod
    def connected(self) -> bool:
        """Whether somebody sees and measures, and somebody commands."""

    @abstractmethod
    def measure(self, time_ns: int) -> None:
        """Publish what the robot measures of itself now."""

    @property
    def answered(self) -> bool:
        """Whether a command for the newest frame has come: one that carries its stamp."""
        return self._answer_ns == self.frame_ns

    def rest(self) -> None:
        """Forget commands, as at the start of an episode."""
        self.command = np.array(self._simulation.task.rest, np.float32)

    def publish(self, time_ns: int) -> None:
        """Publish what the robot senses now, all of it stamped with the simulated time; the frame comes last.

        The clock is a trifle ahead of the frame: a command that is stamped with the time, such as a zero from a policy
        that waits for input, cannot be taken for the answer to a frame that it came before.
        """
        self.tell_time(time_ns + 1)
        self.frame_ns, self._answer_ns = time_ns, None
        self.measure(time_ns)
        in_camera = header(time_ns, OPTICAL_FRAME)
        self._camera_info.publish(self._calibration(in_camera))
        self._image.publish(images.image_message(in_camera, self._simulation.observe().image[0]))

    def mismatch(self) -> str:
        """Why commands cannot come though somebody sends them; empty if they can."""
        return ""

    def publish_mount(self) -> None:
        """Publish where the camera sits, once the simulation has begun an episode; it stays valid."""
        if self._mount is not None:
            self._mount.publish(TFMessage(transforms=[self.mount(self.frame_ns)]))

    def tell_time(self, time_ns: int) -> None:
        """Publish the simulated time."""
        self._clock.publish(Clock(clock=Time(nanoseconds=time_ns).to_msg()))

    def mount(self, time_ns: int) -> TransformStamped:
        """Where the camera sits on the link that carries it, as the robot's description says."""
        state, (carrier, frame) = self._simulation.engine.state, self._carrier()
        link, to_carrier = self._simulation.task.robot.camera_link, conjugate(state.link_quat[0, carrier])
        position = rotate(to_carrier, state.link_pos[0, link] - state.link_pos[0, carrier])
        quat = multiply(multiply(to_carrier, state.link_quat[0, link]), OPTICAL_QUAT)
        return transform(header(time_ns, frame), OPTICAL_FRAME, position, quat)

    def _calibration(self, in_camera: Header) -> CameraInfo:
        message = images.camera_info_message(in_camera, self._simulation.camera)
        if self.calibrated:
            drawn = self._simulation.draws[0]
            message.d[0] = drawn["flaws"].get("lens_k1", 0.0)
            for matrix, focal in ((message.k, [0, 4]), (message.p, [0, 5])):
                matrix[focal] *= drawn["look"].get("focal_scale", 1.0)
        return message

    def _publisher(self, kind: type, topic: str, depth: int) -> Any:
        return self._node.create_publisher(kind, topic, depth, qos_overriding_options=OVERRIDABLE)

    def _subscription(self, kind: type, topic: str, callback: Callable[[Any], None]) -> Any:
        return self._node.create_subscription(kind, topic, callback, 1, qos_overriding_options=OVERRIDABLE)

    def _carrier(self) -> tuple[int, str]:
        """Index and frame of the link that carries the camera."""
        return 0, BASE_FRAME

    def _finite(self, topic: str, values: Sequence[float], otherwise: Sequence[float]) -> np.ndarray:
        """What was commanded, or what to do instead where that is no number."""
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite
            command = np.array(values, np.float32)
        if np.isfinite(command).all():
            return command
        text = f"{topic} is not finite: {list(values)}; the robot stops"
        self._node.get_logger().error(text, throttle_duration_sec=5.0)
        return np.array(otherwise, np.float32)

    def _take(self, command: np.ndarray, answer_ns: int | None) -> None:
        """Take a command, which answers the frame of this stamp."""
        self.command, self.arrived_s, self._answer_ns = command, time.monotonic(), answer_ns
        if self._on_command is not None:
            self._on_command()


class BaseTopics(RobotTopics):
    """Of a robot that drives: ``odom`` and ``/tf`` out, ``cmd_vel`` in, forward speed m/s and yaw rate rad/s.

    The pose in ``odom`` is the simulator's truth, in the frame of the room, and a reset moves the robot at once; its
    twist is what the robot measures, with the domain's noise. A plain Twist, which has no stamp, answers any frame.

    Args:
        stamped: ``cmd_vel`` is a TwistStamped, not a Twist.
    """

    def __init__(
        self,
        node: Node,
        simulation: Simulation,
        on_command: Callable[[], None] | None = None,
        stamped: bool = True,
    ) -> None:
        super().__init__(node, simulation, on_command)
        self._odom = self._publisher(Odometry, "odom", 10)
        self._transforms = None if TFMessage is None else node.create_publisher(TFMessage, "/tf", 100)
        if TFMessage is None:
            node.get_logger().warning("no tf2_msgs here, which every ROS installation has: /tf is not published")
        self._commands = self._subscription(TwistStamped if stamped else Twist, "cmd_vel", self._drive)

    @property
    def still(self) -> np.ndarray:
        """See `RobotTopics.still`."""
        return np.zeros(2, np.float32)

    @property
    def connected(self) -> bool:
        """See `RobotTopics.connected`."""
        listened = all(publisher.get_subscription_count() for publisher in (self._image, self._odom))
        return listened and self._node.count_publishers("cmd_vel") > 0

    def mismatch(self) -> str:
        """See `RobotTopics.mismatch`."""
        return twist_conflict(self._commands, self._node.get_publishers_info_by_topic)

    def measure(self, time_ns: int) -> None:
        """See `RobotTopics.measure`."""
        in_odom = header(time_ns, ODOM_FRAME)
        if self._transforms is not None:
            self._transforms.publish(TFMessage(transforms=[self.base(in_odom)]))
        self._odom.publish(odometry(self.base(in_odom), self._simulation.observe().velocity[0]))

    def base(self, in_odom: Header) -> TransformStamped:
        """Where the robot is."""
        state = self._simulation.engine.state
        return transform(in_odom, BASE_FRAME, state.link_pos[0, 0], state.link_quat[0, 0])

    def _drive(self, message: Twist | TwistStamped) -> None:
        twist = message if isinstance(message, Twist) else message.twist
        stamp_ns = self.frame_ns if isinstance(message, Twist) else nanoseconds(message.header.stamp)
        self._take(self._finite("cmd_vel", (twist.linear.x, twist.angular.z), (0.0, 0.0)), stamp_ns)


class ArmTopics(RobotTopics):
    """Of an arm: ``hand_pose`` and ``joint_states`` out, ``delta_twist_cmds`` and ``gripper/commands`` in.

    The twist moves the point between the finger tips, in the frame of the arm's base, as MoveIt Servo would; the
    gripper takes a position of each finger, as a ``forward_command_controller`` does. ``joint_states`` has all joints,
    so that a robot_state_publisher can make ``/tf`` of them. A frame is answered by a twist with its stamp and a
    command of the gripper, which has no stamp, after it.
    """

    def __init__(self, node: Node, simulation: Simulation, on_command: Callable[[], None] | None = None) -> None:
        self._arm: Arm = simulation.task.robot
        self._hand_link, self._base_frame = self._arm.link_index(GRASP_POINT), self._arm.links[0].name
        super().__init__(node, simulation, on_command)
        self._hand = self._publisher(PoseStamped, "hand_pose", 10)
        self._joints = self._publisher(JointState, "joint_states", 10)
        self._twist_ns, self._gripped = -1, False  # stamp of the newest twist; whether the gripper was commanded since
        self._inputs: list[Any] = [
            self._subscription(TwistStamped, "delta_twist_cmds", self._move),
            self._subscription(Float64MultiArray, "gripper/commands", self._grip),
        ]

    @property
    def still(self) -> np.ndarray:
        """See `RobotTopics.still`: the fingers keep what they hold."""
        return np.append(np.zeros(4, np.float32), self.command[4:])

    @property
    def connected(self) -> bool:
        """See `RobotTopics.connected`."""
        outputs = (self._image, self._hand, self._joints)
        listened = all(publisher.get_subscription_count() for publisher in outputs)
        return listened and all(self._node.count_publishers(each.topic_name) > 0 for each in self._inputs)

    def measure(self, time_ns: int) -> None:
        """See `RobotTopics.measure`."""
        self._gripped, state = False, self._simulation.engine.state
        message = PoseStamped(header=header(time_ns, self._base_frame))
        at, turn = message.pose.position, message.pose.orientation
        at.x, at.y, at.z = state.link_pos[0, self._hand_link].tolist()
        turn.w, turn.x, turn.y, turn.z = state.link_quat[0, self._hand_link].tolist()
        self._hand.publish(message)
        positions = state.joint_pos[0].tolist()
        self._joints.publish(JointState(header=message.header, name=list(self._arm.joints), position=positions))

    def _carrier(self) -> tuple[int, str]:
        index = self._arm.link_index(self._arm.camera_carrier)
        return index, self._arm.camera_carrier

    def _move(self, message: TwistStamped) -> None:
        linear, angular = message.twist.linear, message.twist.angular
        velocity = self._finite("delta_twist_cmds", (linear.x, linear.y, linear.z, angular.z), (0.0,) * 4)
        self._twist_ns = nanoseconds(message.header.stamp)
        self._command(np.append(velocity, self.command[4:]))

    def _grip(self, message: Float64MultiArray) -> None:
        opening = self._finite("gripper/commands", (sum(message.data),), self.command[4:].tolist())
        self._gripped = True
        self._command(np.append(self.command[:4], opening))

    def _command(self, command: np.ndarray) -> None:
        self._take(command, self._twist_ns if self._gripped else None)


def make_topics(
    node: Node, simulation: Simulation, on_command: Callable[[], None] | None = None, stamped: bool = True
) -> RobotTopics:
    """The topics of a simulation's robot; ``stamped`` is of a base's ``cmd_vel``."""
    if isinstance(simulation.task.robot, Arm):
        return ArmTopics(node, simulation, on_command)
    return BaseTopics(node, simulation, on_command, stamped)


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
