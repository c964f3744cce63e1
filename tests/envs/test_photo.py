"""The photo look: places that stay, episodes that differ, splits that share nothing, folders of textures, lamps."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simgym.deploy.camera import Camera
from simgym.envs.config import DOMAINS, DomainConfig, FlawRanges, PhotoRanges
from simgym.envs.domain_check import check_domain
from simgym.envs.draw import LAMP_REACH_M, MAX_LAMPS, Layout, Look
from simgym.envs.looks import make_look
from simgym.envs.looks.canonical import canonical_look
from simgym.envs.looks.materials import SHOWN_WHOLE, SIDE_PX, SURFACES, VARIANTS, texture_bank
from simgym.envs.looks.photo import MADE_OF, PANELS, SIZE_M, PhotoLook, light_colour
from simgym.envs.places import FIRST_DRAWN, MAX_PLACE, place_of, split_of
from simgym.envs.renderers.raster import RasterRenderer
from simgym.envs.scene import Body, Part, Scene, Semantic, Shape
from simgym.envs.simulation import Simulation
from simgym.envs.tasks.chair_nav.env import ChairNavVectorEnv
from simgym.errors import UsageError, UserError
from tests.envs.helpers import assert_same, chair_nav, differs, exactly_nominal, record, seeds_of

# The stand-in's rooms and looks in the default engine and renderer, through a camera without flaws.
PHOTO = replace(DOMAINS["standin"], engine="mujoco", renderer="raster", flaws=FlawRanges())
CONFIG = chair_nav()
MOVED: dict[str, Any] = {
    "light": (0.4, 0.4),
    "daylight": (1.5, 1.5),
    "temperature_k": (2000.0, 2000.0),
    "lamps": (4, 4),
    "lamp": (2.0, 2.0),
    "wear": (0.9, 0.9),
    "camera_height_m": (0.05, 0.05),
    "camera_pitch_deg": (5.0, 5.0),
    "camera_roll_deg": (4.0, 4.0),
    "camera_yaw_deg": (4.0, 4.0),
    "focal_scale": (0.8, 0.8),
}


def simulation(n: int = 1, split: str = "train", domain: DomainConfig = PHOTO, **changes: Any) -> Simulation:
    return Simulation(CONFIG, replace(domain, **changes), n, split)


def looks(place: int | None, seeds: list[int], split: str = "train") -> tuple[Simulation, list[Look]]:
    """The looks that episodes get, and the simulation that drew them."""
    made = simulation(split=split, place=place)
    return made, [made._draw(0, seed).look for seed in seeds]


def painted(made: Simulation, look: Look, body: str) -> tuple[int, float]:
    """Texture and repeat of a body's first part."""
    part = made.task.scene.part_range(made.task.scene.body_index(body)).start
    return int(look.part_texture[0, part]), float(look.texture_size_m[0, part])


# --- places --------------------------------------------------------------------------------------------------------

STAYS = ("floor", "ceiling", "walls", "table0", "cabinet1", "box0", "bin0", "plant2")


def test_a_place_stays_the_same_over_episodes():
    made, drawn = looks(3, seeds_of("train", 6) + seeds_of("test", 2))
    for body in STAYS:
        assert len({painted(made, look, body) for look in drawn}) == 1, body
    for name in ("camera_offset", "camera_rpy_rad", "focal_scale"):
        assert len({getattr(look, name).tobytes() for look in drawn}) == 1, name
    assert len({np.count_nonzero(look.lamp_rgb.any(axis=2)) for look in drawn}) == 1


def test_light_and_wear_differ_from_episode_to_episode():
    _, drawn = looks(3, seeds_of("train", 6))
    for name in ("light_dir", "light_rgb", "ambient_rgb", "lamp_rgb", "lamp_pos", "part_rgb"):
        assert len({getattr(look, name).tobytes() for look in drawn}) == 6, name


def test_places_differ_in_everything():
    drawn = [looks(place, [4]) for place in range(4)]
    for body in STAYS:
        assert len({painted(made, rows[0], body) for made, rows in drawn}) == 4, body
    for name in ("camera_offset", "camera_rpy_rad", "focal_scale"):
        assert len({getattr(rows[0], name).tobytes() for _, rows in drawn}) == 4, name


