"""PPO that begins by imitating an expert: what a planner with full knowledge can show need not be found by trial."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import DictRolloutBuffer
from stable_baselines3.common.type_aliases import DictRolloutBufferSamples
from torch.nn import functional

from simgym.envs.tasks import Reflection
from simgym.errors import UserError

from .networks import EXPERT, PRIVILEGED

RETURNS = "returns"  # beside the observations in a `DataSet`
ACTOR_WEIGHT = 4.0  # of the squared error of actions, beside ``vf_coef`` times that of values


class DivergenceError(UserError):
    """Training cannot go on: the policy's actions are not finite."""


class Mirror(NamedTuple):
    """How a mirror image of an observation looks, left for right: the picture flips, and some values change signs."""

    measured: str  # the observation beside the image
    measured_signs: np.ndarray  # (M,)
    reflection: Reflection  # of the others

    def __call__(self, observations: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """What the policy sees, its critic knows, and the expert does, mirrored."""
        order, privileged = self.reflection.privileged_order, observations[PRIVILEGED]
        return observations | {
            "image": observations["image"].flip(-1),
            self.measured: _signed(observations[self.measured], self.measured_signs),
            EXPERT: _signed(observations[EXPERT], self.reflection.action),
            PRIVILEGED: _signed(privileged if order is None else privileged[:, order], self.reflection.privileged),
        }

    def samples(self, batch: DictRolloutBufferSamples) -> DictRolloutBufferSamples:
        """Steps as they would have gone in the mirror.

        Their actions are taken to be as probable as the true ones were, which draws the policy to one that does the
        same in both (Mittal et al. 2024, "Symmetry Considerations for Learning Task Symmetric Robot Policies").
        """
        return batch._replace(
            observations=self(dict(batch.observations)), actions=_signed(batch.actions, self.reflection.action)
        )


def _signed(values: torch.Tensor, signs: np.ndarray) -> torch.Tensor:
    return values * torch.as_tensor(signs, dtype=torch.float32, device=values.device)


class BatchBuffer(DictRolloutBuffer):
    """SB3's buffer, whose batches are copied once: what it indexes is new, so a tensor may share its memory.

    With a ``mirror`` every other pass over it is of mirror images.
    """

    mirror: Mirror | None = None

    def reset(self) -> None:
        """Forget all."""
        super().reset()
        self._passes = 0

    def get(self, batch_size: int | None = None) -> Generator[Any, None, None]:
        """One pass in batches, `DictRolloutBufferSamples`."""
        self._passes += 1
        mirror = self.mirror if self._passes % 2 == 0 else None
        for samples in super().get(batch_size):
            yield samples if mirror is None else mirror.samples(samples)

    def to_torch(self, array: np.ndarray, copy: bool = True) -> torch.Tensor:
        """A tensor over ``array``."""
        return super().to_torch(array, copy=False)


class DataSet:
    """What the last rollouts of a training hold, to imitate from: DAgger's data set, as far as memory goes.

    Args:
        rollouts: how many of them.
    """

    def __init__(self, rollouts: int) -> None:
        self._rollouts = rollouts
        self.clear()

    def clear(self) -> None:
        """Forget all."""
        self._columns: dict[str, np.ndarray] = {}  # (rollouts * samples, ...)
        self._added = self._held = 0  # rollouts, samples

    def add(self, buffer: DictRolloutBuffer) -> None:
        """Take in a whole rollout, in place of the oldest one."""
        rows = {**buffer.observations, RETURNS: buffer.returns}  # (steps, worlds, ...)
        count = buffer.buffer_size * buffer.n_envs
        first = self._added % self._rollouts * count
        for name, values in rows.items():
            if name not in self._columns:
                self._columns[name] = np.zeros((self._rollouts * count, *values.shape[2:]), values.dtype)
            self._columns[name][first : first + count] = values.reshape(count, *values.shape[2:])
        self._added += 1
        self._held = min(self._added, self._rollouts) * count

    def batch(self, size: int) -> dict[str, np.ndarray]:
        """Some of it by chance, (B, ...)."""
        rows = np.random.randint(self._held, size=size)
        return {name: values[rows] for name, values in self._columns.items()}


class ImitatingPPO(PPO):
    """PPO whose first ``imitation_steps`` steps follow the expert, in the states that the policy itself runs into.

    An imitating update minimizes ``4 |mean action - expert's action|^2 + vf_coef |value - return|^2`` over the samples
    of the last rollouts: DAgger (Ross et al. 2011), its data set cut to them. The expert sees what the policy cannot,
    so where to look for a chair that is not in sight is left to PPO, which starts from a policy that already drives and
    a critic that already knows its returns.

    Args:
        imitation_steps: steps over all worlds before PPO takes over; 0 is plain PPO.
        imitation_batch_size: samples of its gradient steps; by default PPO's ``batch_size``.
        remembered: rollouts that imitation learns from, the last ones; with 1 each serves once and is gone.
        mirror: what a mirror image is: then every other batch of imitation is one, from which the actor alone learns.
        ppo_mirror: the same for PPO: then actor and critic learn from mirror images in every other pass.
        args, kwargs: as `stable_baselines3.PPO` takes them; observations have an ``expert`` (A,) action.
    """

    def __init__(
        self,
        *args: Any,
        imitation_steps: int = 0,
        imitation_batch_size: int | None = None,
        remembered: int = 1,
        mirror: Mirror | None = None,
        ppo_mirror: Mirror | None = None,
        **kwargs: Any,
    ) -> None:
        self.imitation_steps, self._imitation_batch_size = imitation_steps, imitation_batch_size
        self._mirror, self._ppo_mirror = mirror, ppo_mirror
        self.data_set = DataSet(remembered) if remembered > 1 else None
        super().__init__(*args, **kwargs)

    def train(self) -> None:
        """Update the policy from the rollout buffer."""
        if self.num_timesteps > self.imitation_steps:
            if self._ppo_mirror is not None:
                assert isinstance(self.rollout_buffer, BatchBuffer)
                self.rollout_buffer.mirror = self._ppo_mirror
            super().train()
        else:
            self._imitate()

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "data_set"]  # gigabytes that nobody loads

    def learn(self, *args: Any, **kwargs: Any) -> ImitatingPPO:
        """As SB3's; raises DivergenceError where the policy has come to act by no number."""
        try:
            return super().learn(*args, **kwargs)
        except ValueError as error:
            if "Expected parameter" not in str(error):  # so torch's distributions refuse what is no distribution
                raise
            raise DivergenceError(
                f"training diverged: after {self.num_timesteps} steps actions are not finite; earlier checkpoints are "
                "kept, so begin with one of them (start=), or with a lower algo.learning_rate or algo.ppo_learning_rate"
            ) from error

    def _imitate(self) -> None:
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        errors: list[tuple[float, float]] = []  # of actions, of values
        for number, (observations, returns) in enumerate(self._batches()):
            critic_weight = self.vf_coef
            if self._mirror is not None and number % 2:
                observations, critic_weight = self._mirror(observations), 0.0
            actor_loss, critic_loss = self._errors(observations, returns)
            self.policy.optimizer.zero_grad()
            (ACTOR_WEIGHT * actor_loss + critic_weight * critic_loss).backward()
            torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm)
            self.policy.optimizer.step()
            errors.append((actor_loss.item(), critic_loss.item()))
        self._n_updates += self.n_epochs
        self.logger.record("train/imitation_loss", float(np.mean([actor for actor, _ in errors])))
        self.logger.record("train/value_loss", float(np.mean([critic for _, critic in errors])))
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")

    def _batches(self) -> Iterator[tuple[dict[str, torch.Tensor], torch.Tensor]]:
        """Observations and returns (B,) of each gradient step of an update."""
        buffer, size = self.rollout_buffer, self._imitation_batch_size or self.batch_size
        assert isinstance(buffer, DictRolloutBuffer)
        if self.data_set is None:
            for _ in range(self.n_epochs):
                for samples in buffer.get(size):
                    yield dict(samples.observations), samples.returns
            return
        self.data_set.add(buffer)
        for _ in range(self.n_epochs * math.ceil(buffer.buffer_size * buffer.n_envs / size)):
            batch = {name: buffer.to_torch(values) for name, values in self.data_set.batch(size).items()}
            yield batch, batch.pop(RETURNS)

    def _errors(
        self, observations: dict[str, torch.Tensor], returns: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean squared errors of actions and of values."""
        policy = self.policy
        actor, critic = policy.mlp_extractor(policy.extract_features(observations))
        actions, values = policy.action_net(actor), policy.value_net(critic).flatten()  # (B, A), (B,)
        return functional.mse_loss(actions, observations[EXPERT]), functional.mse_loss(values, returns)
