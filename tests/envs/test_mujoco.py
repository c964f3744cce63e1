"""The MuJoCo engine: kinematics, collisions and draws, against closed forms and models compiled from scratch."""

import xml.etree.ElementTree as ElementTree
from dataclasses import fields, replace

import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simgym.envs.draw import PARKED_Z_M, Dynamics, Layout
from simgym.envs.engines import mujoco as engine_module
from simgym.envs.engines.mujoco import MujocoEngine
from simgym.envs.engines.mujoco_base import GEOM
from simgym.envs.quaternion import from_yaw, rotate, yaw
from simgym.envs.scene import Scene, Semantic, Shape
from simgym.envs.tasks.chair_nav.furniture import CHAIRS, CLUTTER, OBSTACLES
from simgym.envs.tasks.slots import Slot
from tests.envs.helpers import assert_same
from tests.envs.worlds import DT_S, ROBOT, SCENE, begin, drawn_layout, drive, empty_layout, scaled, stack, wall_at

KINDS = {
    **{f"chair0/{name}": (build, "chair0") for split in CHAIRS.values() for name, build in split.items()},
    **{f"{kind.name}0": (kind.build, f"{kind.name}0") for kind, *_ in OBSTACLES.values()},
    **{f"clutter0/{kind.name}": (kind.build, "clutter0") for kind in CLUTTER},
}


def make_engine(n: int = 1, scene: Scene = SCENE) -> MujocoEngine:
    engine = MujocoEngine()
    engine.load(scene, ROBOT, n, DT_S)
    return engine


@pytest.fixture(scope="module")
def engine():
    engine = make_engine()
    yield engine
    engine.close()


# --- driving -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("speed", [0.1, 0.3, 0.5])
@pytest.mark.parametrize("heading", [0.0, 2.5])
def test_straight_drive_covers_speed_times_time(engine, speed, heading):
    layout = empty_layout()
    layout.robot_pose[0] = (1.0, -0.5, heading)
    begin(engine, [layout])
    path = drive(engine, speed, 0.0, 20)[:, 0]
    along, across = rotate_back(path[-1, :2] - (1.0, -0.5), heading)
    assert along == pytest.approx(speed * 20 * DT_S, rel=0.05)
    assert abs(across) < 0.01
    assert abs(path[-1, 2] - heading) < 0.01
    assert engine.state.velocity[0] == pytest.approx([speed, 0.0], abs=0.05 * speed)
    assert not path[:, 3].any()


def rotate_back(offset: np.ndarray, heading: float) -> tuple[float, float]:
    c, s = np.cos(heading), np.sin(heading)
    return float(c * offset[0] + s * offset[1]), float(-s * offset[0] + c * offset[1])


@pytest.mark.parametrize("rate", [-1.5, -0.4, 0.4, 1.5])
def test_turning_on_the_spot(engine, rate):
    begin(engine, [empty_layout()])
    path = drive(engine, 0.0, rate, 20)[:, 0]
    turned = np.unwrap(np.r_[0.0, path[:, 2]])[-1]
    assert turned == pytest.approx(rate * 20 * DT_S, rel=0.05)
    assert np.hypot(*path[-1, :2]) < 0.02
    assert engine.state.velocity[0] == pytest.approx([0.0, rate], abs=0.05 * abs(rate))


def test_an_arc_is_a_circle_of_radius_speed_over_yaw_rate(engine):
    begin(engine, [empty_layout()])
    path = drive(engine, 0.4, 0.8, 30)[5:, 0]
    edge = np.column_stack([2 * path[:, :2], np.ones(len(path))])
    a, b, c = np.linalg.lstsq(edge, (path[:, :2] ** 2).sum(1), rcond=None)[0]
    assert np.sqrt(c + a * a + b * b) == pytest.approx(0.4 / 0.8, rel=0.05)


