"""Runs a policy bundle: the frame stack and the onnx session, the same on a robot and in headless evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from simgym.errors import BundleError, UserError

from .bundle import load_bundle


class PolicyError(UserError, ValueError):
    """A policy or goggles got an input that breaks the contract, or gave an output that does."""


class FrameStack:
    """K images of each of n worlds, ``stride`` pushes apart, oldest first: a policy's short memory.

    Args:
        k: frames to show.
        n: worlds.
        stride: pushes between two of them; 1 shows the last K images.
    """

    def __init__(self, k: int, n: int = 1, stride: int = 1) -> None:
        self.k, self.n, self.stride = k, n, stride
        self._depth = (k - 1) * stride + 1
        self._ring: np.ndarray | None = None  # (depth, n, H, W, 3)
        self._newest = 0  # row of the ring

    def push(self, images: np.ndarray, reset_mask: np.ndarray | None = None) -> np.ndarray:
        """Append one image a world.

        Args:
            images: (n, H, W, 3) uint8.
            reset_mask: (n,) bool, worlds where an episode begins: the image fills their whole stack. The first push
                begins one in every world.

        Returns:
            (n, K, H, W, 3) uint8, a new array.

        Raises:
            PolicyError: the images are not (n, H, W, 3), or change in size.
        """
        if images.ndim != 4 or len(images) != self.n:
            raise PolicyError(f"expected images of shape ({self.n}, H, W, 3), got {images.shape}")
        if self._ring is None:
            self._ring = np.repeat(images[None], self._depth, axis=0)
        elif self._ring.shape[1:] != images.shape:
            raise PolicyError(f"images changed from {self._ring.shape[2:]} to {images.shape[1:]}: reset first")
        self._newest = (self._newest + 1) % self._depth
        self._ring[self._newest] = images
        if reset_mask is not None:
            self.refill(images, reset_mask)
        return self._shown()

    def _shown(self) -> np.ndarray:
        assert self._ring is not None
        ages = np.arange(self.k - 1, -1, -1) * self.stride
        return self._ring[(self._newest - ages) % self._depth].swapaxes(0, 1).copy()  # (n, K, H, W, 3)

    def refill(self, images: np.ndarray, worlds: np.ndarray) -> None:
        """Fill the whole stack of some worlds (n,) bool with their image of (n, H, W, 3): an episode begins there."""
        if self._ring is not None and worlds.any():
            self._ring[:, worlds] = images[worlds]

    def reset(self) -> None:
        """Forget everything: the next push begins an episode in every world."""
        self._ring = None


def stack_channels(frames: np.ndarray) -> np.ndarray:
    """Frames as one image with 3K channels, the oldest frame's first: the layout that policies are trained on.

    Args:
        frames: (N, K, H, W, 3).

    Returns:
        (N, 3K, H, W), contiguous.
    """
    n, k, height, width, channels = frames.shape
    return np.ascontiguousarray(frames.transpose(0, 1, 4, 2, 3)).reshape(n, k * channels, height, width)


class Policy:
    """A policy from a bundle, with its frame stack: it drives, or moves a hand.

    Args:
        path: the ``.onnx`` bundle.
        providers: onnxruntime execution providers; the CPU by default.
        threads: CPU threads of one run.

    Attributes:
        contract: what the bundle promises: camera, rate, limits.

    Raises:
        BundleError: see `simgym.deploy.bundle.load_bundle`; or it does not command from an image and a measurement.
    """

    def __init__(self, path: str | Path, providers: Sequence[str] | None = None, threads: int = 1) -> None:
        self._session, self.contract = load_bundle(path, "policy", providers, threads)
        inputs, outputs = ([spec.name for spec in specs] for specs in (self.contract.inputs, self.contract.outputs))
        if len(inputs) != 2 or inputs[0] != "image" or outputs != ["command"]:
            raise BundleError(
                f"{path} must command from an image and one measurement (image, velocity -> command), but it is "
                f"{', '.join(inputs)} -> {', '.join(outputs)}"
            )
        self._measured = inputs[1]
        self._sizes = tuple(int(spec.shape[-1]) for spec in (self.contract.inputs[1], self.contract.outputs[0]))
        self._stack = FrameStack(self.contract.frame_stack, stride=self.contract.frame_stride)

    def reset(self) -> None:
        """Begin an episode: the next image fills the whole frame stack."""
        self._stack.reset()

    def act(self, image: np.ndarray, measured: np.ndarray) -> np.ndarray:
        """Decide on one frame; refused input leaves the frame stack as it was.

        Args:
            image: (H, W, 3) uint8 RGB of the contract's camera.
            measured: (D,) what the contract's second input says. Of a robot that drives: measured forward speed in m/s
                and yaw rate in rad/s (positive is left).

        Returns:
            (C,) float32 command as the contract's output says. Of a robot that drives: forward speed and yaw rate.

        Raises:
            PolicyError: a wrong shape or dtype, or a number that is not finite, in or out.
        """
        camera = self.contract.camera
        check_images(image, (camera.height, camera.width, 3))
        measured = _finite(measured, self._sizes[:1], self._measured)
        frames = self._stack.push(image[None])
        return self.act_batch(frames, measured[None])[0]

    def act_batch(self, frames: np.ndarray, measured: np.ndarray) -> np.ndarray:
        """Decide on N worlds whose frames the caller stacks (`FrameStack`); keeps no state.

        Args:
            frames: (N, K, H, W, 3) uint8 RGB, oldest first.
            measured: (N, D), see `act`.

        Returns:
            (N, C) float32 commands, see `act`.

        Raises:
            PolicyError: as `act`.
        """
        camera = self.contract.camera
        check_images(frames, (len(frames), self.contract.frame_stack, camera.height, camera.width, 3))
        measured = _finite(measured, (len(frames), self._sizes[0]), self._measured)
        (command,) = self._session.run(["command"], {"image": np.ascontiguousarray(frames), self._measured: measured})
        return _finite(command, (len(frames), self._sizes[1]), "command")


def check_images(images: np.ndarray, shape: tuple[int, ...]) -> None:
    """Refuse images that are not uint8 of ``shape``.

    Raises:
        PolicyError: saying what was got and what was expected.
    """
    if images.dtype != np.uint8 or images.shape != shape:
        raise PolicyError(
            f"expected uint8 RGB of shape {shape}, got {images.dtype} of shape {images.shape}: "
            "resample to the contract's camera (simgym.deploy.Resampler)"
        )


def _finite(values: np.ndarray, shape: tuple[int, ...], name: str) -> np.ndarray:
    """``values`` as float32, if they have ``shape`` and are finite."""
    values = np.asarray(values, np.float32)
    if values.shape != shape:
        raise PolicyError(f"{name} must have shape {shape}, got {values.shape}")
    if not np.isfinite(values).all():
        raise PolicyError(f"{name} must be finite, got {(~np.isfinite(values)).sum()} numbers that are not")
    return values
