"""Drawn rooms: solvable, with room to start, nothing in walls, counts as configured, splits apart."""

import time
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from simgym.config.option import check
from simgym.envs import geodesic
from simgym.envs.config import DOMAINS
from simgym.envs.draw import Layout
from simgym.envs.quaternion import rotate, yaw
from simgym.envs.robot import load_robot
from simgym.envs.scene import Scene, Semantic, Shape
from simgym.envs.simulation import SPLITS, draw_episode_seed
from simgym.envs.tasks.chair_nav.config import ChairNavConfig, ClutterRanges, LayoutConfig
from simgym.envs.tasks.chair_nav.fittings import FITTINGS
from simgym.envs.tasks.chair_nav.furniture import CHAIRS
from simgym.envs.tasks.chair_nav.layout import (
    MARGIN_M,
    MIN_START_M,
    Episode,
    LayoutError,
    LayoutSampler,
    build_bodies,
    chair_models,
)
from simgym.envs.tasks.chair_nav.rooms import ROOMS, draw_room
from simgym.envs.terms import terms_of
from simgym.errors import UsageError
from tests.envs.helpers import assert_same, chair_nav, seeds_of

ROBOT = load_robot("rover")
NO_CLUTTER = ClutterRanges()
CROWDED = DOMAINS["randomized"].randomization.clutter


class Drawn:
    """One drawn layout seen from above: each visible part as a rounded box with its heights, computed from corners."""

    def __init__(self, scene: Scene, layout: Layout, episode: Episode) -> None:
        self.scene, self.layout, self.episode = scene, layout, episode
        self.start = layout.robot_pose[0, :2]
        shown = np.flatnonzero(layout.part_visible[0]).tolist()
        self.parts = [i for i in shown if scene.parts[i].shape != Shape.PLANE]
        floor = scene.part_range(scene.body_index("floor")).start
        self.half_room = layout.part_size[0, floor, :2]

    def of(self, *semantics: Semantic) -> list[int]:
        return [i for i in self.parts if self.scene.parts[i].semantic in semantics]

    def world(self, i: int, points: np.ndarray) -> np.ndarray:
        body = self.scene.part_body[i]
        local = self.layout.part_pos[0, i] + rotate(self.layout.part_quat[0, i], points)
        return self.layout.body_pos[0, body] + rotate(self.layout.body_quat[0, body], local)

    def outline(self, i: int) -> tuple[np.ndarray, float]:
        """Corners (8, 3) or ends (8, 3) of a part in the world and the radius around them."""
        size, shape = self.layout.part_size[0, i], self.scene.parts[i].shape
        signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
        if shape == Shape.BOX:
            return self.world(i, signs * size), 0.0
        rise = size[1] if shape == Shape.CYLINDER else size[0]
        return self.world(i, signs * (0, 0, rise)), float(size[0])

    def heights(self, i: int) -> tuple[float, float]:
        points = self.outline(i)[0]
        return float(points[:, 2].min()), float(points[:, 2].max())

    def distance(self, i: int, points: np.ndarray) -> np.ndarray:
        """(...,) exact horizontal distances of points (..., 2) from a part, in the part's own frame."""
        origin, ahead = self.world(i, np.array([[0.0, 0, 0], [1.0, 0, 0]]))[:, :2]
        axis = ahead - origin
        offset = points - origin
        u, v = offset @ axis, offset @ (-axis[1], axis[0])
        if self.scene.parts[i].shape == Shape.BOX:
            half = self.layout.part_size[0, i]
            return np.hypot(np.maximum(np.abs(u) - half[0], 0), np.maximum(np.abs(v) - half[1], 0))
        return np.maximum(np.hypot(u, v) - self.layout.part_size[0, i, 0], 0)