def test_stays_at_rest_without_a_command(engine):
    begin(engine, [empty_layout()])
    start = engine.state.link_pos.copy()
    path = drive(engine, 0.0, 0.0, 50)[:, 0]
    assert np.abs(path[:, :2]).max() < 1e-3 and np.abs(path[:, 2]).max() < 1e-3
    assert np.abs(engine.state.link_pos - start).max() < 2e-3  # wheels and casters sink into the floor by less
    assert np.abs(engine.state.velocity).max() < 1e-3
    assert not path[:, 3].any()


def test_measured_velocity_is_what_the_positions_say(engine):
    begin(engine, [empty_layout()])
    drive(engine, 0.5, -1.0, 10)
    before, turned = engine.state.link_pos[0, 0, :2].copy(), yaw(engine.state.link_quat[0, 0])
    path = drive(engine, 0.5, -1.0, 1)[0, 0]
    chord = np.hypot(*(path[:2] - before))
    arc = chord * (DT_S / 2) / np.sin(DT_S / 2)  # at 1 rad/s
    assert engine.state.velocity[0] == pytest.approx([arc / DT_S, (path[2] - turned) / DT_S], rel=0.02)


def camera_ahead_m() -> float:
    """How far ahead of the axle the URDF puts the camera."""
    for joint in ElementTree.parse(ROBOT.urdf).getroot().findall("joint"):
        child, origin = joint.find("child"), joint.find("origin")
        if child is not None and origin is not None and child.get("link") == "camera_link":
            return float(origin.attrib["xyz"].split()[0])
    raise AssertionError("the rover has no camera")


@given(st.floats(-4, 4), st.floats(-4, 4), st.floats(-np.pi, np.pi))
@settings(max_examples=30, derandomize=True)
def test_the_robot_starts_where_the_layout_says(engine, x, y, heading):
    layout = empty_layout()
    layout.robot_pose[0] = (x, y, heading)
    begin(engine, [layout])
    state = engine.state
    np.testing.assert_allclose(state.link_pos[0, 0], (x, y, 0), atol=1e-12)
    np.testing.assert_allclose(np.exp(1j * yaw(state.link_quat[0, 0])), np.exp(1j * heading), atol=1e-12)
    camera = state.link_pos[0, ROBOT.camera_link]
    ahead = camera_ahead_m()
    expected = (x + ahead * np.cos(heading), y + ahead * np.sin(heading), 0.3)
    np.testing.assert_allclose(camera, expected, atol=1e-9)
    assert not state.velocity.any() and not state.collision.any()


# --- collisions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("speed", [0.1, 0.5])
def test_driving_into_a_wall_is_a_collision_from_the_touch_on(engine, speed):
    face = 0.6
    begin(engine, [wall_at(face)])
    path = drive(engine, speed, 0.0, round(1.5 * face / speed / DT_S))[:, 0]
    gap = face - (path[:, 0] + ROBOT.radius_m)
    assert not path[gap > 0.005, 3].any()
    touching = np.flatnonzero(path[:, 3])
    assert touching.size and touching[0] <= np.flatnonzero(gap < 0.001)[0]
    assert path[touching[0] :, 3].all()  # as long as it pushes
    assert gap.min() > -0.02  # and does not drive through
    assert not drive(engine, -speed, 0.0, 5)[2:, 0, 3].any()  # and no longer when it backs off


def test_a_collision_does_not_outlive_a_new_episode(engine):
    begin(engine, [wall_at(0.3)])
    assert drive(engine, 0.5, 0.0, 5)[-1, 0, 3]
    begin(engine, [wall_at(2.0)])
    assert not engine.state.collision.any()
    assert not drive(engine, 0.1, 0.0, 2)[:, 0, 3].any()


def test_hidden_parts_collide_with_nothing(engine):
    begin(engine, [wall_at(0.4, visible=False)])
    path = drive(engine, 0.5, 0.0, 10)[:, 0]
    assert not path[:, 3].any()
    assert path[-1, 0] > 0.9


