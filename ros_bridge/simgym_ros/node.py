"""What both nodes are: a lifecycle node that tells how it is, can be switched off, and ends in an orderly way."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
from rclpy.exceptions import ParameterException
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSPolicyKind,
    QoSProfile,
    ReliabilityPolicy,
    qos_policy_name_from_kind,
)
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.signals import SignalHandlerOptions
from rclpy.topic_endpoint_info import TopicEndpointInfo
from std_srvs.srv import SetBool

from simgym.errors import UsageError, UserError
from simgym.interrupts import stop_on_signals
from simgym.shipped import SHIPPED_FOR, bundle_path

from .figures import ERROR, WARN, Report
from .parameters import Parameters

REPORT_S = 1.0
SPIN_S = 0.05
STEADY = Clock(clock_type=ClockType.STEADY_TIME)
OVERRIDABLE = QoSOverridingOptions(
    (QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH, QoSPolicyKind.RELIABILITY, QoSPolicyKind.DURABILITY)
)
# Of REP 2003: consumers take what they can get, producers offer what everybody may ask for. Only the newest counts.
SENSOR_DATA = {"history": HistoryPolicy.KEEP_LAST, "depth": 1, "durability": DurabilityPolicy.VOLATILE}
IN = {**SENSOR_DATA, "reliability": ReliabilityPolicy.BEST_EFFORT}
OUT = {**SENSOR_DATA, "reliability": ReliabilityPolicy.RELIABLE}
SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE
# What makes ends fit: a subscription may ask for no more than is offered.
FIXES = {
    "subscription": {"reliability": "best_effort", "durability": "volatile"},
    "publisher": {"reliability": "reliable", "durability": "transient_local"},
}
Transition: TypeAlias = Callable[[LifecycleState], TransitionCallbackReturn]


class BridgeNode(LifecycleNode, ABC):
    """Loads in configure, listens in activate, forgets in cleanup.

    A `UserError` while it is configured leaves the node unconfigured, with one line in the log and in the diagnostics;
    anything else goes through error processing, which releases everything, with a traceback in the log.
    """

    def __init__(self, name: str, enabled: bool, **arguments: Any) -> None:
        super().__init__(name, **arguments)
        self.parameters = Parameters(self)
        self.parameters.switch("autostart", True, "configure and activate at start, without a lifecycle manager")
        self.parameters.switch("enabled", enabled, "whether it works from its activation on; ~/enable changes it later")
        self.declare(self.parameters)
        self.enabled = enabled
        self.active = self.finalized = False
        self._told_s = time.monotonic()
        self._trouble = ""  # that kept it from being configured
        self._hardware_id = ""
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.create_service(SetBool, "~/enable", self._on_enable)
        self.create_timer(REPORT_S, self._report, clock=STEADY)

    @abstractmethod
    def declare(self, parameters: Parameters) -> None:
        """Declare what the node can be told."""

    @abstractmethod
    def load(self) -> str:
        """Open the bundle, warm up, make publishers; return what is being run, for the diagnostics.

        Raises:
            UserError: it cannot be run here.
        """

    def bundle(self, kind: str) -> Path:
        """The file that the parameter ``bundle`` stands for, of a kind that simgym ships.

        Raises:
            UserError: the parameter is empty.
        """
        given = self.parameters["bundle"]
        if not given:
            raise UsageError(f"no bundle: start the node with -p bundle:=<{kind}.onnx>")
        return bundle_path(given, kind, SHIPPED_FOR)

    @abstractmethod
    def start(self) -> None:
        """Begin to work."""

    @abstractmethod
    def stop(self) -> None:
        """End what `start` began; publishers still work. May be called twice."""

    @abstractmethod
    def release(self) -> None:
        """Forget what `load` made. May be called twice."""

    @abstractmethod
    def report(self, passed_s: float) -> Report:
        """How the active node is, ``passed_s`` after the last report."""

    @abstractmethod
    def set_enabled(self, enabled: bool) -> None:
        """``enabled`` has changed."""

    # Transitions. rclpy drops exceptions in them without a word, so they are caught and logged here.

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load; a failure that the user can mend leaves the node unconfigured."""
        return self._transition(lambda: self._configure(state))

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start."""
        return self._transition(lambda: self._activate(state))

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop."""
        return self._transition(lambda: self._deactivate(state))

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release."""
        return self._transition(lambda: self._clean_up(super(BridgeNode, self).on_cleanup, state))

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and release."""
        self.finalized = True
        return self._transition(lambda: self._clean_up(super(BridgeNode, self).on_shutdown, state))

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and release; the node is unconfigured afterwards and can be configured again."""
        return self._transition(lambda: self._clean_up(super(BridgeNode, self).on_error, state))

    def _transition(self, work: Callable[[], TransitionCallbackReturn]) -> TransitionCallbackReturn:
        try:
            return work()
        except Exception:  # whatever it is, the node goes to ErrorProcessing and says why, as a lifecycle node must
            self._trouble = traceback.format_exc(limit=-1).splitlines()[-1]
            self.get_logger().error(traceback.format_exc())
            return TransitionCallbackReturn.ERROR

    def _configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._trouble = ""
        try:
            self._hardware_id = self.load()
        except UserError as error:
            self._trouble = str(error)
            self.get_logger().error(f"not configured: {error}")
            self.release()
            return FAILURE
        self.parameters.locked = True
        return super().on_configure(state)

    def _activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        done = super().on_activate(state)  # publishers first
        self.enabled = self.parameters["enabled"]
        self.active = True
        self.start()
        self.get_logger().info(f"active{'' if self.enabled else ', disabled: call ~/enable'}: {self._hardware_id}")
        return done

    def _deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.active = False
        self.stop()
        return super().on_deactivate(state)

    def _clean_up(self, inherited: Transition, state: LifecycleState) -> TransitionCallbackReturn:
        self.active = False
        self.stop()
        self.release()
        self.parameters.locked = False
        return inherited(state)

    # Talk.

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        response.success = self.active
        if self.active:
            self.enabled = request.data
            self.set_enabled(request.data)
            response.message = "enabled" if request.data else "disabled"
            self.get_logger().info(response.message)
        else:
            response.message = "the node is not active: configure and activate it first"
        return response

    def _report(self) -> None:
        now_s = time.monotonic()
        passed_s, self._told_s = now_s - self._told_s, now_s
        if self.active:
            report = self.report(passed_s)
        elif self._trouble:
            report = Report(ERROR, self._trouble)
        else:
            report = Report(WARN, "not active")
        stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(report.to_message(stamp, self.get_fully_qualified_name(), self._hardware_id))

    def publisher(self, kind: type, topic: str, matched: Callable[[Any], None] | None = None) -> Any:
        """A lifecycle publisher of the newest message; ``matched`` hears of who comes and goes."""
        events = PublisherEventCallbacks(incompatible_qos=self._warn_of(topic, "publisher"), matched=matched)
        return self.create_lifecycle_publisher(
            kind, topic, QoSProfile(**OUT), event_callbacks=events, qos_overriding_options=OVERRIDABLE
        )

    def subscription(self, kind: type, topic: str, callback: Callable[[Any], None]) -> Any:
        """A subscription to the newest message."""
        events = SubscriptionEventCallbacks(incompatible_qos=self._warn_of(topic, "subscription"))
        return self.create_subscription(
            kind, topic, callback, QoSProfile(**IN), event_callbacks=events, qos_overriding_options=OVERRIDABLE
        )

    def _warn_of(self, topic: str, end: str) -> Callable[[Any], None]:
        name = self.resolve_topic_name(topic)

        def warn(event: Any) -> None:
            policy = qos_policy_name_from_kind(event.last_policy_kind).lower()
            fix = FIXES[end].get(policy)
            override = f"Start this node with --ros-args -p qos_overrides.{name}.{end}.{policy}:={fix}"
            mend = override if fix else "Change it there"
            self.get_logger().warning(f"nothing goes over {name}: the {policy} of the other end does not fit. {mend}")

        return warn

    @property
    def simulated(self) -> bool:
        """Whether time is simulated."""
        return self.get_parameter("use_sim_time").value

    def now_s(self) -> float:
        """By a clock that never jumps; or simulated time, where ``use_sim_time`` is set."""
        if self.simulated:
            return self.get_clock().now().nanoseconds * 1e-9
        return time.monotonic()

    def age_s(self, stamp: Any) -> float:
        """Time since a stamp, by the node's clock: simulated time where ``use_sim_time`` is set."""
        return self.get_clock().now().nanoseconds * 1e-9 - seconds(stamp)


