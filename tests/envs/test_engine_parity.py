"""Both engines on the same draws: rest, driving, collisions, draws, determinism, and what fails."""

import gc
import sys
from dataclasses import replace

import mujoco
import numpy as np
import pytest

from simgym.envs.config import DOMAINS
from simgym.envs.draw import Dynamics, Layout
from simgym.envs.engines import Engine, make_engine
from simgym.envs.engines.bullet import BulletEngine
from simgym.envs.engines.mujoco import MujocoEngine
from simgym.envs.engines.rigid import rigid_bodies
from simgym.envs.quaternion import to_matrix, wrap_angle
from simgym.envs.robot import ASSETS, RobotError, load_robot
from simgym.envs.scene import Body, Part, Scene, Semantic, Shape
from simgym.envs.simulation import Simulation
from simgym.envs.tasks.chair_nav.config import ChairNavConfig
from simgym.errors import UsageError, UserError
from tests.envs.helpers import assert_same, chair_nav, differs, randomized, record, seeds_of
from tests.envs.worlds import DT_S, ROBOT, SCENE, begin, drawn_layout, drive, empty_layout, scaled, wall_at

pybullet = pytest.importorskip("pybullet", reason="PyBullet has wheels for Python 3.11 only")
ENGINES = ("mujoco", "bullet")
SIM_IN = {name: replace(DOMAINS["sim"], engine=name) for name in ENGINES}


def load(name: str, n: int = 1, scene: Scene = SCENE) -> Engine:
    engine = make_engine(name)
    engine.load(scene, ROBOT, n, DT_S)
    return engine


@pytest.fixture(scope="module")
def pair():
    engines = [load(name) for name in ENGINES]
    yield engines
    for engine in engines:
        engine.close()


@pytest.fixture
def bullet():
    engine = load("bullet")
    yield engine
    engine.close()


def both(pair, layout: Layout, commands: list[tuple[float, float, int]], dynamics: Dynamics | None = None):
    """The path (steps, 4) of each engine through (forward m/s, turn rad/s, steps) commands."""
    paths = []
    for engine in pair:
        begin(engine, [layout], dynamics)
        paths.append(np.concatenate([drive(engine, *command)[:, 0] for command in commands]))
    return paths


# --- parity --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_at_rest_every_link_is_in_the_same_place(pair, seed):
    layout = drawn_layout(seed)
    for engine in pair:
        begin(engine, [layout])
    for steps in (0, 10):
        for engine in pair:
            for _ in range(steps):
                engine.step(np.zeros((1, 2)))
        mujoco, bullet = (engine.state for engine in pair)
        assert np.linalg.norm(mujoco.link_pos - bullet.link_pos, axis=-1).max() < 1e-3
        driven = np.array([link.name.endswith("_wheel_link") for link in ROBOT.links])  # a wheel rolls 1 degree in 1 mm
        cosine = np.abs((mujoco.link_quat * bullet.link_quat).sum(-1))
        turned_deg = np.degrees(2 * np.arccos(np.minimum(cosine, 1)))
        assert turned_deg[:, ~driven].max() < 0.1 and turned_deg[:, driven].max() < 1.0
        assert not bullet.collision.any() and np.abs(bullet.velocity).max() < 1e-3


@pytest.mark.parametrize("heading", [0.0, 0.5, 1.0, 2.4])
@pytest.mark.parametrize(
    "commands",
    [
        [(0.5, 0.0, 20)],
        [(0.1, 0.0, 20)],
        [(0.4, 0.8, 20)],
        [(0.2, -1.2, 20)],
        [(0.0, 1.5, 20)],
        [(0.0, -0.4, 20)],
        [(0.5, 0.0, 10), (0.0, 0.0, 5)],
        [(0.5, 1.0, 10), (0.0, 0.0, 5)],
        [(0.0, 1.5, 10), (0.0, 0.0, 5)],
    ],
)
def test_commands_end_within_5_percent_of_the_way_and_3_degrees(pair, commands, heading):
    layout = empty_layout()
    layout.robot_pose[0] = (0.3, -0.2, heading)
    mujoco, bullet = both(pair, layout, commands)
    way = np.hypot(*np.diff(mujoco[:, :2], axis=0, prepend=layout.robot_pose[:, :2]).T).sum()
    assert np.hypot(*(mujoco[-1] - bullet[-1])[:2]) < max(0.05 * way, 0.01)
    assert abs(wrap_angle(mujoco[-1, 2] - bullet[-1, 2])) < np.radians(3)
    velocities = [engine.state.velocity[0] for engine in pair]
    assert velocities[0] == pytest.approx(velocities[1], rel=0.02, abs=0.01)


