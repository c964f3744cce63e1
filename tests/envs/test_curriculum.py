"""Automatic domain randomization: ranges widen where a policy copes and narrow where it does not, within limits."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simgym.deploy.policy import Memory
from simgym.envs.config import DOMAINS, ADRConfig, DomainConfig, FlawRanges, term_groups
from simgym.envs.curriculum import Boundary, Curriculum
from simgym.envs.simulation import Simulation
from simgym.envs.tasks.grasp.config import GraspConfig
from simgym.envs.tasks.grasp.task import Grasp
from simgym.envs.terms import terms_of
from simgym.errors import UserError
from simgym.policies.vec_env import SimulationVecEnv
from tests.envs.helpers import chair_nav, seeds_of

FULL = DOMAINS["adr"]
SETTINGS = settings(max_examples=30, derandomize=True)
SMALL = replace(DOMAINS["adr"], adr=ADRConfig(enabled=True, episodes=4, step=0.25))


CONFIGS = {"ChairNav": chair_nav(), "Grasp": GraspConfig()}
TASKS = ["ChairNav", *(["Grasp"] if find_spec("pybullet_data") else [])]


def make(**changes) -> Curriculum:
    return Curriculum(replace(DOMAINS["adr"], adr=ADRConfig(enabled=True, **changes)))


def live(curriculum: Curriculum, rng: np.random.Generator, copes, episodes: int) -> None:
    """Draw episodes and record how a policy that ``copes`` with some domains fares."""
    for _ in range(episodes):
        domain, pin = curriculum.draw(rng)
        if pin is not None:
            curriculum.record(pin, copes(domain))


def value_of(domain: DomainConfig, name: str) -> tuple[float, float]:
    group, item = name.split(".")
    return getattr(term_groups(domain)[group], item)


def test_it_begins_at_the_nominal_world():
    domain, _ = make(boundary_probability=0.0).draw(np.random.default_rng(0))
    nominal = {"dynamics.mass_scale": 1, "dynamics.actuator_gain_scale": 1, "look.focal_scale": 1}
    nominal |= dict.fromkeys(("dynamics.actuator_lag_s", "look.camera_pitch_deg", "clutter.furniture"), 0)
    for name, value in nominal.items():
        assert value_of(domain, name) == (value, value), name
    assert [type(steps) for steps in domain.randomization.dynamics.action_delay_steps] == [int, int]


@pytest.mark.parametrize("task", TASKS)
def test_it_begins_with_the_picture_of_the_nominal_world(task):
    pictures = []
    for domain in (DOMAINS["sim"], DOMAINS["adr"]):
        simulation = Simulation(CONFIGS[task], domain)
        if domain.adr.enabled:
            simulation.curriculum = make(boundary_probability=0.0)
        simulation.reset(np.array([0]), np.array(seeds_of("train", 1)))
        pictures.append(simulation.observe().image.astype(int))
        simulation.close()
    assert abs(pictures[0] - pictures[1]).max() <= 1  # its light is rounded to a hundredth of a degree


def test_flaws_of_the_camera_grow_too_and_what_a_task_ignores_does_not():
    flawed = replace(FULL, flaws=FlawRanges(jpeg_loss=(0, 40), exposure_ev=(-0.4, 0.4), readout_s=(0.01, 0.03)))
    curriculum = Curriculum(flawed)
    flaws = curriculum.draw(np.random.default_rng(0))[0].flaws
    assert (flaws.jpeg_loss, flaws.exposure_ev, flaws.readout_s) == ((0, 0), (0.0, 0.0), (0.01, 0.01))
    assert set(curriculum.names) - set(make().names) == {"flaws.jpeg_loss", "flaws.exposure_ev", "flaws.readout_s"}
    lost = set(curriculum.names) - set(Curriculum(flawed, Grasp.ignored).names)
    assert lost == {"dynamics.velocity_noise_m_s", "dynamics.velocity_noise_rad_s"}


@pytest.mark.parametrize(("look", "group"), [("mistaken", {"look.confusion"}), ("canonical", set())])
def test_only_the_terms_of_the_look_that_is_drawn_take_part(look, group):
    names = set(Curriculum(replace(FULL, look=look)).names)
    assert {name for name in names if name.startswith("look.") and "camera" not in name} - {"look.focal_scale"} == group
    assert not any("paint" in name or "light" in name for name in names)


def test_every_range_of_the_domain_takes_part():
    ranges = {
        f"{group}.{name}"
        for group, terms in term_groups(FULL).items()
        for name in terms_of(terms)
        if value_of(FULL, f"{group}.{name}")[0] < value_of(FULL, f"{group}.{name}")[1]
    }
    assert set(make().names) == ranges and len(ranges) > 15


def test_a_policy_that_always_copes_gets_the_full_ranges_and_no_more():
    curriculum = Curriculum(SMALL)
    before = curriculum.entropy
    live(curriculum, np.random.default_rng(1), lambda _: True, 3000)
    domain, _ = curriculum.draw(np.random.default_rng(2))
    for name in curriculum.names:
        i = curriculum.names.index(name)
        assert tuple(curriculum.bounds[i]) == pytest.approx(value_of(FULL, name)), name
    assert before < -2 and curriculum.entropy == pytest.approx(0)
    assert domain.randomization.enabled


def test_a_policy_that_never_copes_stays_at_the_nominal_world():
    curriculum = Curriculum(SMALL)
    begun = curriculum.bounds.copy()
    live(curriculum, np.random.default_rng(1), lambda _: False, 1000)
    np.testing.assert_array_equal(curriculum.bounds, begun)


def test_a_bound_settles_where_the_policy_begins_to_fail():
    """It copes with masses up to 1.15: of 0.8 to 1.3 in steps of 0.025, the bound moves back and forth around it."""
    curriculum = make(episodes=4, step=0.05)
    live(curriculum, np.random.default_rng(3), lambda domain: domain.randomization.dynamics.mass_scale[1] <= 1.15, 8000)
    low, high = curriculum.bounds[curriculum.names.index("dynamics.mass_scale")]
    assert low == pytest.approx(0.8) and 1.12 <= high <= 1.2


def test_between_the_thresholds_a_bound_stays():
    curriculum = make(episodes=4, widen_at=0.8, narrow_at=0.4)
    boundary = Boundary(0, True)
    begun = curriculum.bounds.copy()
    for success in (True, False, True, False):
        curriculum.record(boundary, success)
    np.testing.assert_array_equal(curriculum.bounds, begun)


@given(st.integers(0, 10_000))
@SETTINGS
def test_ranges_stay_ordered_and_within_their_limits_and_a_pin_is_exact(seed):
    rng = np.random.default_rng(seed)
    curriculum, luck = Curriculum(SMALL), rng.random()
    live(curriculum, rng, lambda _: rng.random() < luck, 400)
    domain, pin = curriculum.draw(rng)
    for i, name in enumerate(curriculum.names):
        low, high = value_of(domain, name)
        limit_low, limit_high = value_of(FULL, name)
        assert limit_low - 1e-9 <= low <= high <= limit_high + 1e-9, name
        if pin is not None and pin.index == i:
            assert (
                low
                == high
                == pytest.approx(curriculum.bounds[i, int(pin.upper)], abs=0.5 if isinstance(low, int) else 0)
            )


def test_how_often_it_went_well_at_an_end_is_told_once_it_is_known():
    curriculum = make(episodes=4)
    name = f"{curriculum.names[0]}/high_success"
    for success in (True, False, True):
        curriculum.record(Boundary(0, True), success)
        assert name not in curriculum.facts()
    curriculum.record(Boundary(0, True), True)
    assert curriculum.facts()[name] == 0.75


def test_half_of_the_episodes_pin_a_boundary():
    curriculum, rng = make(), np.random.default_rng(0)
    pins = [curriculum.draw(rng)[1] for _ in range(2000)]
    assert 0.45 < np.mean([pin is not None for pin in pins]) < 0.55
    assert len({pin for pin in pins if pin}) == 2 * len(curriculum.names)


def test_a_saved_curriculum_goes_on_as_if_it_had_not_stopped():
    alone, rng = Curriculum(SMALL), np.random.default_rng(5)
    live(alone, rng, lambda _: True, 333)
    resumed = Curriculum(SMALL)
    resumed.restore(json.loads(json.dumps(alone.state())))
    for curriculum in (alone, resumed):
        live(curriculum, np.random.default_rng(6), lambda domain: domain.randomization.look.light[1] < 0.6, 555)
    np.testing.assert_array_equal(alone.bounds, resumed.bounds)
    assert alone.state() == resumed.state() and alone.facts() == resumed.facts()


def test_the_state_of_other_ranges_is_refused():
    state = make().state() | {"names": ["look.sparkle"]}
    with pytest.raises(UserError, match=r"of other ranges \(look\.sparkle\)"):
        make().restore(state)


def test_a_simulation_draws_from_what_the_curriculum_has_come_to():
    simulation = Simulation(chair_nav(), DOMAINS["adr"], 4)
    simulation.curriculum = make(boundary_probability=0.0)
    simulation.reset(np.arange(4), np.array(seeds_of("train", 4)))
    drawn = [draw["dynamics"] for draw in simulation.draws]
    assert [values["mass_scale"] for values in drawn] == [1] * 4
    assert [values["action_delay_steps"] for values in drawn] == [0] * 4
    simulation.curriculum.bounds[simulation.curriculum.names.index("dynamics.mass_scale")] = (0.8, 0.9)
    simulation.reset(np.arange(4), np.array(seeds_of("train", 4)))
    assert all(0.8 <= draw["dynamics"]["mass_scale"] <= 0.9 for draw in simulation.draws)
    simulation.close()


def test_ended_episodes_at_a_boundary_count_and_others_do_not():
    for probability, expected in ((1.0, 12), (0.0, 0)):
        simulation = Simulation(chair_nav(time_limit_s=1.0), DOMAINS["adr"], 3)
        env = SimulationVecEnv(simulation, Memory(1, 1, (), (), simulation.task.control_dt_s, 3))
        env.simulation.curriculum = curriculum = make(boundary_probability=probability, episodes=100)
        env.reset()
        for _ in range(20):
            env.step(np.zeros((3, 2)))
        outcomes = [outcome for row in curriculum.state()["outcomes"].values() for outcome in row]
        assert len(outcomes) >= expected if expected else not outcomes
        env.close()
