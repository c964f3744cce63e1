"""Things and layouts of Grasp: they fit their slots, stand on the table, apart, can be taken; what is held out."""

import functools
import math

import numpy as np
import pytest

from simgym.envs.config import RandomizationConfig
from simgym.envs.draw import Layout
from simgym.envs.quaternion import rotate
from simgym.envs.scene import Scene, Semantic, Shape
from simgym.envs.tasks.chair_nav.config import ClutterRanges
from simgym.envs.tasks.grasp.config import GraspConfig, GraspLayoutConfig
from simgym.envs.tasks.grasp.layout import GAP_M, HUES, PLACES_M, LayoutSampler, objects
from simgym.envs.tasks.grasp.objects import ANY_YAW, HELD_OUT, KNOWN, LOWEST_M, THINGS, Builder, Sizes, assembly
from simgym.envs.tasks.grasp.room import TABLE_TOP_M, room_bodies
from simgym.envs.tasks.grasp.task import OPEN_M, REACH_M, Grasp
from simgym.envs.tasks.slots import Slot
from simgym.envs.terms import Drawing
from tests.envs.helpers import seeds_of

pytest.importorskip("pybullet_data", reason="the Panda's description comes with PyBullet")

HAND_M = np.hypot(0.1, 0.03)  # from its middle to its corners
CONFIG = GraspLayoutConfig()
SCENE = Scene(room_bodies(ClutterRanges()), objects=objects(CONFIG))
BUILDERS: dict[str, Builder] = {
    **THINGS["train"],
    **THINGS["test"],
    "assembly": assembly,
    "assembly with thin ends": functools.partial(assembly, thin_ends=0.5),
}
CORNERS = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
TURNS = np.linspace(0, 2 * np.pi, 48, endpoint=False)
RIMS = np.array([(np.cos(a), np.sin(a), z) for a in TURNS for z in (-1, 1)])


def build(kind: str, seed: int, share=KNOWN):
    """A thing, its layout and the outermost points (., 3) of each of its visible parts in its frame."""
    layout = Layout.nominal(SCENE, 1)
    parts = SCENE.part_range(SCENE.num_fixed)
    layout.part_visible[0, parts] = False
    slot = Slot(layout, parts, tuple(part.shape for part in SCENE.objects[0].parts))
    thing = BUILDERS[kind](slot, Sizes(np.random.default_rng(seed), share))
    used = parts.start + np.flatnonzero(layout.part_visible[0, parts])
    corners = []
    for part in used:
        size = layout.part_size[0, part]
        is_box = SCENE.parts[part].shape == Shape.BOX
        points = CORNERS * size if is_box else RIMS * (size[0], size[0], size[1])
        corners.append(layout.part_pos[0, part] + rotate(layout.part_quat[0, part], points))
    return thing, layout, corners


@pytest.mark.parametrize("share", [KNOWN, HELD_OUT])
@pytest.mark.parametrize("kind", BUILDERS)
def test_a_thing_stands_on_the_table_within_its_bounding_box(kind, share):
    for seed in range(30):
        thing, _, corners = build(kind, seed, share)
        low, high = (end(np.concatenate(corners), axis=0) for end in (np.min, np.max))
        assert low[2] == pytest.approx(0.0, abs=1e-9) and high[2] == pytest.approx(thing.height_m, abs=1e-6)
        slack = 0.09 if kind == "bowl" else 1e-6  # corners of boxes around a circle
        reach = np.abs(np.stack([low, high])[:, :2]).max(0)
        assert (reach <= np.array(thing.half_m) * (1 + slack)).all()


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_so_many_ends_of_lying_assemblies_are_thin(share):
    ends = []
    for seed in range(400):
        layout, parts = Layout.nominal(SCENE, 1), SCENE.part_range(SCENE.num_fixed)
        layout.part_visible[0, parts] = False
        slot = Slot(layout, parts, tuple(part.shape for part in SCENE.objects[0].parts))
        thing = assembly(slot, Sizes(np.random.default_rng(seed), KNOWN), share)
        size = layout.part_size[0, parts][layout.part_visible[0, parts]]
        if thing.height_m < 0.03:  # it lies
            ends += (size[1:, 0] <= 0.012).tolist()
    assert len(ends) > 50
    others = 0.28  # that are as thin by chance
    assert np.mean(ends) == pytest.approx(share + (1 - share) * others, abs=0.1 if share < 1 else 0)


