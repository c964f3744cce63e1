"""Time of one camera frame on the robot: ``python -m benchmarks.deploy_latency [bundle.onnx] [--json results.json]``.

From a 640x480 camera with a distorted lens to the command, on one CPU thread; the target for the policy is 2 ms.
Without a bundle, the shipped one is measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from simgym.deploy import Calibration, Camera, Policy, Resampler
from simgym.shipped import PRETRAINED, bundle_path

from . import _figures

LENS = (-0.28, 0.07, 0.001, -0.002, 0.01)
TARGETS_MS = {"Policy.act": 2.0}


def milliseconds(run: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """Median and 95th percentile of one call."""
    for _ in range(20):
        run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - start))
    return float(np.median(times)), float(np.percentile(times, 95))


def measure(bundle: Path, repeats: int) -> list[dict[str, Any]]:
    """One row a stage."""
    policy, rng = Policy(bundle, threads=1), np.random.default_rng(0)
    camera = policy.contract.camera
    real = Camera.from_fov(640, 480, camera.horizontal_fov_rad)
    photo = rng.integers(0, 256, (480, 640, 3), np.uint8)
    image = rng.integers(0, 256, (camera.height, camera.width, 3), np.uint8)
    resample, still = Resampler(Calibration(real, "plumb_bob", LENS), camera), np.zeros(2, np.float32)
    stages: dict[str, Callable[[], Any]] = {
        "resample 640x480": lambda: resample(photo),
        "Policy.act": lambda: policy.act(image, still),
        "both": lambda: policy.act(resample(photo), still),
    }
    rows = []
    for stage, run in stages.items():
        median, p95 = milliseconds(run, repeats)
        rows.append({"stage": stage, "median_ms": median, "p95_ms": p95})
    return rows


def main() -> None:
    """Print the table; write it as JSON if asked."""
    parser = _figures.parser("deploy_latency", __doc__)
    parser.add_argument("bundle", type=Path, nargs="?", help="a policy bundle; the default is the shipped one")
    parser.add_argument("--repeats", type=int, default=500, help="calls of each stage")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    bundle = args.bundle or bundle_path(PRETRAINED, "policy", "ChairNav")
    kilobytes = bundle.stat().st_size / 1024
    rows = measure(bundle, args.repeats)
    _figures.print_machine()
    print(f"{kilobytes:,.0f} KiB bundle, 1 thread")
    print(f"{'stage':<18} {'median ms':>9} {'p95 ms':>9} {'target':>7}")
    for row in rows:
        print(
            f"{row['stage']:<18} {row['median_ms']:>9.2f} {row['p95_ms']:>9.2f} {TARGETS_MS.get(row['stage'], '-'):>7}"
        )
    _figures.write(args.json, rows)


if __name__ == "__main__":
    main()
