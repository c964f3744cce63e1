"""Looks and dynamics: degenerate ranges are exact, every range does something, every draw is the seed's alone."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from simgym.envs.config import DOMAINS, DomainConfig, DynamicsRanges, LookRanges
from simgym.envs.draw import Dynamics
from simgym.envs.dynamics import sample_dynamics
from simgym.envs.looks import make_look
from simgym.envs.looks.canonical import COLORS, canonical_look
from simgym.envs.looks.textures import COLOURED, PATTERNS, SIDE_PX, VARIANTS, texture_bank
from simgym.envs.scene import Semantic, Shape
from simgym.envs.simulation import Simulation
from simgym.envs.terms import Drawing, terms_of
from simgym.errors import UsageError
from tests.envs.helpers import assert_same, chair_nav, differs, exactly_nominal, randomized, record, seeds_of

CONFIG = chair_nav()
FIXED_LOOK = exactly_nominal(LookRanges()) | {"texture_probability": 0.5, "textures": 8}
FIXED_DYNAMICS = {
    "mass_scale": (1.0, 1.0),
    "wheel_friction_scale": (1.0, 1.0),
    "actuator_gain_scale": (1.0, 1.0),
    "actuator_lag_s": (0.0, 0.0),
    "action_delay_steps": (0, 0),
    "velocity_noise_m_s": (0.0, 0.0),
    "velocity_noise_rad_s": (0.0, 0.0),
}
MOVED_LOOK = {
    "saturation": (0.9, 0.9),
    "brightness": (0.2, 0.2),
    "natural_probability": 1.0,
    "texture_probability": 1.0,
    "texture_size_m": (0.2, 0.2),
    "recolored": (0.5, 0.5),
    "light_elevation_deg": (20.0, 20.0),
    "light_azimuth_deg": (300.0, 300.0),
    "light": (0.7, 0.7),
    "ambient": (0.3, 0.3),
    "light_tint": (0.5, 0.5),
    "camera_height_m": (0.05, 0.05),
    "camera_pitch_deg": (5.0, 5.0),
    "camera_roll_deg": (4.0, 4.0),
    "camera_yaw_deg": (4.0, 4.0),
    "focal_scale": (0.8, 0.8),
    "textures": 5,
}
MOVED_DYNAMICS = {
    "mass_scale": (2.0, 2.0),
    "wheel_friction_scale": (0.1, 0.1),
    "actuator_gain_scale": (0.3, 0.3),
    "actuator_lag_s": (0.3, 0.3),
    "action_delay_steps": (2, 2),
    "velocity_noise_m_s": (0.1, 0.1),
    "velocity_noise_rad_s": (0.1, 0.1),
}
MOTION = {"link_pos", "link_quat"}
CAMERA = {"camera_height_m", "camera_pitch_deg", "camera_roll_deg", "camera_yaw_deg", "focal_scale"}


def life(domain: DomainConfig, seeds: tuple[int, ...] = (4,), steps: int = 12) -> dict[str, np.ndarray]:
    simulation = Simulation(CONFIG, domain, len(seeds))
    rows = record(simulation, list(seeds), steps)
    simulation.close()
    return rows


def fixed(look: dict | None = None, dynamics: dict | None = None) -> DomainConfig:
    """The randomized domain with all ranges shrunk, but those given."""
    return randomized(look=FIXED_LOOK | (look or {}), dynamics=FIXED_DYNAMICS | (dynamics or {}))


def sampled(look: dict | None = None, seed: int = 0):
    scene = Simulation(CONFIG, DOMAINS["sim"]).task.scene
    return make_look(randomized(look=look), scene).sample(np.random.default_rng(seed))


@pytest.fixture(scope="module")
def nominal_life() -> dict[str, np.ndarray]:
    return life(fixed())


# --- no dead knobs -------------------------------------------------------------------------------------------------


def test_every_range_is_moved_below():
    assert set(MOVED_LOOK) == set(terms_of(LookRanges)) | {"natural_probability", "texture_probability", "textures"}
    assert set(MOVED_DYNAMICS) == set(FIXED_DYNAMICS) == set(terms_of(DynamicsRanges))


@pytest.mark.parametrize("name", MOVED_LOOK)
def test_every_look_range_moved_alone_changes_the_picture_and_nothing_else(name, nominal_life):
    changed = differs(nominal_life, life(fixed(look={name: MOVED_LOOK[name]})))
    seen = {"image", "depth", "segmentation"} if name in CAMERA else {"image"}
    assert changed == seen


@pytest.mark.parametrize("name", MOVED_DYNAMICS)
def test_every_dynamics_range_moved_alone_changes_motion_or_measurement(name, nominal_life):
    changed = differs(nominal_life, life(fixed(dynamics={name: MOVED_DYNAMICS[name]})))
    if name.startswith("velocity_noise"):
        assert changed == {"velocity"}
    else:
        assert changed >= MOTION | {"velocity", "image"}


def test_noise_of_one_velocity_leaves_the_other_alone(nominal_life):
    for k, name in enumerate(("velocity_noise_m_s", "velocity_noise_rad_s")):
        noisy = life(fixed(dynamics={name: (0.2, 0.2)}))["velocity"]
        np.testing.assert_array_equal(noisy[..., 1 - k], nominal_life["velocity"][..., 1 - k])
        assert not np.array_equal(noisy[..., k], nominal_life["velocity"][..., k])


# --- degenerate ranges are exact -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in MOVED_DYNAMICS])
def test_degenerate_dynamics_are_exact(name):
    ranges = DynamicsRanges(**FIXED_DYNAMICS | {name: MOVED_DYNAMICS[name]})
    for seed in range(5):
        drawn, facts = sample_dynamics(np.random.default_rng(seed), Drawing(ranges))
        expected: dict[str, Any] = dict(vars(Dynamics.nominal(1)))
        if name.startswith("velocity_noise"):
            noise = np.array([[0.1, 0.0]]) if name.endswith("m_s") else np.array([[0.0, 0.1]])
            expected = expected | {"velocity_noise": noise}
        else:
            expected = expected | {name: np.array([MOVED_DYNAMICS[name][0]])}
        assert_same(vars(drawn), expected)
        assert facts[name] == MOVED_DYNAMICS[name][0]


def test_draws_of_dynamics_lie_in_their_ranges_and_reach_both_ends():
    ranges = DynamicsRanges()
    facts = [sample_dynamics(np.random.default_rng(seed), Drawing(ranges))[1] for seed in range(300)]
    for name in terms_of(ranges):
        low, high = getattr(ranges, name)
        values = np.array([row[name] for row in facts])
        assert low <= values.min() <= low + 0.05 * (high - low)
        assert high >= values.max() >= high - 0.05 * (high - low)


def test_degenerate_looks_are_exact():
    exact = {"light": (0.4, 0.4), "ambient": (0.6, 0.6), "light_tint": (1.0, 1.0), "light_elevation_deg": (30.0, 30.0)}
    exact |= {"camera_height_m": (0.02, 0.02), "focal_scale": (1.05, 1.05), "texture_size_m": (0.7, 0.7)}
    exact |= {"light_azimuth_deg": (90.0, 90.0)}
    exact |= {"camera_roll_deg": (1.0, 1.0), "camera_pitch_deg": (2.0, 2.0), "camera_yaw_deg": (3.0, 3.0)}
    for seed in range(5):
        look, facts = sampled(exact, seed)
        np.testing.assert_array_equal(look.light_rgb, np.full((1, 3), np.float32(0.4)))
        np.testing.assert_array_equal(look.ambient_rgb, np.full((1, 3), np.float32(0.6)))
        np.testing.assert_allclose(look.light_dir[0], (0, np.sqrt(0.75), -0.5), atol=1e-6)
        np.testing.assert_array_equal(look.camera_offset, np.array([[0, 0, 0.02]], np.float32))
        np.testing.assert_array_equal(look.camera_rpy_rad, np.radians([[1.0, 2.0, 3.0]]).astype(np.float32))
        np.testing.assert_array_equal(look.focal_scale, np.array([1.05], np.float32))
        assert (look.texture_size_m == np.float32(0.7)).all()
        assert (facts["camera_pitch_deg"], facts["focal_scale"]) == (2.0, 1.05)


@pytest.mark.parametrize(("share", "textured"), [(0.0, 0.0), (1.0, 1.0)])
def test_none_or_all_parts_are_textured(share, textured):
    look, _ = sampled({"texture_probability": share})
    assert (look.part_texture >= 0).mean() == textured


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_recolored_is_the_way_from_plain_colours_to_drawn_ones_and_changes_no_other_draw(share):
    (full, _), (look, facts) = sampled(), sampled({"recolored": (share, share)})
    plain = canonical_look(Simulation(CONFIG, DOMAINS["sim"]).task.scene).part_rgb
    np.testing.assert_allclose(look.part_rgb, plain + share * (full.part_rgb - plain), rtol=0, atol=1e-6)
    textured = look.part_texture >= 0
    np.testing.assert_array_equal(look.part_texture[textured], full.part_texture[textured])
    assert textured.mean() == pytest.approx(share * (full.part_texture >= 0).mean(), abs=0.1)
    assert facts["recolored"] == share
    for name in set(vars(look)) - {"part_rgb", "part_texture"}:
        np.testing.assert_array_equal(getattr(look, name), getattr(full, name))
    if share in (0, 1):  # to the bit
        np.testing.assert_array_equal(look.part_rgb, full.part_rgb if share else plain)


def test_brightness_and_saturation_are_those_of_the_colours():
    look, _ = sampled({"brightness": (0.5, 0.5), "saturation": (0.4, 0.4)})
    rgb = look.part_rgb[0]
    np.testing.assert_allclose(rgb.max(1), 0.5, rtol=1e-6)
    np.testing.assert_allclose(1 - rgb.min(1) / rgb.max(1), 0.4, rtol=1e-5)
    assert len(np.unique(rgb.argmax(1))) == 3  # all hues


def test_natural_colours_are_those_of_lived_in_rooms():
    scene = Simulation(CONFIG, DOMAINS["sim"]).task.scene
    look, _ = sampled({"natural_probability": 1.0})
    rgb = look.part_rgb[0]
    leaves = [part.semantic == Semantic.PLANT and part.shape == Shape.SPHERE for part in scene.parts]
    ceiling = [part.semantic == Semantic.CEILING for part in scene.parts]
    assert any(leaves) and (rgb[leaves].argmax(1) == 1).all(), "green"
    assert (rgb[ceiling].min(1) >= 0.4).all(), "pale"


# --- looks ---------------------------------------------------------------------------------------------------------


def test_drawn_looks_are_valid():
    for seed in range(30):
        look, _ = sampled(seed=seed)
        for colours in (look.part_rgb, look.light_rgb, look.ambient_rgb):
            assert colours.min() >= 0 and colours.max() <= 1
        assert np.linalg.norm(look.light_dir) == pytest.approx(1, abs=1e-6)
        assert look.light_dir[0, 2] < 0  # from above
        assert -1 <= look.part_texture.min() and look.part_texture.max() < LookRanges().textures
        assert 0.1 < (look.part_texture >= 0).mean() < 1.0


def test_draws_do_not_depend_on_earlier_ones():
    scene = Simulation(CONFIG, DOMAINS["sim"]).task.scene
    look = make_look(DOMAINS["randomized"], scene)
    first = look.sample(np.random.default_rng(3))[0]
    kept = {name: value.copy() for name, value in vars(first).items()}
    look.sample(np.random.default_rng(4))
    assert_same(vars(first), kept)
    assert_same(vars(look.sample(np.random.default_rng(3))[0]), kept)


def test_the_canonical_look_is_one_flat_colour_a_class():
    simulation = Simulation(CONFIG, DOMAINS["sim"])
    scene = simulation.task.scene
    look, facts = make_look(DOMAINS["sim"], scene).sample(np.random.default_rng(0))
    assert facts == {} and (look.part_texture == -1).all()
    for part, rgb in zip(scene.parts, look.part_rgb[0], strict=True):
        assert rgb == pytest.approx(COLORS[part.semantic])
    assert set(COLORS) == set(Semantic)
    assert len(set(COLORS.values())) == len(Semantic)
    assert all(0 <= channel <= 1 for colour in COLORS.values() for channel in colour)


def test_an_unknown_look_is_a_usage_error():
    with pytest.raises(UsageError, match="sepia"):
        Simulation(CONFIG, replace(DOMAINS["randomized"], look="sepia"))


@pytest.mark.parametrize("count", [1, 6, 40])
def test_the_texture_bank_is_always_the_same(count):
    bank, rows = texture_bank(count)
    texture_bank.cache_clear()
    again, _ = texture_bank(count)
    assert again is not bank
    np.testing.assert_array_equal(again, bank)
    assert bank.shape == (count + len(COLOURED) * VARIANTS, SIDE_PX, SIDE_PX, 3) and bank.dtype == np.uint8
    assert sorted(row for span in rows.values() for row in span) == list(range(count, len(bank)))


def test_textures_are_patterns_and_all_different():
    bank, _ = texture_bank(60)
    assert len({texture.tobytes() for texture in bank}) == len(bank)
    assert (bank.reshape(len(bank), -1).std(axis=1) > 1).all()
    assert (bank[:60].reshape(60, -1).mean(axis=1) > 60).all()  # they tint a part's colour, they do not blacken it


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns_stay_within_black_and_white(pattern):
    for seed in range(20):
        grey = pattern(np.random.default_rng(seed))
        assert grey.shape == (SIDE_PX, SIDE_PX)
        assert grey.min() >= -0.01 and grey.max() <= 1.01


# --- the whole simulation ------------------------------------------------------------------------------------------


def test_switched_off_is_bit_for_bit_nominal_over_episodes():
    seeds = tuple(seeds_of("train", 3))
    on, off, sim = (life(d, seeds, 60) for d in (randomized(), randomized(enabled=False), DOMAINS["sim"]))
    assert_same(off, sim)
    assert differs(on, sim) >= MOTION | {"image", "velocity"}


def test_layouts_do_not_depend_on_look_and_dynamics():
    """Each is drawn from its own stream, so that one can be changed and the others kept."""
    plain, changed = (Simulation(CONFIG, d) for d in (randomized(), randomized(dynamics={"mass_scale": (2.0, 3.0)})))
    for simulation in (plain, changed):
        simulation.reset(np.array([0]), np.array([6]))
    assert plain.draws[0]["layout"] == changed.draws[0]["layout"]
    assert plain.draws[0]["look"] == changed.draws[0]["look"]
    np.testing.assert_array_equal(plain.task.field, changed.task.field)


def test_draws_tell_every_dynamics_range():
    simulation = Simulation(CONFIG, DOMAINS["randomized"])
    simulation.reset(np.array([0]), np.array([6]))
    drawn = simulation.draws[0]
    assert set(drawn["dynamics"]) == set(terms_of(DynamicsRanges))
    assert set(drawn["look"]) >= CAMERA | {"light", "ambient", "light_elevation_deg"}
    assert (drawn["episode_seed"], drawn["split"]) == (6, "train")


def test_worlds_of_a_batch_differ():
    seeds = tuple(seeds_of("train", 4))
    rows = life(DOMAINS["randomized"], seeds, 1)
    for name in ("image", "depth", "link_pos"):
        assert len({rows[name][0, world].tobytes() for world in range(4)}) == 4


@pytest.mark.parametrize("domain", sorted(DOMAINS))
def test_an_episode_depends_on_its_seed_alone(domain):
    """Not on its world, its neighbours or what ran there before."""
    seeds = seeds_of("train", 3)
    batch = Simulation(CONFIG, DOMAINS[domain], 3)
    record(batch, seeds_of("train", 3, first=50), 30, action_seed=9)
    batch.reset(np.arange(3), np.array([seeds[1], seeds[0], seeds[1]]))
    alone = Simulation(CONFIG, DOMAINS[domain], 1)
    alone.reset(np.array([0]), np.array([seeds[1]]))
    actions = np.random.default_rng(0).uniform(-1, 1, (40, 2))
    for step, action in enumerate(actions):
        batch.step(np.stack([action, -action, action]))
        alone.step(action[None])
        for world in (0, 2):
            for name, value in vars(alone.observe()).items():
                np.testing.assert_array_equal(getattr(batch.observe(), name)[world], value[0], err_msg=f"{step} {name}")
            np.testing.assert_array_equal(batch.engine.state.link_pos[world], alone.engine.state.link_pos[0])


def test_velocity_noise_has_the_drawn_deviation_and_no_bias():
    domain = fixed(dynamics={"velocity_noise_m_s": (0.1, 0.1), "velocity_noise_rad_s": (0.3, 0.3)})
    simulation = Simulation(chair_nav(layout={"obstacles": (0, 0)}), domain, 1)
    simulation.reset(np.array([0]), np.array([2]))
    errors = []
    for _ in range(400):
        simulation.step(np.array([[-1.0, 0.3]]))
        errors.append(simulation.observe().velocity[0] - simulation.engine.state.velocity[0])
    assert np.std(errors, axis=0) == pytest.approx((0.1, 0.3), rel=0.15)
    assert np.abs(np.mean(errors, axis=0)) == pytest.approx(0, abs=0.05)


def test_impossible_ranges_are_refused():
    for bad in ({"light": (0.5, 0.2)}, {"textures": 0}, {"focal_scale": (0.0, 1.0)}, {"brightness": (0.5, np.nan)}):
        with pytest.raises(UsageError, match=next(iter(bad))):
            Simulation(CONFIG, randomized(look=bad))