class Draws:
    """A sampler and what it draws for many seeds."""

    def __init__(self, config: LayoutConfig | None = None, clutter: ClutterRanges = NO_CLUTTER) -> None:
        config = config or LayoutConfig()
        self.scene = Scene(build_bodies(config, clutter), ROBOT.links, ROBOT.camera_link)
        self.sampler = LayoutSampler(self.scene, ROBOT, config, clutter, success_distance_m=1.0)

    def draw(self, seed: int, split: str = "train") -> Drawn:
        return Drawn(self.scene, *self.sampler.sample(np.random.default_rng([seed, 0]), split, seed))

    def many(self, count: int, split: str = "train") -> list[Drawn]:
        return [self.draw(seed, split) for seed in seeds_of(split, count)]


@pytest.fixture(scope="module", params=["plain", "crowded"])
def rooms(request) -> list[Drawn]:
    """60 rooms of each split, with and without clutter."""
    draws = Draws(clutter=CROWDED if request.param == "crowded" else NO_CLUTTER)
    return [room for split in SPLITS for room in draws.many(60, split)]


def counted(room: Drawn, *semantics: Semantic) -> int:
    return len({room.scene.part_body[i] for i in room.of(*semantics)})


# --- starts and ways -----------------------------------------------------------------------------------------------


def test_the_start_is_clear_of_every_part_that_the_robot_could_hit(rooms):
    for room in rooms:
        for i in room.parts:
            if room.scene.parts[i].collides and room.heights(i)[0] < ROBOT.height_m:
                assert room.distance(i, room.start) >= ROBOT.radius_m + MARGIN_M - 1e-9


def test_the_start_is_in_the_room_and_a_metre_short_of_success(rooms):
    for room in rooms:
        assert (np.abs(room.start) < room.half_room - ROBOT.radius_m).all()
        assert MIN_START_M - 1e-9 <= geodesic.distance_at(room.episode.field, *room.start) < 40
        chairs = room.episode.chairs[np.isfinite(room.episode.chairs[:, 0])]
        way = room.episode.shortest_m
        straight = np.hypot(*(chairs - room.start).T).min() - 1.0
        assert way >= straight and way > 0.5


def test_the_shortest_way_stays_clear_of_everything(rooms):
    """Walked cell by cell with exact distances; it ends within reach of success."""
    path = np.zeros((1000, 2))
    for room in rooms[::3]:
        count = geodesic.trace(room.episode.field, *room.start, path)
        low = [i for i in room.parts if room.scene.parts[i].collides and room.heights(i)[0] < ROBOT.height_m]
        for i in low:
            assert room.distance(i, path[:count]).min() >= ROBOT.radius_m + MARGIN_M - 1e-9
        ends = room.episode.chairs - path[count - 1]
        assert np.hypot(*ends.T).min() <= 1.0


def test_starts_are_all_over_and_face_anywhere(rooms):
    heading = np.array([room.layout.robot_pose[0, 2] for room in rooms])
    assert np.abs(np.exp(1j * heading).mean()) < 0.25
    share = np.array([room.start / room.half_room for room in rooms])
    assert share.min() < -0.5 and share.max() > 0.5


# --- what stands where ---------------------------------------------------------------------------------------------


def test_furniture_is_in_the_room_and_not_in_its_walls(rooms):
    for room in rooms:
        for i in room.of(*set(Semantic) - {Semantic.WALL, Semantic.WALL_ITEM}):
            points, around = room.outline(i)
            assert (np.abs(points[:, :2]) + around <= room.half_room + 1e-6).all(), room.scene.parts[i].semantic


def test_furniture_does_not_stand_in_inner_walls(rooms):
    for room in rooms:
        outlines = [room.outline(i) for i in room.of(*set(Semantic) - {Semantic.WALL, Semantic.WALL_ITEM})]
        points = np.stack([points[:, :2] for points, _ in outlines])  # (K, 8, 2)
        points = np.concatenate([points, points.mean(1, keepdims=True)], axis=1)
        around = np.array([radius for _, radius in outlines])
        for wall in room.of(Semantic.WALL):
            assert (room.distance(wall, points).min(1) >= around - 1e-6).all()


