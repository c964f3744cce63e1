"""Latency, losses and memory of the goggles node: ``python -m benchmarks.ros_latency --bundle goggles.onnx``.

A camera process publishes 640x480 rgb8 images over DDS; another process, the node, translates them with a bundle of
``--bundle``; this process listens. Added latency is the time from an image's stamp to its being published, less that of
the network. The targets are those of a machine with 2 free cores. ``--generator resnet9`` runs goggles with random
weights that are too slow for the camera: the node leaves frames out, and what it shows is never two inferences old.
Fast DDS has the shared memory that images need (``ros_bridge/config/fastdds.xml``), unless
FASTDDS_DEFAULT_PROFILES_FILE says otherwise. Needs rclpy.
"""

from __future__ import annotations

import argparse
import array
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from simgym.deploy.camera import Camera

from . import _figures
from .deploy_latency import SMALL_GENERATORS, export_random

ROOT = Path(__file__).parents[1]
TARGETS = {"added_median_ms": 4.0, "added_p99_ms": 10.0, "age_max_ms": 100.0, "memory_growth_percent": 2.0}
TARGETS_TOO_SLOW = {"age_max_inferences": 2.0, "memory_growth_percent": 2.0}  # of goggles slower than the camera
START_S, SETTLE_S = 30.0, 3.0
WIDTH, HEIGHT = 640, 480


def publish_camera(hz: float) -> None:
    """Publish noise and its camera_info at a rate until it is killed, each with the stamp of its publication."""
    import rclpy
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import CameraInfo, Image

    rclpy.init()
    node = rclpy.create_node("camera")
    images = node.create_publisher(Image, "image_raw", qos_profile_sensor_data)
    infos = node.create_publisher(CameraInfo, "camera_info", qos_profile_sensor_data)
    pixels = np.random.default_rng(0).integers(0, 256, WIDTH * HEIGHT * 3, np.uint8)
    image = Image(width=WIDTH, height=HEIGHT, encoding="rgb8", step=3 * WIDTH, data=array.array("B", pixels.tobytes()))
    info = CameraInfo(width=WIDTH, height=HEIGHT, distortion_model="plumb_bob", d=[-0.28, 0.07, 0.001, -0.002, 0.01])
    info.k = [460.0, 0.0, WIDTH / 2, 0.0, 460.0, HEIGHT / 2, 0.0, 0.0, 1.0]
    due_s = time.monotonic()
    while rclpy.ok():
        time.sleep(max(0.0, due_s - time.monotonic()))
        due_s += 1 / hz
        image.header.stamp = info.header.stamp = node.get_clock().now().to_msg()
        infos.publish(info)
        images.publish(image)


class Listener:
    """Keeps what the node tells: arrival ages of its images, and its diagnostics."""

    def __init__(self) -> None:
        import rclpy
        from diagnostic_msgs.msg import DiagnosticArray
        from rclpy.qos import qos_profile_sensor_data
        from sensor_msgs.msg import Image

        rclpy.init()
        self._node = rclpy.create_node("latency")
        self.ages_s: list[float] = []
        self.reports: list[dict[str, str]] = []
        self._node.create_subscription(Image, "goggles/image_raw", self._see, qos_profile_sensor_data)
        self._node.create_subscription(DiagnosticArray, "/diagnostics", self._hear, 10)

    def _see(self, image: Any) -> None:
        stamp = image.header.stamp
        self.ages_s.append(self._node.get_clock().now().nanoseconds * 1e-9 - stamp.sec - stamp.nanosec * 1e-9)

    def _hear(self, message: Any) -> None:
        if message.status[0].name == "/goggles":
            self.reports.append({value.key: value.value for value in message.status[0].values})

    def spin(self, seconds: float) -> None:
        """Listen for a while."""
        import rclpy

        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            rclpy.spin_once(self._node, timeout_sec=0.05)


