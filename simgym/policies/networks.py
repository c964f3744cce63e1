"""The vision network of a driving policy: small enough to learn from pixels in minutes on two CPU cores."""

from __future__ import annotations

import gymnasium
import torch
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn
from torch.nn import functional


class VisionExtractor(BaseFeaturesExtractor):
    """Convolutions over the stacked frames, joined by the velocity.

    Args:
        observation_space: Dict of ``image`` (3K, H, W) and ``velocity`` (2,).
        channels: output channels of the three convolutions.
        features_dim: width of the picture's code; the output has two more numbers, the velocity.
    """

    def __init__(
        self,
        observation_space: gymnasium.spaces.Dict,
        channels: tuple[int, int, int] = (16, 32, 32),
        features_dim: int = 192,
    ) -> None:
        super().__init__(observation_space, features_dim + 2)
        frames, height, width = observation_space["image"].shape  # type: ignore[misc]
        self.stem = nn.Conv2d(frames, channels[0], kernel_size=4, stride=4)
        self.body = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels[0], channels[1], kernel_size=3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels[1], channels[2], kernel_size=3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
        )
        with torch.no_grad():
            flat = self.body(self.stem(torch.zeros(1, frames, height, width))).shape[1]
        self.project = nn.Sequential(nn.Linear(flat, features_dim), nn.ReLU())

    def forward(self, observations: dict[str, torch.Tensor]) -> torch.Tensor:
        """Image (B, 3K, H, W) in 0..255 and velocity (B, 2) -> (B, features_dim + 2)."""
        image = observations["image"].float()
        # Pixels are scaled to 0..1 through the weights: on a CPU, a pass over all pixels costs as much as the network.
        patches = functional.conv2d(image, self.stem.weight / 255, self.stem.bias, stride=4)  # (B, C, H/4, W/4)
        code = self.project(self.body(patches))  # (B, D)
        return torch.cat([code, observations["velocity"]], dim=1)
