"""Headless evaluation: the same episodes and numbers, however many worlds run them."""

from __future__ import annotations

import csv
import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simgym.envs.config import DOMAINS
from simgym.envs.simulation import Simulation
from simgym.envs.tasks.chair_nav.config import ChairNavConfig
from simgym.policies.actors import Actor, ExpertActor, RandomActor
from simgym.policies.evaluation import (
    Evaluation,
    episode_seeds,
    evaluate,
    header,
    headline,
    trace_failures,
    write_evaluation,
)
from simgym.policies.metrics import wilson_interval

ENV = ChairNavConfig()
SEEDS = episode_seeds(1, 12, "test")
KEYS_OF_EVAL_JSON = set(
    "env domain engine renderer look split policy goggles episodes seed success_rate success_ci95 spl soft_spl "
    "collision_rate mean_return mean_seconds steps_per_second wall_seconds".split()
)


class StraightActor:
    """Drives on at full speed, whatever comes."""

    def act(self, simulation: Simulation, begun: np.ndarray) -> np.ndarray:
        return np.tile([1.0, 0.0], (simulation.num_worlds, 1))


def run(actor: Actor, num_worlds: int, seeds: list[int], num_traces: int = 0, domain: str = "sim") -> Evaluation:
    with closing(Simulation(ENV, DOMAINS[domain], num_worlds, "test")) as simulation:
        return evaluate(simulation, actor, seeds, num_traces, progress=False)


@pytest.mark.parametrize("domain", ["sim", "randomized"])
def test_results_do_not_depend_on_the_number_of_worlds(domain: str) -> None:
    one, three, many = (run(ExpertActor(), n, SEEDS, 2, domain) for n in (1, 3, 16))
    assert one.episodes == three.episodes == many.episodes
    assert one.steps == three.steps == many.steps
    for a, b in zip(one.traces, many.traces, strict=True):
        np.testing.assert_array_equal(a.poses, b.poses)
        np.testing.assert_array_equal(a.images, b.images)


def test_chance_does_not_depend_on_the_number_of_worlds() -> None:
    one, many = (run(RandomActor(3), n, SEEDS[:5]).episodes for n in (1, 8))
    assert one == many
    assert run(RandomActor(4), 1, SEEDS[:5]).episodes != one


def test_rows_are_in_the_order_of_the_seeds() -> None:
    rows = run(StraightActor(), 4, SEEDS).episodes
    assert [row["seed"] for row in rows] == SEEDS
    assert [row["episode"] for row in rows] == list(range(len(SEEDS)))
    alone = run(StraightActor(), 1, SEEDS[7:8]).episodes[0]
    assert alone == rows[7] | {"episode": 0}


def test_idle_worlds_do_not_count() -> None:
    evaluation = run(ExpertActor(), 8, SEEDS[:3], num_traces=8)
    assert len(evaluation.episodes) == len(evaluation.traces) == 3
    assert evaluation.steps == sum(row["steps"] for row in evaluation.episodes)


def test_worlds_that_no_episode_comes_to_are_in_order_as_well() -> None:
    """Physics that was never reset may fail: objects of Grasp would all stand in one spot."""
    with closing(Simulation(ENV, DOMAINS["sim"], 4, "test")) as simulation:
        evaluate(simulation, ExpertActor(), SEEDS[:2], progress=False)
        assert [draw["episode_seed"] for draw in simulation.draws] == [*SEEDS[:2], SEEDS[0], SEEDS[0]]


def test_chance_is_worse_than_the_expert() -> None:
    chance, expert = (run(actor, 6, SEEDS).summary() for actor in (RandomActor(0), ExpertActor()))
    assert expert["success_rate"] > 0.9 > 0.5 > chance["success_rate"]
    for name in ("spl", "soft_spl", "mean_return"):
        assert expert[name] > chance[name]


def test_the_return_is_the_sum_of_rewards() -> None:
    row = run(StraightActor(), 1, SEEDS[:1]).episodes[0]
    with closing(Simulation(ENV, DOMAINS["sim"], 1, "test")) as simulation:
        simulation.reset(np.array([0]), np.array(SEEDS[:1]))
        outcomes = [simulation.step(np.array([[1.0, 0.0]])) for _ in range(row["steps"])]
    assert [bool((outcome.terminated | outcome.truncated)[0]) for outcome in outcomes[:-1]] == [False] * (
        row["steps"] - 1
    )
    assert (outcomes[-1].terminated | outcomes[-1].truncated)[0]
    assert row["return"] == pytest.approx(sum(float(outcome.reward[0]) for outcome in outcomes))
    assert row["seconds"] == pytest.approx(row["steps"] / ENV.control_rate_hz)