def test_chairs_stand_apart_from_everything(rooms):
    """Bounding circles of furniture, taken from the parts' corners, do not overlap."""
    for room in rooms:
        circles: dict[int, tuple[Any, float]] = {}
        for i in room.of(*set(Semantic) - {Semantic.WALL, Semantic.WALL_ITEM}):
            body = int(room.scene.part_body[i])
            points, around = room.outline(i)
            centre = room.layout.body_pos[0, body, :2]
            reach = np.hypot(*(points[:, :2] - centre).T).max() + around
            circles[body] = (centre, max(reach, circles.get(body, (None, 0.0))[1]))
        for a in circles:
            for b in circles:
                if a < b:
                    gap = np.hypot(*(circles[a][0] - circles[b][0])) - circles[a][1] - circles[b][1]
                    assert gap > -1e-6


def test_the_episode_knows_each_chair_by_the_body_that_shows_it(rooms):
    for room in rooms + Draws(LayoutConfig(room_side_m=(2.6, 3.2), chairs=(1, 8), obstacles=(0, 0))).many(60):
        for k, centre in enumerate(room.episode.chairs):
            body = room.scene.body_index(f"chair{k}")
            shown = room.layout.part_visible[0, room.scene.part_range(body)].any()
            assert shown == np.isfinite(centre).all()
            if shown:
                np.testing.assert_array_equal(centre, room.layout.body_pos[0, body, :2])
        assert len(room.episode.facts["chairs"]) == np.isfinite(room.episode.chairs[:, 0]).sum()


def test_facts_say_what_is_there(rooms):
    obstacles = (Semantic.TABLE, Semantic.CABINET, Semantic.BOX, Semantic.BIN, Semantic.PLANT)
    for room in rooms:
        facts = room.episode.facts
        assert len(facts["chairs"]) == counted(room, Semantic.CHAIR)
        assert len(facts["obstacles"]) == counted(room, *obstacles, Semantic.CLUTTER)


def test_counts_lie_in_their_ranges(rooms):
    config = LayoutConfig()
    obstacles = (Semantic.TABLE, Semantic.CABINET, Semantic.BOX, Semantic.BIN, Semantic.PLANT)
    for room in rooms:
        assert config.chairs[0] <= counted(room, Semantic.CHAIR) <= config.chairs[1]
        assert config.obstacles[0] <= counted(room, *obstacles) <= config.obstacles[1]
        assert counted(room, Semantic.CLUTTER) <= CROWDED.furniture[1]
        assert counted(room, Semantic.WALL_ITEM) <= CROWDED.wall_items[1]
    assert {counted(room, Semantic.CHAIR) for room in rooms} == {1, 2, 3}
    assert {counted(room, *obstacles) for room in rooms} >= set(range(8))


@pytest.mark.parametrize(
    ("name", "semantics"),
    [
        ("chairs", (Semantic.CHAIR,)),
        ("obstacles", (Semantic.TABLE, Semantic.CABINET, Semantic.BOX, Semantic.BIN, Semantic.PLANT)),
    ],
)
@pytest.mark.parametrize("count", [1, 3])
def test_a_degenerate_range_gives_exactly_that_many(name, semantics, count):
    for split in SPLITS:
        for room in Draws(replace(LayoutConfig(), **{name: (count, count)})).many(40, split):
            assert counted(room, *semantics) == count


def test_room_sides_lie_in_their_range(rooms):
    sides = np.array([2 * room.half_room for room in rooms])
    assert sides.min() >= 4.0 and sides.max() <= 9.0
    assert sides.min() < 4.5 and sides.max() > 8.5
    exact = Draws(LayoutConfig(room_side_m=(5.0, 5.0))).many(5)
    assert np.array([2 * room.half_room for room in exact]) == pytest.approx(5.0)


