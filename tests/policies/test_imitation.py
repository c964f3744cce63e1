"""Imitation before PPO: it learns what the expert does without any reward, and hands over to plain PPO."""

from __future__ import annotations

import json
import zipfile
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.policies import MultiInputActorCriticPolicy
from stable_baselines3.common.vec_env import DummyVecEnv

from simgym.envs.tasks import Reflection
from simgym.policies.imitation import BatchBuffer, DataSet, DivergenceError, ImitatingPPO, Mirror
from simgym.policies.networks import EXPERT

GAIN = np.array([[0.6, -0.3], [0.2, 0.5]], np.float32)


class Follow(gymnasium.Env):
    """The expert's action is a linear function of what is seen; the return is the same whatever one does."""

    observation_space = spaces.Dict({name: spaces.Box(-1, 1, (2,), np.float32) for name in ("seen", EXPERT)})
    action_space = spaces.Box(-1, 1, (2,), np.float32)

    def _observe(self):
        seen = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        return {"seen": seen, EXPERT: GAIN @ seen}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.step_count = 0
        return self._observe(), {}

    def step(self, action):
        self.step_count += 1
        return self._observe(), 1.0, self.step_count == 8, False, {}


class Blind(MultiInputActorCriticPolicy):
    """Sees all but the expert's action, as our own network does."""

    def extract_features(self, obs, features_extractor=None):
        return super().extract_features(obs | {EXPERT: torch.zeros_like(obs[EXPERT])}, features_extractor)


def make(algorithm: type[PPO] = ImitatingPPO, **options) -> Any:
    env = DummyVecEnv([Follow] * 8)
    return algorithm(Blind, env, n_steps=16, batch_size=64, n_epochs=4, seed=3, device="cpu", **options)


def error(model: PPO) -> float:
    """Mean squared difference of the model's actions and the expert's."""
    seen = np.random.default_rng(0).uniform(-1, 1, (200, 2)).astype(np.float32)
    actions, _ = model.predict({"seen": seen, EXPERT: np.zeros_like(seen)}, deterministic=True)
    return float(np.mean((actions - seen @ GAIN.T) ** 2))


def test_remembered_rollouts_are_learned_from_until_they_are_forgotten():
    data, buffer = DataSet(2), make().rollout_buffer

    def add(value: int) -> None:
        buffer.returns[:] = value
        buffer.observations["seen"][:] = value / 10
        data.add(buffer)

    add(1)
    assert set(data.batch(200)["returns"]) == {1}
    add(2)
    assert set(data.batch(200)["returns"]) == {1, 2}
    add(3)
    batch = data.batch(200)
    assert set(batch["returns"]) == {2, 3}, "the oldest gave way"
    np.testing.assert_allclose(batch["seen"], np.repeat(batch["returns"][:, None] / 10, 2, 1))
    assert batch["seen"].dtype == np.float32 and batch.keys() == {"seen", EXPERT, "returns"}
    data.clear()
    add(4)
    assert set(data.batch(200)["returns"]) == {4}


def test_what_it_remembers_is_not_saved(tmp_path):
    model = make(imitation_steps=10_000, remembered=5)
    model.learn(256)
    assert len(model.data_set.batch(8)["returns"]) == 8
    model.save(tmp_path / "model.zip")
    assert "data_set" not in json.loads(zipfile.ZipFile(tmp_path / "model.zip").read("data"))


@pytest.mark.parametrize("imitation_steps", [0, 10_000])
def test_divergence_is_said_and_what_to_do(imitation_steps):
    model = make(imitation_steps=imitation_steps, learning_rate=1e30)
    with pytest.raises(DivergenceError, match=r"after \d+ steps actions are not finite.*lower algo\.learning_rate"):
        model.learn(1024)


@pytest.mark.parametrize("remembered", [1, 5])
def test_it_does_what_the_expert_does_without_any_reward_for_it(remembered):
    model = make(imitation_steps=10_000, learning_rate=3e-3, remembered=remembered)
    before = error(model)
    model.learn(3_000)
    assert before > 0.05 and error(model) < 0.002


def test_the_critic_learns_the_returns_meanwhile():
    model = make(imitation_steps=20_000, learning_rate=3e-3, gamma=0.5)
    model.learn(6_000)
    start = {"seen": torch.zeros(1, 2), EXPERT: torch.zeros(1, 2)}
    assert abs(model.policy.predict_values(start).item() - 2.0) < 0.3  # 1 + 1/2 + 1/4 ..., near the end a bit less


