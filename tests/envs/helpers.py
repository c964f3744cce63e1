"""What the tests of environments share."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import numpy as np

from simgym.envs.config import DOMAINS, DomainConfig
from simgym.envs.simulation import Simulation
from simgym.envs.tasks.chair_nav.config import ChairNavConfig
from simgym.envs.terms import terms_of

ALL_SENSORS = ("image", "velocity", "depth", "segmentation")
SENSORS_OF = {"simgym/ChairNav-v0": ALL_SENSORS, "simgym/Grasp-v0": ("image", "proprio", "depth", "segmentation")}
# Environments that can be made here: Grasp needs PyBullet's data.
RUNNABLE = [name for name in SENSORS_OF if "Grasp" not in name or find_spec("pybullet_data")]
EMPTY_ROOMS: dict[str, Any] = {"obstacles": (0, 0)}


def chair_nav(layout: dict[str, Any] | None = None, reward: dict[str, Any] | None = None, **changes: Any):
    """The default configuration with some fields changed."""
    config = ChairNavConfig(**changes)
    return replace(config, layout=replace(config.layout, **layout or {}), reward=replace(config.reward, **reward or {}))


def randomized(look: dict[str, Any] | None = None, dynamics: dict[str, Any] | None = None, **changes) -> DomainConfig:
    """The randomized domain with some ranges, or fields of its `RandomizationConfig`, changed."""
    domain = DOMAINS["randomized"]
    ranges = domain.randomization
    ranges = replace(
        ranges, look=replace(ranges.look, **look or {}), dynamics=replace(ranges.dynamics, **dynamics or {}), **changes
    )
    return replace(domain, randomization=ranges)


def exactly_nominal(ranges: Any) -> dict[str, Any]:
    """Each range of a dataclass shrunk to its middle, so that a draw is always the same."""
    values = {name: getattr(ranges, name) for name in terms_of(ranges)}
    return {name: (type(low)((low + high) / 2),) * 2 for name, (low, high) in values.items()}


def seeds_of(split: str, count: int, first: int = 0) -> list[int]:
    """Episode seeds of a split: even ones train, odd ones test."""
    return [2 * (first + i) + (split == "test") for i in range(count)]


def record(simulation: Simulation, seeds: list[int], steps: int, action_seed: int = 0) -> dict[str, np.ndarray]:
    """Everything that a batch shows in ``steps`` random steps after a reset, each (steps + 1, n, ...)."""
    rng = np.random.default_rng(action_seed)
    simulation.reset(np.arange(simulation.num_worlds), np.array(seeds))
    rows = [_snapshot(simulation, np.zeros(simulation.num_worlds))]
    for _ in range(steps):
        outcome = simulation.step(rng.uniform(-1, 1, (simulation.num_worlds, 2)))
        rows.append(_snapshot(simulation, outcome.reward))
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def _snapshot(simulation: Simulation, reward: np.ndarray) -> dict[str, np.ndarray]:
    state, seen = simulation.engine.state, simulation.observe()
    arrays = {
        "reward": reward,
        "link_pos": state.link_pos,
        "link_quat": state.link_quat,
        "collision": state.collision,
        **{name: getattr(seen, name) for name in ALL_SENSORS},
    }
    return {name: array.copy() for name, array in arrays.items()}


def assert_same(first: Any, second: Any, where: str = "") -> None:
    """Nested dicts and arrays are equal, bit for bit (NaN equals NaN)."""
    if isinstance(first, dict):
        assert first.keys() == second.keys(), where
        for name in first:
            assert_same(first[name], second[name], f"{where}/{name}")
    else:
        a, b = np.asarray(first), np.asarray(second)
        assert a.dtype == b.dtype, where
        np.testing.assert_array_equal(a, b, err_msg=where)


def differs(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> set[str]:
    """The names of the arrays that are not equal."""
    return {name for name in first if not np.array_equal(first[name], second[name], equal_nan=True)}
