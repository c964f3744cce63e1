"""Any simulated domain as a robot: camera, measurements and clock out, commands in (`robot_topics`).

    python -m simgym_ros.robot --ros-args -p domain:=standin

Everything else that runs with it needs use_sim_time, or sees stamps of another time.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from contextlib import closing
from typing import Any

import numpy as np
import rclpy
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.clock import Clock as SteadyClock
from rclpy.clock import ClockType
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import String
from std_srvs.srv import Trigger

from simgym.config.compose import compose_config, expand
from simgym.errors import UserError
from simgym.interrupts import stop_on_signals

from .node import SPIN_S
from .robot_topics import make_topics
from .world import World, WorldConfig

TICK_S = 0.02
LOOK_S = 1.0
BREAK_NS = 3_000_000_000  # of simulated time before an episode: to a policy, that the last one is over


class RobotNode(Node):
    """A robot that lives in a simulation.

    In real time it steps once a control period of wall time, under the newest command, or none where that is older than
    ``cmd_vel_timeout``; stamps of commands do not matter. In lock-step it steps as soon as a command with the stamp of
    the newest frame has come, so as fast as everything else is; after ``cmd_vel_timeout`` of wall time without one it
    steps with zero velocity. What an episode came to is told on ``~/episode``, in the words of ``episodes.csv``, and
    the next one begins; ``~/reset`` begins it at once. Simulated time never goes back: before an episode some of it is
    left out, by which a policy knows that what it remembers is over.

    Raises:
        UserError: a parameter is wrong.
    """

    def __init__(self) -> None:
        super().__init__("robot")
        self._lock_step = self._fixed(
            "lock_step", False, "step when a command with the stamp of the newest frame has come"
        )
        self._timeout_s = self._fixed("cmd_vel_timeout", 0.25, "wall time in s after which a command is too old")
        stamped = self._fixed("stamped", True, "cmd_vel is a TwistStamped, not a Twist")
        self.world = World(self._world_config())
        self.topics = make_topics(self, self.world.simulation, self._on_command, stamped)
        self.topics.calibrated = self._fixed(
            "calibrated", True, "camera_info states the lens that the domain drew, not the pinhole that is meant"
        )
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._told = self.create_publisher(String, "~/episode", latched)
        self.create_service(Trigger, "~/reset", self._on_reset)
        self._period_ns = round(1e9 * self.world.simulation.task.control_dt_s)
        self._shown_s = 0.0  # when the newest frame was due, `time.monotonic`
        self._begin()
        self.topics.publish_mount()
        steady = SteadyClock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(TICK_S, self._tick, clock=steady)
        self.create_timer(LOOK_S, self._look_out, clock=steady)

    def _fixed(self, name: str, default: Any, meaning: str) -> Any:
        """Declare a parameter that stays as it is at the start."""
        return self.declare_parameter(name, default, ParameterDescriptor(description=meaning, read_only=True)).value

    def _world_config(self) -> WorldConfig:
        words = [
            f"env={self._fixed('env', 'ChairNav', 'the task')}",
            f"domain={self._fixed('domain', 'sim', 'where: sim, randomized, standin')}",
            f"split={self._fixed('split', 'test', 'which layouts are drawn')}",
            f"seed={self._fixed('seed', 1, 'of the episodes, as of simgym.evaluate')}",
        ]
        more = self._fixed("overrides", Parameter.Type.STRING_ARRAY, "further key=value words, as of simgym.evaluate")
        (job,) = expand(WorldConfig, [*words, *(more or [])], sweep=False)
        return compose_config(WorldConfig, job)

    def _begin(self) -> None:
        """Begin the next episode, with the robot at rest."""
        self.world.begin()
        self.topics.rest()
        self._show(self.topics.frame_ns + BREAK_NS, time.monotonic())

    def _show(self, time_ns: int, at_s: float) -> None:
        """Let the frame of a simulated time be seen; ``at_s`` is when it was due."""
        self._shown_s = at_s
        self.topics.publish(time_ns)

    def _step(self, command: np.ndarray, at_s: float) -> None:
        ended = self.world.step(command)
        if ended is None:
            self._show(self.topics.frame_ns + self._period_ns, at_s)
            return
        self.get_logger().info(
            f"episode {ended['episode']} (seed {ended['seed']}): {'success' if ended['success'] else 'no success'} "
            f"after {ended['seconds']:.1f} s"
        )
        self._told.publish(String(data=json.dumps(ended)))
        self._begin()

    def _on_command(self) -> None:
        if self._lock_step and self.topics.answered:
            self._step(self.topics.command, time.monotonic())

    def _tick(self) -> None:
        now_s = time.monotonic()
        waited_s, period_s = now_s - self._shown_s, self._period_ns / 1e9
        if self._lock_step:
            if waited_s > self._timeout_s:
                self._step(self.topics.still, now_s)
        elif waited_s >= period_s:
            fresh = now_s - self.topics.arrived_s <= self._timeout_s
            command = self.topics.command if fresh else self.topics.still
            on_time = waited_s < 2 * period_s  # otherwise what is simulated cannot keep up, and time goes more slowly
            self._step(command, self._shown_s + period_s if on_time else now_s)
        else:
            self.topics.tell_time(self.topics.frame_ns + 1 + int(waited_s * 1e9))

    def _look_out(self) -> None:
        mismatch = self.topics.mismatch()
        if mismatch:
            self.get_logger().warning(mismatch, throttle_duration_sec=10.0)

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._begin()
        response.success, response.message = True, f"episode {self.world.episode} begins"
        return response


def main(args: list[str] | None = None) -> int:
    """Run the node until it is told to stop."""
    asked = threading.Event()
    # KeyboardInterrupt would be raised anywhere, and inside one of rclpy's conversions it becomes a RuntimeError.
    with stop_on_signals(asked, second_kills=False):
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
        try:
            node = RobotNode()
            with closing(node.world):
                executor = SingleThreadedExecutor()
                executor.add_node(node)
                while not asked.is_set():
                    executor.spin_once(timeout_sec=SPIN_S)
        except UserError as error:
            print(f"simgym_ros.robot: {error}", file=sys.stderr)
            return error.exit_code
        finally:
            rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