def test_a_place_is_the_same_in_every_process_and_room():
    scene = simulation().task.scene
    one, other = (make_look(PHOTO, scene) for _ in range(2))
    assert isinstance(one, PhotoLook) and isinstance(other, PhotoLook)
    other.place(5)
    first, second = one.place(6), other.place(6)
    assert first.materials.keys() == second.materials.keys() == MADE_OF.keys()
    for name, material in first.materials.items():
        assert (material.texture, material.size_m) == (
            second.materials[name].texture,
            second.materials[name].size_m,
        )
    np.testing.assert_array_equal(first.lamp_spots, second.lamp_spots)


@settings(max_examples=200)
@given(seed=st.integers(0, 2**30), other=st.integers(0, 2**30))
def test_splits_share_no_place_and_no_place_that_can_be_asked_for(seed, other):
    train, test = place_of(None, 2 * seed, "train"), place_of(None, 2 * other + 1, "test")
    assert train != test and min(train, test) >= FIRST_DRAWN > MAX_PLACE
    assert (split_of(train), split_of(test)) == ("train", "test")
    assert place_of(None, 2 * seed, "train") == train
    assert place_of(17, seed, "train") == place_of(17, other, "test") == 17


def test_another_place_for_every_episode():
    seeds = {split: seeds_of(split, 12) for split in ("train", "test")}
    textures = {}
    for split, numbers in seeds.items():
        made = simulation(split=split, place=None)
        drawn, places = [], set()
        for seed in numbers:
            drawn.append(made._draw(0, seed).look)
            places.add(made.draws[0]["look"]["place"])
        assert len(places) == 12
        assert len({painted(made, look, "floor") for look in drawn}) == 12
        textures[split] = {int(row) for look in drawn for row in look.part_texture[0] if row >= 0}
    assert not textures["train"] & textures["test"]  # places never seen are of textures never seen


def test_episodes_depend_on_their_seed_alone_with_many_places():
    domain = replace(DOMAINS["standin"], engine="mujoco", renderer="raster", place=None)
    batch, alone = Simulation(CONFIG, domain, 2), Simulation(CONFIG, domain, 1)
    record(batch, [20, 22], 5)
    seed = 8
    one, two = record(batch, [6, seed], 10), record(alone, [seed], 10)
    np.testing.assert_array_equal(one["image"][0, 1], two["image"][0, 0])
    assert batch.draws[1] == alone.draws[0]


def test_a_replayed_draw_is_the_same_place_and_camera():
    env = ChairNavVectorEnv(2, replace(PHOTO, flaws=DOMAINS["standin"].flaws, place=None))
    first, info = env.reset(seed=3)
    again, info_again = env.reset(seed=3)
    assert_same(first, again)
    assert list(info["draw"]) == list(info_again["draw"])


# --- ranges --------------------------------------------------------------------------------------------------------


def test_every_range_is_moved_below():
    assert set(MOVED) == {item.name for item in fields(PhotoRanges)}


@pytest.fixture(scope="module")
def nominal_life() -> dict[str, np.ndarray]:
    return life(FIXED)


FIXED = replace(PhotoRanges(), **exactly_nominal(PhotoRanges()))


def life(ranges: PhotoRanges, seeds: tuple[int, ...] = (4,)) -> dict[str, np.ndarray]:
    made = simulation(len(seeds), photo=ranges)
    rows = record(made, list(seeds), 6)
    made.close()
    return rows


@pytest.mark.parametrize("name", MOVED)
def test_every_range_moved_alone_changes_the_picture_and_nothing_else(name, nominal_life):
    changed = differs(nominal_life, life(replace(FIXED, **{name: MOVED[name]})))
    camera = name.startswith("camera_") or name == "focal_scale"
    assert changed == ({"image", "depth", "segmentation"} if camera else {"image"})


