"""The floor that networks must beat: colours of the real frames brought to the statistics of the simulated ones."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from simgym.errors import UserError

from .data import to_float

LEAST_DEVIATION = 1e-3  # of a channel; grey frames have none to scale
MOST_FRAMES = 2000  # for the statistics
# Oklab (Ottosson 2020): linear sRGB -> cone responses, their cube roots -> lightness and two opponent colours.
TO_CONES = torch.tensor(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
TO_LAB = torch.tensor(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
FROM_CONES, FROM_LAB = torch.linalg.inv(TO_CONES), torch.linalg.inv(TO_LAB)


class ColorTransfer(nn.Module):
    """``out = (in - mean_real) / std_real * std_sim + mean_sim`` in each channel of a colour space (Reinhard 2001).

    Args:
        space: ``oklab`` or ``rgb``.
    """

    def __init__(self, space: str) -> None:
        super().__init__()
        self.scale: torch.Tensor
        self.offset: torch.Tensor
        self._perceptual = space == "oklab"
        self.register_buffer("scale", torch.ones(3, 1, 1))
        self.register_buffer("offset", torch.zeros(3, 1, 1))

    def fit(self, real: np.ndarray, sim: np.ndarray) -> None:
        """Take the statistics of frames (N, H, W, 3) uint8, of evenly spaced ones where there are many."""
        means, deviations = zip(*(self._statistics(frames) for frames in (real, sim)), strict=True)
        self.scale.copy_(deviations[1] / deviations[0].clamp(min=LEAST_DEVIATION))
        self.offset.copy_(means[1] - self.scale * means[0])
        if not (torch.isfinite(self.scale).all() and torch.isfinite(self.offset).all()):
            raise UserError("the frames' colours have no finite statistics")

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) in [-1, 1] -> the same."""
        return self._from_space(self._to_space(images) * self.scale + self.offset)

    def _statistics(self, frames: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        rows = np.unique(np.linspace(0, len(frames) - 1, MOST_FRAMES).round().astype(int))
        values = self._to_space(to_float(frames[rows]))
        return values.mean((0, 2, 3)).view(3, 1, 1), values.std((0, 2, 3)).view(3, 1, 1)

    def _to_space(self, images: torch.Tensor) -> torch.Tensor:
        shown = (images + 1) / 2
        if not self._perceptual:
            return shown
        linear = torch.where(shown <= 0.04045, shown / 12.92, ((shown.clamp(min=0) + 0.055) / 1.055) ** 2.4)
        cones = _mix(TO_CONES, linear).clamp(min=0)
        return _mix(TO_LAB, cones ** (1 / 3))

    def _from_space(self, values: torch.Tensor) -> torch.Tensor:
        if not self._perceptual:
            return (values * 2 - 1).clamp(-1, 1)
        cones = _mix(FROM_LAB, values) ** 3
        linear = _mix(FROM_CONES, cones).clamp(0, 1)
        shown = torch.where(
            linear <= 0.0031308, linear * 12.92, 1.055 * linear.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
        )
        return (shown * 2 - 1).clamp(-1, 1)


def _mix(matrix: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """Channels (B, 3, H, W) mixed by a (3, 3) matrix."""
    return functional.conv2d(images, matrix.to(images).view(3, 3, 1, 1))
