"""Terms at work: each changes the motion or the picture, in every engine and renderer, and live ones in an episode."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from simgym.envs.config import DOMAINS, DomainConfig, DynamicsRanges, FlawRanges, LookRanges
from simgym.envs.draw import Dynamics
from simgym.envs.simulation import Simulation
from simgym.envs.tasks.grasp.config import GraspConfig
from simgym.envs.terms import is_whole, terms_of
from tests.envs.helpers import EMPTY_ROOMS, assert_same, chair_nav, exactly_nominal, randomized, record, seeds_of

CONFIGS: dict[str, Any] = {"ChairNav": chair_nav(), "Grasp": GraspConfig()}
ENGINES = ["mujoco", *(["bullet"] if find_spec("pybullet") else [])]
RENDERERS = ["raster", *ENGINES[1:]]
TASKS = ["ChairNav", *(["Grasp"] if find_spec("pybullet_data") else [])]
NOMINAL: dict[str, Any] = {
    name: (term.metadata["nominal"],) * 2 if is_whole(term) else (float(term.metadata["nominal"]),) * 2
    for name, term in terms_of(DynamicsRanges).items()
}
EXTREME: dict[str, Any] = {
    "mass_scale": (2.0, 2.0),
    "wheel_friction_scale": (0.1, 0.1),
    "actuator_gain_scale": (0.3, 0.3),
    "actuator_lag_s": (0.3, 0.3),
    "action_delay_steps": (3, 3),
    "velocity_noise_m_s": (0.1, 0.1),
    "velocity_noise_rad_s": (0.1, 0.1),
}
LIVE = {group: [n for n, t in terms_of(group).items() if t.metadata["live"]] for group in (DynamicsRanges, LookRanges)}


def dynamics(engine: str = "mujoco", **changes: Any) -> DomainConfig:
    """The canonical look and no clutter; the nominal dynamics but for ``changes``."""
    ranges = replace(DOMAINS["sim"].randomization, enabled=True, dynamics=DynamicsRanges(**NOMINAL | changes))
    return replace(DOMAINS["sim"], engine=engine, randomization=ranges)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("task", TASKS)
def test_every_dynamics_term_changes_the_motion_and_live_ones_within_an_episode(task: str, engine: str) -> None:
    """By far more than rounding: half a millimetre, or for the friction of what an arm holds a twentieth of one."""

    def life(**changes: Any) -> np.ndarray:
        simulation = Simulation(CONFIGS[task], dynamics(engine, **changes))
        simulation.reset(np.array([0]), np.array([4]))
        rows = []
        for _ in range(45):
            simulation.step(simulation.expert_action())
            moved, measured = simulation.engine.state.moving_pos[0], simulation.observe().measured[0]
            rows.append(np.concatenate([moved.ravel(), measured]))
        simulation.close()
        return np.array(rows)

    nominal = life()
    for name in terms_of(DynamicsRanges):
        if task == "Grasp" and name.startswith("velocity_noise"):
            continue
        least = 5e-5 if task == "Grasp" and name == "wheel_friction_scale" else 5e-4
        assert np.abs(life(**{name: EXTREME[name]}) - nominal).max() > least, name
        if name in LIVE[DynamicsRanges] and least == 5e-4:  # for the friction of fingers see below
            low, high = sorted((NOMINAL[name][0], EXTREME[name][0]))
            ranges = {name: (low, high)}
            still, varied = life(**ranges), life(**ranges, interval=(name,), interval_s=(1.0, 1.0))
            steps = round(1.0 * CONFIGS[task].control_rate_hz)
            np.testing.assert_array_equal(still[:steps], varied[:steps], name)
            assert np.abs(still - varied).max() > least, name


@pytest.mark.skipif("Grasp" not in TASKS, reason="needs PyBullet's data")
@pytest.mark.parametrize("engine", ENGINES)
def test_what_an_arm_holds_slips_when_its_friction_goes(engine: str) -> None:
    heights = []
    for friction in (1.0, 0.02):
        simulation = Simulation(CONFIGS["Grasp"], dynamics(engine))
        simulation.reset(np.array([0]), np.array([4]))
        while simulation.task.best_lift_m[0] < 0.03:
            simulation.step(simulation.expert_action())
        slippery = replace(Dynamics.nominal(1), wheel_friction_scale=np.array([friction]))
        simulation.engine.vary(np.array([0]), slippery)
        for _ in range(4):
            simulation.step(simulation.expert_action())
        heights.append(simulation.task.lowest_points(simulation.engine.state)[0].max())
        simulation.close()
    assert heights[0] > 0.03 and heights[1] < 0.01


@pytest.mark.parametrize("renderer", RENDERERS)
def test_every_look_term_changes_the_picture_at_a_reset_and_live_ones_within_an_episode(renderer: str) -> None:
    fixed = exactly_nominal(LookRanges()) | {"texture_probability": 0.5, "textures": 8, "light_tint": (0.9, 0.9)}

    def pictures(**changes: Any) -> np.ndarray:
        domain = replace(randomized(look=fixed | changes), renderer=renderer, name="own")
        simulation = Simulation(chair_nav(layout=EMPTY_ROOMS), domain)
        rows = record(simulation, [4], 4)["image"]
        simulation.close()
        return rows

    nominal = pictures()
    for name in terms_of(LookRanges):
        low, high = getattr(DOMAINS["adr"].randomization.look, name)  # of which each is wide
        assert not np.array_equal(pictures(**{name: (low, low)})[0], nominal[0]), name
        if name in LIVE[LookRanges]:
            ranges = {name: (low, high)}
            still, varied = pictures(**ranges), pictures(**ranges, interval=(name,), interval_s=(0.4, 0.4))
            np.testing.assert_array_equal(still[:3], varied[:3], name)
            assert not np.array_equal(still[3], varied[3]), name


def test_the_canonical_twin_follows_a_camera_that_moves_within_an_episode() -> None:
    chosen = {"interval": ("camera_pitch_deg", "camera_height_m"), "interval_s": (0.4, 0.4)}
    simulation = Simulation(CONFIGS["ChairNav"], randomized(look=chosen), twin=True)
    simulation.reset(np.array([0]), np.array([4]))
    for _ in range(8):
        simulation.step(np.array([[-1.0, 0.0]]))
        np.testing.assert_array_equal(simulation.canonical().depth, simulation.observe().depth)
    simulation.close()


def test_flaws_of_the_delivery_and_exposure_vary_in_an_episode() -> None:
    for name, high in (("exposure_ev", 2.0), ("latency_steps", 5), ("jpeg_loss", 90), ("dropped", 1.0)):
        lives = []
        for interval in ((), (name,)):
            chosen: dict[str, Any] = {name: (0, high), "interval": interval}
            simulation = Simulation(CONFIGS["ChairNav"], replace(DOMAINS["sim"], flaws=FlawRanges(**chosen)))
            lives.append(record(simulation, [4], 40)["image"])
            simulation.close()
        first = int(np.argmax([not np.array_equal(*row) for row in zip(*lives, strict=True)]))
        assert first > 2.0 * 5, name  # the first of `interval_s`, in steps


def test_a_varying_episode_depends_on_its_seed_alone() -> None:
    live: dict[str, Any] = {"interval_s": (0.2, 1.0)}
    domain = randomized(
        dynamics=live | {"interval": tuple(LIVE[DynamicsRanges]), "startup": ("mass_scale",)},
        look=live | {"interval": ("light", "ambient", "brightness"), "gaussian": ("light",)},
    )
    seeds = seeds_of("train", 3)
    batch, alone = Simulation(CONFIGS["ChairNav"], domain, 3), Simulation(CONFIGS["ChairNav"], domain)
    record(batch, seeds_of("train", 3, first=50), 9, action_seed=9)
    batch.reset(np.arange(3), np.array([seeds[1], seeds[0], seeds[1]]), [5, 6, 5])
    alone.reset(np.array([0]), np.array([seeds[1]]), [5])
    for action in np.random.default_rng(0).uniform(-1, 1, (30, 2)):
        batch.step(np.stack([action, -action, action]))
        alone.step(action[None])
        for world in (0, 2):
            seen = {name: value[world] for name, value in vars(batch.observe()).items()}
            assert_same(seen, {name: value[0] for name, value in vars(alone.observe()).items()})
    for simulation in (batch, alone):
        simulation.close()