def test_parts_that_the_scene_lets_pass_collide_with_nothing(engine):
    layout = empty_layout()
    body = SCENE.body_index("wall_item0")
    part = SCENE.part_range(body).start
    layout.part_pos[0, part], layout.part_size[0, part] = (0.5, 0, 0.5), (0.1, 1.0, 0.5)
    layout.part_visible[0, part] = True
    begin(engine, [layout])
    assert not drive(engine, 0.5, 0.0, 10)[:, 0, 3].any()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_furniture_stops_the_robot(kind):
    """Three pieces of the kind, the robot aimed from outside at the lowest part of each."""
    build, slot_name = KINDS[kind]
    body = SCENE.body_index(slot_name)
    parts = SCENE.part_range(body)
    layouts = []
    for seed in range(3):
        layout = empty_layout()
        build(Slot(layout, parts, tuple(p.shape for p in SCENE.bodies[body].parts)), np.random.default_rng(seed))
        turn = np.random.default_rng(seed).uniform(-np.pi, np.pi)
        layout.body_pos[0, body], layout.body_quat[0, body] = (0.7, -0.4, 0.0), from_yaw(turn)
        lowest = parts.start + int(np.argmin(np.where(layout.part_visible[0, parts], layout.part_pos[0, parts, 2], 9)))
        at = (layout.body_pos[0, body] + rotate(layout.body_quat[0, body], layout.part_pos[0, lowest]))[:2]
        outward = at - (0.7, -0.4) if np.hypot(*(at - (0.7, -0.4))) > 0.01 else np.array([1.0, 0.5])
        outward = outward / np.hypot(*outward)
        layout.robot_pose[0] = (*(at + 1.3 * outward), np.arctan2(-outward[1], -outward[0]))
        layouts.append(layout)
    engine = make_engine(3)
    begin(engine, layouts)
    path = drive(engine, 0.5, 0.0, 13)  # 1.3 m
    assert not path[0, :, 3].any()
    assert path[:, :, 3].any(axis=0).tolist() == [True] * 3


# --- draws ---------------------------------------------------------------------------------------------------------


def field_of(engine: MujocoEngine, name: str, world: int = 0) -> np.ndarray:
    return getattr(engine._batch.get_model(world), name).copy()


SCALED = {
    "mass_scale": ("body_mass", "body_inertia", "body_subtreemass"),
    "wheel_friction_scale": ("geom_friction",),
    "actuator_gain_scale": ("actuator_gainprm", "actuator_biasprm"),
}


@pytest.mark.parametrize("factor", SCALED)
def test_draws_never_accumulate(factor):
    engine = make_engine()
    begin(engine, [wall_at(2.0)])
    nominal = {name: field_of(engine, name) for names in SCALED.values() for name in names}
    world = np.array([0])
    for _ in range(3):
        engine.apply(world, wall_at(2.0), scaled(**{factor: 2.0}))
        drive(engine, 0.5, 0.5, 3)
    for name in nominal:
        now = field_of(engine, name)
        if name not in SCALED[factor]:
            np.testing.assert_array_equal(now, nominal[name], err_msg=name)
        elif name == "geom_friction":
            own = np.isin(np.arange(len(now)), engine._wheel_geoms)
            assert own.sum() == 2
            np.testing.assert_array_equal(now, np.where(own[:, None], 2 * nominal[name], nominal[name]))
        elif name.startswith("actuator"):
            np.testing.assert_array_equal(now, 2 * nominal[name], err_msg=name)
        else:
            np.testing.assert_allclose(now[engine._links], 2 * nominal[name][engine._links], rtol=1e-12)
    engine.apply(world, wall_at(2.0), Dynamics.nominal(1))
    for name, values in nominal.items():
        np.testing.assert_array_equal(field_of(engine, name), values, err_msg=name)