def test_what_is_not_used_is_hidden_and_what_is_used_is_shown(rooms):
    for room in rooms:
        for b, body in enumerate(room.scene.bodies):
            shown = room.layout.part_visible[0, room.scene.part_range(b)]
            if not shown.any():
                assert room.layout.body_pos[0, b, 2] < 0, body.name
            else:
                assert room.layout.body_pos[0, b, 2] == 0


def test_walls_close_the_room(rooms):
    """From the room's middle in 24 directions the walls end every line of sight at the room's sides, at any height."""
    for room in rooms[::5]:
        walls = room.of(Semantic.WALL)
        assert min(room.heights(i)[0] for i in walls) == pytest.approx(0)
        height = min(room.heights(i)[1] for i in walls)
        assert 2.4 <= height <= 3.0
        for angle in np.linspace(0, 2 * np.pi, 24, endpoint=False):
            direction = np.array([np.cos(angle), np.sin(angle)])
            edge = (room.half_room / np.maximum(np.abs(direction), 1e-9)).min()
            assert min(float(room.distance(i, (edge + 1e-6) * direction)) for i in walls) < 1e-5


def test_part_of_the_chairs_are_partly_hidden_by_something():
    """A third of the obstacles stand near a chair."""
    near = total = 0
    for room in Draws(LayoutConfig(obstacles=(4, 8))).many(60):
        chairs = room.episode.chairs[np.isfinite(room.episode.chairs[:, 0])]
        bodies = {room.scene.part_body[i] for i in room.parts} - {
            room.scene.part_body[i] for i in room.of(Semantic.WALL, Semantic.CHAIR)
        }
        for body in bodies:
            total += 1
            near += np.hypot(*(chairs - room.layout.body_pos[0, body, :2]).T).min() < 1.5
    assert 0.25 < near / total < 0.9


# --- splits --------------------------------------------------------------------------------------------------------


def test_splits_share_no_layout_seed():
    drawn = {split: {draw_episode_seed(np.random.default_rng(s), split) for s in range(300)} for split in SPLITS}
    assert {seed % 2 for seed in drawn["train"]} == {0} and {seed % 2 for seed in drawn["test"]} == {1}
    assert all(0 <= seed < 2**31 for split in SPLITS for seed in drawn[split])
    assert len(drawn["train"]) > 295


def test_held_out_rooms_and_chairs_come_half_of_the_time_in_test_and_never_in_train():
    draws = Draws()
    rooms = {split: draws.many(300, split) for split in SPLITS}
    kinds = {split: [room.episode.facts["room"] for room in rooms[split]] for split in SPLITS}
    styles = {split: [style for room in rooms[split] for style in room.episode.facts["chairs"]] for split in SPLITS}
    for drawn, known in ((kinds, ROOMS), (styles, CHAIRS)):
        assert set(drawn["train"]) == set(known["train"])
        assert set(drawn["test"]) == set(known["train"]) | set(known["test"])
        held_out = np.mean([name in known["test"] for name in drawn["test"]])
        assert 0.4 < held_out < 0.6


# --- seeds and bounds ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", SPLITS)
def test_the_same_seed_gives_the_same_layout_whatever_was_drawn_before(split):
    draws, other = Draws(clutter=CROWDED), Draws(clutter=CROWDED)
    rooms = [draws.draw(seed, split) for seed in range(6)]
    for seed in reversed(range(6)):
        again = other.draw(seed, split)
        assert_same(vars(again.layout), vars(rooms[seed].layout))
        assert again.episode.facts == rooms[seed].episode.facts
        assert again.episode.shortest_m == rooms[seed].episode.shortest_m
        np.testing.assert_array_equal(again.episode.field, rooms[seed].episode.field)


def test_other_seeds_give_other_layouts(rooms):
    assert len({room.layout.part_pos.tobytes() for room in rooms}) == len(rooms)


