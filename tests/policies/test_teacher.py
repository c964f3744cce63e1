"""A policy that teaches: it acts by the simulator's own pictures, whatever its student sees."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import numpy as np

from simgym.deploy.policy import Memory
from simgym.envs.config import DOMAINS
from simgym.envs.simulation import Simulation
from simgym.policies.actors import BundleActor
from simgym.policies.networks import EXPERT
from simgym.policies.teacher import Teacher
from simgym.policies.vec_env import SimulationVecEnv
from simgym.shipped import load_policy
from tests.envs.helpers import chair_nav

SHORT = chair_nav(time_limit_s=3.0)
N = 3


class Blind:
    """Goggles that show nothing."""

    def translate(self, images: np.ndarray) -> np.ndarray:
        return np.zeros_like(images)


def make(domain: str, goggles=None) -> Any:
    simulation = Simulation(SHORT, DOMAINS[domain], N, twin=True)
    memory = Memory(1, 1, (), (), simulation.task.control_dt_s, N)
    teacher = Teacher.load("pretrained", simulation)
    return SimulationVecEnv(simulation, memory, seed=4, goggles=goggles, privileged=True, teacher=teacher)


def lesson(env: Any, steps: int) -> np.ndarray:
    """(steps, N, 2) what it shows, over ends of episodes that are not of one moment."""
    shown, rng = [env.reset()[EXPERT]], np.random.default_rng(0)
    for _ in range(steps - 1):
        shown.append(env.step(rng.uniform(-1, 1, (N, 2)).astype(np.float32))[0][EXPERT])
    return np.stack(shown)


def test_it_shows_what_the_policy_would_do_there_itself():
    """In ``sim`` everybody sees the canonical look, so a bundle that is evaluated there does the same."""
    with closing(make("sim")) as env:
        simulation = env.simulation
        actor = BundleActor(load_policy("pretrained", "ChairNav"), None, N)
        shown, rng = env.reset()[EXPERT], np.random.default_rng(0)
        begun, ends = np.ones(N, bool), 0
        for _ in range(40):
            np.testing.assert_allclose(shown, np.clip(actor.act(simulation, begun), -1, 1), atol=1e-5)
            observation, _, begun, _ = env.step(rng.uniform(-1, 1, (N, 2)).astype(np.float32))
            shown, ends = observation[EXPERT], ends + int(begun.sum())
        assert ends >= 2 * N


def test_it_sees_through_no_goggles():
    """What it shows depends on the world alone: with goggles that show nothing it is the same."""
    with closing(make("randomized")) as plain, closing(make("randomized", Blind())) as blind:
        np.testing.assert_array_equal(lesson(plain, 20), lesson(blind, 20))


def test_it_forgets_at_a_reset():
    with closing(make("sim")) as env:
        first = lesson(env, 6)
        env.restart(4)
        np.testing.assert_array_equal(lesson(env, 6), first)


def test_once_nobody_asks_it_shows_nothing():
    with closing(make("sim")) as env:
        env.reset()
        env.asks_expert = False
        observation = env.step(np.zeros((N, 2), np.float32))[0]
        assert not observation[EXPERT].any()