def test_the_nominal_masses_are_the_urdfs():
    engine = make_engine()
    begin(engine, [empty_layout()])
    stated = {name: 0.0 for name in (link.name for link in ROBOT.links)} | {
        "base_link": 5.0,
        "mast_link": 0.4,
        "left_wheel_link": 0.3,
        "right_wheel_link": 0.3,
        "front_caster_link": 0.05,
        "rear_caster_link": 0.05,
    }
    assert field_of(engine, "body_mass")[engine._links].tolist() == list(stated.values())


@pytest.mark.parametrize(
    ("factor", "value"), [("mass_scale", 8.0), ("wheel_friction_scale", 0.02), ("actuator_gain_scale", 0.05)]
)
def test_each_factor_changes_the_motion(factor, value):
    paths = []
    for dynamics in (Dynamics.nominal(1), scaled(**{factor: value})):
        engine = make_engine()
        begin(engine, [empty_layout()], dynamics)
        paths.append(drive(engine, 0.5, 1.0, 5)[:, 0])
    assert np.abs(paths[0] - paths[1]).max() > 1e-3
    assert paths[1][-1, 0] < paths[0][-1, 0]  # heavier, more slippery or weaker: slower off the mark


def scratch_model(layout: Layout) -> mujoco.MjModel:
    """The visible parts of a layout compiled in their sizes and places, with nothing to be changed afterwards."""
    spec = mujoco.MjSpec.from_file(str(ROBOT.urdf))
    spec.compiler.fusestatic = False
    spec.option.timestep = engine_module.PHYSICS_DT_S
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    root = spec.body(ROBOT.links[0].name)
    root.add_freejoint()
    engine_module._set_up_robot(spec, ROBOT)
    for i in np.flatnonzero(layout.part_visible[0]):
        part = SCENE.parts[i]
        if not part.collides:
            continue
        node = spec.worldbody.add_body(
            pos=layout.body_pos[0, SCENE.part_body[i]], quat=layout.body_quat[0, SCENE.part_body[i]]
        )
        is_floor = part.semantic == Semantic.FLOOR
        node.add_geom(
            name=f"part{i}",
            type=GEOM[part.shape],
            size=np.maximum(layout.part_size[0, i], 1e-6 if part.shape != Shape.PLANE else 0.01),
            pos=layout.part_pos[0, i],
            quat=layout.part_quat[0, i],
            contype=engine_module.FLOOR_GROUP if is_floor else engine_module.FURNITURE_GROUP,
            conaffinity=0,
        )
    return spec.compile()


@pytest.mark.parametrize("seed", range(6))
def test_sizes_and_places_of_a_draw_equal_a_model_compiled_with_them(seed):
    split = ("train", "test")[seed % 2]
    engine = make_engine()
    for other in range(3):  # whatever was there before
        begin(engine, [drawn_layout(100 + other, split)])
    layout = drawn_layout(seed, split)
    begin(engine, [layout])
    twin_model = scratch_model(layout)
    twin = mujoco.MjData(twin_model)
    twin.qpos[:2], twin.qpos[3:7] = layout.robot_pose[0, :2], from_yaw(layout.robot_pose[0, 2])
    mujoco.mj_forward(twin_model, twin)
    model, data = engine._batch.get_model(0), engine._batch.get_data(0)
    mujoco.mj_forward(model, data)
    names = [twin_model.geom(i).name for i in range(twin_model.ngeom)]
    checked = 0
    for i, name in enumerate(names):
        if not name.startswith("part"):
            continue
        own = model.geom(name).id
        np.testing.assert_allclose(data.geom_xpos[own], twin.geom_xpos[i], atol=1e-9)
        np.testing.assert_allclose(data.geom_xmat[own], twin.geom_xmat[i], atol=1e-9)
        if model.geom_type[own] != mujoco.mjtGeom.mjGEOM_PLANE:
            used = {mujoco.mjtGeom.mjGEOM_BOX: 3, mujoco.mjtGeom.mjGEOM_CYLINDER: 2, mujoco.mjtGeom.mjGEOM_SPHERE: 1}
            k = used[mujoco.mjtGeom(model.geom_type[own])]
            np.testing.assert_allclose(model.geom_size[own][:k], twin_model.geom_size[i][:k], atol=1e-9)
            assert model.geom_rbound[own] == pytest.approx(twin_model.geom_rbound[i], abs=1e-9)
            np.testing.assert_allclose(model.geom_aabb[own], twin_model.geom_aabb[i], atol=1e-9)
        checked += 1
    assert checked == layout.part_visible[0, [p.collides for p in SCENE.parts[: SCENE.num_fixed_parts]]].sum()
    # What is not in the twin is far below the floor.
    for hidden in np.flatnonzero(~layout.part_visible[0]):
        if SCENE.parts[hidden].collides:
            assert data.geom_xpos[model.geom(f"part{hidden}").id, 2] < PARKED_Z_M / 2