def test_degenerate_ranges_are_exact():
    exact = PhotoRanges(
        camera_height_m=(0.02, 0.02),
        camera_roll_deg=(1.0, 1.0),
        camera_pitch_deg=(2.0, 2.0),
        camera_yaw_deg=(3.0, 3.0),
        focal_scale=(1.05, 1.05),
        lamps=(0, 0),
        daylight=(0.0, 0.0),
        wear=(0.0, 0.0),
        temperature_k=(5000.0, 5000.0),
    )
    made = simulation(photo=exact)
    for seed in (2, 4):
        look = made._draw(0, seed).look
        np.testing.assert_array_equal(look.camera_offset, np.array([[0, 0, 0.02]], np.float32))
        np.testing.assert_array_equal(look.camera_rpy_rad, np.radians([[1.0, 2.0, 3.0]]).astype(np.float32))
        np.testing.assert_array_equal(look.focal_scale, np.array([1.05], np.float32))
        assert not look.lamp_rgb.any() and not look.light_rgb.any()
        assert made.draws[0]["look"]["temperature_k"] == 5000.0
    walls = made.task.scene.part_range(made.task.scene.body_index("walls"))
    assert len(np.unique(look.part_rgb[0, walls][4:], axis=0)) == 1  # no wear


def test_draws_tell_what_was_drawn():
    made = simulation()
    made.reset(np.array([0]), np.array([6]))
    drawn = made.draws[0]["look"]
    assert drawn["place"] == 0
    assert set(drawn) >= {"light", "daylight", "temperature_k", "wear", "camera_pitch_deg", "focal_scale"}


def test_drawn_looks_are_valid():
    made, drawn = looks(None, seeds_of("train", 20))
    for look in drawn:
        assert look.part_rgb.min() >= 0 and look.part_rgb.max() <= 1
        assert min(colours.min() for colours in (look.light_rgb, look.ambient_rgb, look.lamp_rgb)) >= 0
        assert np.linalg.norm(look.light_dir) == pytest.approx(1, abs=1e-6) and look.light_dir[0, 2] < 0
        assert look.part_texture.max() < len(texture_bank()[0])
        assert look.lamp_rgb.shape == look.lamp_pos.shape == (1, MAX_LAMPS, 3)


@settings(max_examples=50)
@given(kelvin=st.floats(1500, 15000))
def test_light_turns_from_red_to_blue_with_its_temperature(kelvin):
    red, green, blue = light_colour(kelvin)
    assert max(red, green, blue) == 1 and min(red, green, blue) >= 0
    assert (red >= blue) if kelvin <= 6500 else (blue >= red - 0.02)
    assert light_colour(6600) == pytest.approx((1, 1, 1), abs=0.02)


# --- textures ------------------------------------------------------------------------------------------------------


def test_the_bank_is_always_the_same_and_all_of_it_differs():
    bank, rows = texture_bank()
    texture_bank.cache_clear()
    again, _ = texture_bank()
    assert again is not bank
    np.testing.assert_array_equal(again, bank)
    assert bank.shape == (VARIANTS * len(rows), SIDE_PX, SIDE_PX, 3) and bank.dtype == np.uint8
    assert len({texture.tobytes() for texture in bank}) == len(bank)


@pytest.mark.parametrize("generate", [*SURFACES.values(), *SHOWN_WHOLE.values()])
def test_generated_textures_stay_within_black_and_white(generate):
    for seed in range(8):
        texture = generate(np.random.default_rng(seed))
        assert texture.shape == (SIDE_PX, SIDE_PX, 3)
        assert texture.min() >= -0.01 and texture.max() <= 1.001
        assert texture.std() > 0.001


def test_every_surface_and_panel_has_a_material():
    used = {name for kinds in MADE_OF.values() for name in kinds}
    assert used <= set(SIZE_M)
    assert set(SIZE_M) <= set(SURFACES | SHOWN_WHOLE)
    assert {name for kinds in PANELS.values() for name in kinds} <= set(SHOWN_WHOLE)


def write_pictures(folder: Path, count: int) -> Path:
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    for i in range(count):
        cv2.imwrite(str(folder / f"{i}.png"), rng.integers(0, 256, (90 + i, 120, 3)).astype(np.uint8))
    return folder


