"""Exports a trained policy to a bundle that needs no torch, and proves that it does the same."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from gymnasium import spaces
from torch import nn

from simgym.bundling import save_bundle, to_onnx
from simgym.deploy.bundle import Contract
from simgym.deploy.policy import Policy, stack_channels
from simgym.errors import UserError
from simgym.files import atomic_path

from .networks import EXPERT, PRIVILEGED, with_privileged

if TYPE_CHECKING:
    from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
    from stable_baselines3.common.policies import ActorCriticPolicy

COMPARED_AT_ONCE = 256  # frames; bounds the memory of the comparison


class ExportError(UserError):
    """A model cannot be exported, or the exported graph does not do what the model does."""


class DeployedActor(nn.Module):
    """What a robot runs of an actor-critic policy: from raw frames to a command in physical units.

    ``command = low + (clip(mean action, -1, 1) + 1) / 2 * (high - low)``. The critic takes no part.

    Args:
        policy: a Stable-Baselines3 policy over ``Dict(image, <measured>)`` with actions in [-1, 1].
        measured: the observation beside the image.
        low: (A,) smallest command.
        high: (A,) largest command.
    """

    def __init__(
        self, policy: ActorCriticPolicy, measured: str, low: tuple[float, ...], high: tuple[float, ...]
    ) -> None:
        super().__init__()
        self.low: torch.Tensor
        self.high: torch.Tensor
        self.policy, self._measured = policy, measured
        self.register_buffer("low", torch.tensor(low, dtype=torch.float32))  # (A,)
        self.register_buffer("high", torch.tensor(high, dtype=torch.float32))  # (A,)

    def forward(self, image: torch.Tensor, measured: torch.Tensor) -> torch.Tensor:
        """Command (N, A) for ``image`` (N, K, H, W, 3) uint8, oldest first, and ``measured`` (N, D) float32."""
        channels_first = image.permute(0, 1, 4, 2, 3).flatten(1, 2)  # (N, 3K, H, W), as training stacks them
        features = self.policy.extract_features({"image": channels_first, self._measured: measured})
        if isinstance(features, tuple):  # extractors are not shared; the second is the critic's
            features = features[0]
        action = self.policy.action_net(self.policy.mlp_extractor.forward_actor(features))  # (N, A)
        return self.low + (action.clamp(-1, 1) + 1) / 2 * (self.high - self.low)


def export_policy(
    model: OnPolicyAlgorithm,
    contract: Contract,
    path: str | Path,
    frames: np.ndarray,
    measured: np.ndarray,
    tolerance: float = 1e-4,
) -> float:
    """Write a policy bundle, compare it with the model, and keep it only if they agree.

    Args:
        model: PPO (or another on-policy algorithm) with a ``MultiInputPolicy`` over ``Dict(image, <measured>)``:
            the image stacked to (3K, H, W), oldest first, and what the contract says is measured; actions in [-1, 1].
        contract: as `simgym.deploy.policy_contract` makes it; the command's limits are taken from it.
        path: the ``.onnx`` file to write; an earlier one stays untouched if anything fails.
        frames: (N, K, H, W, 3) uint8 real observations to compare on.
        measured: (N, D) float32.
        tolerance: largest difference allowed, in the units of the command.

    Returns:
        The largest difference found.

    Raises:
        ExportError: the model does not fit the contract, or the difference exceeds the tolerance.
    """
    _check_model(model, contract)
    if len(frames) == 0:
        raise ExportError("the exported policy is compared with the model on real frames, but none were given")
    policy = copy.deepcopy(model.policy).to("cpu")  # training may go on, on its device and in its mode
    policy.set_training_mode(False)
    command = contract.outputs[0]
    graph = to_onnx(DeployedActor(policy, contract.inputs[1].name, command.low, command.high), contract)
    with atomic_path(path) as temporary:
        save_bundle(graph, contract, temporary)
        difference = _largest_difference(policy, Policy(temporary), frames, measured)
        if not difference <= tolerance:  # this way round, NaN fails
            raise ExportError(
                f"the exported policy differs from the model by {difference:.3g} where {tolerance:g} is "
                "allowed, so nothing was written: look for an operation that torch.onnx translates differently"
            )
    return difference


def _check_model(model: OnPolicyAlgorithm, contract: Contract) -> None:
    """The model's observations and actions are what the contract and the wrapper assume."""
    camera, k = contract.camera, contract.frame_stack
    expected = {"image": (3 * k, camera.height, camera.width), contract.inputs[1].name: (contract.inputs[1].shape[-1],)}
    observed = {name: space.shape for name, space in getattr(model.observation_space, "spaces", {}).items()}
    for name in (PRIVILEGED, EXPERT):  # for training; they stay behind
        observed.pop(name, None)
    if observed != expected:
        raise ExportError(
            f"the contract's camera and frame_stack mean observations {expected}, the model has {observed}"
        )
    expected_actions = spaces.Box(-1, 1, tuple(int(size) for size in contract.outputs[0].shape[1:]), np.float32)
    if model.action_space != expected_actions:
        raise ExportError(f"the model must act in {expected_actions}, but acts in {model.action_space}")
    if model.policy.squash_output:
        raise ExportError("a policy with squash_output=True cannot be exported: train without it")
    if not all(torch.isfinite(parameter).all() for parameter in model.policy.parameters()):
        raise ExportError(
            "the model has weights that are not finite, its training diverged: export an earlier checkpoint"
        )
    normalize = model.get_vec_normalize_env()
    if normalize is not None and normalize.norm_obs:
        raise ExportError("VecNormalize's observation statistics would be lost: normalize inside the network instead")


def _largest_difference(policy: ActorCriticPolicy, bundle: Policy, frames: np.ndarray, measured: np.ndarray) -> float:
    """Compare with Stable-Baselines3's own ``predict``, which shares no code with `DeployedActor`."""
    command = bundle.contract.outputs[0]
    low, high = np.array(command.low), np.array(command.high)
    largest = 0.0
    for start in range(0, len(frames), COMPARED_AT_ONCE):
        part = slice(start, start + COMPARED_AT_ONCE)
        observation = {"image": stack_channels(frames[part]), bundle.contract.inputs[1].name: measured[part]}
        action, _ = policy.predict(with_privileged(observation, policy), deterministic=True)  # (n, A) in [-1, 1]
        expected = low + (action + 1) / 2 * (high - low)
        difference = np.abs(bundle.act_batch(frames[part], measured[part]) - expected)
        largest = max(largest, float(difference.max()))
    return largest
