"""The vision network and the heads: shapes, pixel scaling, gradients, and an actor blind to privileged state."""

import math
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn
from torch.nn import functional

from simgym.policies.networks import (
    EXPERT,
    PRIVILEGED,
    AsymmetricHeads,
    AsymmetricPolicy,
    TurnedActions,
    VisionExtractor,
    with_privileged,
)

PRIVILEGED_DIM = 14


def space(frames: int = 3, height: int = 60, width: int = 80) -> spaces.Dict:
    return spaces.Dict(
        {
            "image": spaces.Box(0, 255, (3 * frames, height, width), np.uint8),
            "velocity": spaces.Box(-np.inf, np.inf, (2,), np.float32),
            PRIVILEGED: spaces.Box(-np.inf, np.inf, (PRIVILEGED_DIM,), np.float32),
            EXPERT: spaces.Box(-1, 1, (2,), np.float32),
        }
    )


def observations(of: spaces.Dict, batch: int = 4, seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "image": torch.randint(0, 256, (batch, *(of["image"].shape or ())), generator=generator, dtype=torch.uint8),
        "velocity": torch.randn(batch, 2, generator=generator),
        PRIVILEGED: torch.randn(batch, PRIVILEGED_DIM, generator=generator),
        EXPERT: torch.rand(batch, 2, generator=generator),
    }


def policy_of(of: spaces.Dict) -> Any:
    torch.manual_seed(0)
    return AsymmetricPolicy(of, spaces.Box(-1, 1, (2,), np.float32), lambda _: 1e-3)


@pytest.mark.parametrize(("frames", "height", "width"), [(1, 60, 80), (4, 60, 80), (3, 48, 64), (2, 61, 83)])
@pytest.mark.parametrize("batch", [1, 5])
def test_the_code_has_the_stated_size(frames, height, width, batch):
    of = space(frames, height, width)
    extractor = VisionExtractor(of, code_dim=32)
    code = extractor(observations(of, batch))
    assert code.shape == (batch, 32 + 2 + PRIVILEGED_DIM) == (batch, extractor.features_dim)
    assert code.dtype == torch.float32


def test_velocity_and_privileged_state_pass_through_at_the_end():
    of = space()
    seen = observations(of)
    code = VisionExtractor(of, code_dim=32)(seen)
    torch.testing.assert_close(code[:, 32:34], seen["velocity"], rtol=0, atol=0)
    torch.testing.assert_close(code[:, 34:], seen[PRIVILEGED], rtol=0, atol=0)


def test_what_is_measured_is_scaled_by_its_usual_range():
    of = space()
    seen = observations(of)
    low, high = np.array([0.0, -1.5]), np.array([0.5, 1.5])
    code = VisionExtractor(of, code_dim=32, usual_range=(low, high))(seen)
    expected = (seen["velocity"] - torch.tensor([0.25, 0.0])) / torch.tensor([0.25, 1.5])
    torch.testing.assert_close(code[:, 32:34], expected)


def test_scaling_through_the_weights_is_scaling_of_the_pixels():
    """And the newest frame is seen in full, the past by every fourth pixel."""
    of = space()
    extractor, seen = VisionExtractor(of, code_dim=32), observations(of)
    pixels = seen["image"].float() / 255
    patches = functional.relu(extractor.stem(pixels[:, -3:]))
    assert extractor.past is not None
    explicit = extractor.middle(patches) + extractor.past(pixels[:, :-3, 2::4, 2::4])
    torch.testing.assert_close(
        extractor(seen)[:, :32], extractor.project(extractor.body(explicit)), rtol=1e-4, atol=1e-5
    )


def test_bytes_and_floats_of_the_same_picture_give_the_same_code():
    of = space()
    extractor, seen = VisionExtractor(of), observations(of)
    as_float = extractor(seen | {"image": seen["image"].float()})
    torch.testing.assert_close(extractor(seen), as_float, rtol=0, atol=0)


def test_the_input_is_not_changed():
    of = space()
    seen = observations(of)
    kept = {name: value.clone() for name, value in seen.items()}
    VisionExtractor(of)(seen)
    assert all(torch.equal(seen[name], kept[name]) for name in kept)


def test_rows_of_a_batch_do_not_mix():
    of = space()
    extractor, seen = VisionExtractor(of), observations(of, 4)
    alone = torch.cat([extractor({name: value[i : i + 1] for name, value in seen.items()}) for i in range(4)])
    torch.testing.assert_close(extractor(seen), alone, rtol=1e-4, atol=1e-5)


def test_every_pixel_row_and_frame_can_matter():
    """A change in any quarter of any frame reaches the code."""
    of = space()
    torch.manual_seed(0)
    extractor, seen = VisionExtractor(of), observations(of, 1)
    code = extractor(seen)
    for channel in range(9):
        for rows in (slice(0, 30), slice(30, 60)):
            for columns in (slice(0, 40), slice(40, 80)):
                image = seen["image"].clone()
                image[0, channel, rows, columns] = 255 - image[0, channel, rows, columns]
                assert not torch.equal(extractor(seen | {"image": image}), code), (channel, rows, columns)


