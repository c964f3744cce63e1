"""A policy as teacher: it sees the simulator's own picture where its student sees what goggles make of another one."""

from __future__ import annotations

import numpy as np

from simgym.deploy.policy import Memory, Policy
from simgym.envs.simulation import Simulation
from simgym.shipped import load_policy

from .actors import check_contract


class Teacher:
    """What a policy would do in every world, were the world in the canonical look (`CanonicalTwin`).

    It can show what its student cannot see, and no more: unlike a planner's, its actions follow from pictures, so a
    student whose pictures are nearly as good can do the same ("learning by cheating", Chen et al. 2019).

    Args:
        policy: the teacher.
        simulation: with a canonical twin.
    """

    def __init__(self, policy: Policy, simulation: Simulation) -> None:
        self._policy, self._simulation = policy, simulation
        self._memory = Memory.of(policy.contract, simulation.num_worlds)

    @classmethod
    def load(cls, given: str, simulation: Simulation) -> Teacher:
        """The teacher behind ``teacher=``.

        Raises:
            BundleError: it is missing, corrupt, or for another task, camera or control rate.
        """
        policy = load_policy(given, simulation.task.name)
        check_contract(policy, simulation, given)
        return cls(policy, simulation)

    def reset(self) -> None:
        """Forget everything: the next `act` begins an episode in every world."""
        self._memory.reset()

    def act(self, begun: np.ndarray | None) -> np.ndarray:
        """(n, A) float32 actions in -1..1, once a control step; ``begun`` as `Memory.push` takes it."""
        seen = self._memory.push(self._simulation.canonical().rgb, self._simulation.observe().measured, begun)
        return self._acted(seen)

    def begin(self, worlds: np.ndarray) -> np.ndarray:
        """The first actions of the episodes that have just begun in ``worlds`` (n,) bool, and no step in the others."""
        measured = self._simulation.observe().measured
        return self._acted(self._memory.begin(self._simulation.canonical().rgb, measured, worlds))

    def _acted(self, seen: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        return np.clip(self._simulation.task.action(self._policy.act_batch(*seen)), -1, 1)
