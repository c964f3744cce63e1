"""Who acts in an evaluation: a bundle, a torch model in training, the scripted expert, or chance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from simgym.config.schema import PERFECT
from simgym.cores import usable_cores
from simgym.deploy.bundle import check_camera
from simgym.deploy.goggles import Goggles, look_through
from simgym.deploy.policy import Memory, Policy, stack_channels
from simgym.envs.simulation import Simulation
from simgym.errors import BundleError
from simgym.shipped import load_goggles, load_policy

from .networks import with_privileged

if TYPE_CHECKING:
    from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm


class Actor(Protocol):
    """Acts in every world of a batch."""

    def act(self, simulation: Simulation, begun: np.ndarray) -> np.ndarray:
        """(n, action_dim) actions in [-1, 1]; ``begun`` (n,) bool marks worlds whose episode has just begun."""


class RandomActor:
    """Uniform actions: the floor. An episode's depend on ``seed`` and its own seed alone, not on other worlds."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._generators: dict[int, np.random.Generator] = {}  # by world

    def act(self, simulation: Simulation, begun: np.ndarray) -> np.ndarray:
        """See `Actor.act`; worlds where no episode has begun yet stand still."""
        for world in np.flatnonzero(begun).tolist():
            seed = simulation.draws[world]["episode_seed"]
            self._generators[world] = np.random.default_rng([self._seed, seed])
        actions = np.zeros((simulation.num_worlds, simulation.task.action_dim))
        for world, rng in self._generators.items():
            actions[world] = rng.uniform(-1, 1, simulation.task.action_dim)
        return actions


class ExpertActor:
    """The task's scripted expert: the ceiling."""

    def act(self, simulation: Simulation, begun: np.ndarray) -> np.ndarray:
        """See `Actor.act`."""
        return simulation.expert_action()


class BundleActor:
    """A policy bundle behind optional goggles: the same files and classes as on a robot."""

    def __init__(self, policy: Policy, goggles: Goggles | None, num_worlds: int) -> None:
        self._policy, self._goggles = policy, goggles
        self._memory = Memory.of(policy.contract, num_worlds)

    def act(self, simulation: Simulation, begun: np.ndarray) -> np.ndarray:
        """See `Actor.act`."""
        seen = self._memory.push(self._see(simulation), simulation.observe().measured, begun)
        return simulation.task.action(self._policy.act_batch(*seen))

    def _see(self, simulation: Simulation) -> np.ndarray:
        return look_through(self._goggles, simulation.observe().image)


class PerfectActor(BundleActor):
    """A policy bundle behind goggles that never err: it sees the canonical twin, which a simulation must have.

    Nothing that a camera does to its pictures is in there: it is never late and has no lens.

    What it cannot do there is no fault of goggles: another mount of the camera, another physics.
    """

    def _see(self, simulation: Simulation) -> np.ndarray:
        return simulation.canonical().rgb


class ModelActor:
    """A Stable-Baselines3 model in training behind optional goggles, acting by its mean."""

    def __init__(self, model: OnPolicyAlgorithm, memory: Memory, goggles: Goggles | None = None) -> None:
        self._model, self._memory, self._goggles = model, memory, goggles

    def act(self, simulation: Simulation, begun: np.ndarray) -> np.ndarray:
        """See `Actor.act`."""
        observation = simulation.observe()
        image = look_through(self._goggles, observation.image)
        frames, measured = self._memory.push(image, observation.measured, begun)  # (n, K, H, W, 3)
        seen = {"image": stack_channels(frames), simulation.task.measured: measured}
        sensed = with_privileged(seen, self._model.policy)
        action, _ = self._model.predict(sensed, deterministic=True)
        return action


def make_actor(policy: str, goggles: str | None, simulation: Simulation, seed: int) -> Actor:
    """The actor behind ``policy=random|expert|pretrained|<bundle>`` and ``goggles=perfect|pretrained|<bundle>``.

    Raises:
        BundleError: a bundle is missing, corrupt, or for another task, camera or control rate.
    """
    if policy == "random":
        return RandomActor(seed)
    if policy == "expert":
        return ExpertActor()
    task = simulation.task
    loaded = load_policy(policy, task.name, threads=2)
    _check_contract(loaded, simulation, policy)
    if goggles == PERFECT:
        return PerfectActor(loaded, None, simulation.num_worlds)
    return BundleActor(loaded, goggles_for(goggles, simulation), simulation.num_worlds)


def goggles_for(given: str | None, simulation: Simulation) -> Goggles | None:
    """The goggles behind ``goggles=``, if there are any.

    Raises:
        BundleError: they are missing, corrupt, or for another task's camera.
    """
    if given is None:
        return None
    goggles = load_goggles(given, simulation.task.name, usable_cores())
    check_camera(goggles.contract, simulation.camera)
    return goggles


def _check_contract(policy: Policy, simulation: Simulation, name: str) -> None:
    contract, task = policy.contract, simulation.task
    check_camera(contract, simulation.camera)
    if contract.rate_hz != task.config.control_rate_hz:
        raise BundleError(
            f"{name} acts {contract.rate_hz:g} times a second, the task {task.config.control_rate_hz:g} times: "
            f"set env.control_rate_hz={contract.rate_hz:g}"
        )
