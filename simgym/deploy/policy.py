"""Runs a policy bundle: the frame stack and the onnx session, the same on a robot and in headless evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from simgym.errors import BundleError, UserError

from .bundle import Contract, load_bundle


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
        self._ring: np.ndarray | None = None  # (n, depth, H, W, 3)
        self._newest = 0  # place in the ring

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
            self._ring = np.repeat(images[:, None], self._depth, axis=1)
        elif self._ring.shape[2:] != images.shape[1:]:
            raise PolicyError(f"images changed from {self._ring.shape[2:]} to {images.shape[1:]}: reset first")
        self._newest = (self._newest + 1) % self._depth
        self._ring[:, self._newest] = images
        if reset_mask is not None:
            self.refill(images, reset_mask)
        return self._shown()

    def _shown(self) -> np.ndarray:
        assert self._ring is not None
        ages = np.arange(self.k - 1, -1, -1) * self.stride
        return self._ring[:, (self._newest - ages) % self._depth]  # (n, K, H, W, 3), a new array

    def refill(self, images: np.ndarray, worlds: np.ndarray) -> None:
        """Fill the whole stack of some worlds (n,) bool with their image of (n, H, W, 3): an episode begins there."""
        if self._ring is not None and worlds.any():
            self._ring[worlds] = images[worlds, None]

    def reset(self) -> None:
        """Forget everything: the next push begins an episode in every world."""
        self._ring = None


class Averages:
    """Exponential averages of what each of n worlds measured, over some time constants: how much it has turned lately.

    ``average += (1 - exp(-dt / time constant)) (measured - average)``; an episode begins with what is measured first.

    Args:
        time_constants_s: (T,) of the averages; none keeps what is measured as it is.
        dt_s: from one push to the next.
        n: worlds.
    """

    def __init__(self, time_constants_s: Sequence[float], dt_s: float, n: int = 1) -> None:
        self.n, self.count = n, len(time_constants_s)
        self._gain = 1 - np.exp(-dt_s / np.asarray(time_constants_s, np.float32))[:, None]  # (T, 1)
        self._averages: np.ndarray | None = None  # (n, T, D)

    def push(self, measured: np.ndarray, reset_mask: np.ndarray | None = None) -> np.ndarray:
        """Take in what was measured.

        Args:
            measured: (n, D) float32.
            reset_mask: (n,) bool, worlds where an episode begins. The first push begins one in every world.

        Returns:
            (n, D (1 + T)) float32: what was measured, then its averages in the order of the time constants.

        Raises:
            PolicyError: what is measured is not (n, D).
        """
        if measured.ndim != 2 or len(measured) != self.n:
            raise PolicyError(f"expected measurements of shape ({self.n}, D), got {measured.shape}")
        now = measured[:, None].astype(np.float32)  # (n, 1, D)
        if self._averages is None:
            self._averages = np.repeat(now, len(self._gain), axis=1)
        self._averages += self._gain * (now - self._averages)
        if reset_mask is not None:
            self.refill(measured, reset_mask)
        return np.concatenate([now, self._averages], axis=1).reshape(self.n, -1)

    def refill(self, measured: np.ndarray, worlds: np.ndarray) -> None:
        """Begin an episode in some worlds (n,) bool, with what is measured there of (n, D)."""
        if self._averages is not None:
            self._averages[worlds] = measured[worlds, None]

    def reset(self) -> None:
        """Forget everything: the next push begins an episode in every world."""
        self._averages = None


class Trail:
    """Where each of n robots that drive was lately, seen from where it is: so a search does not go round in circles.

    Of its positions, averaged over some time constants, the metres ahead and to the left of it, reckoned from the
    velocity that it measures: ``p <- exp(-dt / time constant) R(-yaw rate dt) (p - [speed dt, 0])``, from 0 on.

    Args:
        time_constants_s: (S,) of the averages; none is no trail.
        dt_s: from one push to the next.
        n: worlds.
    """

    def __init__(self, time_constants_s: Sequence[float], dt_s: float, n: int = 1) -> None:
        self.count, self._dt_s = len(time_constants_s), dt_s
        self._fading = np.exp(-dt_s / np.asarray(time_constants_s, np.float32))[:, None]  # (S, 1)
        self._places = np.zeros((n, self.count, 2), np.float32)
        self._begun = False

    def push(self, velocity: np.ndarray, reset_mask: np.ndarray | None = None) -> np.ndarray:
        """Drive on for a step.

        Args:
            velocity: (n, 2) forward speed in m/s and yaw rate in rad/s; anything, where there is no trail.
            reset_mask: (n,) bool, worlds where an episode begins. The first push begins one in every world.

        Returns:
            (n, 2 S) float32: metres ahead and to the left, in the order of the time constants.
        """
        if self.count and self._begun:
            driven, turned = velocity.T[..., None].astype(np.float32) * np.float32(self._dt_s)  # (n, 1) each
            ahead, left, cos, sin = self._places[..., 0] - driven, self._places[..., 1], np.cos(turned), np.sin(turned)
            self._places = self._fading * np.stack([cos * ahead + sin * left, cos * left - sin * ahead], axis=-1)
        self._begun = True
        if reset_mask is not None:
            self.refill(reset_mask)
        return self._places.reshape(len(self._places), -1).copy()

    def refill(self, worlds: np.ndarray) -> None:
        """Begin an episode in some worlds (n,) bool."""
        self._places[worlds] = 0

    def reset(self) -> None:
        """Forget everything: the next push begins an episode in every world."""
        self._places[:] = 0
        self._begun = False


class Memory:
    """What a policy sees beside the present, the same on a robot, in evaluation and in training.

    Args:
        frame_stack: images seen at once, see `FrameStack`.
        frame_stride: control steps between two of them.
        averages_s: time constants of averages of what is measured, see `Averages`.
        trail_s: time constants of where the robot was, see `Trail`.
        dt_s: of a control step.
        n: worlds.
    """

    def __init__(
        self,
        frame_stack: int,
        frame_stride: int,
        averages_s: Sequence[float],
        trail_s: Sequence[float],
        dt_s: float,
        n: int = 1,
    ) -> None:
        self.frames = FrameStack(frame_stack, n, frame_stride)
        self.averages, self.trail = Averages(averages_s, dt_s, n), Trail(trail_s, dt_s, n)

    @classmethod
    def of(cls, contract: Contract, n: int = 1) -> Memory:
        """The memory that a policy's contract asks for."""
        frames, dt_s = (contract.frame_stack, contract.frame_stride), 1 / contract.rate_hz
        return cls(*frames, contract.averages_s, contract.trail_s, dt_s, n)

    def laid_out(self, measured: np.ndarray, place: Sequence[float]) -> np.ndarray:
        """Values (D,) for what is measured and (2,) for a place of the trail, as what `push` gives: (D (1 + T) + 2 S,).

        So are bounds, scales and signs.
        """
        return np.concatenate([np.tile(measured, 1 + self.averages.count), np.tile(place, self.trail.count)])

    def push(
        self, images: np.ndarray, measured: np.ndarray, reset_mask: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Append a control step: (n, H, W, 3) and (n, D) -> (n, K, H, W, 3) and (n, D (1 + T) + 2 S).

        Raises:
            PolicyError: as `FrameStack.push` and `Averages.push`.
        """
        frames, averages = self.frames.push(images, reset_mask), self.averages.push(measured, reset_mask)
        return frames, np.concatenate([averages, self.trail.push(measured, reset_mask)], axis=1)

    def begin(self, images: np.ndarray, measured: np.ndarray, worlds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Begin an episode in some worlds (n,) bool, with no step in the others.

        Args:
            images: (n, H, W, 3) uint8, of which those of ``worlds`` count.
            measured: (n, D) float32, likewise.
            worlds: (n,) bool.

        Returns:
            What `push` would give for these worlds alone.
        """
        self.frames.refill(images, worlds)
        self.averages.refill(measured, worlds)
        self.trail.refill(worlds)
        frames = np.repeat(images[worlds, None], self.frames.k, axis=1)
        remembered = np.tile(measured[worlds], 1 + self.averages.count)
        return frames, np.pad(remembered, ((0, 0), (0, 2 * self.trail.count)))

    def reset(self) -> None:
        """Forget everything: the next push begins an episode in every world."""
        self.frames.reset()
        self.averages.reset()
        self.trail.reset()


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
        provider: the onnxruntime execution provider that runs it.

    Raises:
        BundleError: see `simgym.deploy.bundle.load_bundle`; or it does not command from an image and a measurement.
    """

    def __init__(self, path: str | Path, providers: Sequence[str] | None = None, threads: int = 1) -> None:
        self._session, self.contract = load_bundle(path, "policy", providers, threads)
        self.provider: str = self._session.get_providers()[0]
        inputs, outputs = ([spec.name for spec in specs] for specs in (self.contract.inputs, self.contract.outputs))
        if len(inputs) != 2 or inputs[0] != "image" or outputs != ["command"]:
            raise BundleError(
                f"{path} must command from an image and one measurement (image, velocity -> command), but it is "
                f"{', '.join(inputs)} -> {', '.join(outputs)}"
            )
        self._measured = inputs[1]
        self._sizes = tuple(int(spec.shape[-1]) for spec in (self.contract.inputs[1], self.contract.outputs[0]))
        self._memory = Memory.of(self.contract)

    def reset(self) -> None:
        """Begin an episode: the next image fills the whole frame stack."""
        self._memory.reset()

    def act(self, image: np.ndarray, measured: np.ndarray) -> np.ndarray:
        """Decide on one frame; refused input leaves the memory as it was.

        Args:
            image: (H, W, 3) uint8 RGB of the contract's camera.
            measured: (D,) what the contract's second input says, without averages and trail. Of a robot that drives:
                measured forward speed in m/s and yaw rate in rad/s (positive is left).

        Returns:
            (C,) float32 command as the contract's output says. Of a robot that drives: forward speed and yaw rate.

        Raises:
            PolicyError: a wrong shape or dtype, or a number that is not finite, in or out.
        """
        camera = self.contract.camera
        check_images(image, (camera.height, camera.width, 3))
        measured = _finite(measured, (self.contract.measured_dim,), self._measured)
        return self.act_batch(*self._memory.push(image[None], measured[None]))[0]

    def act_batch(self, frames: np.ndarray, measured: np.ndarray) -> np.ndarray:
        """Decide on N worlds of which the caller remembers what was before (`Memory`); keeps no state.

        Args:
            frames: (N, K, H, W, 3) uint8 RGB, oldest first.
            measured: (N, D (1 + T) + 2 S), what `act` takes, its averages and the trail, over the contract's times.

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