def test_both_report_the_collisions_of_the_same_draws():
    """Straight ahead until something stops the robot: in the same step (10 cm), but for one draw with a graze."""
    layouts = [drawn_layout(seed, ("train", "test")[seed % 2]) for seed in range(24)]
    first, where = [], []
    for name in ENGINES:
        engine = load(name, len(layouts))
        begin(engine, layouts)
        path = drive(engine, 0.5, 0.0, 90)  # (steps, n, 4)
        engine.close()
        first.append(np.where(path[..., 3].any(0), path[..., 3].argmax(0), len(path)))
        where.append(path[np.minimum(first[-1], len(path) - 1), np.arange(len(layouts)), :2])
    same = np.abs(first[0] - first[1]) <= 1
    assert (first[0] < 90).mean() > 0.9
    assert (~same).sum() <= 1
    assert np.linalg.norm(where[0] - where[1], axis=-1)[same].max() < 0.15


@pytest.mark.parametrize("factor", [{"mass_scale": 3.0}, {"wheel_friction_scale": 0.1}, {"actuator_gain_scale": 0.02}])
def test_heavy_slippery_and_weak_robots_set_off_alike(pair, factor):
    nominal = [path[-1, 0] for path in both(pair, empty_layout(), [(0.5, 0.0, 3)])]
    changed = [path[-1, 0] for path in both(pair, empty_layout(), [(0.5, 0.0, 3)], scaled(**factor))]
    assert abs(changed[1] - nominal[1]) > 1e-3
    assert changed[0] == pytest.approx(changed[1], abs=0.05)


# --- what Bullet collides with -------------------------------------------------------------------------------------


@pytest.mark.parametrize("speed", [0.1, 0.5])
def test_a_wall_is_a_collision_from_the_touch_on(bullet, speed):
    face = 0.6
    begin(bullet, [wall_at(face)])
    path = drive(bullet, speed, 0.0, round(1.5 * face / speed / DT_S))[:, 0]
    gap = face - (path[:, 0] + ROBOT.radius_m)
    assert not path[gap > 0.005, 3].any()
    touching = np.flatnonzero(path[:, 3])
    assert touching.size and touching[0] <= np.flatnonzero(gap < 0.001)[0] + 1  # Bullet looks before it moves
    assert path[touching[0] :, 3].all()
    assert gap.min() > -0.02
    assert not drive(bullet, -speed, 0.0, 5)[2:, 0, 3].any()


def test_hidden_and_passable_parts_collide_with_nothing(bullet):
    layout = wall_at(0.4, visible=False)
    item = SCENE.part_range(SCENE.body_index("wall_item0")).start
    layout.part_pos[0, item], layout.part_size[0, item] = (0.5, 0, 0.5), (0.1, 1.0, 0.5)
    layout.part_visible[0, item] = True
    begin(bullet, [layout])
    path = drive(bullet, 0.5, 0.0, 10)[:, 0]
    assert not path[:, 3].any() and path[-1, 0] > 0.9


@pytest.mark.parametrize("which", [0, 15, 16, 17, 40])
def test_every_one_of_many_parts_collides(bullet, which):
    """PyBullet keeps only 16 shapes of a body: the rest must be in others."""
    layout = empty_layout()
    chairs = [i for i, part in enumerate(SCENE.parts[: SCENE.num_fixed_parts]) if part.collides][1:60]
    layout.part_pos[0, chairs], layout.part_size[0, chairs] = (20, 0, 1), (0.1, 0.5, 0.5)
    layout.part_visible[0, chairs] = True
    layout.part_pos[0, chairs[which]] = (0.6, 0, 0.1)
    begin(bullet, [layout])
    assert drive(bullet, 0.5, 0.0, 10)[-1, 0, 3]


