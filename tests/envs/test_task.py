"""ChairNav's arithmetic: reward terms, what success needs, time limit, measures; and that the expert succeeds."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simgym.envs import geodesic
from simgym.envs.config import DOMAINS, RandomizationConfig
from simgym.envs.draw import Layout
from simgym.envs.engines import RobotState
from simgym.envs.quaternion import from_yaw
from simgym.envs.simulation import SPLITS, Simulation
from simgym.envs.tasks.chair_nav.expert import expert_command
from simgym.envs.tasks.chair_nav.layout import MAX_PATH_CELLS, Episode
from simgym.envs.tasks.chair_nav.privileged import PRIVILEGED_DIM, privileged_view
from simgym.envs.tasks.chair_nav.task import ChairNav
from tests.envs.helpers import chair_nav, seeds_of

SETTINGS = settings(max_examples=50, derandomize=True)
PIXELS = 60 * 80


class Stage:
    """One world of the task with chairs where the test wants them and no walls; the test is engine and camera."""

    def __init__(self, chairs=((2.0, 0.0),), start=(0.0, 0.0), **config) -> None:
        self.task = ChairNav(chair_nav(**config), RandomizationConfig())
        self.task.allocate(1)
        slots = np.full((3, 2), np.inf)
        slots[: len(chairs)] = chairs
        blocked = np.zeros((geodesic.N, geodesic.N), bool)
        field = np.full(blocked.shape, np.inf)
        geodesic.mark_goal_cells(field, blocked, blocked, np.array(chairs, float), 0.95)
        geodesic.sweep_distances(field, blocked)
        layout = Layout.nominal(self.task.scene, 1)
        layout.robot_pose[0, :2] = start
        self.shortest = geodesic.distance_at(field, *start)
        self.task.begin(0, layout, Episode(slots, blocked, blocked.copy(), field, self.shortest, {}))
        self.body = self.task.scene.body_index("chair0")

    def advance(self, x=0.0, y=0.0, heading=0.0, collision=False, failed=False, seen=None):
        """One step that ends there; ``seen`` is the pixels of each chair, by default all the picture the first one."""
        state = RobotState.zeros(1, self.task.scene)
        state.link_pos[:], state.link_quat[:] = (x, y, 0.0), from_yaw(heading)
        state.collision[:], state.failed[:] = collision, failed
        segmentation = np.full((PIXELS, 2), -1, np.int16)
        first = 0
        for chair, count in (seen if seen is not None else {0: PIXELS}).items():
            segmentation[first : first + count, 1] = self.body + chair
            first += count
        return self.task.advance(state, segmentation.reshape(1, 60, 80, 2))

    def succeeds(self, **where) -> bool:
        return bool(self.advance(**where).terms["success"][0])


# --- success -------------------------------------------------------------------------------------------------------


def test_success_needs_a_metre_and_no_more():
    assert Stage().succeeds(x=1.001)
    assert not Stage().succeeds(x=0.999)
    assert Stage(success_distance_m=1.5).succeeds(x=0.501)


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("around", [0.0, 2.0, math.pi, -2.5])
def test_success_needs_the_chair_within_thirty_degrees_of_straight_ahead(sign, around):
    """From any side of the chair."""
    where = {"x": 2.0 + 0.8 * math.cos(around), "y": 0.8 * math.sin(around)}
    towards = around + math.pi
    assert Stage().succeeds(**where, heading=towards + sign * math.radians(29.9))
    assert not Stage().succeeds(**where, heading=towards + sign * math.radians(30.1))
    assert not Stage().succeeds(**where, heading=towards + math.pi)


def test_success_needs_half_a_percent_of_the_picture():
    assert Stage().succeeds(x=1.5, seen={0: 24})
    assert not Stage().succeeds(x=1.5, seen={0: 23})
    assert not Stage().succeeds(x=1.5, seen={})


def test_success_needs_that_chair_not_another_one():
    """Near one chair, seeing only the other; facing one, near the other."""
    chairs = ((2.0, 0.0), (-2.0, 0.0))
    assert not Stage(chairs).succeeds(x=1.5, seen={1: PIXELS})
    assert Stage(chairs).succeeds(x=-1.5, heading=math.pi, seen={1: PIXELS})
    assert not Stage(chairs).succeeds(x=-1.5, heading=0.0, seen={0: PIXELS // 2, 1: PIXELS // 2})


def test_success_needs_no_collision_before_or_now():
    stage = Stage(collision="cost")
    assert not stage.succeeds(x=1.5, collision=True)
    assert not stage.succeeds(x=1.5)
    assert Stage(collision="cost").succeeds(x=1.5)


def test_pixels_of_other_bodies_do_not_count():
    stage = Stage()
    assert not stage.succeeds(x=1.5, seen={-1: 100, 5: 100})


def test_success_does_not_carry_over_to_a_new_episode():
    stage = Stage()
    assert stage.succeeds(x=1.5)
    fresh = Stage()
    stage.task.begin(0, Layout.nominal(stage.task.scene, 1), Episode(*_episode_of(fresh)))
    assert not stage.task.info()["is_success"][0]
    assert stage.task.steps[0] == 0 and stage.task.collisions[0] == 0


def _episode_of(stage: Stage) -> tuple:
    task = stage.task
    grids = (task.chairs, task.blocked, task.opaque, task.field)
    return *(grid[0].copy() for grid in grids), stage.shortest, {}


# --- reward --------------------------------------------------------------------------------------------------------


def random_walk(seed: int, steps: int) -> list[dict]:
    rng = np.random.default_rng(seed)
    points = np.cumsum(rng.normal(0, 0.08, (steps, 2)), axis=0)
    return [
        {"x": x, "y": y, "heading": rng.uniform(-3, 3), "collision": bool(rng.random() < 0.2)}
        for x, y in points.tolist()
    ]


@given(st.integers(0, 10_000), st.tuples(*[st.floats(-10, 10)] * 5))
@SETTINGS
def test_the_reward_is_the_weighted_sum_of_its_terms(seed, weights):
    names = ("progress", "success", "collision", "tightness", "time")
    stage = Stage(reward=dict(zip(names, weights, strict=True)), collision="cost")
    for where in random_walk(seed, 10):
        outcome = stage.advance(**where)
        assert set(outcome.terms) == set(names)
        expected = sum(w * outcome.terms[name][0] for name, w in zip(names, weights, strict=True))
        assert outcome.reward[0] == pytest.approx(expected, abs=1e-9)
        assert outcome.terms["time"][0] == 1
        assert outcome.terms["collision"][0] == float(where["collision"])


@given(st.integers(0, 10_000))
@SETTINGS
def test_progress_telescopes_to_start_minus_end_distance(seed):
    stage = Stage()
    total = sum(stage.advance(**where).terms["progress"][0] for where in random_walk(seed, 20))
    last = random_walk(seed, 20)[-1]
    end = geodesic.distance_at(stage.task.field[0], last["x"], last["y"])
    assert total == pytest.approx(stage.shortest - end, abs=1e-9)
    assert stage.task.info()["distance_to_goal"][0] == pytest.approx(end)


def test_progress_straight_ahead_is_the_way_driven():
    stage = Stage(chairs=((3.0, 0.05),), start=(-2.0, 0.05))
    for step in range(1, 20):
        outcome = stage.advance(x=-2.0 + 0.1 * step, y=0.05, heading=math.pi)
        assert outcome.terms["progress"][0] == pytest.approx(0.1, abs=0.01)


# --- ends ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("collision", ["end", "cost"])
def test_an_episode_is_truncated_at_exactly_its_limit(collision):
    stage = Stage(collision=collision)
    ends = [stage.advance(heading=math.pi) for _ in range(200)]
    assert [bool(o.truncated[0]) for o in ends] == [False] * 199 + [True]
    assert not any(o.terminated[0] for o in ends)


@pytest.mark.parametrize(("seconds", "rate", "steps"), [(1.0, 5.0, 5), (10.0, 10.0, 100), (4.0, 20.0, 80)])
def test_the_limit_is_in_seconds(seconds, rate, steps):
    stage = Stage(time_limit_s=seconds, control_rate_hz=rate)
    truncated = [bool(stage.advance(heading=math.pi).truncated[0]) for _ in range(steps)]
    assert truncated == [False] * (steps - 1) + [True]


def test_success_ends_the_episode_and_wins_over_the_limit():
    stage = Stage()
    for _ in range(199):
        stage.advance(heading=math.pi)
    outcome = stage.advance(x=1.5)
    assert outcome.terminated[0] and not outcome.truncated[0]


def test_a_collision_ends_or_costs():
    outcome = Stage().advance(collision=True)
    assert outcome.terminated[0] and not outcome.truncated[0]
    stage = Stage(collision="cost")
    for step in range(1, 4):
        outcome = stage.advance(collision=True)
        assert not outcome.terminated[0]
        assert outcome.reward[0] == pytest.approx(chair_nav().reward.collision + chair_nav().reward.time)
        assert stage.task.info()["collisions"][0] == step


# --- measures ------------------------------------------------------------------------------------------------------


def test_spl_is_shortest_over_driven_on_success():
    stage = Stage(chairs=((4.0, 0.05),), start=(0.0, 0.05))
    for x, y in ((1.0, 0.05), (1.0, 1.05), (2.0, 1.05), (2.0, 0.05), (3.1, 0.05)):
        stage.advance(x=x, y=y, heading=0.0)
    info = {name: values[0] for name, values in stage.task.info().items()}
    assert info["is_success"]
    assert info["spl"] == pytest.approx(stage.shortest / 5.1)
    assert info["soft_spl"] == pytest.approx((1 - info["distance_to_goal"] / stage.shortest) * stage.shortest / 5.1)


def test_spl_is_one_at_best_and_zero_without_success():
    stage = Stage()
    stage.advance(x=1.5)  # a jump, shorter than the shortest way
    assert stage.task.info()["spl"][0] == pytest.approx(min(1, stage.shortest / 1.5))
    stage = Stage()
    stage.advance(x=0.5, heading=math.pi)
    info = stage.task.info()
    assert info["spl"][0] == 0
    assert info["soft_spl"][0] == pytest.approx(1 - info["distance_to_goal"][0] / stage.shortest)


def test_soft_spl_of_one_who_drove_away_is_zero():
    stage = Stage()
    stage.advance(x=-3.0)
    assert stage.task.info()["soft_spl"][0] == 0


# --- actions -------------------------------------------------------------------------------------------------------


@given(st.floats(-1, 1), st.floats(-1, 1))
@SETTINGS
def test_actions_and_commands_are_inverse(forward, turn):
    task = Stage(max_speed_m_s=0.7, max_yaw_rate_rad_s=2.0).task
    command = task.command(np.array([[forward, turn]]))
    assert command[0] == pytest.approx(((forward + 1) / 2 * 0.7, turn * 2.0))
    assert task.action(command)[0] == pytest.approx((forward, turn), abs=1e-6)


def test_actions_beyond_the_space_are_clipped():
    task = Stage().task
    np.testing.assert_array_equal(
        task.command(np.array([[9.0, -9.0], [-9.0, 9.0]])), task.command(np.array([[1.0, -1.0], [-1.0, 1.0]]))
    )


# --- whole episodes ------------------------------------------------------------------------------------------------


def outcomes(split: str, act, count: int, domain: str = "sim", n: int = 10) -> list[dict]:
    """The final measures of ``count`` episodes."""
    simulation = Simulation(chair_nav(), DOMAINS[domain], n, split)
    seeds, rows, running = seeds_of(split, count, first=1000)[::-1], [], np.ones(n, bool)
    simulation.reset(np.arange(n), np.array([seeds.pop() for _ in range(n)]))
    while running.any():
        outcome = simulation.step(act(simulation))
        for world in np.flatnonzero((outcome.terminated | outcome.truncated) & running):
            measures = {name: value[world].item() for name, value in simulation.task.info().items()}
            rows.append(measures | {"terminated": bool(outcome.terminated[world])})
            if seeds:
                simulation.reset(np.array([world]), np.array([seeds.pop()]))
            else:
                running[world] = False
    simulation.close()
    return rows


@pytest.mark.parametrize("split", SPLITS)
def test_the_expert_succeeds(split):
    rows = outcomes(split, lambda simulation: simulation.expert_action(), 40)
    assert len(rows) == 40
    assert np.mean([row["is_success"] for row in rows]) >= 0.97
    assert np.mean([row["spl"] for row in rows]) > 0.9
    for row in rows:
        assert 0 <= row["spl"] <= 1 and 0 <= row["soft_spl"] <= 1
        assert (row["spl"] > 0) == row["is_success"]
        assert row["terminated"] == (row["is_success"] or row["collisions"] > 0)


@pytest.mark.parametrize(("hides", "turns"), [(False, 1), (True, -1)])
def test_the_expert_turns_to_the_nearest_chair_that_it_sees(hides, turns):
    """One chair 0.7 m to the left, behind a board or not, and one 0.9 m to the right."""
    opaque = np.zeros((geodesic.N, geodesic.N), bool)
    if hides:
        geodesic.fill_boxes(opaque, np.array([[0.0, 0.4, 0.5, 0.06, 0.0, 0.0]]), 0.0)
    chairs = np.array([[0.0, 0.7], [0.0, -0.9], [np.inf, np.inf]])
    nowhere = np.zeros_like(opaque)
    arrived, pose, path = np.zeros(opaque.shape), np.zeros(3), np.zeros((10, 2))
    speed, turn = expert_command(arrived, nowhere, opaque, chairs, pose, 0.5, 1.5, path)
    assert speed == 0.0 and np.sign(turn) == turns


def test_privileged_state_is_mirrored_as_the_floor_plan_is():
    simulation = Simulation(chair_nav(), DOMAINS["sim"], 1, "train")
    task, path = simulation.task, np.zeros((MAX_PATH_CELLS, 2))
    for seed in seeds_of("train", 20):
        simulation.reset(np.zeros(1, int), np.array([seed]))
        ((x, y, heading),) = task.track(simulation.engine.state)
        plan, flipped = (task.field[0], task.blocked[0]), (task.field[0][:, ::-1], task.blocked[0][:, ::-1])
        here, there = np.zeros(PRIVILEGED_DIM), np.zeros(PRIVILEGED_DIM)
        privileged_view(*plan, np.array([x, y, heading]), 0.7, path, here)
        privileged_view(*map(np.ascontiguousarray, flipped), np.array([x, -y, -heading]), 0.7, path, there)
        assert task.mirror is not None
        np.testing.assert_allclose(there, here[task.mirror.privileged_order] * task.mirror.privileged, atol=0.06)


def test_the_expert_turns_to_the_nearest_chair_if_all_are_hidden():
    everywhere = np.ones((geodesic.N, geodesic.N), bool)
    chairs = np.array([[0.0, -0.9], [0.0, 0.7]])
    command = expert_command(
        np.zeros(everywhere.shape), ~everywhere, everywhere, chairs, np.zeros(3), 0.5, 1.5, np.zeros((10, 2))
    )
    assert command[1] > 0


def test_chance_rarely_succeeds():
    rng = np.random.default_rng(0)
    rows = outcomes("train", lambda simulation: rng.uniform(-1, 1, (simulation.num_worlds, 2)), 40)
    assert np.mean([row["is_success"] for row in rows]) < 0.3


@pytest.mark.parametrize("collision", ["end", "cost"])
def test_driving_straight_on_collides_in_the_simulation(collision):
    """A room is closed: within 40 s at full speed something is hit, unless success comes first."""
    simulation = Simulation(chair_nav(collision=collision), DOMAINS["sim"], 8)
    simulation.reset(np.arange(8), np.array(seeds_of("train", 8)))
    ends = np.full(8, -1)
    hit = np.zeros(8, bool)
    for step in range(200):
        outcome = simulation.step(np.tile([1.0, 0.0], (8, 1)))
        hit |= outcome.terms["collision"].astype(bool)
        done = outcome.terminated | outcome.truncated
        ends[done & (ends < 0)] = step
        if (ends >= 0).all():
            break
    succeeded = (ends >= 0) & ~hit
    assert (hit | succeeded).all() and hit.sum() >= 4
    assert (ends[hit] == 199).all() if collision == "cost" else (ends[hit] < 100).all()


def test_a_step_is_tight_where_planned_ways_do_not_lead():
    stage = Stage()
    stage.task.blocked[0, geodesic.to_cell(1.0), geodesic.to_cell(-0.5)] = True
    tight = [stage.advance(x=x, y=y).terms["tightness"][0] for x, y in ((0.0, 0.0), (1.02, -0.47), (1.2, -0.47))]
    assert tight == [0, 1, 0]


def test_moving_any_reward_weight_alone_changes_rewards():
    def rewards(**options) -> list[float]:
        stage = Stage(**options)
        stage.task.blocked[0, geodesic.to_cell(0.9), geodesic.to_cell(0.0)] = True
        return [stage.advance(x=0.9, collision=True).reward[0], Stage(**options).advance(x=1.5).reward[0]]

    for name in ("progress", "success", "collision", "tightness", "time"):
        weights = {name: getattr(chair_nav().reward, name) + 1}
        assert rewards(reward=weights) != rewards(), name
