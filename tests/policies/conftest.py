"""A tiny driving world and an untrained policy for it: as the real ones from outside, but ready in a second."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

from simgym.deploy import Camera, Contract, policy_contract

torch.set_num_threads(1)  # the networks are tiny, and idle threads would spin on the cores of other tests

STACK = 3
CAMERA = Camera.from_fov(20, 16, 1.2)
MAX_SPEED_MPS, MAX_YAW_RATE_RADPS = 0.6, 1.5


class TinyEnv(gym.Env):
    """Observations of ChairNav's form, at 20x16 pixels; nothing ever happens."""

    observation_space = spaces.Dict(
        image=spaces.Box(0, 255, (CAMERA.height, CAMERA.width, 3 * STACK), np.uint8),
        velocity=spaces.Box(-np.inf, np.inf, (2,), np.float32),
    )
    action_space = spaces.Box(-1, 1, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        return self.observation_space.sample(), 0.0, False, False, {}


class TinyExtractor(BaseFeaturesExtractor):
    """One convolution and the velocity."""

    def __init__(self, observation_space: spaces.Dict) -> None:
        super().__init__(observation_space, features_dim=8 + 2)
        self.cnn = nn.Sequential(nn.Conv2d(3 * STACK, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def forward(self, observations: dict[str, torch.Tensor]) -> torch.Tensor:
        return torch.cat([self.cnn(observations["image"]), observations["velocity"]], dim=1)


def _model(extractor: type[BaseFeaturesExtractor] = TinyExtractor, shared: bool = True, gain: float = 0.1) -> PPO:
    """An untrained PPO; ``gain`` scales the last layer, so that actions are neither all zero nor all clipped."""
    policy_kwargs = {"features_extractor_class": extractor, "share_features_extractor": shared, "net_arch": [16]}
    model = PPO(
        "MultiInputPolicy", TinyEnv(), policy_kwargs=policy_kwargs, n_steps=8, batch_size=8, seed=0, device="cpu"
    )
    with torch.no_grad():
        model.policy.action_net.weight.normal_(std=gain)  # type: ignore[operator]
    return model


def _contract(**changes: Any) -> Contract:
    """The contract of `_model`."""
    values: dict[str, Any] = dict(
        task="ChairNav",
        camera=CAMERA,
        frame_stack=STACK,
        command_low=(0.0, -MAX_YAW_RATE_RADPS),
        command_high=(MAX_SPEED_MPS, MAX_YAW_RATE_RADPS),
        rate_hz=10.0,
        domains=("sim",),
        licence="Apache-2.0",
        training={"steps": 0, "seed": 0},
    )
    return policy_contract(**values | changes)


def _observations(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(n, K, H, W, 3) uint8 frames and (n, 2) float32 velocities."""
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 256, (n, STACK, CAMERA.height, CAMERA.width, 3), np.uint8)
    return frames, rng.normal(size=(n, 2)).astype(np.float32)


@pytest.fixture
def tiny_model() -> Callable[..., PPO]:
    """Makes an untrained PPO: ``tiny_model(extractor=, shared=, gain=)``."""
    return _model


@pytest.fixture
def tiny_contract() -> Callable[..., Contract]:
    """Makes the contract of `tiny_model`, with changes: ``tiny_contract(rate_hz=20.0)``."""
    return _contract


@pytest.fixture
def random_observations() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """Makes frames and velocities: ``frames, velocities = random_observations(n, seed=0)``."""
    return _observations
