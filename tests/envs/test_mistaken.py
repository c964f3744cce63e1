"""The mistaken look: canonical where nothing is confused, wrong classes of right shapes where something is."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from simgym.envs.config import DOMAINS, DomainConfig, MistakeRanges
from simgym.envs.domain_check import check_domain
from simgym.envs.looks import make_look
from simgym.envs.looks.canonical import COLORS, decoration, read_classes
from simgym.envs.looks.mistaken import PASSES_FOR, SURE
from simgym.envs.scene import Scene, Semantic
from simgym.envs.simulation import Simulation
from simgym.envs.tasks import TASKS
from simgym.envs.tasks.chair_nav.config import ClutterRanges
from simgym.envs.terms import Drawing
from simgym.errors import UsageError
from tests.envs.helpers import chair_nav, exactly_nominal

STILL = {name: (0.0, 0.0) for name in exactly_nominal(MistakeRanges())} | {"focal_scale": (1.0, 1.0)}


def mistaken(clutter: ClutterRanges | None = None, **ranges: Any) -> DomainConfig:
    """The domain with perfect mount, camera and timing, and these ranges of mistakes."""
    domain, sim = DOMAINS["mistaken"], DOMAINS["sim"]
    mistakes = MistakeRanges(**STILL | ranges)
    drawn = replace(sim.randomization, enabled=True, mistakes=mistakes, clutter=clutter or ClutterRanges())
    drawn = replace(drawn, dynamics=replace(drawn.dynamics, **exactly_still(drawn.dynamics)))
    return replace(domain, flaws=sim.flaws, randomization=drawn)


def exactly_still(dynamics: Any) -> dict[str, Any]:
    return {name: (1.0, 1.0) if name.endswith("scale") else (0, 0) for name in exactly_nominal(dynamics)}


def scene() -> Scene:
    with closing(Simulation(chair_nav(), mistaken(ClutterRanges(furniture=(0, 4), wall_items=(0, 4))))) as simulation:
        return simulation.task.scene


def rgb_of(seed: int, times: int = 0, **ranges: Any) -> np.ndarray:
    """(P, 3) colours of one draw."""
    domain = mistaken(**ranges)
    terms = Drawing(domain.randomization.mistakes, 0, seed, times)
    return make_look(domain, scene()).sample(np.random.default_rng(seed), terms=terms)[0].part_rgb[0]


@pytest.mark.parametrize("task", ["ChairNav", "Grasp"])
def test_without_confusion_it_is_the_canonical_look_bit_for_bit(task: str) -> None:
    pytest.importorskip("pybullet_data")
    config = TASKS[task].load("config")()
    with (
        closing(Simulation(config, mistaken(), 2)) as first,
        closing(Simulation(config, DOMAINS["sim"], 2)) as second,
    ):
        for simulation in (first, second):
            simulation.reset(np.arange(2), np.array([2, 4]))
        for _ in range(3):
            assert np.array_equal(first.observe().image, second.observe().image)
            action = np.full((2, first.expert_action().shape[1]), 0.3, np.float32)
            first.step(action), second.step(action)


def test_decoration_shows_as_what_it_hangs_on() -> None:
    found, parts = rgb_of(0), scene().parts
    hanging = [row for row, part in zip(found, parts, strict=True) if part.semantic == Semantic.WALL_ITEM]
    assert hanging and np.allclose(hanging, COLORS[Semantic.WALL])


def test_with_full_confusion_everything_that_can_be_mistaken_is() -> None:
    room = scene()
    decor = decoration(room)
    sure = np.isin([part.semantic for part in room.parts], SURE) & ~decor
    usual = rgb_of(0)
    found = np.stack([rgb_of(seed, confusion=(1.0, 1.0)) for seed in range(20)])  # (seeds, P, 3)
    assert np.array_equal(found[:, sure], np.broadcast_to(usual[sure], (20, sure.sum(), 3)))
    palette = np.array([COLORS[semantic] for semantic in PASSES_FOR], np.float32)
    things = ~sure & ~decor
    assert (found[:, things, None] == palette).all(-1).any(-1).all()
    changed = (found != usual).any(-1).mean(0)  # (P,)
    assert 0.8 < changed[things].mean() < 1  # some pass for what they are
    assert 0 < changed[decor].mean() < changed[things].mean() / 2


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_the_share_of_mistakes_is_the_confusion(share: float) -> None:
    room = scene()
    things = ~np.isin([part.semantic for part in room.parts], SURE) & ~decoration(room)
    full = np.stack([rgb_of(seed, confusion=(1.0, 1.0))[things] for seed in range(40)])
    usual = rgb_of(0)[things]
    some = np.stack([rgb_of(seed, confusion=(share, share))[things] for seed in range(40)])
    changed = (full != usual).any(-1).sum()
    assert (some != usual).any(-1).sum() / changed == pytest.approx(share, abs=0.05)


def test_in_an_episode_things_flicker_between_what_they_are_and_one_other_class() -> None:
    usual = rgb_of(5)
    drawn = np.stack([rgb_of(5, times, confusion=(0.0, 1.0), interval=("confusion",)) for times in range(12)])  # (T, P)
    changed = (drawn != usual).any(-1)  # (T, P)
    assert (changed.any(0) & ~changed.all(0)).sum() > 20
    for part in np.flatnonzero(changed.any(0)):
        assert len(np.unique(drawn[changed[:, part], part], axis=0)) == 1


def test_shapes_stay_and_a_running_episode_changes() -> None:
    domain = mistaken(confusion=(0.0, 1.0), interval=("confusion",), interval_s=(0.2, 0.4))
    with closing(Simulation(chair_nav(), domain, 8, twin=True)) as simulation:
        simulation.reset(np.arange(8), 2 * np.arange(8))
        seen = set()
        for _ in range(8):
            observed, twin = simulation.observe(), simulation.canonical()
            assert np.array_equal(observed.segmentation[..., 0], twin.segmentation[..., 0])
            classes, truth = read_classes(observed.image), twin.segmentation[..., 0]
            room = np.isin(truth, (Semantic.WALL, Semantic.FLOOR, Semantic.CEILING))
            assert np.array_equal(classes[room], truth[room])
            seen.add(observed.image.tobytes())
            simulation.step(np.zeros((8, 2), np.float32))
        assert len(seen) > 3  # though no robot moves


def test_the_same_seed_is_the_same_episode() -> None:
    rows = []
    for _ in range(2):
        with closing(Simulation(chair_nav(), DOMAINS["mistaken"], 2)) as simulation:
            simulation.reset(np.arange(2), np.array([6, 8]))
            for _ in range(10):
                simulation.step(np.full((2, 2), 0.4, np.float32))
            rows.append(simulation.observe().image.copy())
    assert np.array_equal(rows[0], rows[1])


def test_ranges_of_mistakes_need_the_look() -> None:
    sim = DOMAINS["randomized"]
    idle = replace(sim, randomization=replace(sim.randomization, mistakes=MistakeRanges(confusion=(0.0, 0.1))))
    with pytest.raises(UsageError, match="add domain.look=mistaken"):
        check_domain(idle)
    check_domain(DOMAINS["mistaken"], "ChairNav")
