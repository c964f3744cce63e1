"""A robot has numpy, opencv and onnxruntime, and no more."""

import subprocess
import sys

BANNED = ("torch", "mujoco", "gymnasium", "rclpy", "pybullet", "onnx", "stable_baselines3", "hydra", "scipy")


def test_deploy_imports_nothing_heavy():
    # `import onnxruntime` alone is the base line: it takes optional packages by itself if they are there.
    code = "import sys, onnxruntime; before = set(sys.modules); import simgym.deploy; print(*set(sys.modules) - before)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = {name.split(".")[0] for name in result.stdout.split()}
    assert not imported & set(BANNED)
    assert {"simgym", "cv2"} <= imported
