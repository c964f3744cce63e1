"""The goggles node: camera images in, the same in the simulator's style out.

``python -m simgym_ros.goggles --ros-args -p bundle:=goggles.onnx -r image_raw:=/camera/image_raw``
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from rclpy.event_handler import UnsupportedEventTypeError
from sensor_msgs.msg import CameraInfo, Image

from simgym.deploy import (
    Calibration,
    CameraError,
    CodecError,
    Goggles,
    PolicyError,
    SizedResamplers,
    bundle_version,
)
from simgym.errors import UsageError

from . import images
from .figures import ERROR, OK, WARN, Figures, Report
from .node import BridgeNode, run
from .parameters import Parameters
from .worker import Worker

WARM_UP_RUNS = 3


@dataclass
class Frame:
    """A message, and when it came."""

    message: Any
    came_s: float


class GogglesNode(BridgeNode):
    """Translates the newest camera image, and only while somebody listens.

    Topics in: ``image_raw`` (or ``image_raw/compressed``), ``camera_info`` beside it. Out: ``goggles/image_raw``,
    ``goggles/camera_info`` of the simulated camera, both with the header of the camera's image.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__("goggles", enabled=True, **arguments)
        self._goggles: Goggles | None = None
        self._image: Any = None  # publishers
        self._info: Any = None
        self._inputs: list[Any] = []  # subscriptions, while somebody listens
        self._worker: Worker[Frame] | None = None
        self._figures = Figures()
        self._resampler: SizedResamplers | None = None
        self._calibration: Calibration | None = None  # that was heard of last
        self._newest_s = -math.inf
        self._topic = self._uncalibrated = self._version = ""
        self._rectified = False

    def declare(self, parameters: Parameters) -> None:
        """See `BridgeNode.declare`."""
        parameters.text("bundle", "", "path of the goggles' .onnx file, or pretrained for those of ChairNav")
        parameters.listed("providers", ["CPUExecutionProvider"], "onnxruntime execution providers, the preferred first")
        parameters.count("threads", 1, "CPU threads of the network", 1, 64)
        parameters.text("image_transport", "raw", "how images come", tuple(images.TYPES))
        parameters.number("max_age_s", 0.25, "an image that waited longer is dropped", 0.001, 60.0)
        parameters.number(
            "horizontal_fov_deg", 0.0, "of a camera without camera_info; 0 waits for camera_info", 0.0, 179.0
        )
        parameters.text("camera_info_file", "", "camera_info YAML of a camera that publishes none")
        parameters.switch("rectified", False, "images are rectified; known of topics called image_rect...")

    def load(self) -> str:
        """See `BridgeNode.load`."""
        path = self.bundle("goggles")
        self._goggles = Goggles(path, self.parameters["providers"], self.parameters["threads"])
        camera = self._goggles.contract.camera
        for _ in range(WARM_UP_RUNS):
            self._goggles.translate(np.zeros((1, camera.height, camera.width, 3), np.uint8))
        self._topic = self.resolve_topic_name("image_raw")
        self._rectified = self.parameters["rectified"] or self._topic.rpartition("/")[2].startswith("image_rect")
        self._resampler, self._calibration = self._assumed(), None
        self._uncalibrated = (
            f"no {self._info_topic()} has come: remap camera_info, or set camera_info_file or horizontal_fov_deg"
        )
        self._image, self._info = (
            self._lazy_publisher(kind, topic)
            for kind, topic in ((Image, "goggles/image_raw"), (CameraInfo, "goggles/camera_info"))
        )
        self._version = bundle_version(path, self._goggles.contract)
        return str(path)

    def start(self) -> None:
        """See `BridgeNode.start`."""
        self._figures.reset()
        self._worker = Worker(self._process, self._failed, self.parameters["max_age_s"])
        self._listen()

    def stop(self) -> None:
        """See `BridgeNode.stop`."""
        self._listen()
        if self._worker is not None:
            self._worker.stop()
            self._worker = None

    def release(self) -> None:
        """See `BridgeNode.release`."""
        for publisher in (self._image, self._info):
            if publisher is not None:
                self.destroy_lifecycle_publisher(publisher)
        self._image = self._info = self._goggles = self._resampler = None

    def set_enabled(self, enabled: bool) -> None:
        """See `BridgeNode.set_enabled`."""
        self._listen()

    def report(self, passed_s: float) -> Report:
        """See `BridgeNode.report`."""
        assert self._worker is not None and self._goggles is not None
        self._listen()  # where the middleware tells nothing of who comes and goes
        received, replaced = self._worker.mailbox.counts()
        values, trouble = self._figures.take(received, replaced, passed_s)
        age_s = time.monotonic() - self._newest_s
        values |= {
            "age_s": age_s if math.isfinite(age_s) else "",
            "provider": self._goggles.provider,
            "bundle": self.parameters["bundle"],
            "bundle_version": self._version,
        }
        if not self.enabled:
            return Report(WARN, "disabled: call ~/enable", values)
        if not self._inputs:
            return Report(OK, "nobody listens to goggles/image_raw", values)
        if trouble:
            return Report(ERROR, trouble, values)
        if not age_s <= passed_s:
            return Report(ERROR, f"no image on {self._topic}", values)
        return Report(OK, "translating", values)

    def _lazy_publisher(self, kind: type, topic: str) -> Any:
        try:
            return self.publisher(kind, topic, lambda event: self._listen())
        except UnsupportedEventTypeError:
            return self.publisher(kind, topic)

    def _listen(self) -> None:
        """Subscribe to the camera if there is work to do, and only then."""
        heard = self._image is not None and any(p.get_subscription_count() for p in (self._image, self._info))
        wanted = self.active and self.enabled and heard
        if wanted and not self._inputs:
            transport = self.parameters["image_transport"]
            topic = self._topic if transport == "raw" else f"{self._topic}/{transport}"
            self._inputs = [self.subscription(images.TYPES[transport], topic, self._on_image)]
            if self._resampler is None or self._calibration is not None:
                self._inputs.append(self.subscription(CameraInfo, self._info_topic(), self._on_info))
        elif not wanted and self._inputs:
            for subscription in self._inputs:
                self.destroy_subscription(subscription)
            self._inputs = []

    def _info_topic(self) -> str:
        """``camera_info`` beside the images, as image_transport has it, unless it is remapped."""
        name = self.resolve_topic_name("camera_info")
        unmapped = f"{self.get_namespace().rstrip('/')}/camera_info"
        return name if name != unmapped else f"{self._topic.rpartition('/')[0]}/camera_info"

    def _assumed(self) -> SizedResamplers | None:
        """The way from a camera that publishes no camera_info; None where it is to be waited for."""
        assert self._goggles is not None
        path, fov_deg = self.parameters["camera_info_file"], self.parameters["horizontal_fov_deg"]
        if path and fov_deg:
            raise UsageError("give camera_info_file or horizontal_fov_deg, not both")
        camera = self._goggles.contract.camera
        if path:
            return SizedResamplers(camera, Calibration.from_yaml(path, self._rectified))
        return SizedResamplers(camera, horizontal_fov_rad=math.radians(fov_deg)) if fov_deg else None

    def _on_info(self, info: CameraInfo) -> None:
        if self._goggles is None:
            return
        try:
            calibration = images.calibration(info, self._rectified)
        except CameraError as error:
            self._resampler = self._calibration = None
            self._uncalibrated = f"{self._info_topic()} is of no use: {error}"
            return
        if calibration != self._calibration:
            self._resampler = SizedResamplers(self._goggles.contract.camera, calibration)
            self._calibration = calibration

    def _on_image(self, message: Any) -> None:
        self._newest_s = time.monotonic()
        if self._worker is not None:
            self._worker.mailbox.put(Frame(message, self._newest_s))

    def _process(self, frame: Frame) -> None:
        """In the worker's thread: one image, all the way."""
        goggles, resampler = self._goggles, self._resampler
        if goggles is None:
            self._figures.dropped("released")
            return
        if resampler is None:
            self._figures.dropped("uncalibrated", self._uncalibrated)
            return
        resampled = resampler(images.decode(frame.message))
        start_s = time.perf_counter()
        translated = goggles.translate(resampled[None])[0]
        inference_s = time.perf_counter() - start_s
        header = frame.message.header
        self._image.publish(images.image_message(header, translated))  # first: it is what somebody waits for
        self._figures.published(self.age_s(header.stamp), inference_s)
        self._info.publish(images.camera_info_message(header, goggles.contract.camera))

    def _failed(self, error: Exception) -> None:
        if isinstance(error, CodecError | CameraError | PolicyError):
            self._figures.dropped("malformed", str(error))
            self.get_logger().warning(f"dropped an image: {error}", throttle_duration_sec=5.0)
        else:
            self._figures.dropped("failed", f"{type(error).__name__}: {error}")
            self.get_logger().error(f"{type(error).__name__}: {error}", throttle_duration_sec=5.0)


def main() -> None:
    """Run the node."""
    run(GogglesNode)


if __name__ == "__main__":
    main()
