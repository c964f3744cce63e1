"""Terms: distributions and modes draw what they say, nothing else moves, and what cannot be honoured is refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from simgym.config.compose import compose_config
from simgym.config.schema import PreviewConfig
from simgym.envs.config import DOMAINS, ADRConfig, DomainConfig, DynamicsRanges, LookRanges, term_groups
from simgym.envs.curriculum import Curriculum
from simgym.envs.dynamics import sample_dynamics
from simgym.envs.simulation import Simulation
from simgym.envs.tasks.chair_nav.env import ChairNavEnv, ChairNavVectorEnv
from simgym.envs.tasks.grasp.config import GraspConfig
from simgym.envs.tasks.grasp.task import Grasp
from simgym.envs.terms import DISTRIBUTIONS, Drawing, LiveTerms, quantile, terms_of
from simgym.errors import UsageError
from tests.envs.helpers import chair_nav, randomized, seeds_of

SETTINGS = settings(max_examples=50, derandomize=True)
CONFIGS: dict[str, Any] = {"ChairNav": chair_nav(), "Grasp": GraspConfig()}
HAS_BULLET = find_spec("pybullet") is not None
TASKS = ["ChairNav", *(["Grasp"] if find_spec("pybullet_data") else [])]
# What was drawn before terms had modes and distributions; of adr since it begins with plain colours.
PINNED = {
    ("ChairNav", "sim"): "30d60a021edb37cf",
    ("ChairNav", "randomized"): "253fd66e60bc4c85",
    ("ChairNav", "adr"): "9ca0b11a733e8a1c",
    ("ChairNav", "standin"): "0f9c4796fb8ef60e",
    ("Grasp", "sim"): "1946ec23d40cf376",
    ("Grasp", "randomized"): "7e5278d9180acf19",
    ("Grasp", "adr"): "68a3ee98636cf187",
    ("Grasp", "standin"): "dbad72fce970632c",
}


def drawn_of(simulation: Simulation, seed: int) -> dict[str, np.ndarray]:
    """Every array of the draw that engine and renderer get for an episode, and the flaws."""
    taken: dict[str, np.ndarray] = {}
    engine, renderer = simulation.engine.apply, simulation.renderer.apply

    def apply_engine(worlds: Any, layout: Any, dynamics: Any) -> None:
        taken.update(vars(layout) | vars(dynamics))
        engine(worlds, layout, dynamics)

    def apply_renderer(worlds: Any, layout: Any, look: Any) -> None:
        taken.update(vars(look))
        renderer(worlds, layout, look)

    simulation.engine.apply, simulation.renderer.apply = apply_engine, apply_renderer  # type: ignore[method-assign]
    simulation.reset(np.array([0]), np.array([seed]))
    simulation.engine.apply, simulation.renderer.apply = engine, renderer  # type: ignore[method-assign]
    return taken | {name: np.array(value) for name, value in simulation.draws[0]["flaws"].items()}


def digest(simulation: Simulation, seeds: tuple[int, ...]) -> str:
    """A hash of all drawn numbers, so rounded that libraries of mathematics may differ in the last bits."""
    total = hashlib.sha256()
    for seed in seeds:
        for name, value in sorted(drawn_of(simulation, seed).items()):
            total.update(name.encode() + (np.round(value.astype(float), 7) + 0.0).tobytes())
    return total.hexdigest()[:16]


def refused(domain: DomainConfig, task: str = "ChairNav") -> str:
    """The one line with which a domain is refused."""
    with pytest.raises(UsageError) as caught:
        Simulation(CONFIGS[task], domain)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- nothing has moved ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("task", "name"), PINNED)
def test_default_settings_draw_what_they_always_drew(task: str, name: str) -> None:
    if task not in TASKS or (name == "standin" and not HAS_BULLET):
        pytest.skip("needs PyBullet")
    domain = DOMAINS[name]
    simulation = Simulation(CONFIGS[task], domain)
    if domain.adr.enabled:
        simulation.curriculum = curriculum = Curriculum(domain)
        groups = (key.split(".") for key in curriculum.names)
        curriculum.bounds[:] = [getattr(getattr(domain.randomization, group), item) for group, item in groups]
    assert digest(simulation, (0, 6, 123456)) == PINNED[task, name]
    assert "startup_seed" not in simulation.draws[0]
    simulation.close()


# --- distributions -------------------------------------------------------------------------------------------------


@given(st.floats(0, 1, exclude_max=True), st.floats(0.01, 100), st.floats(0.01, 100))
@SETTINGS
def test_quantiles_are_those_of_the_distributions(share: float, first: float, second: float) -> None:
    low, high = sorted((first, second))
    if low < high:
        known = scipy.stats.loguniform.ppf(share, low, high)
        assert quantile("log_uniform", share, low, high) == pytest.approx(known)
        known = scipy.stats.truncnorm.ppf(share, -2, 2, (low + high) / 2, (high - low) / 4)
        assert quantile("gaussian", share, low, high) == pytest.approx(known)
    for name in DISTRIBUTIONS:
        assert low <= quantile(name, share, low, high) <= high
        assert quantile(name, share, low, low) == low


@pytest.mark.parametrize("choice", ["uniform", *DISTRIBUTIONS])
def test_draws_follow_their_distribution_within_the_range(choice: str) -> None:
    chosen = {} if choice == "uniform" else {choice: ("mass_scale",)}
    terms = Drawing(DynamicsRanges(mass_scale=(0.5, 2.0), **chosen))  # type: ignore[arg-type]
    values = terms.draw(np.random.default_rng(0), "mass_scale", 20_000)
    assert 0.5 <= values.min() < 0.51 and 1.97 < values.max() <= 2.0
    median = {"uniform": 1.25, "log_uniform": 1.0, "gaussian": 1.25}[choice]
    assert np.median(values) == pytest.approx(median, rel=0.02)
    middle = {"uniform": 0.5, "log_uniform": 0.547, "gaussian": 0.715}[choice]  # share within 0.875..1.625
    lower, upper = {"log_uniform": (0.6, 1.282)}.get(choice, (0.875, 1.625))
    assert ((lower < values) & (values < upper)).mean() == pytest.approx(middle, abs=0.02)


@pytest.mark.parametrize("choice", DISTRIBUTIONS)
def test_whole_numbers_reach_both_ends_and_stay_whole(choice: str) -> None:
    terms = Drawing(DynamicsRanges(action_delay_steps=(1, 4), **{choice: ("action_delay_steps",)}))  # type: ignore[arg-type]
    values = terms.draw(np.random.default_rng(0), "action_delay_steps", 20_000)
    share = np.bincount(values, minlength=5)[1:] / len(values)
    edges = np.arange(1.0, 6.0)
    if choice == "log_uniform":
        expected = np.diff(np.log(edges)) / np.log(5)
    else:
        expected = np.diff(scipy.stats.truncnorm.cdf(edges, -2, 2, 3, 1))
    np.testing.assert_allclose(share, expected, atol=0.015)
    assert isinstance(terms.draw(np.random.default_rng(0), "action_delay_steps"), int)


@pytest.mark.parametrize("name", sorted(set(terms_of(DynamicsRanges)) - {"action_delay_steps"}))
@pytest.mark.parametrize("choice", ["startup", "gaussian"])
def test_choices_for_one_term_leave_every_other_draw_alone(name: str, choice: str) -> None:
    plain, changed = DynamicsRanges(), DynamicsRanges(**{choice: (name,)})  # type: ignore[arg-type]
    for seed in range(5):
        first, second = (sample_dynamics(np.random.default_rng(seed), Drawing(r))[1] for r in (plain, changed))
        assert {key for key in first if first[key] != second[key]} == {name}


# --- startup -------------------------------------------------------------------------------------------------------


def test_startup_terms_stay_with_their_world_and_the_others_do_not() -> None:
    names = ("mass_scale", "actuator_gain_scale")
    domain = randomized(dynamics={"startup": names}, look={"startup": ("camera_pitch_deg",)})
    simulation = Simulation(CONFIGS["ChairNav"], domain, 3)
    rows = []
    for first in (0, 10):
        simulation.reset(np.arange(3), np.array(seeds_of("train", 3, first)))
        rows.append([draw["dynamics"] | draw["look"] for draw in simulation.draws])
    for name in (*names, "camera_pitch_deg"):
        assert [row[name] for row in rows[0]] == [row[name] for row in rows[1]]
        assert len({row[name] for row in rows[0]}) == 3
    for name in ("wheel_friction_scale", "camera_roll_deg"):
        assert len({row[name] for episode in rows for row in episode}) == 6
    other = Simulation(CONFIGS["ChairNav"], domain, 3, "test")
    other.reset(np.arange(3), np.array(seeds_of("test", 3)))
    assert not {d["dynamics"]["mass_scale"] for d in other.draws} & {row["mass_scale"] for row in rows[0]}
    for made in (simulation, other):
        made.close()


def test_colours_of_a_startup_look_stay() -> None:
    domain = randomized(look={"startup": ("brightness",), "saturation": (0.0, 0.0), "texture_probability": 0.0})
    simulation = Simulation(CONFIGS["ChairNav"], domain)
    grey = [drawn_of(simulation, seed)["part_rgb"][0, :, 0] for seed in (2, 4)]
    # Parts share a colour or have their own anew in each episode; most are as they were.
    assert (grey[0] == grey[1]).mean() > 0.6
    simulation.close()


def test_an_episode_of_a_startup_world_is_replayed_and_worlds_of_a_batch_are_single_ones() -> None:
    domain = randomized(dynamics={"startup": ("mass_scale",)})
    single, batch, other = ChairNavEnv(domain), ChairNavVectorEnv(2, domain), ChairNavEnv(domain)
    _, infos = batch.reset(seed=7)
    for world in (0, 1):
        _, info = single.reset(seed=7 + world)
        assert info["draw"] == infos["draw"][world] and info["draw"]["startup_seed"] == 7 + world
    drawn = json.loads(json.dumps(info["draw"]))
    kept = other.reset(seed=1)[1]["draw"]["dynamics"]["mass_scale"]
    seen, info = other.reset(options={"draw": drawn})
    assert json.loads(json.dumps(info["draw"])) == drawn
    np.testing.assert_array_equal(
        seen["image"], single.render_mode or single.reset(options={"draw": drawn})[0]["image"]
    )
    assert other.reset()[1]["draw"]["dynamics"]["mass_scale"] == kept  # a replay does not exchange the robot
    with pytest.raises(UsageError, match="startup_seed"):
        other.reset(options={"draw": {name: value for name, value in drawn.items() if name != "startup_seed"}})
    for env in (single, batch, other):
        env.close()


# --- automatic domain randomization --------------------------------------------------------------------------------


def test_growing_ranges_keep_distributions_and_modes_and_resume() -> None:
    domain = randomized(dynamics={"log_uniform": ("mass_scale",), "startup": ("actuator_gain_scale",)})
    domain = replace(domain, name="adr", adr=ADRConfig(enabled=True, episodes=2, step=0.25))
    draws = []
    for resumes in (False, True):
        curriculum, rng = Curriculum(domain), np.random.default_rng(0)
        for episode in range(400):
            if resumes and episode == 200:
                state = json.loads(json.dumps(curriculum.state()))
                curriculum = Curriculum(domain)
                curriculum.restore(state)
            pin = curriculum.draw(rng)[1]
            if pin is not None:
                curriculum.record(pin, True)
        simulation = Simulation(CONFIGS["ChairNav"], domain, 4)
        simulation.curriculum = curriculum
        simulation.reset(np.arange(4), np.array(seeds_of("train", 4)))
        draws.append(simulation.draws)
        simulation.close()
        low, high = curriculum.bounds[curriculum.names.index("dynamics.mass_scale")]
        assert 0.8 <= low < 1 < high <= 1.3
        assert all(low <= draw["dynamics"]["mass_scale"] <= high for draw in simulation.draws)
    assert draws[0] == draws[1]


# --- bad input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"mass_scale": (1.3, 0.8)}, "mass_scale=[1.3,0.8]: the first end of a range must not exceed the second"),
        ({"interval": ("mass_scale",)}, "dynamics.interval=[mass_scale]: only a reset can change it"),
        ({"startup": ("mass",)}, "dynamics.startup=[mass]: no such term; choose from mass_scale,"),
        ({"log_uniform": ("actuator_lag_s",)}, "dynamics.actuator_lag_s=[0.0,0.15] must lie above 0"),
        ({"gaussian": ("mass_scale",), "mass_scale": (1.0, 1.0)}, "does nothing: domain.randomization.dynamics.mass"),
        ({"startup": ("actuator_lag_s",), "interval": ("actuator_lag_s",)}, "actuator_lag_s is named twice in startup"),
        ({"gaussian": ("mass_scale", "mass_scale")}, "mass_scale is named twice in log_uniform and gaussian"),
        ({"interval_s": (1.0, 2.0)}, "dynamics.interval_s=[1.0,2.0] does nothing: name terms in"),
        ({"interval": ("actuator_lag_s",), "interval_s": (2.0, 1.0)}, "the first end of a range must not exceed"),
    ],
)
def test_a_term_that_cannot_be_honoured_is_one_line(changes: dict[str, Any], expected: str) -> None:
    assert expected in refused(randomized(dynamics=changes))


def test_how_ranges_grow_is_refused_where_they_do_not() -> None:
    assert "domain.adr.step=0.2 does nothing while automatic domain randomization is off" in refused(
        replace(DOMAINS["randomized"], adr=ADRConfig(step=0.2))
    )
    for off in (
        replace(DOMAINS["adr"], adr=ADRConfig()),
        replace(DOMAINS["adr"], adr=ADRConfig(enabled=True, step=0.2)),
    ):
        Simulation(CONFIGS["ChairNav"], off).close()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("domain.randomization.dynamics.startup=mass_scale", "expected values in brackets, each a text"),
        ("domain.randomization.clutter.interval=[doors]", "unknown key"),
    ],
)
def test_a_mistyped_choice_is_one_line(words: str, expected: str) -> None:
    from simgym.config.compose import expand

    with pytest.raises(UsageError, match=expected) as caught:
        compose_config(PreviewConfig, expand(PreviewConfig, [words], False)[0])
    assert "\n" not in str(caught.value)


def test_choices_come_from_the_command_line_and_from_files(tmp_path: Path) -> None:
    (tmp_path / "domain").mkdir()
    text = "defaults: [randomized]\nname: fleet\nrandomization:\n  dynamics:\n    startup: [mass_scale]\n"
    (tmp_path / "domain" / "fleet.yaml").write_text(text)
    words = ["domain=fleet", "domain.randomization.dynamics.interval=[actuator_lag_s]", "domain.flaws.gaussian=[]"]
    config = compose_config(PreviewConfig, words, str(tmp_path))
    ranges = config.domain.randomization.dynamics
    assert (ranges.startup, ranges.interval, ranges.log_uniform) == (("mass_scale",), ("actuator_lag_s",), ())
    Simulation(CONFIGS["ChairNav"], config.domain).close()


@pytest.mark.skipif("Grasp" not in TASKS, reason="needs PyBullet's data")
@pytest.mark.parametrize(
    "change",
    [
        lambda: randomized(dynamics={"velocity_noise_m_s": (0.0, 0.5)}),
        lambda: randomized(dynamics={"interval": ("velocity_noise_rad_s",)}),
    ],
)
def test_what_a_task_ignores_is_refused_where_it_was_asked_for(change: Callable[[], DomainConfig]) -> None:
    Simulation(CONFIGS["ChairNav"], change()).close()
    assert "does nothing in env=Grasp, where " in refused(change(), "Grasp")
    for idle in (replace(DOMAINS["randomized"], name="own"), randomized(dynamics={"velocity_noise_m_s": (0.0, 0.0)})):
        Simulation(CONFIGS["Grasp"], idle).close()  # what ours implies may stand idle, and off is off


def test_choices_of_a_look_that_is_not_drawn_are_refused() -> None:
    look = replace(DOMAINS["sim"].randomization, enabled=True, look=LookRanges(interval=("light",)))
    line = refused(replace(DOMAINS["sim"], randomization=look))
    assert "domain.randomization.look.interval=[light] does nothing in domain.look=canonical" in line


# --- what is declared ----------------------------------------------------------------------------------------------


def test_every_term_states_its_operation_and_is_nominal_where_it_does_nothing() -> None:
    for group in term_groups(DOMAINS["randomized"]).values():
        for name, term in terms_of(group).items():
            operation, nominal = term.metadata["operation"], term.metadata.get("nominal")
            assert operation in ("set", "scale", "add")
            if nominal is not None and operation != "set":
                assert nominal == {"scale": 1, "add": 0}[operation], name
            assert term.metadata["help"], name


def rows() -> list[str]:
    """The table of terms, as the docs have it."""
    groups = {"look": DOMAINS["randomized"], "clutter": DOMAINS["randomized"], "dynamics": DOMAINS["randomized"]}
    groups["flaws"] = DOMAINS["standin"]
    lines = []
    for group, domain in groups.items():
        terms = term_groups(domain)[group]
        for name, term in terms_of(terms).items():
            low, high = getattr(terms, name)
            modes = "startup, reset" + (", interval" if term.metadata["live"] else "")
            full = f"domain.flaws.{name}" if group == "flaws" else f"domain.randomization.{group}.{name}"
            tasks = "ChairNav" if full.startswith(tuple(start for start, _ in Grasp.ignored)) else "all"
            unit = term.metadata["unit"] or "-"
            meaning = term.metadata["operation"]
            lines.append(f"| {group} | `{name}` | {meaning} | {unit} | {low:g} to {high:g} | {modes} | {tasks} |")
    return lines


def test_the_docs_list_every_term_as_it_is_declared() -> None:
    text = (Path(__file__).parents[2] / "docs" / "randomization.md").read_text()
    starts = tuple(f"| {name} |" for name in term_groups(DOMAINS["sim"]))
    found = [line for line in text.splitlines() if line.startswith(starts)]
    assert found == rows()


def test_groups_with_live_terms_can_be_drawn_at_intervals() -> None:
    for group in term_groups(DOMAINS["sim"]).values():
        assert isinstance(group, LiveTerms) == any(term.metadata["live"] for term in terms_of(group).values())