ANGLES = (0.0, 0.4, math.pi / 4, 1.2, math.pi / 2)


@pytest.mark.parametrize("share", [KNOWN, HELD_OUT])
@pytest.mark.parametrize("kind", BUILDERS)
def test_the_open_gripper_takes_a_thing_where_its_builder_says(kind, share):
    """Between the fingers, along their closing direction and at their height, there is less than the opening."""
    for seed in range(30):
        thing, _, corners = build(kind, seed, share)
        for x, y, z, stated in thing.grasps:
            assert LOWEST_M <= z < thing.height_m and thing.height_m - z <= 0.04
            for yaw in ANGLES if stated == ANY_YAW else (stated,):
                sides = between_fingers(corners, (x, y, z), yaw)
                assert sides, (kind, seed)
                assert max(sides) < OPEN_M / 2


def between_fingers(corners, point, yaw):
    """How far each part reaches along the closing direction of a hand, of those that its fingers would close on."""
    closing = np.array([math.sin(yaw), -math.cos(yaw)])
    along = np.array([math.cos(yaw), math.sin(yaw)])
    reach = []
    for part in corners:
        crosses = part[:, 2].min() <= point[2] <= part[:, 2].max()
        offset = (part[:, :2] - point[:2]) @ along
        side = np.abs((part[:, :2] - point[:2]) @ closing)
        if crosses and offset.min() < 0.009 and offset.max() > -0.009 and side.min() < OPEN_M / 2:
            reach.append(side.max())
    return reach


def test_known_and_held_out_sizes_do_not_meet():
    bounds = (0.02, 0.08)
    known = [Sizes(np.random.default_rng(i), KNOWN)(bounds)[0] for i in range(200)]
    held_out = [Sizes(np.random.default_rng(i), HELD_OUT)(bounds)[0] for i in range(200)]
    assert max(known) <= min(held_out) and min(known) >= 0.02 and max(held_out) <= 0.08
    assert HUES["known"][1] < HUES["held out"][0]


@pytest.mark.parametrize("split", ["train", "test"])
def test_layouts(split):
    sampler, counts, kinds = LayoutSampler(SCENE, CONFIG, ClutterRanges()), set(), set()
    for seed in seeds_of(split, 150):
        layout, episode = sampler.sample(np.random.default_rng(seed), split, seed)
        n = len(episode.facts["objects"])
        counts.add(n)
        kinds |= set(episode.facts["objects"])
        there = [layout.part_visible[0, SCENE.part_range(SCENE.num_fixed + k)].any() for k in range(5)]
        assert there == [k < n for k in range(5)] == (episode.half_m[:, 2] > 0).tolist()
        pos = layout.body_pos[0, SCENE.num_fixed :][:n]
        assert (pos[:, :2] >= PLACES_M[0]).all() and (pos[:, :2] <= PLACES_M[1]).all() and (pos[:, 2] == 0).all()
        radius = np.hypot(*episode.half_m[:n, :2].T)
        apart = np.hypot(*(pos[:, None, :2] - pos[None, :, :2]).transpose(2, 0, 1)) - radius[:, None] - radius
        assert (apart[~np.eye(n, dtype=bool)] > GAP_M).all()
        assert (pos[:, 0] + radius < TABLE_TOP_M[1]).all()
        assert (CONFIG.mass_kg[0] <= layout.object_mass_kg[0, :n]).all()
    assert counts == {1, 2, 3, 4, 5}
    if split == "train":
        assert kinds == {*THINGS["train"], "assembly"}
    else:
        assert kinds == {*THINGS["train"], *THINGS["test"]}


def test_an_arm_starts_where_the_layout_says():
    task = Grasp(GraspConfig(), RandomizationConfig())
    layout, episode = task.sample(np.random.default_rng(0), "train", 0)
    pos, rotation, _ = task._chain.forward(layout.joint_pos[:, :7])
    np.testing.assert_allclose(pos[0], episode.hand[:3], atol=1e-3)
    assert math.atan2(rotation[0, 1, 0], rotation[0, 0, 0]) == pytest.approx(episode.hand[3], abs=2e-3)
    assert layout.joint_pos[0, 7:].sum() == pytest.approx(OPEN_M)


