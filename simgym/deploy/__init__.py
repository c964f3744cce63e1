"""What runs on a robot: camera geometry, bundles, policies, goggles. Needs numpy, opencv and onnxruntime only."""

from simgym.errors import BundleError

from .bundle import Contract, TensorSpec, check_camera, goggles_contract, load_bundle, policy_contract
from .camera import Calibration, Camera, CameraError
from .goggles import Goggles
from .policy import Averages, FrameStack, Memory, Policy, PolicyError, stack_channels
from .resampling import Resampler, SizedResamplers

__all__ = [
    "Averages",
    "BundleError",
    "Calibration",
    "Camera",
    "CameraError",
    "Contract",
    "FrameStack",
    "Goggles",
    "Memory",
    "Policy",
    "PolicyError",
    "Resampler",
    "SizedResamplers",
    "TensorSpec",
    "check_camera",
    "goggles_contract",
    "load_bundle",
    "policy_contract",
    "stack_channels",
]