def test_traces_start_and_end_where_the_episode_does() -> None:
    evaluation = run(ExpertActor(), 4, SEEDS[:6], num_traces=3)
    assert [trace.seed for trace in evaluation.traces] == SEEDS[:3]
    for trace, row in zip(evaluation.traces, evaluation.episodes, strict=False):
        assert len(trace.poses) == len(trace.images) == row["steps"] + 1
        with closing(Simulation(ENV, DOMAINS["sim"], 1, "test")) as simulation:
            simulation.reset(np.array([0]), np.array([trace.seed]))
            np.testing.assert_array_equal(trace.poses[0][:2], simulation.engine.state.link_pos[0, 0, :2])
            np.testing.assert_array_equal(trace.images[0], simulation.observe().image[0])
            to_chairs = np.hypot(*(simulation.task.chairs[0] - trace.poses[-1][:2]).T)
        assert trace.success == row["success"]
        assert (to_chairs.min() <= ENV.success_distance_m) == row["success"]


def test_failures_are_traced_once_more() -> None:
    with closing(Simulation(ENV, DOMAINS["sim"], 4, "test")) as simulation:
        evaluation = evaluate(simulation, StraightActor(), SEEDS, num_traces=1, progress=False)
        rows = list(evaluation.episodes)
        trace_failures(simulation, StraightActor(), evaluation, count=2)
    failed = [row["seed"] for row in rows if not row["success"] and row["seed"] != SEEDS[0]]
    assert [trace.seed for trace in evaluation.traces] == [SEEDS[0], *failed[:2]]
    assert evaluation.episodes == rows
    steps = {row["seed"]: row["steps"] for row in rows}
    assert all(len(trace.poses) == steps[trace.seed] + 1 for trace in evaluation.traces)


def test_an_episode_that_comes_out_otherwise_is_not_traced() -> None:
    with closing(Simulation(ENV, DOMAINS["sim"], 4, "test")) as simulation:
        evaluation = evaluate(simulation, StraightActor(), SEEDS[:4], progress=False)
        trace_failures(simulation, ExpertActor(), evaluation, count=4)
    assert evaluation.traces == []


def row(**changes: Any) -> dict[str, Any]:
    values = dict(
        episode=0, seed=3, success=True, spl=1.0, soft_spl=1.0, distance_to_goal=0.0, collisions=0, truncated=False,
        steps=10, seconds=2.0, room="rectangle", chairs="tub swivel",
    )  # fmt: skip
    return values | {"return": 5.0} | changes


HAND_MADE = Evaluation(
    episodes=[
        row(),
        row(episode=1, seed=5, spl=0.5, soft_spl=0.5, seconds=4.0, steps=20),
        row(episode=2, seed=7, success=False, spl=0.0, soft_spl=0.25, collisions=3, **{"return": -3.0}),
        row(episode=3, seed=9, success=False, spl=0.0, soft_spl=0.25, truncated=True, **{"return": 1.0}, seconds=40.0),
    ],
    traces=[],
    steps=240,
    wall_seconds=1.5,
)


def test_summary_against_hand_computation() -> None:
    assert HAND_MADE.summary() == {
        "episodes": 4,
        "success_rate": 0.5,
        "success_ci95": list(wilson_interval(2, 4)),
        "spl": 0.375,
        "soft_spl": 0.5,
        "collision_rate": 0.25,
        "mean_return": 2.0,
        "mean_seconds": 12.0,
        "steps_per_second": 160.0,
        "wall_seconds": 1.5,
    }


def test_what_is_written_can_be_read_again(tmp_path: Path) -> None:
    about = header(ENV, DOMAINS["randomized"], "test", "expert", None, 1)
    result = write_evaluation(tmp_path / "new", HAND_MADE, about)
    assert json.loads((tmp_path / "new/eval.json").read_text()) == result
    assert set(result) == KEYS_OF_EVAL_JSON
    with (tmp_path / "new/episodes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert set(rows[0]) == {
        "episode", "seed", "success", "spl", "soft_spl", "distance_to_goal", "collisions", "truncated", "return",
        "steps", "seconds", "room", "chairs",
    }  # fmt: skip
    assert rows == [{name: str(value) for name, value in row.items()} for row in HAND_MADE.episodes]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["episodes.csv", "eval.json"]


def test_the_headline_has_the_numbers() -> None:
    about = header(ENV, DOMAINS["sim"], "test", "expert", None, 1)
    assert headline(about | HAND_MADE.summary()) == (
        "success 50.0% (95 % interval 15.0% to 85.0%), SPL 0.38, collisions 25.0%, on 4 episodes of split test"
    )


def test_the_header_names_the_look_that_was_drawn() -> None:
    randomized = DOMAINS["randomized"]
    off = replace(randomized, randomization=replace(randomized.randomization, enabled=False))
    looks = [header(ENV, domain, "test", "expert", None, 1)["look"] for domain in (DOMAINS["sim"], randomized, off)]
    assert looks == ["canonical", "randomized", "canonical"]


def test_episode_seeds_are_fixed_and_splits_share_none() -> None:
    assert episode_seeds(1, 5, "test") == SEEDS[:5]
    assert episode_seeds(2, 5, "test") != SEEDS[:5]
    assert not set(episode_seeds(1, 200, "train")) & set(episode_seeds(1, 200, "test"))