def test_a_folder_of_pictures_paints_all_surfaces(tmp_path):
    folder = str(write_pictures(tmp_path / "a", 5))
    made = simulation(textures=folder)
    look = made._draw(0, 4).look
    textured = {painted(made, look, body)[0] for body in STAYS}
    assert textured <= set(range(0, 5, 2))  # an even place takes the even ones
    odd = simulation(textures=folder, place=1)
    assert {painted(odd, odd._draw(0, 4).look, body)[0] for body in STAYS} <= {1, 3}
    square = np.asarray(cv2.imread(f"{folder}/0.png"))[:, 15:105, ::-1]
    expected = cv2.resize(square, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
    assert made._look.textures is not None
    np.testing.assert_array_equal(made._look.textures[0], expected)
    assert made.draws[0]["look"]["textures_read"] == 5 and made.draws[0]["look"]["textures_skipped"] == 0


def test_unreadable_files_are_left_out_and_counted(tmp_path, caplog):
    folder = write_pictures(tmp_path / "a", 2)
    (folder / "notes.txt").write_text("not a picture")
    (folder / "empty.png").write_bytes(b"")
    write_pictures(folder / "deeper", 3)
    made = simulation(textures=str(folder))
    made.reset(np.array([0]), np.array([4]))
    facts = made.draws[0]["look"]
    assert (facts["textures_read"], facts["textures_skipped"]) == (5, 2)
    assert "2 of 7 files" in caplog.text


def test_one_picture_serves_every_place(tmp_path):
    folder = str(write_pictures(tmp_path / "a", 1))
    for place in (0, 1):
        made = simulation(textures=folder, place=place)
        assert painted(made, made._draw(0, 4).look, "floor")[0] == 0


def test_a_folder_without_pictures_is_a_user_error_of_one_line(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    for folder, words in ((tmp_path / "missing", "no such folder"), (tmp_path, "none of its 1 files")):
        with pytest.raises(UserError, match=words) as caught:
            simulation(textures=str(folder))
        assert "\n" not in str(caught.value) and "domain.textures" in str(caught.value)


# --- domains -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("domain", "words"),
    [
        (DomainConfig(place=3), ["domain.place=3", "domain.look=canonical", "domain.look=photo"]),
        (DomainConfig(textures="x"), ["domain.textures=x", "domain.look=photo"]),
        (DomainConfig(photo=PhotoRanges(lamps=(0, 1))), ["domain.photo.lamps", "domain.look=photo"]),
        (replace(DOMAINS["randomized"], place=None), ["domain.place=None", "domain.look=randomized"]),
        (replace(DOMAINS["standin"], place=-1), ["domain.place=-1", "at least 0"]),
        (replace(DOMAINS["standin"], photo=PhotoRanges(lamps=(0, 9))), ["domain.photo.lamps", "4"]),
    ],
)
def test_keys_that_would_do_nothing_are_refused(domain, words):
    with pytest.raises(UsageError) as caught:
        check_domain(domain)
    assert [word for word in words if word not in str(caught.value)] == []


def test_the_standins_parts_can_be_exchanged():
    for changes in ({"renderer": "raster"}, {"engine": "mujoco"}, {"look": "canonical"}, {"place": 7}, {"place": None}):
        check_domain(replace(DOMAINS["standin"], **changes))
    check_domain(DomainConfig(look="photo", place=4))


def test_without_randomization_the_photo_look_paints_nominal_rooms_and_robots():
    plain, shown = Simulation(CONFIG, DOMAINS["sim"]), Simulation(CONFIG, DomainConfig(look="photo"))
    assert shown.task.scene.bodies == plain.task.scene.bodies
    rows = record(shown, [4], 5)
    assert shown.draws[0]["dynamics"] == {} == shown.draws[0]["flaws"]
    assert len(np.unique(rows["image"].reshape(-1, 3), axis=0)) > 500  # textured


# --- lamps in the raster renderer ----------------------------------------------------------------------------------

CAMERA = Camera.from_fov(60, 60, np.radians(60))


def lit_floor(lamp: tuple[float, float, float], blocker: bool = False, ambient: float = 0.1) -> np.ndarray:
    """A white floor seen from 3 m above, (60, 60, 3), under one lamp."""
    parts = (Part(Shape.PLANE, Semantic.FLOOR, (3.0, 3.0, 0.0)),)
    box = Body("box", (Part(Shape.BOX, Semantic.BOX, (0.3, 0.3, 0.02), pos=(0.0, 0.0, 1.0)),))
    scene = Scene((Body("floor", parts), *([box] if blocker else [])))
    look = canonical_look(scene)
    look.part_rgb[:], look.light_rgb[:], look.ambient_rgb[:] = 1, 0, ambient
    look.lamp_pos[0, 0], look.lamp_rgb[0, 0] = lamp, (0.8, 0.4, 0.0)
    renderer = RasterRenderer()
    renderer.load(scene, CAMERA, 1)
    renderer.apply(np.array([0]), Layout.nominal(scene, 1), look)
    picture = renderer.snapshot(0, CAMERA, np.array([0, 0, 3.0]), np.zeros(3), supersample=1)
    renderer.close()
    return picture.astype(float) / 255


def floor_point(row: int, column: int) -> np.ndarray:
    return np.array([(column + 0.5 - 30) / CAMERA.fx * 3, -(row + 0.5 - 30) / CAMERA.fy * 3, 0])


@settings(max_examples=15)
@given(x=st.floats(-1.5, 1.5), y=st.floats(-1.5, 1.5), z=st.floats(1.0, 2.5))
def test_lamps_shade_by_the_formula_of_looks(x, y, z):
    seen = lit_floor((x, y, z))
    for row, column in ((5, 5), (30, 30), (10, 50), (55, 20)):
        way = np.array([x, y, z]) - floor_point(row, column)
        far = np.linalg.norm(way)
        share = way[2] / far * LAMP_REACH_M**2 / (LAMP_REACH_M**2 + far**2)
        np.testing.assert_allclose(
            seen[row, column], np.minimum(0.1 + share * np.array([0.8, 0.4, 0.0]), 1), atol=0.005
        )


def test_lamps_cast_shadows_that_ambient_light_fills():
    open_floor, shaded = lit_floor((0.9, 0.0, 2.0)), lit_floor((0.9, 0.0, 2.0), blocker=True)
    row, column = 30, int(30 + CAMERA.fx * -0.9 / 3)  # the box at half height shifts its shadow by as much again
    np.testing.assert_allclose(shaded[row, column], 0.1, atol=0.005)
    assert open_floor[row, column, 0] > 0.2
    np.testing.assert_array_equal(shaded[:, 55], open_floor[:, 55])


def test_looks_without_lamps_are_as_bright_on_the_whole():
    made, seeds = simulation(8, place=None), seeds_of("train", 8)
    draws = [made._draw(0, seed) for seed in seeds]
    made.reset(np.arange(8), np.array(seeds))
    brightness = []
    for lamps in (True, False):
        for world, draw in enumerate(draws):
            look = draw.look if lamps else draw.look.without_lamps()
            if not lamps:
                assert draw.look.lamp_rgb.any() and not look.lamp_rgb.any()
                look.lamp_rgb[:, 0] = 1e-9  # overexposes as lamps do
            made.renderer.apply(np.array([world]), draw.layout, look)
        brightness.append(made.renderer.render(made.engine.state.link_pos, made.engine.state.link_quat).rgb.mean())
    assert brightness[0] == pytest.approx(brightness[1], rel=0.15)


def test_the_robots_own_camera_sees_shadows_and_lamps_whatever_the_threads():
    rows = []
    for threads in (1, 2):
        made = simulation(3)
        made.renderer.close()
        made.renderer = RasterRenderer(made._look.textures, threads=threads)
        made.renderer.load(made.task.scene, made.camera, 3)
        rows.append(record(made, seeds_of("train", 3), 4))
    assert_same(rows[0], rows[1])
