"""Time of one camera frame on the robot: ``python -m benchmarks.deploy_latency [--policy p.onnx] [--goggles g.onnx]``.

From a 640x480 camera with a distorted lens to the command, on one CPU thread. Without bundles, what ships is measured;
beside it goggles with random weights, in floats, where those that ship have 8 bits: the generators for robots, and
VR-Goggles' ResNet-9 at the 200x88 pixels that it translated in CARLA (Zhang et al. 2019, supplement B). Then the memory
of a process that imports simgym.deploy alone and translates.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from simgym.deploy import Calibration, Camera, Goggles, Policy, Resampler, goggles_contract
from simgym.shipped import PRETRAINED, bundle_path

from . import _figures

LENS = (-0.28, 0.07, 0.001, -0.002, 0.01)
REAL_SIZE = (640, 480)
SMALL_GENERATORS = ("unet", "deep", "mobile")
PAPER_SIZE = (200, 88)
PAPER_SHARE = 20  # of the repeats, one in so many for the paper's network, which takes a hundred times as long
TARGETS = {"Policy.act": "2 ms", "goggles": "5 ms, 99th percentile 8 ms", "memory": "300 MB, no torch"}
PROBE = """
import json, sys
import numpy as np
from simgym.deploy import Calibration, Camera, Goggles, Resampler
goggles = Goggles(sys.argv[1])
camera = goggles.contract.camera
width, height = json.loads(sys.argv[2])
resample = Resampler(Calibration(Camera.from_fov(width, height, camera.horizontal_fov_rad)), camera)
photo = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
for _ in range(100):
    goggles.translate(resample(photo)[None])
with open("/proc/self/status") as file:
    status = dict(line.split(":", 1) for line in file)
resident, peak = (int(status[name].split()[0]) * 1024 / 1e6 for name in ("VmRSS", "VmHWM"))
print(json.dumps({"resident_mb": resident, "peak_mb": peak, "torch": "torch" in sys.modules}))
"""


def milliseconds(run: Callable[[], Any], repeats: int, warm_up: int = 20) -> dict[str, float]:
    """Median, 95th and 99th percentile of one call."""
    for _ in range(warm_up):
        run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - start))
    median, p95, p99 = np.percentile(times, (50, 95, 99)).tolist()
    return {"median_ms": median, "p95_ms": p95, "p99_ms": p99}


def measure_policy(bundle: Path, repeats: int) -> list[dict[str, Any]]:
    """One row a stage."""
    policy = Policy(bundle, threads=1)
    camera, still = policy.contract.camera, np.zeros(2, np.float32)
    resample, photo = _eye(camera)
    image = resample(photo)
    stages: dict[str, Callable[[], Any]] = {
        "resample 640x480": lambda: resample(photo),
        "Policy.act": lambda: policy.act(image, still),
        "resample, Policy.act": lambda: policy.act(resample(photo), still),
    }
    return [{"stage": stage} | milliseconds(run, repeats) for stage, run in stages.items()]


def measure_goggles(name: str, bundle: Path, repeats: int, warm_up: int = 20) -> dict[str, Any]:
    """The row of one camera frame through goggles, resampling included."""
    goggles = Goggles(bundle, threads=1)
    camera = goggles.contract.camera
    resample, photo = _eye(camera)
    stage = f"resample, goggles {name}, {camera.width}x{camera.height}"
    return {"stage": stage} | milliseconds(lambda: goggles.translate(resample(photo)[None]), repeats, warm_up)


def measure_memory(bundle: Path) -> dict[str, Any]:
    """Resident size of a fresh process that translates and its peak since the start, in MB; whether torch was imported.

    Linux only.
    """
    command = [sys.executable, "-c", PROBE, str(bundle), json.dumps(REAL_SIZE)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def export_random(generator: str, camera: Camera, path: Path) -> Path:
    """Goggles with random weights."""
    import torch

    from simgym.goggles.export import export_goggles
    from simgym.goggles.networks import make_generator

    torch.manual_seed(0)
    frames = np.random.default_rng(0).integers(0, 256, (2, camera.height, camera.width, 3), np.uint8)
    contract = goggles_contract(None, camera, 10.0, ("standin", "sim"), "Apache-2.0")
    export_goggles(make_generator(generator).eval(), contract, path, frames)
    return path


def _eye(camera: Camera) -> tuple[Resampler, np.ndarray]:
    """The way from the real camera to a simulated one, and a photograph (H, W, 3) uint8."""
    width, height = REAL_SIZE
    real = Camera.from_fov(width, height, camera.horizontal_fov_rad)
    photo = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return Resampler(Calibration(real, "plumb_bob", LENS), camera), photo


def main() -> None:
    """Print the table; write it as JSON."""
    parser = _figures.parser("deploy_latency", __doc__)
    parser.add_argument("--policy", type=Path, help="a policy bundle; the default is the shipped one")
    parser.add_argument("--goggles", type=Path, help="a goggles bundle; the default is the shipped one")
    parser.add_argument("--repeats", type=int, default=500, help="calls of each stage (default: %(default)s)")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    policy = args.policy or bundle_path(PRETRAINED, "policy", "ChairNav")
    goggles = args.goggles or bundle_path(PRETRAINED, "goggles", "ChairNav")
    rows = measure_policy(policy, args.repeats)
    rows.append(measure_goggles(goggles.stem, goggles, args.repeats))
    with tempfile.TemporaryDirectory() as folder:
        bundles = {name: export_random(name, Camera(), Path(folder, f"{name}.onnx")) for name in SMALL_GENERATORS}
        rows += [measure_goggles(name, bundle, args.repeats) for name, bundle in bundles.items()]
        published = Camera.from_fov(*PAPER_SIZE, Camera().horizontal_fov_rad)
        paper = export_random("resnet9", published, Path(folder, "resnet9.onnx"))
        rows.append(measure_goggles("resnet9", paper, max(3, args.repeats // PAPER_SHARE), warm_up=2))
        memory = measure_memory(goggles)
    _figures.print_machine()
    print(f"{policy.stat().st_size / 1024:,.0f} KiB policy, 1 thread; targets: {TARGETS}")
    print(f"{'stage':<42} {'median ms':>9} {'p95 ms':>9} {'p99 ms':>9}")
    for row in rows:
        print(f"{row['stage']:<42} {row['median_ms']:>9.2f} {row['p95_ms']:>9.2f} {row['p99_ms']:>9.2f}")
    torch = "imported" if memory["torch"] else "not imported"
    resident, peak = memory["resident_mb"], memory["peak_mb"]
    print(f"resident while translating: {resident:.0f} MB, at most {peak:.0f} MB since the start; torch {torch}")
    _figures.write(args.json, {"stages": rows, "memory": memory})


if __name__ == "__main__":
    main()