@pytest.mark.parametrize("seed", range(8))
def test_driving_into_drawn_furniture_goes_as_in_a_model_compiled_with_it(seed):
    """The same motion and the same collisions as MuJoCo's own loop in the scratch model, until well after a crash."""
    layout = drawn_layout(seed)
    engine = make_engine()
    begin(engine, [drawn_layout(seed + 50)])
    drive(engine, 0.5, 0.3, 10)
    begin(engine, [layout])
    model = scratch_model(layout)
    data = mujoco.MjData(model)
    data.qpos[:2], data.qpos[3:7] = layout.robot_pose[0, :2], from_yaw(layout.robot_pose[0, 2])
    robot_geoms = {g for g in range(model.ngeom) if not model.geom(g).name.startswith("part")}
    floor = model.geom("part0").id
    rng, crashes = np.random.default_rng(seed), 0

    def touching() -> bool:
        pairs = [set(pair) for pair in data.contact.geom.tolist()]
        return any(pair & robot_geoms and floor not in pair for pair in pairs)

    for step in range(60):
        wheels = ROBOT.drive.wheel_velocity(np.array([[0.5, rng.uniform(-0.4, 0.4)]]))
        engine.step(wheels)
        data.ctrl[:] = wheels[0]
        touches = []  # before each physics step
        for _ in range(round(DT_S / engine_module.PHYSICS_DT_S)):
            mujoco.mj_step(model, data)
            touches.append(touching())
        mujoco.mj_forward(model, data)
        touches.append(touching())
        # Once it touches, the order of the contacts shows in the last digits, and a crash magnifies them.
        tolerance = 5e-3 if crashes or any(touches) else 1e-7
        np.testing.assert_allclose(engine._qpos[0], data.qpos, rtol=0, atol=tolerance, err_msg=f"step {step}")
        collision = bool(engine.state.collision[0])
        assert collision <= any(touches), f"step {step}: flagged, but nothing touched"
        assert collision >= all(touches[-6:]), f"step {step}: not flagged though it touched all along"
        crashes += collision
        if crashes >= 3:
            break
    assert crashes, "the walk met nothing: choose another seed"


# --- worlds are apart ----------------------------------------------------------------------------------------------


