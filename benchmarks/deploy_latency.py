"""Time of one camera frame on the robot: ``python -m benchmarks.deploy_latency [bundle.onnx] [--json results.json]``.

From a 640x480 camera with a distorted lens to the command, on one CPU thread; the target for the policy is 2 ms.
Without a bundle, an untrained policy with the default network is exported: the weights do not change the time.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import gymnasium
import numpy as np

from simgym.deploy import Calibration, Camera, Policy, Resampler, policy_contract

LENS = (-0.28, 0.07, 0.001, -0.002, 0.01)
STACK = 3
TARGET_MS = 2.0


class Still(gymnasium.Env):
    """Spaces of a driving task and nothing behind them."""

    observation_space = gymnasium.spaces.Dict(
        image=gymnasium.spaces.Box(0, 255, (3 * STACK, Camera().height, Camera().width), np.uint8),
        velocity=gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32),
    )
    action_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)


def export_untrained(path: Path) -> None:
    """A policy bundle with the default network and camera."""
    from stable_baselines3 import PPO

    from simgym.policies.export import export_policy
    from simgym.policies.networks import VisionExtractor

    policy_kwargs = {"features_extractor_class": VisionExtractor}
    model = PPO("MultiInputPolicy", Still(), policy_kwargs=policy_kwargs, n_steps=2, batch_size=2, device="cpu")
    contract = policy_contract("ChairNav", Camera(), STACK, (0.0, -1.5), (0.6, 1.5), 10.0, ("sim",), "Apache-2.0")
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (4, STACK, Camera().height, Camera().width, 3), np.uint8)
    export_policy(model, contract, path, frames, rng.normal(size=(4, 2)).astype(np.float32))


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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path, nargs="?", help="a policy bundle; the default is an untrained one")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    parser.add_argument("--repeats", type=int, default=500, help="calls of each stage")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        bundle = args.bundle or Path(folder) / "policy.onnx"
        if args.bundle is None:
            export_untrained(bundle)
        kilobytes = bundle.stat().st_size / 1024
        rows = measure(bundle, args.repeats)
    print(f"{kilobytes:,.0f} KiB bundle, 1 thread, load {os.getloadavg()[0]:.1f}, target {TARGET_MS} ms for Policy.act")
    print(f"{'stage':<18} {'median ms':>9} {'p95 ms':>9}")
    for row in rows:
        print(f"{row['stage']:<18} {row['median_ms']:>9.2f} {row['p95_ms']:>9.2f}")
    if args.json:
        args.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