@pytest.mark.parametrize(
    "config",
    [
        LayoutConfig(room_side_m=(2.0, 2.0), chairs=(1, 1), obstacles=(0, 0)),
        LayoutConfig(room_side_m=(2.0, 2.2), chairs=(8, 8), obstacles=(15, 15)),
    ],
)
def test_a_layout_that_cannot_be_drawn_is_an_error_with_the_seed_in_it_within_bounded_time(config):
    draws, failed, started = Draws(config), 0, time.perf_counter()
    for seed in range(20):
        try:
            room = draws.draw(2 * seed)
        except LayoutError as error:
            failed += 1
            assert str(2 * seed) in str(error) and "env.layout" in str(error) and "\n" not in str(error)
        else:
            sizes = room.layout.part_size[0, room.parts]
            assert sizes.min() >= 0 and counted(room, Semantic.CHAIR) >= config.chairs[0]
    assert failed
    assert time.perf_counter() - started < 20


@pytest.mark.parametrize("side", [2.0, 2.5, 3.0, 9.5])
@pytest.mark.parametrize("kind", sorted({**ROOMS["train"], **ROOMS["test"]}))
def test_rooms_of_any_allowed_size_have_walls_of_positive_size_inside_them(kind, side):
    for seed in range(40):
        room = draw_room(kind, (side, side), np.random.default_rng(seed))
        assert (room.blocks[:, 2:] > 0).all()
        assert (np.abs(room.blocks[:, :2]) + room.blocks[:, 2:] <= (room.half_x + 1e-9, room.half_y + 1e-9)).all()


@pytest.mark.parametrize(
    "layout",
    [{"chairs": (0, 0)}, {"chairs": (1, 99)}, {"obstacles": (-1, 3)}, {"obstacles": (0, 99)}, {"room_side_m": (1, 2)}],
)
def test_impossible_ranges_are_usage_errors(layout):
    with pytest.raises(UsageError, match=next(iter(layout))):
        check(chair_nav(layout=layout))


MOVED: dict[str, Any] = {"room_side_m": (8.0, 9.0), "chairs": (3, 3), "obstacles": (8, 8)}
MOVED_CLUTTER: dict[str, Any] = {"furniture": (6, 6), "wall_items": (8, 8)} | dict.fromkeys(FITTINGS, (3, 3))


def test_every_range_is_moved_below():
    assert set(MOVED) == {field.name for field in fields(LayoutConfig)}
    assert set(MOVED_CLUTTER) == set(terms_of(ClutterRanges))


@pytest.mark.parametrize("name", MOVED)
def test_every_layout_range_moved_alone_changes_rooms(name):
    nominal, moved = Draws(), Draws(replace(LayoutConfig(), **{name: MOVED[name]}))
    seen = [[room.layout.part_visible.sum() + room.half_room.sum() for room in d.many(8)] for d in (nominal, moved)]
    assert seen[0] != seen[1]


@pytest.mark.parametrize("name", MOVED_CLUTTER)
def test_every_clutter_range_moved_alone_changes_rooms(name):
    moved = Draws(clutter=replace(NO_CLUTTER, **{name: MOVED_CLUTTER[name]}))
    semantic = {"furniture": Semantic.CLUTTER, "wall_items": Semantic.WALL_ITEM}
    semantic |= {name: fitting.semantic for name, fitting in FITTINGS.items()}
    for room in moved.many(8):
        assert counted(room, semantic[name]) > 0
        others = set(semantic.values()) - {semantic[name]}
        assert counted(room, *others) == 0


def test_wall_items_hang_flat_on_the_walls():
    for room in Draws(clutter=ClutterRanges(wall_items=(8, 8))).many(20):
        for i in room.of(Semantic.WALL_ITEM):
            points, _ = room.outline(i)
            gap = room.half_room - np.abs(points[:, :2]).max(0)
            assert gap.min() == pytest.approx(0.005, abs=1e-6)  # and no further in the other direction
            assert (np.abs(points[:, :2]) <= room.half_room).all()
            assert points[:, 2].min() >= -1e-9 and points[:, 2].max() <= 2.4