def resident_mib(pid: int) -> float:
    """Memory of a process that is in RAM."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def measure(bundle: Path, hz: float, seconds: float) -> dict[str, Any]:
    """Run camera and node and listen to them."""
    path = os.pathsep.join((str(ROOT), str(ROOT / "ros_bridge")))
    os.environ.update({"PYTHONPATH": path, "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"})
    os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    os.environ.setdefault("FASTDDS_DEFAULT_PROFILES_FILE", str(ROOT / "ros_bridge/config/fastdds.xml"))
    listener = Listener()
    node = subprocess.Popen([sys.executable, "-m", "simgym_ros.goggles", "--ros-args", "-p", f"bundle:={bundle}"])
    camera = subprocess.Popen([sys.executable, "-m", "benchmarks.ros_latency", "--camera", "--hz", str(hz)])
    patience_s = time.monotonic() + START_S
    try:
        while not listener.ages_s:
            listener.spin(0.5)
            if camera.poll() is not None or time.monotonic() > patience_s:
                raise SystemExit("no images: the camera or the node did not start, see above")
        listener.spin(SETTLE_S)
        listener.ages_s, listener.reports, memory_mib = [], [], [resident_mib(node.pid)]
        while len(memory_mib) <= seconds:
            listener.spin(1.0)
            memory_mib.append(resident_mib(node.pid))
        ages_ms, reports = 1e3 * np.array(listener.ages_s), list(listener.reports)
        camera.kill()
        camera.wait()
        listener.spin(2.5)  # nothing is pending any more
        return summary(ages_ms, reports, listener.reports[-1], memory_mib)
    finally:
        camera.kill()
        node.send_signal(signal.SIGINT)
        node.wait()


def summary(
    ages_ms: np.ndarray, reports: list[dict[str, str]], last: dict[str, str], memory_mib: list[float]
) -> dict[str, Any]:
    """The figures: of ``ages_ms``, stamps to arrival here, and of what the node told each second."""
    told = {
        key: np.array([float(report[key]) for report in reports if report[key]])
        for key in ("rate_hz", "latency_ms", "latency_max_ms", "inference_ms")
    }
    inference_ms = float(np.median(told["inference_ms"]))
    counts = {key: int(last[key]) for key in ("received", "published", "dropped", "pending")}
    if counts["received"] != counts["published"] + counts["dropped"]:
        raise SystemExit(f"frames are unaccounted for: {counts}")
    half = len(memory_mib) // 2
    return {
        "rate_hz": float(told["rate_hz"].mean()),
        "inference_ms": inference_ms,
        "added_median_ms": float(np.median(told["latency_ms"])) - inference_ms,
        "added_p99_ms": float(np.percentile(ages_ms, 99)) - inference_ms,  # to its arrival here, which is later
        "age_median_ms": float(np.median(ages_ms)),
        "age_max_ms": float(ages_ms.max()),
        "age_max_inferences": float(ages_ms.max()) / inference_ms,
        "memory_mib": memory_mib[-1],
        "memory_growth_percent": 100 * (float(np.mean(memory_mib[half:])) / float(np.mean(memory_mib[:half])) - 1),
        **counts,
    }


def main() -> None:
    """Print the table; write it as JSON if asked."""
    parser = _figures.parser("ros_latency", __doc__)
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument("--bundle", type=Path, help="goggles")
    given.add_argument("--generator", choices=(*SMALL_GENERATORS, "resnet9"), help="or a network with random weights")
    given.add_argument("--camera", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long to measure")
    parser.add_argument("--hz", type=float, default=30.0, help="of the camera")
    args = parser.parse_args()
    if args.camera:
        publish_camera(args.hz)
        return
    with tempfile.TemporaryDirectory() as folder:
        bundle = args.bundle or export_random(args.generator, Camera(), Path(folder, "goggles.onnx"))
        figures = {"hz": args.hz, "seconds": args.seconds, **measure(bundle, args.hz, args.seconds)}
    _figures.print_machine()
    targets = TARGETS if figures["inference_ms"] < 1e3 / args.hz else TARGETS_TOO_SLOW
    print(f"{'figure':<24} {'value':>9} {'target':>7}")
    for name, value in figures.items():
        print(f"{name:<24} {value:>9.2f} {targets.get(name, '-'):>7}")
    _figures.write(args.json, figures)


if __name__ == "__main__":
    main()
