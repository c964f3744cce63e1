"""What runs on a robot: camera geometry, bundles, policies, goggles. Needs numpy, opencv and onnxruntime only."""

from simgym.errors import BundleError

from .bundle import Contract, TensorSpec, check_camera, goggles_contract, load_bundle, policy_contract
from .camera import Calibration, Camera, CameraError, Resampler
from .goggles import Goggles
from .policy import FrameStack, Policy, PolicyError, stack_channels

__all__ = [
    "BundleError",
    "Calibration",
    "Camera",
    "CameraError",
    "Contract",
    "FrameStack",
    "Goggles",
    "Policy",
    "PolicyError",
    "Resampler",
    "TensorSpec",
    "check_camera",
    "goggles_contract",
    "load_bundle",
    "policy_contract",
    "stack_channels",
]
