"""Runs a goggles bundle: real images in, images in the simulator's style out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .bundle import load_bundle
from .policy import check_images


class Goggles:
    """Goggles from a bundle. They keep no state: the same image always gives the same result.

    Args:
        path: the ``.onnx`` bundle.
        providers: onnxruntime execution providers; the CPU by default.
        threads: CPU threads of one run.

    Attributes:
        contract: what the bundle promises: the camera whose images it takes and gives.
        provider: the onnxruntime execution provider that runs it.

    Raises:
        BundleError: see `simgym.deploy.bundle.load_bundle`.
    """

    def __init__(self, path: str | Path, providers: Sequence[str] | None = None, threads: int = 1) -> None:
        self._session, self.contract = load_bundle(path, "goggles", providers, threads)
        self.provider: str = self._session.get_providers()[0]

    def translate(self, images: np.ndarray) -> np.ndarray:
        """Translate a batch of images.

        Args:
            images: (N, H, W, 3) uint8 RGB of the contract's camera.

        Returns:
            (N, H, W, 3) uint8 RGB.

        Raises:
            PolicyError: a wrong shape or dtype.
        """
        camera = self.contract.camera
        check_images(images, (len(images), camera.height, camera.width, 3))
        # By position: ONNX does not let an output have an input's name, so the two are not both "image".
        name = self.contract.inputs[0].name
        return self._session.run(None, {name: np.ascontiguousarray(images)})[0]


def look_through(goggles: Goggles | None, images: np.ndarray) -> np.ndarray:
    """Images as they are seen behind goggles, or as they are without, see `Goggles.translate`."""
    return images if goggles is None else goggles.translate(images)
