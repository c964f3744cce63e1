"""What a policy measures and commands, as the topics of a robot: a base that drives, or an arm's hand."""

from __future__ import annotations

import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from geometry_msgs.msg import PoseStamped, Twist, TwistStamped
from nav_msgs.msg import Odometry
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from simgym.deploy import Contract
from simgym.errors import BundleError

from .node import BridgeNode, twist_conflict


class Robot(ABC):
    """The topics of one kind of robot. Measurements come in the executor's thread and are read in the worker's."""

    unit: ClassVar[str]  # of the policy's command

    def __init__(self, node: BridgeNode) -> None:
        self._node = node
        self._frame_id: str = node.parameters["base_frame"]  # of velocities
        self._trust_stamps: bool = node.parameters["trust_stamps"]
        self._lock = threading.Lock()
        self._seen_s: dict[str, float] = {}  # by topic, when it was measured
        self._values: dict[str, np.ndarray] = {}
        self._subscriptions: list[Any] = []
        self._publishers: list[Any] = []

    @abstractmethod
    def listen(self) -> None:
        """Subscribe to what is measured."""

    @abstractmethod
    def measured(self) -> np.ndarray:
        """(D,) float32 as the policy takes it; not to be called while something is `missing`."""

    @abstractmethod
    def tell(self, velocity: np.ndarray, rest: np.ndarray, stamp: Any) -> None:
        """Send a command with a stamp: (C,) velocity, and (R,) what else the policy commands."""

    @property
    def heard(self) -> bool:
        """Whether somebody listens to its commands of velocity."""
        return self._publishers[0].get_subscription_count() > 0

    @property
    def told(self) -> str:
        """The topic of these."""
        return self._publishers[0].topic_name

    def conflict(self) -> str:
        """Why nobody can hear them though somebody listens; empty if it is not so."""
        return ""

    def missing(self, max_age_s: float) -> str:
        """What measurement is missing, old or no number; empty if none is."""
        now_s = self._node.now_s()
        with self._lock:
            for topic, seen_s in self._seen_s.items():
                if not abs(now_s - seen_s) <= max_age_s:  # simulated time may go back
                    age = f"for {now_s - seen_s:.2f} s" if math.isfinite(seen_s) else "yet"
                    return f"no {self._node.resolve_topic_name(topic)} {age}"
                if not np.isfinite(self._values[topic]).all():
                    return f"{self._node.resolve_topic_name(topic)} is malformed: {self._values[topic].tolist()}"
        return ""

    def close(self) -> None:
        """Stop listening."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []
        self._seen_s, self._values = {}, {}

    def release(self) -> None:
        """Give the publishers back."""
        for publisher in self._publishers:
            self._node.destroy_lifecycle_publisher(publisher)
        self._publishers = []

    def flush(self, timeout: Any) -> None:
        """Wait until what was told has arrived."""
        for publisher in self._publishers:
            publisher.wait_for_all_acked(timeout)

    def _publisher(self, kind: type, topic: str) -> Any:
        self._publishers.append(self._node.publisher(kind, topic))
        return self._publishers[-1]

    def _subscribe(self, kind: type, topic: str, read: Any) -> None:
        """Keep what ``read`` makes of the newest message: numbers, or None to ignore it.

        Its age counts from its stamp, as that of images; from its arrival where that is 0, as of drivers that set none.
        """
        self._seen_s[topic] = -math.inf

        def keep(message: Any) -> None:
            values = read(message)
            if values is None:
                return
            stamp = message.header.stamp
            stamped = self._trust_stamps and (stamp.sec or stamp.nanosec)
            age_s = self._node.age_s(stamp) if stamped else 0.0
            with self._lock, np.errstate(over="ignore"):  # what float32 cannot hold is malformed too
                self._values[topic], self._seen_s[topic] = np.array(values, np.float32), self._node.now_s() - age_s

        self._subscriptions.append(self._node.subscription(kind, topic, keep))

    def _twist(self, linear: Sequence[float], angular_z: float) -> Twist:
        twist = Twist()
        twist.linear.x, twist.linear.y, twist.linear.z = linear
        twist.angular.z = float(angular_z)
        return twist

    def _stamp(self, twist: Twist, stamp: Any) -> TwistStamped:
        message = TwistStamped(twist=twist)
        message.header.stamp, message.header.frame_id = stamp, self._frame_id
        return message


class Base(Robot):
    """Drives by ``cmd_vel``, forward speed and yaw rate in its own frame (REP 103); measures them by ``odom``."""

    unit = "m/s, rad/s"

    def __init__(self, node: BridgeNode) -> None:
        super().__init__(node)
        self._stamped = node.parameters["stamped"]
        self._commands = self._publisher(TwistStamped if self._stamped else Twist, "cmd_vel")

    def listen(self) -> None:
        """See `Robot.listen`."""
        self._subscribe(Odometry, "odom", lambda m: (m.twist.twist.linear.x, m.twist.twist.angular.z))

    def conflict(self) -> str:
        """See `Robot.conflict`."""
        return twist_conflict(self._commands, self._node.get_subscriptions_info_by_topic)

    def measured(self) -> np.ndarray:
        """See `Robot.measured`."""
        with self._lock:
            return self._values["odom"]

    def tell(self, velocity: np.ndarray, rest: np.ndarray, stamp: Any) -> None:
        """See `Robot.tell`."""
        twist = self._twist((float(velocity[0]), 0.0, 0.0), velocity[1])
        self._commands.publish(self._stamp(twist, stamp) if self._stamped else twist)


class Hand(Robot):
    """Moves by ``delta_twist_cmds`` as MoveIt Servo takes them, in the arm's base frame, and opens two fingers.

    ``hand_pose`` (PoseStamped of the point between the finger tips, in the arm's base frame) and ``joint_states`` (the
    two fingers, in metres) are measured; ``gripper/commands`` holds the position of each finger, as a
    ``forward_command_controller`` of ros2_control takes them. A hand that is stopped keeps its fingers where they are.
    """

    unit = "m/s, m/s, m/s, rad/s, m"

    def __init__(self, node: BridgeNode) -> None:
        super().__init__(node)
        self._fingers: list[str] = node.parameters["finger_joints"]
        self._velocities = self._publisher(TwistStamped, "delta_twist_cmds")
        self._openings = self._publisher(Float64MultiArray, "gripper/commands")

    def listen(self) -> None:
        """See `Robot.listen`."""
        self._subscribe(PoseStamped, "hand_pose", hand_pose)
        self._subscribe(JointState, "joint_states", self._opening)

    def measured(self) -> np.ndarray:
        """See `Robot.measured`."""
        with self._lock:
            return np.concatenate([self._values["hand_pose"], self._values["joint_states"]])

    def tell(self, velocity: np.ndarray, rest: np.ndarray, stamp: Any) -> None:
        """See `Robot.tell`."""
        twist = self._twist(velocity[:3].tolist(), velocity[3])
        self._velocities.publish(self._stamp(twist, stamp))
        if rest.size:
            self._openings.publish(Float64MultiArray(data=[float(rest[0]) / len(self._fingers)] * len(self._fingers)))

    def _opening(self, message: JointState) -> tuple[float, ...] | None:
        """The sum of the fingers' positions; None where the message is of other joints."""
        positions = dict(zip(message.name, message.position, strict=False))
        if not all(name in positions for name in self._fingers):
            return None
        return (sum(positions[name] for name in self._fingers),)


def hand_pose(message: PoseStamped) -> tuple[float, ...]:
    """x, y, z in metres and yaw in radians of the hand's x axis, seen from above."""
    p, q = message.pose.position, message.pose.orientation
    return p.x, p.y, p.z, math.atan2(2 * (q.x * q.y + q.w * q.z), 1 - 2 * (q.y * q.y + q.z * q.z))


def make_robot(node: BridgeNode, contract: Contract) -> tuple[Robot, int]:
    """The robot that a policy is for, and how many of the command's values are velocities: they come first.

    Raises:
        BundleError: the policy commands something else.
    """
    unit = contract.outputs[0].unit
    for kind in (Base, Hand):
        if unit == kind.unit:
            return kind(node), sum(name.endswith("/s") for name in unit.split(", "))
    raise BundleError(f"the policy commands {unit!r}, expected {Base.unit!r} of a base or {Hand.unit!r} of a hand")