def twist_conflict(end: Any, others: Callable[[str], list[TopicEndpointInfo]]) -> str:
    """Why nothing goes over a topic of velocities where all others mean the other type; empty if they do not.

    The middleware joins ends of one type alone, and says nothing of the rest.

    Args:
        end: a publisher or subscription of Twist or TwistStamped.
        others: looks up the other ends of a topic.
    """
    name, kind = end.topic_name, end.msg_type.__name__
    meant = {info.topic_type.rpartition("/")[2] for info in others(name)}
    if not meant or kind in meant:
        return ""
    mend = f"set stamped:={str(kind == 'Twist').lower()}"
    return f"{name} is a {kind} here and a {', '.join(sorted(meant))} elsewhere: {mend}"


def seconds(stamp: Any) -> float:
    """A ROS time in seconds."""
    return stamp.sec + stamp.nanosec * 1e-9


def nanoseconds(stamp: Any) -> int:
    """A ROS time in ns, exactly; rclpy's own Time takes no stamp from before its beginning, which may well arrive."""
    return stamp.sec * 1_000_000_000 + stamp.nanosec


def run(make: Callable[[], BridgeNode]) -> None:
    """Run a node until SIGINT or SIGTERM, then shut it down in order: a robot is told to stand before that."""
    cv2.setNumThreads(1)  # what it does takes less time than another thread takes to wake
    asked = threading.Event()
    with stop_on_signals(asked, second_kills=False):
        _run(make, asked)


def _run(make: Callable[[], BridgeNode], asked: threading.Event) -> None:
    try:
        rclpy.init(args=sys.argv, signal_handler_options=SignalHandlerOptions.NO)
        node = make()
    except (ParameterException, RuntimeError) as error:  # rcl's own errors are RuntimeErrors
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    if node.parameters["autostart"] and node.trigger_configure() is SUCCESS:
        node.trigger_activate()
    while not asked.is_set():
        try:
            executor.spin_once(timeout_sec=SPIN_S)
        except Exception:  # of a callback; older rclpy raises where a transition is asked for that is not possible
            node.get_logger().error(traceback.format_exc())
    if not node.finalized:
        node.trigger_shutdown()
    executor.shutdown()
    node.destroy_node()
    rclpy.shutdown()
