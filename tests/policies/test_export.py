"""The exported policy is the trained one: same numbers, same frame order, no critic, and whole or absent."""

from __future__ import annotations

import gymnasium
import numpy as np
import onnx
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from simgym.deploy import Camera, Policy
from simgym.policies import export
from simgym.policies.export import ExportError, export_policy
from simgym.policies.networks import AsymmetricPolicy


class FrameMeans(BaseFeaturesExtractor):
    """The mean of each channel group, oldest first, and nothing else: (N, K)."""

    def __init__(self, observation_space: spaces.Dict) -> None:
        super().__init__(observation_space, features_dim=observation_space["image"].shape[0] // 3)  # type: ignore[index]

    def forward(self, observations):
        return observations["image"].unflatten(1, (-1, 3)).mean((2, 3, 4))


@pytest.mark.parametrize("shared", [True, False])
def test_parity_on_a_thousand_frames(tmp_path, tiny_model, tiny_contract, random_observations, shared):
    model, (frames, velocities) = tiny_model(shared=shared), random_observations(1000)
    difference = export_policy(model, tiny_contract(), tmp_path / "policy.onnx", frames, velocities)
    commands = Policy(tmp_path / "policy.onnx").act_batch(frames, velocities)
    assert difference < 1e-4
    assert commands.std(axis=0).min() > 0.01  # neither constant nor all clipped: the comparison meant something


class WithPrivileged(gymnasium.ObservationWrapper):
    """What training adds for the critic: noise here, so that an actor that read it would be found out."""

    def __init__(self, env):
        super().__init__(env)
        privileged = spaces.Box(-np.inf, np.inf, (5,), np.float32)
        image = spaces.Box(0, 255, (9, 16, 20), np.uint8)
        self.observation_space = spaces.Dict({**env.observation_space.spaces, "image": image, "privileged": privileged})

    def observation(self, observation):
        return self.observation_space.sample()


def asymmetric_model(tiny_model):
    env = WithPrivileged(tiny_model().get_env().envs[0].unwrapped)
    return PPO(AsymmetricPolicy, env, n_steps=8, batch_size=8, seed=0, device="cpu")


def test_parity_of_the_default_network(tmp_path, tiny_model, tiny_contract, random_observations):
    model, (frames, velocities) = asymmetric_model(tiny_model), random_observations(100)
    with torch.no_grad():
        model.policy.action_net.weight.normal_(std=0.1)
    assert export_policy(model, tiny_contract(), tmp_path / "policy.onnx", frames, velocities) < 1e-4
    assert (tmp_path / "policy.onnx").stat().st_size < 2e6


def test_the_actor_does_not_read_the_privileged_state(tiny_model):
    model = asymmetric_model(tiny_model)
    observation = {name: space.sample()[None] for name, space in model.observation_space.spaces.items()}
    other = observation | {"privileged": observation["privileged"] + 100}
    np.testing.assert_array_equal(
        model.predict(observation, deterministic=True)[0], model.predict(other, deterministic=True)[0]
    )
    values = [model.policy.predict_values(model.policy.obs_to_tensor(seen)[0]).item() for seen in (observation, other)]
    assert values[0] != values[1], "the critic does read it"


def test_commands_are_physical_and_clipped(tmp_path, tiny_model, tiny_contract, random_observations):
    model, (frames, velocities) = tiny_model(gain=100), random_observations(200)
    export_policy(model, tiny_contract(), tmp_path / "policy.onnx", frames, 10 * velocities)
    commands = Policy(tmp_path / "policy.onnx").act_batch(frames, 10 * velocities)
    np.testing.assert_allclose(commands.min(axis=0), [0.0, -1.5], atol=1e-6)
    np.testing.assert_allclose(commands.max(axis=0), [0.6, 1.5], atol=1e-6)


def test_action_zero_is_half_speed_straight_on(tmp_path, tiny_model, tiny_contract, random_observations):
    frames, velocities = random_observations(3)
    model = tiny_model(gain=0)
    with torch.no_grad():
        model.policy.action_net.bias.zero_()
    export_policy(model, tiny_contract(), tmp_path / "policy.onnx", frames, velocities)
    commands = Policy(tmp_path / "policy.onnx").act_batch(frames, velocities)
    np.testing.assert_allclose(commands, [[0.3, 0.0]] * 3, atol=1e-6)


def test_oldest_frame_comes_first(tmp_path, tiny_model, tiny_contract, random_observations):
    """With an extractor that looks at one group only, just that frame may change the command."""
    model = tiny_model(extractor=FrameMeans)
    model.policy.mlp_extractor.policy_net = torch.nn.Identity()
    model.policy.action_net = torch.nn.Linear(3, 2)
    with torch.no_grad():
        model.policy.action_net.weight.copy_(torch.tensor([[1.0, 0, 0], [0, 0, 1.0]]))  # speed: oldest, turn: newest
        model.policy.action_net.bias.zero_()
    frames, velocities = random_observations(8)
    export_policy(model, tiny_contract(), tmp_path / "policy.onnx", frames, velocities)
    means = (frames / 255).mean((2, 3, 4))  # (N, K)
    expected = np.stack([(means[:, 0] + 1) / 2 * 0.6, means[:, 2] * 1.5], axis=1)
    policy = Policy(tmp_path / "policy.onnx")
    np.testing.assert_allclose(policy.act_batch(frames, velocities), expected, atol=1e-5)
    assert not np.allclose(policy.act_batch(frames[:, ::-1], velocities), expected, atol=1e-3)


def test_the_critic_and_the_source_stay_behind(tmp_path, tiny_model, tiny_contract, random_observations):
    model, path = tiny_model(shared=False), tmp_path / "policy.onnx"
    export_policy(model, tiny_contract(), path, *random_observations(4))
    names = [tensor.name for tensor in onnx.load(path).graph.initializer]
    assert not [name for name in names if "value" in name or "vf_" in name]
    assert b".py" not in path.read_bytes()


def test_training_can_go_on_after_export(tmp_path, tiny_model, tiny_contract, random_observations):
    model = tiny_model()
    model.policy.set_training_mode(True)
    export_policy(model, tiny_contract(), tmp_path / "policy.onnx", *random_observations(4))
    assert model.policy.training
    model.learn(16)


def test_the_contract_travels_with_the_file(tmp_path, tiny_model, tiny_contract, random_observations):
    contract = tiny_contract(training={"steps": 7, "success_ci95": [0.5, 0.9]})
    export_policy(tiny_model(), contract, tmp_path / "runs" / "policy.onnx", *random_observations(4))
    assert Policy(tmp_path / "runs" / "policy.onnx").contract == contract
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["policy.onnx"]


def test_a_wrong_graph_is_refused_and_an_earlier_file_kept(
    tmp_path, monkeypatch, tiny_model, tiny_contract, random_observations
):
    path = tmp_path / "policy.onnx"
    path.write_bytes(b"earlier")
    forward = export.DeployedActor.forward
    monkeypatch.setattr(export.DeployedActor, "forward", lambda self, image, v: forward(self, image, v) + 0.01)
    with pytest.raises(ExportError, match=r"differs from the model by 0\.01"):
        export_policy(tiny_model(), tiny_contract(), path, *random_observations(4))
    assert path.read_bytes() == b"earlier"
    assert [path.name for path in tmp_path.iterdir()] == ["policy.onnx"]


def test_nan_weights_are_refused(tmp_path, tiny_model, tiny_contract, random_observations):
    model = tiny_model()
    with torch.no_grad():
        model.policy.action_net.bias.fill_(torch.nan)
    with pytest.raises(ExportError, match="diverged"):
        export_policy(model, tiny_contract(), tmp_path / "policy.onnx", *random_observations(4))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"camera": Camera.from_fov(24, 16, 1.2)}, "observations"),
        ({"frame_stack": 4}, "observations"),
    ],
)
def test_a_contract_for_another_model_is_refused(
    tmp_path, tiny_model, tiny_contract, random_observations, changes, message
):
    with pytest.raises(ExportError, match=message):
        export_policy(tiny_model(), tiny_contract(**changes), tmp_path / "p.onnx", *random_observations(4))


def test_no_frames_is_refused(tmp_path, tiny_model, tiny_contract, random_observations):
    with pytest.raises(ExportError, match="none were given"):
        export_policy(tiny_model(), tiny_contract(), tmp_path / "p.onnx", *random_observations(0))


def test_vec_normalize_is_refused(tmp_path, tiny_model, tiny_contract, random_observations):
    model = tiny_model()
    tiny_env = type(model.get_env().envs[0].unwrapped)
    model._vec_normalize_env = VecNormalize(DummyVecEnv([tiny_env]), norm_obs_keys=["velocity"])
    with pytest.raises(ExportError, match="VecNormalize"):
        export_policy(model, tiny_contract(), tmp_path / "p.onnx", *random_observations(4))
