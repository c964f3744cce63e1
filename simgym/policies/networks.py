"""Networks of a driving policy: small enough to learn from pixels in minutes on two CPU cores."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from stable_baselines3.common.policies import ActorCriticPolicy, MultiInputActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import Schedule
from torch import nn
from torch.nn import functional

STRIDE = 4  # of the first convolution, in pixels
PRIVILEGED = "privileged"  # the observation that the critic alone may read
EXPERT = "expert"  # the observation that imitation alone reads


class VisionExtractor(BaseFeaturesExtractor):
    """Convolutions over the stacked frames, joined by what is measured and privileged state, in this order.

    Args:
        observation_space: Dict of ``image`` (3K, H, W), ``privileged`` (P,), and one more: what the
            robot measures of itself (M,).
        channels: output channels of the three convolutions.
        code_dim: width of the picture's code.
        usual_range: lowest and highest values (M,) that are scaled to -1 and 1; else what is measured stays as it is.
    """

    def __init__(
        self,
        observation_space: gymnasium.spaces.Dict,
        channels: tuple[int, int, int] = (16, 32, 32),
        code_dim: int = 192,
        usual_range: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> None:
        self.code_dim, self.privileged_dim = code_dim, observation_space[PRIVILEGED].shape[0]  # type: ignore[index]
        (self.measured,) = set(observation_space.spaces) - {"image", PRIVILEGED, EXPERT}
        measured_dim = observation_space[self.measured].shape[0]  # type: ignore[index]
        super().__init__(observation_space, code_dim + measured_dim + self.privileged_dim)
        low, high = usual_range or (np.full(measured_dim, -1.0), np.ones(measured_dim))
        self.usual: torch.Tensor
        self.half_range: torch.Tensor
        self.register_buffer("usual", torch.tensor((low + high) / 2, dtype=torch.float32))  # (M,)
        self.register_buffer("half_range", torch.tensor((high - low) / 2, dtype=torch.float32))  # (M,)
        stacked, height, width = observation_space["image"].shape  # type: ignore[misc]
        self.stem = nn.Conv2d(3, channels[0], kernel_size=STRIDE, stride=STRIDE)
        self.middle = nn.Conv2d(channels[0], channels[1], kernel_size=3, stride=2, padding=1)
        past = stacked - 3
        self.past = nn.Conv2d(past, channels[1], kernel_size=3, stride=2, padding=1, bias=False) if past else None
        self.body = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels[1], channels[2], kernel_size=3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
        )
        with torch.no_grad():
            flat = self.body(self._see(torch.zeros(1, stacked, height, width))).shape[1]
        self.project = nn.Sequential(nn.Linear(flat, code_dim), nn.ReLU())

    def forward(self, observations: dict[str, torch.Tensor]) -> torch.Tensor:
        """Image (B, 3K, H, W) in 0..255, measured (B, M), privileged (B, P) -> (B, D + M + P).

        On a robot there is no privileged state; its place is left out, as the actor never reads it.
        """
        code = self.project(self.body(self._see(observations["image"])))  # (B, D)
        features = [code, (observations[self.measured] - self.usual) / self.half_range]
        if PRIVILEGED in observations:
            features.append(observations[PRIVILEGED])
        return torch.cat(features, dim=1)

    def _see(self, image: torch.Tensor) -> torch.Tensor:
        """(B, 3K, H, W) in 0..255 -> (B, C, H/8, W/8): the newest frame in full, the past by every 4th pixel.

        What was seen seconds ago matters roughly, and a look back costs little this way. Pixels are scaled to 0..1
        through the weights: on a CPU, a pass over all pixels costs as much as the network.
        """
        newest = _as_channels_last(image[:, -3:])
        patches = functional.relu(functional.conv2d(newest, self.stem.weight / 255, self.stem.bias, stride=STRIDE))
        seen = self.middle(patches)
        if self.past is None:
            return seen
        height, width = patches.shape[2:]
        before = image[:, :-3, STRIDE // 2 :: STRIDE, STRIDE // 2 :: STRIDE][:, :, :height, :width]
        return seen + functional.conv2d(_as_channels_last(before), self.past.weight / 255, stride=2, padding=1)


def _as_channels_last(image: torch.Tensor) -> torch.Tensor:
    """Bytes as floats in the memory layout in which a CPU's convolutions are faster, above all backwards."""
    return image.to(torch.float32, memory_format=torch.channels_last)