def test_gradients_reach_every_parameter():
    of = space()
    policy = policy_of(of)
    values, log_prob, _ = policy.evaluate_actions(observations(of), torch.rand(4, 2))
    (values.sum() + log_prob.sum()).backward()
    still = [name for name, p in policy.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert still == []


def test_the_actor_never_reads_the_privileged_state_and_the_critic_does():
    of = space()
    policy, seen = policy_of(of), observations(of)
    other = seen | {PRIVILEGED: seen[PRIVILEGED] + 3}
    mean, changed_mean = (policy.get_distribution(s).distribution.mean for s in (seen, other))
    torch.testing.assert_close(mean, changed_mean, rtol=0, atol=0)
    assert (policy.predict_values(seen) - policy.predict_values(other)).abs().min() > 1e-6


def test_neither_actor_nor_critic_reads_what_the_expert_does():
    of = space()
    policy, seen = policy_of(of), observations(of)
    other = seen | {EXPERT: -seen[EXPERT]}
    for read in (policy.predict_values, lambda s: policy.get_distribution(s).distribution.mean):
        torch.testing.assert_close(read(seen), read(other), rtol=0, atol=0)


def test_the_actors_loss_gives_the_privileged_state_no_gradient():
    of = space()
    policy, seen = policy_of(of), observations(of)
    seen[PRIVILEGED].requires_grad_(True)
    policy.get_distribution(seen).distribution.mean.sum().backward()
    gradient = seen[PRIVILEGED].grad
    assert gradient is None or not gradient.any()


def test_without_privileged_state_as_on_a_robot_the_actor_acts_the_same():
    of = space()
    policy, seen = policy_of(of), observations(of)
    features = policy.features_extractor({name: seen[name] for name in ("image", "velocity")})
    latent = policy.mlp_extractor.forward_actor(features)
    expected = policy.get_distribution(seen).distribution.mean
    torch.testing.assert_close(policy.action_net(latent), expected, rtol=1e-5, atol=1e-6)


def test_heads_split_features_where_they_say():
    heads = AsymmetricHeads(features_dim=20, privileged_dim=5, hidden_units=8, passed=[])
    features = torch.randn(3, 20)
    actor, critic = heads(features)
    assert actor.shape == critic.shape == (3, 8)
    torch.testing.assert_close(heads.forward_actor(features[:, :15]), actor, rtol=0, atol=0)
    assert heads.actor[0].in_features == 15 and heads.critic[0].in_features == 20


def test_with_privileged_fills_in_zeros_only_where_the_policy_asks_for_them():
    policy = policy_of(space())
    seen: dict[str, np.ndarray] = {
        "image": np.zeros((2, 9, 60, 80), np.uint8),
        "velocity": np.zeros((2, 2), np.float32),
    }
    filled = with_privileged(seen, policy)
    assert filled[PRIVILEGED].shape == (2, PRIVILEGED_DIM) and not filled[PRIVILEGED].any()
    assert PRIVILEGED not in seen
    plain = gymnasium.spaces.Dict({name: policy.observation_space[name] for name in seen})
    policy.observation_space = plain
    assert set(with_privileged(seen, policy)) == set(seen)


def test_actions_that_the_camera_sees_ahead_turn_with_it():
    """A quarter turn makes right into ahead, and leaves what is no vector of the table alone."""
    linear = nn.Identity()
    latent = torch.tensor([[0.3, 0.4, 0.5, 0.0], [0.3, 0.4, 0.5, 1.0]])  # the last entry is the yaw, in units of pi / 2
    turned = TurnedActions(linear, math.pi / 2)(latent)
    torch.testing.assert_close(turned[:, :3], torch.tensor([[0.3, 0.4, 0.5], [-0.4, 0.3, 0.5]]))


def test_a_policy_with_a_turning_camera_passes_the_scaled_yaw_on_to_its_actions():
    of = space()
    torch.manual_seed(0)
    kwargs = {"usual_range": (np.array([-1.0, -2.0]), np.array([1.0, 2.0])), "code_dim": 32}
    policy = AsymmetricPolicy(
        of, spaces.Box(-1, 1, (2,), np.float32), lambda _: 1e-3, camera_yaw=1, features_extractor_kwargs=kwargs
    )
    seen = observations(of)
    latent = policy.mlp_extractor.forward_actor(policy.extract_features(seen))
    torch.testing.assert_close(latent[:, -1] * 2.0, seen["velocity"][:, 1])
    head = policy.action_net
    assert isinstance(head, TurnedActions)
    torch.testing.assert_close(head(latent).norm(dim=1), head.linear(latent).norm(dim=1))