def test_wall_items_keep_off_inner_walls():
    """Neither inside the notch of an L nor across a partition."""
    found = 0
    for room in Draws(clutter=ClutterRanges(wall_items=(8, 8))).many(40, "test"):
        walls = room.of(Semantic.WALL)
        for i in room.of(Semantic.WALL_ITEM):
            points, _ = room.outline(i)
            across = np.linspace(points[:, :2].min(0), points[:, :2].max(0), 15)
            assert min(room.distance(wall, across).min() for wall in walls) > 0
            found += 1
    assert found > 200


def test_doors_windows_and_pictures_hang_on_walls_and_not_over_each_other():
    clutter = ClutterRanges(doors=(2, 2), windows=(3, 3), pictures=(4, 4))
    for room in Draws(clutter=clutter).many(20):
        discs = []
        for body, placed in enumerate(room.scene.bodies):
            parts = room.scene.part_range(body)
            shown = [i for i in room.of(Semantic.WALL_ITEM) if parts.start <= i < parts.stop]
            if not shown:
                continue
            points = np.concatenate([room.outline(i)[0] for i in shown])
            assert (room.half_room - np.abs(points[:, :2]) >= 0).all(), placed.name
            assert (room.half_room - np.abs(points[:, :2])).min() < 0.05, placed.name
            assert points[:, 2].min() >= -1e-9 and points[:, 2].max() <= 2.4, placed.name
            discs.append((*points[:, :2].mean(0), np.ptp(points[:, :2], axis=0).max() / 2))
        assert len(discs) >= 5
        for i, (x, y, radius) in enumerate(discs):
            assert all(np.hypot(x - u, y - v) > 0.95 * max(radius, r) for u, v, r in discs[:i])


def test_rugs_and_cables_lie_flat_inside_and_block_no_way():
    bare, covered = Draws(), Draws(clutter=ClutterRanges(rugs=(3, 3), cables=(3, 3)))
    for room in covered.many(20):
        lying = room.of(Semantic.FLOOR)
        assert lying
        for i in lying:
            points = room.outline(i)[0]
            assert (np.abs(points[:, :2]) <= room.half_room).all()
            assert points[:, 2].min() >= -1e-9 and points[:, 2].max() < 0.015
            assert not room.scene.parts[i].collides
    for one, other in zip(bare.many(5), covered.many(5), strict=True):
        np.testing.assert_array_equal(one.episode.blocked, other.episode.blocked)


def test_a_place_has_its_own_chair_models():
    draws = Draws()
    models = {}
    for place in range(30):
        measures = set()
        for seed in range(4):
            layout, episode = draws.sampler.sample(np.random.default_rng(seed), "train", seed, place)
            for body, style in episode.kinds.items():
                if body.startswith("chair"):
                    parts = draws.scene.part_range(draws.scene.body_index(body))
                    measures.add((style, layout.part_size[0, parts][layout.part_visible[0, parts]].tobytes()))
        models[place] = {kind.name for kind in chair_models(place)}
        assert {style for style, _ in measures} <= models[place]
        assert len(measures) <= 3  # though every chair of every room was drawn anew
    assert len({frozenset(names) for names in models.values()}) > 3
    assert all(models[place] <= set(CHAIRS["train"]) for place in models if place % 2 == 0)
    assert any(models[place] & set(CHAIRS["test"]) for place in models if place % 2)


def test_start_headings_and_bodies_are_upright(rooms):
    for room in rooms[::10]:
        tilt = rotate(room.layout.body_quat[0], np.array([0.0, 0.0, 1.0]))
        np.testing.assert_allclose(tilt, np.tile([0.0, 0.0, 1.0], (len(tilt), 1)), atol=1e-12)
        assert np.isfinite(yaw(room.layout.body_quat[0])).all()


def test_the_default_configuration_is_possible():
    check(ChairNavConfig())
    for domain in DOMAINS.values():
        check(domain)
