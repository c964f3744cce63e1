"""Rooms that people live in: books, pictures, legs of another material; and nothing of it where it is not asked for."""

from dataclasses import replace

import numpy as np
import pytest

from simgym.envs.config import DOMAINS, ClutterRanges, LookRanges
from simgym.envs.draw import Look
from simgym.envs.looks.canonical import slender_parts
from simgym.envs.looks.textures import COLOURED, SIDE_PX, texture_bank
from simgym.envs.scene import Semantic
from simgym.envs.simulation import Simulation
from simgym.envs.tasks.grasp.config import GraspConfig
from tests.envs.helpers import chair_nav, randomized

CLUTTER = ClutterRanges(wall_items=(4, 4), doors=(1, 1), pictures=(3, 3), rugs=(2, 2), cables=(1, 1))
SEEDS = range(40)


def rooms(**look: object) -> tuple[Simulation, list[Look]]:
    """A simulation, and the looks of some of its rooms."""
    domain = randomized(look=look)
    domain = replace(domain, randomization=replace(domain.randomization, clutter=CLUTTER))
    made = Simulation(chair_nav(), domain, 1)
    return made, [made._draw(0, seed).look for seed in SEEDS]


@pytest.fixture(scope="module")
def natural() -> tuple[Simulation, list[Look]]:
    return rooms(natural_probability=1.0, texture_probability=0.5)


def shares(made: Simulation, looks: list[Look], semantic: Semantic, name: str) -> float:
    """Of the bodies of a class, those that have a texture of this name in some part."""
    rows, scene = texture_bank(LookRanges().textures)[1][name], made.task.scene
    spans = [scene.part_range(b) for b, body in enumerate(scene.bodies) if body.parts[0].semantic == semantic]
    return float(np.mean([np.isin(look.part_texture[0, span], rows).any() for look in looks for span in spans]))


def test_books_stand_in_some_cabinets_and_pictures_on_some_panels_only(natural):
    made, looks = natural
    for semantic in Semantic:
        bodies = [body for body in made.task.scene.bodies if body.parts[0].semantic == semantic]
        if not bodies:
            continue
        books, pictures = (shares(made, looks, semantic, name) for name in ("book_rows", "patchwork"))
        assert 0.25 < books < 0.55 if semantic == Semantic.CABINET else books == 0, semantic
        if semantic == Semantic.WALL_ITEM:
            assert 0.45 < pictures < 0.75
        elif semantic != Semantic.FLOOR:  # of which rugs are
            assert pictures == 0, semantic


def test_rugs_have_patterns_and_cables_have_none(natural):
    made, looks = natural
    scene, rows = made.task.scene, texture_bank(LookRanges().textures)[1]["patchwork"]
    for name, low, high in (("rugs", 0.4, 0.8), ("cables", 0.0, 0.0)):
        starts = [scene.part_range(b).start for b, body in enumerate(scene.bodies) if body.name.startswith(name)]
        patterned = np.mean([np.isin(look.part_texture[0, starts], rows) for look in looks])
        assert low <= patterned <= high, name


def test_decorations_come_as_the_world_leaves_its_plain_colours():
    """`recolored` says what share of the textures is there."""
    counts = []
    for share in (0.0, 0.3, 1.0):
        _, looks = rooms(natural_probability=1.0, texture_probability=0.5, recolored=(share, share))
        counts.append(sum((look.part_texture >= LookRanges().textures).sum() for look in looks))
    assert counts[0] == 0 and 0.15 < counts[1] / counts[2] < 0.45


def test_grasp_has_them_too():
    """Its scene has objects, whose parts are placed as well."""
    domain = DOMAINS["lifelike"]
    look = replace(domain.randomization.look, natural_probability=1.0)
    made = Simulation(GraspConfig(), replace(domain, randomization=replace(domain.randomization, look=look)), 1)
    shown = np.array([made._draw(0, seed).look.part_texture for seed in range(10)])
    assert (shown >= LookRanges().textures).any() or not any(
        body.parts[0].semantic == Semantic.WALL_ITEM for body in made.task.scene.bodies
    )


def test_a_picture_is_as_large_as_what_it_is_on(natural):
    made, looks = natural
    rows = texture_bank(LookRanges().textures)[1]["patchwork"]
    for seed, look in zip(SEEDS, looks, strict=True):
        size = made._draw(0, seed).layout.part_size[0]
        shown = np.flatnonzero(np.isin(look.part_texture[0], rows))
        np.testing.assert_allclose(look.texture_size_m[0, shown], 2 * size[shown].max(axis=1), rtol=1e-6)


def test_legs_are_of_one_material_that_is_often_not_that_of_the_rest(natural):
    made, looks = natural
    scene = made.task.scene
    tables = [b for b, body in enumerate(scene.bodies) if body.parts[0].semantic == Semantic.TABLE]
    alike, apart = [], []
    for seed, look in zip(SEEDS, looks, strict=True):
        layout = made._draw(0, seed).layout
        slender = slender_parts(scene, layout)
        for parts in map(scene.part_range, tables):
            rows = np.arange(parts.start, parts.stop)
            rows = rows[layout.part_visible[0, rows]]
            legs, top = rows[slender[rows]], rows[~slender[rows]]
            if len(legs) == 4 and len(top) == 1:  # of a rectangular one
                colours = look.part_rgb[0, legs]
                alike.append((colours == colours[0]).all())
                apart.append((colours != look.part_rgb[0, top]).any(axis=1).all())
    assert len(alike) > 10
    assert 0.5 < np.mean(alike) < 1  # else each part has a colour of its own in a fifth of the cases
    assert 0.3 < np.mean(apart) < 0.9


def test_nothing_coloured_is_shown_unless_it_is_asked_for():
    for words in ({"natural_probability": 0.0}, {"natural_probability": 1.0, "texture_probability": 0.0}):
        _, looks = rooms(**words)
        assert max(look.part_texture.max() for look in looks) < LookRanges().textures, words


@pytest.mark.parametrize("make", COLOURED)
def test_coloured_textures_are_colours(make):
    seen = [make(np.random.default_rng(seed)) for seed in range(20)]
    assert all(picture.shape == (SIDE_PX, SIDE_PX, 3) for picture in seen)
    assert min(picture.min() for picture in seen) >= 0 and max(picture.max() for picture in seen) <= 1
    assert np.mean([np.ptp(picture, axis=2).max() > 0.2 for picture in seen]) > 0.8