def test_without_imitation_it_is_ppo_bit_for_bit():
    ours = make(imitation_steps=0, rollout_buffer_class=BatchBuffer).learn(512).policy.state_dict()
    theirs = make(PPO).learn(512).policy.state_dict()
    for name, weight in theirs.items():
        assert torch.equal(weight, ours[name]), name


def test_after_imitation_ppo_takes_over():
    model = make(imitation_steps=256)
    imitated: list[int] = []
    model._imitate = lambda: imitated.append(model.num_timesteps)
    model.learn(512)
    assert imitated == [128, 256]


def test_it_can_be_saved_and_loaded(tmp_path):
    model = make(imitation_steps=256)
    model.learn(128)
    model.save(tmp_path / "model.zip")
    again = ImitatingPPO.load(tmp_path / "model.zip", device="cpu")
    assert again.imitation_steps == 256 and error(again) == error(model)


def test_a_mirror_image_of_a_mirror_image_is_the_thing_itself():
    rng = torch.Generator().manual_seed(0)
    seen = {
        "image": torch.randint(0, 256, (2, 3, 4, 6), generator=rng, dtype=torch.uint8),
        "proprio": torch.randn(2, 3, generator=rng),
        EXPERT: torch.randn(2, 2, generator=rng),
        "privileged": torch.randn(2, 4, generator=rng),
    }
    reflection = Reflection(
        np.array([1.0, -1, 1]), np.array([-1.0, 1.0]), np.array([1.0, -1, 1, 1]), np.array([0, 1, 3, 2])
    )
    mirror = Mirror("proprio", reflection.measured, reflection)
    once = mirror(seen)
    assert torch.equal(once["image"][..., 0], seen["image"][..., -1])
    assert torch.equal(once["proprio"], seen["proprio"] * torch.tensor([1.0, -1.0, 1.0]))
    assert torch.equal(once[EXPERT], seen[EXPERT] * torch.tensor([-1.0, 1.0]))
    assert torch.equal(once["privileged"], (seen["privileged"] * torch.tensor([1.0, -1, 1, 1]))[:, [0, 1, 3, 2]])
    for name, values in mirror(once).items():
        assert torch.equal(values, seen[name]), name


class Turn(gymnasium.Env):
    """One turn, to the left or the right, at a picture that is bright on one side; only turns to the left are paid."""

    observation_space = spaces.Dict(
        {
            "image": spaces.Box(0, 1, (1, 1, 2), np.float32),
            "velocity": spaces.Box(-1, 1, (1,), np.float32),
            "privileged": spaces.Box(-1, 1, (1,), np.float32),
            EXPERT: spaces.Box(-1, 1, (1,), np.float32),
        }
    )
    action_space = spaces.Box(-1, 1, (1,), np.float32)
    zero = np.zeros(1, np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        left = np.array([[[1, 0]]], np.float32)
        return {"image": left, "velocity": self.zero, "privileged": self.zero, EXPERT: self.zero}, {}

    def step(self, action):
        return self.reset()[0], float(action[0]), True, False, {}


def test_what_ppo_learns_of_one_side_it_knows_of_the_other():
    """Trained with the light on the left alone, it turns to the right where the light is on the right."""
    turns = Reflection(measured=np.ones(1), action=-np.ones(1), privileged=np.ones(1))
    model = ImitatingPPO(
        "MultiInputPolicy",
        DummyVecEnv([Turn] * 8),
        rollout_buffer_class=BatchBuffer,
        ppo_mirror=Mirror("velocity", np.ones(1), turns),
        n_steps=16,
        batch_size=64,
        n_epochs=4,
        learning_rate=3e-3,
        seed=3,
        device="cpu",
    ).learn(4096)
    zero = np.zeros((2, 1), np.float32)
    pictures = np.array([[[[1, 0]]], [[[0, 1]]]], np.float32)
    turn, _ = model.predict({"image": pictures, "velocity": zero, "privileged": zero, EXPERT: zero}, deterministic=True)
    assert turn[0, 0] > 0.5 and turn[1, 0] == pytest.approx(-turn[0, 0], abs=0.3)
