"""The policy node: translated images and odometry in, velocity commands out. It starts disabled.

``python -m simgym_ros.policy --ros-args -p bundle:=policy.onnx``, then call ``~/enable``.
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from rclpy.duration import Duration
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from simgym.deploy import CodecError, Contract, Limits, Pacer, Policy, PolicyError, Safety, Turn, bundle_version
from simgym.errors import UsageError

from . import images
from .figures import ERROR, OK, WARN, Figures, Report
from .node import STEADY, BridgeNode, run, seconds
from .parameters import Parameters
from .robots import Robot, make_robot
from .worker import Worker

WARM_UP_RUNS = 3
WATCH_S = 0.01  # from one look of the watchdog to the next
PARTING_S = 1.0  # so long zeros are sent after it was disabled; then the topic is left to others
FLUSH = Duration(seconds=0.2)
STALL_S = 2.0  # of real time without images, where the robot's time is simulated


@dataclass
class Frame:
    """An image message, when it came by the node's clock, and the moment that it shows."""

    message: Image
    came_s: float
    seen_s: float


class PolicyNode(BridgeNode):
    """Acts on the images of the contract's camera, one each control period, and stands still whenever it should.

    Topics in: ``goggles/image_raw``, and what the robot measures (`Base`, `Hand`). Out: its commands. Decisions follow
    the stamps of images, not a timer: in simulated time the loop is in step with the simulator, however fast it runs.
    The watchdog runs by real time. ``~/reset`` begins an episode: the policy forgets what it saw.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__("policy", enabled=False, **arguments)
        self._policy: Policy | None = None
        self._robot: Robot | None = None
        self._safety: Safety | None = None
        self._pacer = Pacer(1.0)
        self._velocities, self._version = 0, ""
        self._images: Any = None
        self._watchdog: Any = None
        self._worker: Worker[Frame] | None = None
        self._figures = Figures()
        self._lock = threading.RLock()  # safety, pacer and what is told the robot are one
        self._newest_s = -math.inf  # by the steady clock
        self._leave_s = -math.inf  # when to stop sending zeros, by the steady clock
        self.create_service(Trigger, "~/reset", self._on_reset)

    def declare(self, parameters: Parameters) -> None:
        """See `BridgeNode.declare`."""
        parameters.text("bundle", "", "path of the policy's .onnx file, or pretrained for that of ChairNav")
        parameters.listed("providers", ["CPUExecutionProvider"], "onnxruntime execution providers, the preferred first")
        parameters.count("threads", 1, "CPU threads of the network", 1, 64)
        parameters.number("max_age_s", 0.25, "the robot stands when its input is older", 0.02, 5.0)
        parameters.switch("trust_stamps", True, "count the age of input from its stamps; else from its arrival")
        parameters.listed("max_velocity", [0.0], "largest of each axis, or one number for all; 0 for the policy's own")
        parameters.listed(
            "max_acceleration", [0.0], "of each axis, or one for all; 0 for the whole range in a control period"
        )
        parameters.switch("stamped", True, "a base takes TwistStamped, as Nav2 does; else Twist")
        parameters.text("base_frame", "base_link", "frame of the velocities; of an arm, its base")
        parameters.listed(
            "finger_joints", ["panda_finger_joint1", "panda_finger_joint2"], "of an arm's gripper, in joint_states"
        )

    def load(self) -> str:
        """See `BridgeNode.load`."""
        path = self.bundle("policy")
        policy = Policy(path, self.parameters["providers"], self.parameters["threads"])
        contract = policy.contract
        self._robot, self._velocities = make_robot(self, contract)
        self._safety = Safety(self._limits(contract, self._velocities))
        self._pacer = Pacer(1 / contract.rate_hz)
        still = np.zeros(contract.measured_dim, np.float32)
        for _ in range(WARM_UP_RUNS):
            policy.act(np.zeros((contract.camera.height, contract.camera.width, 3), np.uint8), still)
        self._policy, self._version = policy, bundle_version(path, contract)
        return str(path)

    def start(self) -> None:
        """See `BridgeNode.start`."""
        assert self._robot is not None
        self._figures.reset()
        self._leave_s = -math.inf
        self._begin_episode()
        self._worker = Worker(self._process, self._failed, self.parameters["max_age_s"])
        self._robot.listen()
        self._images = self.subscription(Image, "goggles/image_raw", self._on_image)
        self._watchdog = self.create_timer(WATCH_S, self._watch, clock=STEADY)
        self.set_enabled(self.enabled)

    def stop(self) -> None:
        """See `BridgeNode.stop`: the robot stands, and has heard of it."""
        if self._watchdog is None or self._robot is None:
            return
        self.destroy_timer(self._watchdog)
        self.destroy_subscription(self._images)
        self._watchdog = self._images = None
        self.set_enabled(False)
        if self._worker is not None:
            self._worker.stop()
            self._worker = None
        self._robot.close()
        self._robot.flush(FLUSH)

    def release(self) -> None:
        """See `BridgeNode.release`."""
        if self._robot is not None:
            self._robot.release()
        self._robot = self._safety = self._policy = None

    def set_enabled(self, enabled: bool) -> None:
        """See `BridgeNode.set_enabled`."""
        assert self._safety is not None
        with self._lock:
            if enabled:
                self._safety.enable()
                self._begin_episode()
            elif self._safety.enabled:
                self._safety.disable()
                self._leave_s = time.monotonic() + PARTING_S
                self._stand()

    def report(self, passed_s: float) -> Report:
        """See `BridgeNode.report`."""
        assert self._worker is not None and self._policy is not None and self._robot is not None
        received, replaced = self._worker.mailbox.counts()
        values, trouble = self._figures.take(received, replaced, passed_s)
        age_s = time.monotonic() - self._newest_s
        values |= {
            "age_s": age_s if math.isfinite(age_s) else "",
            "provider": self._policy.provider,
            "bundle": self.parameters["bundle"],
            "bundle_version": self._version,
        }
        if not self.enabled:
            trouble = trouble or self._robot.missing(self.parameters["max_age_s"]) or self._robot.conflict()
            return Report(WARN, f"disabled: call ~/enable{'; ' + trouble if trouble else ''}", values)
        conflict = self._robot.conflict()
        if not (self._robot.heard or conflict):
            return Report(WARN, f"nobody listens to {self._robot.told}", values)
        fault = conflict or self._fault()
        if fault or trouble:
            return Report(ERROR, trouble or fault, values)
        return Report(OK, "driving", values)

    def _limits(self, contract: Contract, count: int) -> Limits:
        """Of the velocities, which are the first ``count`` values of the command."""
        output, period_s = contract.outputs[0], 1 / contract.rate_hz
        if len(output.low) != len(output.high) or len(output.low) < count:
            raise UsageError(f"the policy states no limits of its command, expected {count}: export it again")
        most, acceleration = (self._for_each_axis(name, count) for name in ("max_velocity", "max_acceleration"))
        low = [max(own, -cap) if cap else own for own, cap in zip(output.low[:count], most, strict=True)]
        high = [min(own, cap) if cap else own for own, cap in zip(output.high[:count], most, strict=True)]
        whole = [(b - a) / period_s for a, b in zip(low, high, strict=True)]
        gains = [given or default for given, default in zip(acceleration, whole, strict=True)]
        return Limits(low, high, gains, self.parameters["max_age_s"], period_s)

    def _for_each_axis(self, name: str, count: int) -> list[float]:
        values = list(self.parameters[name])
        if len(values) not in (1, count) or not all(0 <= value < math.inf for value in values):
            raise UsageError(f"{name} must hold 1 or {count} numbers, none below 0, got {values}")
        return values * count if len(values) == 1 else values

    def _on_image(self, message: Image) -> None:
        self._newest_s = time.monotonic()
        came_s = self.now_s()
        age_s = self.age_s(message.header.stamp) if self.parameters["trust_stamps"] else 0.0
        if self._worker is not None:
            self._worker.mailbox.put(Frame(message, came_s, came_s - age_s))

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._begin_episode()
        response.success = True
        return response

    def _begin_episode(self) -> None:
        with self._lock:
            self._pacer.reset()

    def _process(self, frame: Frame) -> None:
        """In the worker's thread: from one image to a command, if it is one to act on."""
        policy, robot, safety = self._policy, self._robot, self._safety
        assert policy is not None and robot is not None and safety is not None
        max_age_s = self.parameters["max_age_s"]
        image = images.decode(frame.message)
        camera = policy.contract.camera
        if image.shape[:2] != (camera.height, camera.width):
            raise PolicyError(
                f"got images of {image.shape[1]}x{image.shape[0]}, expected the {camera.width}x{camera.height} of the "
                "policy's camera: take them from the goggles node"
            )
        age_s = frame.came_s - frame.seen_s
        if not abs(age_s) <= max_age_s:
            side = "behind" if age_s > 0 else "ahead of"
            raise PolicyError(
                f"an image came with a stamp {abs(age_s):.2f} s {side} the clock here: where the camera is not late, "
                "synchronize the clocks, or set trust_stamps:=false"
            )
        if not safety.enabled:
            self._figures.dropped("disabled")
            return
        if not robot.heard:
            self._figures.dropped("unheard")
            return
        stamp = frame.message.header.stamp
        with self._lock:
            safety.saw(frame.seen_s, self.now_s())
            turn = self._pacer.turn((self.parameters["trust_stamps"] and seconds(stamp)) or frame.came_s)
        if turn is Turn.SKIP:
            self._figures.dropped("between_decisions")
            return
        if turn is Turn.BEGIN:
            policy.reset()
        missing = robot.missing(max_age_s)
        if missing:
            self._refuse(missing, "unmeasured")
            return
        start_s = time.perf_counter()
        wanted = policy.act(image, robot.measured())
        inference_s = time.perf_counter() - start_s
        with self._lock:
            velocity = safety.command(wanted[: self._velocities], frame.seen_s, self.now_s())
            if safety.fault:
                self._refuse(safety.fault, "refused")
                return
            # Controllers take no old commands; a simulator, whose time stands meanwhile, asks which image is answered.
            answers = self.simulated and self.parameters["trust_stamps"]
            robot.tell(velocity, wanted[self._velocities :], stamp if answers else self._stamp())
        self._figures.published(self.age_s(stamp), inference_s)

    def _failed(self, error: Exception) -> None:
        known = isinstance(error, CodecError | PolicyError)
        text = str(error) if known else f"{type(error).__name__}: {error}"
        self._refuse(text, "malformed" if known else "failed")
        self.get_logger().error(text, throttle_duration_sec=5.0)

    def _refuse(self, fault: str, why: str) -> None:
        """Stand because of a frame."""
        assert self._safety is not None
        with self._lock:
            if self._safety.enabled:
                self._safety.stop(fault)
                self._stand()
        self._figures.dropped(why, fault)

    def _watch(self) -> None:
        with self._lock:
            if self._fault() and (self.enabled or time.monotonic() < self._leave_s):
                self._stand()

    def _fault(self) -> str:
        """Why the robot must stand now."""
        assert self._safety is not None and self._robot is not None
        with self._lock:
            fault = self._safety.check(self.now_s())
            if self._safety.enabled and not fault:
                fault = self._robot.missing(self.parameters["max_age_s"]) or self._stall()
                if fault:
                    self._safety.stop(fault)
        return fault

    def _stall(self) -> str:
        """Simulated time that stands still would never make anything stale."""
        stalled_s = time.monotonic() - self._newest_s
        return f"no image for {stalled_s:.1f} s of real time" if stalled_s > STALL_S else ""

    def _stand(self) -> None:
        if self._robot is not None and self._safety is not None:
            self._robot.tell(np.zeros(self._velocities), np.empty(0), self._stamp())

    def _stamp(self) -> Any:
        return self.get_clock().now().to_msg()


def main() -> None:
    """Run the node."""
    run(PolicyNode)


if __name__ == "__main__":
    main()