def test_meshes_collide_as_their_hulls(tmp_path):
    mesh = tmp_path / "box.obj"
    corners = [(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
    faces = "f 1 2 4 3\nf 5 7 8 6\nf 1 5 6 2\nf 3 4 8 7\nf 1 3 7 5\nf 2 6 8 4\n"
    mesh.write_text("".join(f"v {x} {y} {z}\n" for x, y, z in corners) + faces)
    block = Part(Shape.MESH, Semantic.BOX, (0.1, 0.5, 0.2), (0.7, 0, 0.2), mesh=mesh)
    floor = Part(Shape.PLANE, Semantic.FLOOR, (5, 5, 0))
    scene = Scene((Body("floor", (floor,)), Body("block", (block,))), ROBOT.links, ROBOT.camera_link)
    for name in ENGINES:
        engine = load(name, scene=scene)
        engine.apply(np.array([0]), Layout.nominal(scene, 1), Dynamics.nominal(1))
        path = drive(engine, 0.5, 0.0, 8)[:, 0]
        assert path[-1, 3] and path[-1, 0] == pytest.approx(0.6 - ROBOT.radius_m, abs=0.02)
        engine.close()


# --- determinism ---------------------------------------------------------------------------------------------------


def test_an_episode_is_the_same_whatever_the_batch_and_whatever_ran_before():
    config, domain = ChairNavConfig(), replace(randomized(), engine="bullet")
    batch = Simulation(config, domain, 4)
    seeds = seeds_of("train", 8)
    record(batch, seeds[4:], 5)
    together = record(batch, seeds[:4], 15)
    assert_same(record(batch, seeds[:4], 15), together)
    batch.close()
    alone = Simulation(config, domain, 1)
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (15, 4, 2))
    for world in (0, 3):
        alone.reset(np.array([0]), np.array([seeds[world]]))
        for step in range(15):
            alone.step(actions[step, [world]])
            state = alone.engine.state
            np.testing.assert_array_equal(state.link_pos[0], together["link_pos"][step + 1, world])
            np.testing.assert_array_equal(state.link_quat[0], together["link_quat"][step + 1, world])
            np.testing.assert_array_equal(alone.observe().image[0], together["image"][step + 1, world])
    alone.close()


def test_draws_never_accumulate(bullet):
    paths = []
    for dynamics in (None, scaled(mass_scale=3.0, wheel_friction_scale=0.2, actuator_gain_scale=0.5), None):
        begin(bullet, [empty_layout()], dynamics)
        paths.append(drive(bullet, 0.5, 0.7, 10))
    np.testing.assert_array_equal(paths[0], paths[2])
    assert np.abs(paths[0] - paths[1]).max() > 0.01


def test_applying_a_draw_to_one_world_leaves_the_others_alone():
    lives = []
    for stirred in (False, True):
        engine = load("bullet", 3)
        begin(engine, [drawn_layout(seed) for seed in range(3)])
        drive(engine, 0.3, 0.5, 5)
        if stirred:
            engine.apply(np.array([1]), drawn_layout(33), scaled(mass_scale=2.0))
        lives.append(drive(engine, 0.3, 0.5, 5)[:, [0, 2]])
        engine.close()
    np.testing.assert_array_equal(lives[0], lives[1])


# --- failures ------------------------------------------------------------------------------------------------------


def blow_up(engine: Engine, world: int) -> None:
    """Give the robot a velocity that is no number."""
    if isinstance(engine, BulletEngine):
        robot, client = engine._robots[world], engine._clients[world]
        pybullet.resetBaseVelocity(robot, [float("nan")] * 3, [0, 0, 0], physicsClientId=client)
    elif isinstance(engine, MujocoEngine):
        engine._qvel[world, :3] = np.nan


@pytest.mark.parametrize("collision", ["end", "cost"])
@pytest.mark.parametrize("name", ENGINES)
def test_physics_that_explodes_ends_the_episode_and_names_its_draw(name, collision, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # MuJoCo writes a log where it stands
    simulation = Simulation(chair_nav(collision=collision), SIM_IN[name], 2)
    simulation.reset(np.arange(2), np.array([4, 6]))
    simulation.step(np.zeros((2, 2)))
    blow_up(simulation.engine, 1)
    with pytest.warns(RuntimeWarning, match="'episode_seed': 6"):
        outcome = simulation.step(np.zeros((2, 2)))
    assert outcome.terminated.tolist() == [False, True]
    assert outcome.terms["collision"].tolist() == [0, 1]
    outcome = simulation.step(np.zeros((2, 2)))  # warns once
    assert outcome.terminated.tolist() == [False, True] and np.isfinite(outcome.reward).all()
    assert np.isfinite(simulation.engine.state.link_pos).all()
    simulation.reset(np.array([1]), np.array([8]))
    assert not simulation.step(np.zeros((2, 2))).terminated.any()
    simulation.close()


def test_without_pybullet_one_line_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pybullet", None)
    with pytest.raises(UserError, match=r"need PyBullet.*Python 3\.11.*pip install"):
        load("bullet")


def test_an_unknown_engine_is_refused():
    with pytest.raises(UsageError, match="expected 'mujoco' or 'bullet'"):
        make_engine("ode")


@pytest.mark.parametrize(
    "old, new, message",
    [
        ('name="mast_joint" type="fixed"', 'name="mast_joint" type="prismatic"', "'mast_joint' is of type 'prismatic'"),
        ('<dynamics damping="0.01"/>', '<dynamics friction="0.1"/>', "'left_wheel_joint' has dry friction"),
        ('<inertial><mass value="0.05"/>', "<inertial>", "lacks its <mass>"),
        ('iyy="0.0006"', 'iyy="0"', "wheel_link' needs an <inertial> with mass and inertia"),
    ],
)
def test_a_robot_that_bullet_cannot_honour_is_refused(tmp_path, old, new, message):
    text = (ASSETS / "rover.urdf").read_text()
    assert old in text
    path = tmp_path / "robot.urdf"
    path.write_text(text.replace(old, new))
    with pytest.raises(RobotError, match=message):
        make_engine("bullet").load(SCENE, load_robot(str(path)), 1, DT_S)


def test_planes_are_floors_only():
    scene = Scene((Body("pane", (Part(Shape.PLANE, Semantic.WALL),)),), ROBOT.links)
    with pytest.raises(UsageError, match="'pane'.*make it a box"):
        load("bullet", scene=scene)


def test_the_domain_chooses_the_engine():
    lives = {name: Simulation(ChairNavConfig(), domain, 1) for name, domain in SIM_IN.items()}
    runs = [record(simulation, [2], 10) for simulation in lives.values()]
    assert "link_pos" in differs(*runs)
    np.testing.assert_allclose(runs[0]["link_pos"], runs[1]["link_pos"], atol=0.1)
    for simulation in lives.values():
        simulation.close()


def test_links_that_are_fixed_to_one_another_weigh_what_mujoco_says(tmp_path):
    text = (ASSETS / "rover.urdf").read_text()
    askew = text.replace('xyz="-0.14 0 0.22"', 'xyz="-0.14 0.05 0.22" rpy="0.3 0.5 -0.2"')
    path = tmp_path / "robot.urdf"
    path.write_text(askew)
    spec = mujoco.MjSpec.from_file(str(path))
    spec.compiler.fusestatic = True
    spec.body("base_link").add_freejoint()
    model = spec.compile()
    for body, name in zip(rigid_bodies(load_robot(str(path))), ("base", "left_wheel", "right_wheel"), strict=True):
        twin = model.body(f"{name}_link").id
        moments, axes = body.inertia.principal()
        assert body.inertia.mass == pytest.approx(model.body_mass[twin])
        np.testing.assert_allclose(body.inertia.com, model.body_ipos[twin], atol=1e-12)
        np.testing.assert_allclose(np.sort(moments), np.sort(model.body_inertia[twin]), rtol=1e-6)
        rotation = to_matrix(axes)
        np.testing.assert_allclose(rotation @ np.diag(moments) @ rotation.T, body.inertia.tensor, atol=1e-12)


def test_more_worlds_than_pybullet_has_room_for_is_one_clear_error(monkeypatch):
    monkeypatch.setattr(pybullet, "connect", lambda method: -1)
    with pytest.raises(UserError, match="started 0 of 3 worlds.*fewer environments"):
        load("bullet", 3)


# --- what it holds -------------------------------------------------------------------------------------------------


def test_clients_are_released_on_close_and_when_forgotten():
    engine = load("bullet", 2)
    clients = list(engine._clients)  # type: ignore[attr-defined]
    assert all(map(pybullet.isConnected, clients))
    engine.close()
    engine.close()
    assert not any(map(pybullet.isConnected, clients))
    engine = load("bullet", 2)
    clients = list(engine._clients)  # type: ignore[attr-defined]
    del engine
    gc.collect()
    assert not any(map(pybullet.isConnected, clients))


def resident_mb() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 1e6


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("resets", [400, pytest.param(10_000, marks=pytest.mark.slow)])
def test_resets_do_not_leak(bullet, resets):
    layouts = [drawn_layout(seed) for seed in range(5)]
    for layout in layouts * 20:
        begin(bullet, [layout])
    before = resident_mb()
    for i in range(resets):
        begin(bullet, [layouts[i % 5]])
    assert resident_mb() < 1.02 * before