def run(engine: MujocoEngine, steps: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Everything the engine shows in ``steps`` random steps; world i's commands do not depend on their number."""
    n = len(engine.state.collision)
    commands = [np.random.default_rng([seed, i]).uniform((0, -1.5), (0.5, 1.5), (steps, 2)) for i in range(n)]
    rows = [{name: value.copy() for name, value in vars(engine.state).items()}]
    for step in range(steps):
        engine.step(ROBOT.drive.wheel_velocity(np.stack([command[step] for command in commands])))
        rows.append({name: value.copy() for name, value in vars(engine.state).items()})
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def test_a_batch_equals_single_worlds_bit_for_bit():
    n = 4
    layouts = [drawn_layout(seed) for seed in range(n)]
    factors = np.linspace(0.8, 1.3, n)
    draws = replace(Dynamics.nominal(n), mass_scale=factors, wheel_friction_scale=factors[::-1].copy())
    batch = make_engine(n)
    begin(batch, layouts, draws)
    together = run(batch, 60)
    assert together["collision"].any()
    for world in range(n):
        alone = make_engine()
        row = Dynamics(**{f.name: getattr(draws, f.name)[world : world + 1] for f in fields(Dynamics)})
        begin(alone, [layouts[world]], row)
        commands = np.random.default_rng([0, world]).uniform((0, -1.5), (0.5, 1.5), (60, 2))
        for step in range(60):
            alone.step(ROBOT.drive.wheel_velocity(commands[step : step + 1]))
            for name, value in vars(alone.state).items():
                np.testing.assert_array_equal(value[0], together[name][step + 1, world], err_msg=f"{name}, {step}")


def test_an_episode_does_not_depend_on_what_ran_before_in_its_world():
    fresh, used = make_engine(2), make_engine(2)
    begin(used, [drawn_layout(7, "test"), drawn_layout(8)], replace(Dynamics.nominal(2), mass_scale=np.array([3, 0.2])))
    run(used, 80, seed=9)  # into walls, with other masses
    lives = []
    for engine in (fresh, used):
        begin(engine, [drawn_layout(1), drawn_layout(2)])
        lives.append(run(engine, 40))
    assert_same(lives[0], lives[1])


def test_applying_a_draw_to_one_world_leaves_the_others_alone():
    calm, stirred = make_engine(3), make_engine(3)
    lives = []
    for engine in (calm, stirred):
        begin(engine, [drawn_layout(seed) for seed in range(3)])
        first = run(engine, 15)
        if engine is stirred:
            engine.apply(np.array([1]), drawn_layout(33), scaled(mass_scale=2.0))
        second = run(engine, 15, seed=1)
        kept = {name: np.delete(value, 1, axis=1) for name, value in second.items()}
        lives.append({"first": first, "second": kept})
    assert_same(lives[0], lives[1])


def test_rows_of_a_draw_go_to_the_worlds_named():
    engine = make_engine(3)
    layouts = [wall_at(1.0), wall_at(0.3), wall_at(3.0)]
    for i, layout in enumerate(layouts):
        layout.robot_pose[0] = (-i, 0.1 * i, 0.0)
    begin(engine, layouts)
    engine.apply(np.array([0, 2]), stack([layouts[2], layouts[0]]), Dynamics.nominal(2))
    np.testing.assert_allclose(engine.state.link_pos[:, 0, 0], [-2, -1, 0], atol=1e-12)
    for world, face in ((0, 3.1), (1, 0.4), (2, 1.1)):
        assert field_of(engine, "geom_pos", world)[engine._geoms[1], 0] == pytest.approx(face)


def test_close_may_be_called_twice():
    engine = make_engine()
    begin(engine, [empty_layout()])
    engine.close()
    engine.close()


def drive_for_eight_seconds(monkeypatch: pytest.MonkeyPatch, physics_dt_s: float) -> np.ndarray:
    """Where the robot stands (x, y, yaw_rad) after 8 s of changing commands in an empty world."""
    monkeypatch.setattr(MujocoEngine, "_physics_dt_s", physics_dt_s)
    engine = make_engine()
    engine.apply(np.array([0]), empty_layout(), Dynamics.nominal(1))
    commands = np.array([[0.3, 0.4], [0.5, 0.0], [0.1, -1.2], [0.5, 0.6], [0.0, 1.5], [0.4, -0.3]])
    for k in range(40):
        engine.step(ROBOT.drive.wheel_velocity(commands[[k % len(commands)]]))
    return np.array([*engine.state.link_pos[0, 0, :2], yaw(engine.state.link_quat[0, 0])])


def test_the_physics_step_is_short_enough(monkeypatch):
    coarse = drive_for_eight_seconds(monkeypatch, engine_module.PHYSICS_DT_S)
    fine = drive_for_eight_seconds(monkeypatch, 0.001)
    assert np.hypot(*(coarse - fine)[:2]) < 0.1
    assert abs(coarse[2] - fine[2]) < np.radians(4.0)