class AsymmetricHeads(nn.Module):
    """Hidden layers of actor and critic; the critic alone reads the privileged state (Pinto et al. 2018).

    The actor's latent code ends with the features ``passed`` on as they are.
    """

    def __init__(self, features_dim: int, privileged_dim: int, hidden_units: int, passed: list[int]) -> None:
        super().__init__()
        self.sensed_dim, self._passed = features_dim - privileged_dim, passed
        self.latent_dim_pi, self.latent_dim_vf = hidden_units + len(passed), hidden_units
        self.actor = nn.Sequential(nn.Linear(self.sensed_dim, hidden_units), nn.ReLU())
        self.critic = nn.Sequential(
            nn.Linear(features_dim, hidden_units), nn.ReLU(), nn.Linear(hidden_units, hidden_units), nn.ReLU()
        )

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, D + M + P) -> latent codes (B, H) of actor and critic."""
        return self.forward_actor(features), self.forward_critic(features)

    def forward_actor(self, features: torch.Tensor) -> torch.Tensor:
        """(B, D + M [+ P]) -> (B, H + passed); what lies beyond the sensed part is not read."""
        hidden = self.actor(features[:, : self.sensed_dim])
        return torch.cat([hidden, features[:, self._passed]], dim=1) if self._passed else hidden

    def forward_critic(self, features: torch.Tensor) -> torch.Tensor:
        """(B, D + M + P) -> (B, H)."""
        return self.critic(features)


class TurnedActions(nn.Module):
    """Mean actions whose first two are a vector as the camera sees it, turned into the frame that actions are in.

    ``[x; y] = R(yaw) [right; ahead]``, with the yaw as the last entry of the latent code: a network that looks along a
    turning hand need not learn to multiply by sines.

    Args:
        linear: from the latent code to actions.
        yaw_scale: radians of a unit of that entry.
    """

    def __init__(self, linear: nn.Module, yaw_scale: float) -> None:
        super().__init__()
        self.linear, self._yaw_scale = linear, yaw_scale

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        """(B, H + 1) -> (B, A)."""
        seen, yaw = self.linear(latent), latent[:, -1] * self._yaw_scale
        cos, sin = torch.cos(yaw), torch.sin(yaw)
        x, y = cos * seen[:, 0] - sin * seen[:, 1], sin * seen[:, 0] + cos * seen[:, 1]
        return torch.cat([torch.stack([x, y], dim=1), seen[:, 2:]], dim=1)


class AsymmetricPolicy(MultiInputActorCriticPolicy):
    """SB3's actor-critic policy over `VisionExtractor` with `AsymmetricHeads`.

    Args:
        hidden_units: width of the hidden layers.
        camera_yaw: which of the measured values (symmetric about 0) says how far the camera is turned, where it turns
            against the frame of actions (`TurnedActions`).
        args, kwargs: as SB3's policy takes them.
    """

    def __init__(self, *args: Any, hidden_units: int = 128, camera_yaw: int | None = None, **kwargs: Any) -> None:
        self._hidden_units, self._camera_yaw = hidden_units, camera_yaw
        super().__init__(*args, **kwargs | {"features_extractor_class": VisionExtractor, "normalize_images": False})

    def _build(self, lr_schedule: Schedule) -> None:
        super()._build(lr_schedule)
        if self._camera_yaw is not None:
            scale = float(self.features_extractor.half_range[self._camera_yaw])  # type: ignore[index]
            self.action_net = TurnedActions(self.action_net, scale)

    def extract_features(  # type: ignore[override]
        self, obs: dict[str, torch.Tensor], features_extractor: BaseFeaturesExtractor | None = None
    ) -> torch.Tensor:
        """As SB3's, without its pass over all pixels: the extractor takes bytes."""
        return (features_extractor or self.features_extractor)(obs)

    def _build_mlp_extractor(self) -> None:
        assert isinstance(self.features_extractor, VisionExtractor)
        extractor = self.features_extractor
        passed = [] if self._camera_yaw is None else [extractor.code_dim + self._camera_yaw]
        heads = AsymmetricHeads(self.features_dim, extractor.privileged_dim, self._hidden_units, passed)
        self.mlp_extractor = heads.to(self.device)  # type: ignore[assignment]  # SB3 uses it by these methods alone


def with_privileged(observation: dict[str, np.ndarray], policy: ActorCriticPolicy) -> dict[str, np.ndarray]:
    """Fill in zeros for what training adds to the observation: ``predict`` asks for it, the actor never reads it."""
    asked = getattr(policy.observation_space, "spaces", {})
    n = len(observation["image"])
    added = {name: np.zeros((n, *asked[name].shape), np.float32) for name in (PRIVILEGED, EXPERT) if name in asked}
    return observation | added