def test_every_part_of_the_scene_is_of_a_known_class():
    semantics = {part.semantic for body in SCENE.all_bodies for part in body.parts}
    assert semantics == {Semantic.FLOOR, Semantic.CEILING, Semantic.WALL, Semantic.TABLE, Semantic.OBJECT}


# --- clutter -------------------------------------------------------------------------------------------------------

MANY = ClutterRanges(
    furniture=(6, 6), wall_items=(3, 3), doors=(1, 1), windows=(1, 1), pictures=(2, 2), rugs=(1, 1), cables=(1, 1)
)


def cluttered(clutter: ClutterRanges = MANY) -> tuple[Scene, LayoutSampler]:
    scene = Scene(room_bodies(clutter), objects=objects(CONFIG))
    return scene, LayoutSampler(scene, CONFIG, clutter)


def test_without_clutter_the_scene_has_none():
    assert [body.name for body in room_bodies(ClutterRanges())] == ["floor", "ceiling", "walls", "table"]


def test_clutter_leaves_the_objects_of_a_seed_as_they_are():
    (scene, with_it), plain = cluttered(), LayoutSampler(SCENE, CONFIG, ClutterRanges())
    for seed in seeds_of("train", 20):
        first, one = with_it.sample(np.random.default_rng(seed), "train", seed)
        second, other = plain.sample(np.random.default_rng(seed), "train", seed)
        assert one.facts["objects"] == other.facts["objects"]
        np.testing.assert_array_equal(one.hand, other.hand)
        np.testing.assert_array_equal(first.body_pos[:, scene.num_fixed :], second.body_pos[:, SCENE.num_fixed :])


def test_clutter_stays_out_of_reach():
    """On the table further out than hand and fingers come; all else behind the table, below or at a wall."""
    scene, sampler = cluttered()
    reach = np.array(REACH_M)[:, :2] + [[-HAND_M], [HAND_M]]  # lowest and highest x, y of anything of the hand
    found: set[str] = set()
    for seed in seeds_of("train", 60):
        layout, episode = sampler.sample(np.random.default_rng(seed), "train", seed)
        assert episode.facts["clutter"] == list(episode.kinds.values())
        found |= set(episode.facts["clutter"])
        for b, body in enumerate(scene.bodies[4:], start=4):
            parts, at = scene.part_range(b), layout.body_pos[0, b]
            used = layout.part_visible[0, parts]
            assert used.any() == (body.name in episode.kinds)
            if not used.any() or body.parts[0].semantic == Semantic.FLOOR:
                continue
            if at[2] == 0:  # on the table
                size, is_box = layout.part_size[0, parts][used][0], used[0]
                half = np.hypot(*size[:2]) if is_box else size[0]
                assert body.name.startswith("small_things")
                assert (at[0] - half > reach[1, 0]) or (at[1] - half > reach[1, 1])
                assert at[0] < TABLE_TOP_M[1] and at[1] < TABLE_TOP_M[3]
            else:
                assert at[0] > TABLE_TOP_M[1] + 0.5 or at[1] > TABLE_TOP_M[3] + 0.5
                assert not any(part.collides for part in body.parts)
    assert {"small_things", "shelf", "sofa", "floor_lamp", "wall_item", "doors", "pictures", "rugs", "cables"} <= found


def test_an_episode_may_have_less_clutter_than_the_scene_has_room_for():
    scene, sampler = cluttered()
    none, episode = sampler.sample(np.random.default_rng(3), "train", 3, Drawing(ClutterRanges()))
    assert not episode.kinds and "clutter" not in episode.facts
    assert not none.part_visible[0, scene.part_range(4).start : scene.num_fixed_parts].any()


def test_clutter_that_finds_no_place_is_not_there():
    scene, sampler = cluttered(ClutterRanges(pictures=(8, 8)))
    for seed in seeds_of("train", 10):
        layout, episode = sampler.sample(np.random.default_rng(seed), "train", seed)
        spans = [
            (layout.body_quat[0, b, 0] < 0.5, layout.body_pos[0, b], layout.part_size[0, scene.part_range(b), 0].max())
            for b, body in enumerate(scene.bodies)
            if body.name in episode.kinds
        ]
        for i, (wall, at, half) in enumerate(spans):
            for other, place, room in spans[:i]:
                assert wall != other or np.linalg.norm(at - place) > half + room
