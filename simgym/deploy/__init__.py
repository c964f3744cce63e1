"""What runs on a robot: camera geometry, image codec, bundles, policies, goggles, safety.

Needs numpy, opencv and onnxruntime only.
"""

from simgym.errors import BundleError

from .bundle import Contract, TensorSpec, bundle_version, check_camera, goggles_contract, load_bundle, policy_contract
from .camera import Calibration, Camera, CameraError
from .codec import CodecError, decode_compressed, decode_raw
from .goggles import Goggles
from .mailbox import Mailbox
from .pacing import Pacer, Turn
from .policy import Averages, FrameStack, Memory, Policy, PolicyError, Trail, stack_channels
from .resampling import Resampler, SizedResamplers
from .safety import Limits, Safety, SafetyError

__all__ = [
    "Averages",
    "BundleError",
    "Calibration",
    "Camera",
    "CameraError",
    "CodecError",
    "Contract",
    "FrameStack",
    "Goggles",
    "Limits",
    "Mailbox",
    "Memory",
    "Pacer",
    "Policy",
    "PolicyError",
    "Resampler",
    "Safety",
    "SafetyError",
    "SizedResamplers",
    "TensorSpec",
    "Trail",
    "Turn",
    "check_camera",
    "decode_compressed",
    "decode_raw",
    "goggles_contract",
    "bundle_version",
    "load_bundle",
    "policy_contract",
    "stack_channels",
]
