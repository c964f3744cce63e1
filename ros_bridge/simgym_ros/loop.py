"""The loop, closed: a simulated robot in this process, goggles and policy as nodes in processes of their own.

They talk DDS only, in lock-step: a step waits for the command that answers its frame, so results do not depend on how
fast the machine is.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from std_srvs.srv import Trigger

import simgym
from simgym.envs.simulation import Simulation
from simgym.errors import UserError
from simgym.interrupts import exit_on_sigterm
from simgym.shipped import bundle_path

from .robot_topics import make_topics

START_S = 120.0  # for nodes to load and find each other on a busy machine
AGAIN_S = 1.0  # a frame without a command is sent again: images are best effort
PATIENCE_S = 10.0  # for the command that answers a frame
MAX_AGE_S = 5.0  # of images in the nodes, by wall time; in lock-step simulated time stands still meanwhile
FIRST_NS = 1_000_000_000  # simulated time of the first frame
GRACE_S = 10.0  # for a node to end
PACKAGES = (Path(simgym.__file__).parents[1], Path(__file__).parents[1])


@dataclass
class Process:
    """A node that runs, and what it says."""

    name: str
    popen: subprocess.Popen[bytes]
    log: IO[bytes]

    def check(self) -> None:
        """Raise UserError if it has ended."""
        if self.popen.poll() is not None:
            raise UserError(f"the {self.name} node ended with exit code {self.popen.returncode}: {self.last_words()}")

    def last_words(self) -> str:
        """The last line of its log."""
        self.log.seek(0)
        lines = self.log.read().decode(errors="replace").split("\n")
        return next((line for line in reversed(lines) if line.strip()), "it said nothing")

    def end(self) -> None:
        """Interrupt it and wait."""
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGINT)
            try:
                self.popen.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()
        self.log.close()


class OverRos:
    """Acts by publishing what the robot senses and waiting for the command that comes back; see `over_ros`.

    It is an `Actor` of `simgym.policies.actors` for a simulation of one world. Its clock goes on from episode to
    episode; the policy hears of a new one by its ``~/reset``.
    """

    def __init__(self, node: Node, simulation: Simulation, processes: list[Process]) -> None:
        self._node, self._processes = node, processes
        self._topics = make_topics(node, simulation)
        self._forget = node.create_client(Trigger, "policy/reset")
        self._executor = SingleThreadedExecutor(context=node.context)
        self._executor.add_node(node)
        self._next_ns = FIRST_NS
        self._period_ns = round(1e9 * simulation.task.control_dt_s)

    def wait_for_nodes(self) -> None:
        """Wait until goggles and policy listen.

        Raises:
            UserError: they do not.
        """
        if not self._spin(lambda: self._topics.connected and self._forget.service_is_ready(), START_S):
            told = "; ".join(f"{process.name}: {process.last_words()}" for process in self._processes)
            raise UserError(f"the nodes did not find each other within {START_S:g} s: {told}")

    def act(self, simulation: Simulation, begun: np.ndarray) -> np.ndarray:
        """See `simgym.policies.actors.Actor.act`.

        Raises:
            UserError: a node has died, or no command answers a frame.
        """
        frame_ns, self._next_ns = self._next_ns, self._next_ns + self._period_ns
        for _ in range(round(PATIENCE_S / AGAIN_S)):
            if begun[0]:
                self._begin_episode()
            self._topics.publish(frame_ns)
            if self._spin(lambda: self._topics.answered, AGAIN_S):
                return simulation.task.action(self._topics.command[None])
        told = "; ".join(f"{process.name}: {process.last_words()}" for process in self._processes)
        raise UserError(f"no command answers a frame within {PATIENCE_S:g} s: {told}")

    def _begin_episode(self) -> None:
        asked = self._forget.call_async(Trigger.Request())
        if not self._spin(asked.done, PATIENCE_S):
            raise UserError(f"{self._forget.srv_name} does not answer")

    def close(self) -> None:
        """Leave ROS."""
        self._executor.shutdown()
        self._node.destroy_node()

    def _spin(self, done: Callable[[], bool], patience_s: float) -> bool:
        """Let ROS work until something is done; whether it is."""
        end_s = time.monotonic() + patience_s
        while not done() and time.monotonic() < end_s:
            self._executor.spin_once(timeout_sec=0.05)
            for process in self._processes:
                process.check()
        return done()


@contextmanager
def over_ros(policy: str, goggles: str | None, simulation: Simulation) -> Iterator[OverRos]:
    """Nodes that run a policy and goggles for the robot of a simulation.

    Everything is in a namespace of its own, the clock too, and stays on this machine: no robot in the network moves,
    and evaluations may run side by side.

    Args:
        policy: a bundle, or ``pretrained``.
        goggles: likewise; None lets the policy see what the camera sees.
        simulation: a batch of one.

    Raises:
        UserError: the nodes do not start.
    """
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    space, task = f"/simgym_{os.getpid()}", simulation.task.name
    renamed = [f"__ns:={space}", *(f"{topic}:={space}{topic}" for topic in ("/clock", "/tf", "/tf_static"))]
    remap = [word for rule in renamed for word in ("-r", rule)]
    context = rclpy.Context()
    with exit_on_sigterm(), tempfile.TemporaryDirectory() as logs, ExitStack() as stack:
        rclpy.init(args=["--ros-args", *remap], context=context, signal_handler_options=SignalHandlerOptions.NO)
        stack.callback(context.try_shutdown)
        if goggles is None:
            remap += ["-r", "goggles/image_raw:=image_raw"]
        processes = []
        for name, bundle in {"goggles": goggles, "policy": policy}.items():
            if bundle is not None:
                path = bundle_path(bundle, name, task).resolve()
                parameters = {"bundle": path, "enabled": "true", "use_sim_time": "true", "max_age_s": MAX_AGE_S}
                words = [word for key, value in parameters.items() for word in ("-p", f"{key}:={value}")]
                processes.append(_start(name, [*words, *remap], Path(logs)))
                stack.callback(processes[-1].end)
        actor = OverRos(Node("robot", context=context), simulation, processes)
        stack.callback(actor.close)
        actor.wait_for_nodes()
        yield actor


def _start(name: str, words: list[str], logs: Path) -> Process:
    """Run a node."""
    path = [str(package) for package in PACKAGES] + os.environ.get("PYTHONPATH", "").split(os.pathsep)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}
    log = (logs / f"{name}.log").open("w+b")
    command = [sys.executable, "-m", f"simgym_ros.{name}", "--ros-args", *words]
    return Process(name, subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT), log)
