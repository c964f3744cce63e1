"""Grasp's environment: its data sheet against what it does, seeds, replay, looks, views, bad configuration.

Gymnasium's and Stable-Baselines3's checkers run over every registered environment in `test_env.py`.
"""

import inspect
import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from simgym.envs import arm
from simgym.envs.config import DOMAINS, RandomizationConfig
from simgym.envs.robot import RobotError
from simgym.envs.scene import Semantic
from simgym.envs.simulation import Simulation
from simgym.envs.tasks.grasp.config import GraspConfig, GraspLayoutConfig, GraspRewardConfig
from simgym.envs.tasks.grasp.env import GraspEnv
from simgym.envs.tasks.grasp.layout import GraspLayoutError
from simgym.envs.tasks.grasp.task import REACH_M
from simgym.errors import UsageError, UserError
from tests.envs import sheets
from tests.envs.helpers import SENSORS_OF, assert_same, seeds_of
from tests.envs.sheets import table

pytest.importorskip("pybullet_data", reason="the Panda's description comes with PyBullet")

SENSORS = SENSORS_OF["simgym/Grasp-v0"]


def section(title: str) -> str:
    return sheets.section(GraspEnv, title)


@pytest.fixture(scope="module")
def env():
    env = GraspEnv(observations=SENSORS)
    yield env
    env.close()


def record(simulation: Simulation, seeds: list[int], steps: int) -> dict[str, np.ndarray]:
    """All that a batch shows as the expert acts, each (steps + 1, n, ...)."""
    simulation.reset(np.arange(simulation.num_worlds), np.array(seeds))
    rows = []
    for step in range(steps + 1):
        reward = simulation.step(simulation.expert_action()).reward if step else np.zeros(len(seeds))
        state, seen = simulation.engine.state, simulation.observe()
        arrays = {name: getattr(state, name) for name in ("moving_pos", "moving_quat", "joint_pos", "contact_n")}
        rows.append({name: value.copy() for name, value in (arrays | vars(seen) | {"reward": reward}).items()})
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


# --- data sheet ----------------------------------------------------------------------------------------------------


def test_sheet_actions(env):
    box, rows = env.action_space, table(section("Action space"))
    assert "`Box(-1, 1, (5,), float32)`" in section("Action space") and box.shape == (5,) and box.dtype == np.float32
    assert [int(row["index"]) for row in rows] == list(range(5))
    ends = env.simulation.task.command(np.array([box.low, box.high], float))
    for row in rows:
        assert ends[:, int(row["index"])] == pytest.approx([float(row["-1"]), float(row["1"])])


def test_sheet_observations(env):
    rows = table(section("Observation space"))
    assert list(dict.fromkeys(row["key"] for row in rows)) == list(SENSORS)
    for row in rows:
        box = env.observation_space[row["key"]]
        assert row["index"].split(" of ")[1] == str(box.shape) and np.dtype(row["dtype"]) == box.dtype
        at = int(row["index"].split()[0]) if row["key"] == "proprio" else ...
        assert float(row["lowest"]) == pytest.approx(box.low[at].min(), abs=1e-4)
        assert row["highest"] == "any" or float(row["highest"]) == pytest.approx(box.high[at].max(), abs=1e-4)
    assert sorted(GraspEnv().observation_space.spaces) == ["image", "proprio"]


def test_sheet_numbers(env):
    config, task = GraspConfig(), env.simulation.task
    text = {title: " ".join(section(title).split()) for title in ("Task", "Action space", "Episode end")}
    assert "{}-{} objects".format(*config.layout.objects) in text["Task"]
    assert "{:g}-{:g} kg".format(*config.layout.mass_kg) in text["Task"]
    assert f"held for {task.control_dt_s:g} s ({config.control_rate_hz:g} Hz)" in text["Action space"]
    end = text["Episode end"]
    assert f"{config.lift_m:g} m above" in end and f"for {config.hold_s:g} s" in end
    assert f"{config.collision_force_n:g} N" in end and f"{config.time_limit_s:g} s, {task.max_steps} steps" in end
    assert GraspEnv.metadata["render_fps"] == config.control_rate_hz
    stated = {row["term"]: float(row["weight"]) for row in table(section("Reward"))}
    assert stated == vars(GraspRewardConfig())


def test_sheet_camera():
    simulation = Simulation(GraspConfig(view="shoulder"), DOMAINS["sim"], 1)
    simulation.reset(np.array([0]), np.array([0]))
    height = simulation.engine.state.link_pos[0, simulation.task.robot.camera_link, 2]
    assert f"{height:.2f} m above it" in section("Observation space")
    assert math.degrees(2 * math.atan(simulation.camera.width / 2 / simulation.camera.fx)) == pytest.approx(69)


def test_sheet_infos_and_arguments(env):
    listed = set(re.findall(r"`(\w+)`", section("Info")))
    start = env.reset(seed=0)[1]
    *_, info = env.step(np.zeros(5))
    assert set(info) == listed == set(start) | {"reward_terms"}
    named = set(re.findall(r"`(\w+)`", section("Arguments"))) - {"DomainConfig", "GraspConfig"}
    assert named == set(inspect.signature(GraspEnv.__init__).parameters) - {"self"}
    assert f"{RandomizationConfig.__module__}.RandomizationConfig" in section("Randomization")


# --- seeds ---------------------------------------------------------------------------------------------------------


BULLET = replace(DOMAINS["randomized"], engine="bullet")


@pytest.mark.parametrize("domain", [DOMAINS["sim"], DOMAINS["randomized"], BULLET], ids=["sim", "randomized", "bullet"])
def test_an_episode_depends_on_its_seed_alone(domain):
    """Not on the batch, nor on what was in the world before."""
    seeds = seeds_of("test", 3)
    batch = record(Simulation(GraspConfig(), domain, 3, "test"), seeds, 25)
    alone = Simulation(GraspConfig(), domain, 1, "test")
    for world in (2, 0):
        single = record(alone, [seeds[world]], 25)
        assert_same(single, {name: values[:, world : world + 1] for name, values in batch.items()})


def test_a_draw_replays_its_episode(env):
    first = env.reset(seed=5)
    other = env.reset(seed=6)
    again = env.reset(options={"draw": first[1]["draw"]})
    assert_same(first[0], again[0])
    assert not np.array_equal(first[0]["image"], other[0]["image"])


# --- what is seen --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", ["shoulder", "wrist"])
def test_objects_hand_and_table_are_in_the_picture(view):
    simulation = Simulation(GraspConfig(view=view), DOMAINS["sim"], 4)
    simulation.reset(np.arange(4), np.array(seeds_of("train", 4)))
    for _ in range(12):
        simulation.step(simulation.expert_action())
    seen = simulation.observe().segmentation[..., 0]  # (n, H, W)
    for world in range(4):
        assert {Semantic.TABLE, Semantic.OBJECT, Semantic.ROBOT} <= set(seen[world].ravel().tolist())


def test_an_object_is_drawn_where_the_engine_has_it():
    """Its pixels' depths lie on it: the renderer follows what moves."""
    config = GraspConfig(view="shoulder", layout=GraspLayoutConfig(objects=(1, 1)))
    simulation = Simulation(config, DOMAINS["sim"], 1)
    simulation.reset(np.array([0]), np.array([4]))
    heights = []
    for _ in range(40):
        if simulation.step(simulation.expert_action()).terminated[0]:
            break
        mine = simulation.observe().segmentation[0, ..., 1] == simulation.task.scene.num_fixed
        heights.append((np.nonzero(mine)[0].mean(), simulation.engine.state.object_pos[0, 0, 2]))
    rows, z = np.array(heights).T
    assert simulation.task.success[0] and z.max() > 0.1
    assert np.corrcoef(rows, z)[0, 1] < -0.9  # up in the world is up in the picture


def test_colours_of_objects_are_the_layouts_but_for_the_canonical_look():
    def colours(domain: str) -> set[bytes]:
        simulation = Simulation(GraspConfig(), DOMAINS[domain], 1)
        simulation.reset(np.array([0]), np.array([4]))
        parts = simulation.task.scene.part_range(simulation.task.scene.num_fixed)
        renderer: Any = simulation.renderer
        return {row.tobytes() for row in renderer._paint["rgb"][0, parts]}

    assert len(colours("randomized")) == 1 and colours("randomized") != colours("sim")


# --- bad configuration ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"observations": ("image", "velocity")}, ["velocity", "proprio"]),
        ({"config": GraspConfig(view="roof")}, ["env.view=roof", "shoulder", "wrist"]),
        ({"config": GraspConfig(control_rate_hz=7.0)}, ["env.control_rate_hz=7"]),
        ({"config": GraspConfig(layout=GraspLayoutConfig(objects=(3, 2)))}, ["env.layout.objects=[3,2]"]),
        ({"config": GraspConfig(layout=GraspLayoutConfig(objects=(1, 9)))}, ["env.layout.objects", "5"]),
        ({"domain": "moon"}, ["moon", "sim"]),
    ],
)
def test_what_cannot_be_is_one_clear_line(options, words):
    with pytest.raises(UsageError) as caught:
        GraspEnv(**options)
    message = str(caught.value)
    assert "\n" not in message and all(word in message for word in words)


def test_a_configuration_of_another_task_is_refused():
    from simgym.envs.tasks.chair_nav.config import ChairNavConfig

    with pytest.raises(UsageError, match="Grasp takes a GraspConfig"):
        GraspEnv(config=ChairNavConfig())


def test_without_the_pandas_description_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(arm, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pybullet_data.*pip install") as caught:
        GraspEnv()
    assert "\n" not in str(caught.value)


def test_another_robots_description_is_one_clear_line(monkeypatch, tmp_path):
    path = tmp_path / "panda.urdf"
    path.write_text(arm.panda_urdf().read_text().replace("panda_joint4", "elbow"))
    monkeypatch.setattr(arm, "panda_urdf", lambda: path)
    with pytest.raises(RobotError, match="panda.urdf: no joint panda_joint4") as caught:
        GraspEnv()
    assert "\n" not in str(caught.value)


def test_a_table_without_room_names_the_seed(monkeypatch):
    monkeypatch.setattr("simgym.envs.tasks.grasp.layout.GAP_M", 5.0)
    simulation = Simulation(GraspConfig(layout=GraspLayoutConfig(objects=(2, 2))), DOMAINS["sim"], 1)
    with pytest.raises(GraspLayoutError, match="episode seed 8"):
        simulation.reset(np.array([0]), np.array([8]))


@pytest.mark.parametrize("engine", ["mujoco", "bullet"])
def test_physics_that_fails_ends_the_episode_and_warns_with_the_draw(engine, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # MuJoCo writes a log
    simulation = Simulation(GraspConfig(), replace(DOMAINS["sim"], engine=engine), 2)
    simulation.reset(np.arange(2), np.array([2, 4]))
    at = simulation.engine.state.moving_pos.copy()
    _explode(simulation)
    with pytest.warns(RuntimeWarning, match="episode_seed': 4"):
        outcome = simulation.step(np.zeros((2, 5)))
    assert outcome.terminated.tolist() == [False, True] and not simulation.task.success.any()
    np.testing.assert_array_equal(simulation.engine.state.moving_pos[1], at[1])
    simulation.reset(np.array([1]), np.array([4]))
    assert not simulation.engine.state.failed.any()


def _explode(simulation: Simulation) -> None:
    """Give the first object of world 1 a velocity that is no number."""
    engine: Any = simulation.engine
    if simulation.domain.engine == "mujoco":
        engine._qvel[1, -1] = np.nan
    else:
        body = next(iter(engine._object_bodies[1]))
        engine._bullet.resetBaseVelocity(body, [math.nan] * 3, physicsClientId=engine._clients[1])


@pytest.mark.parametrize("engine", ["mujoco", "bullet"])
def test_a_pose_out_of_reach_is_no_failure(engine):
    """The hand goes as far as its bounds let it and stays there; the episode runs on, finite, to its time limit."""
    simulation = Simulation(GraspConfig(time_limit_s=5.0), replace(DOMAINS["sim"], engine=engine), 1)
    simulation.reset(np.array([0]), np.array([2]))
    for _ in range(50):
        outcome = simulation.step(np.array([[1.0, 1.0, 1.0, 1.0, 1.0]]))
        assert np.isfinite(simulation.engine.state.moving_pos).all()
    assert outcome.truncated[0] and not outcome.terminated[0] and not simulation.engine.state.failed[0]
    hand = simulation.task.measure(simulation.engine.state)[0]
    assert (hand[:3] <= np.array(REACH_M[1]) + 0.02).all()


@pytest.mark.parametrize("engine", ["mujoco", "bullet"])
def test_an_object_that_falls_off_the_table_ends_the_episode_as_a_failure(engine):
    layout = GraspLayoutConfig(objects=(1, 1))
    simulation = Simulation(GraspConfig(layout=layout), replace(DOMAINS["sim"], engine=engine), 1)
    simulation.reset(np.array([0]), np.array([2]))
    moving: Any = simulation.engine
    if engine == "mujoco":
        moving._qpos[0, moving._object_qpos[0, :2]] = 1.2, 0.0
    else:
        body, client = next(iter(moving._object_bodies[0])), moving._clients[0]
        moving._bullet.resetBasePositionAndOrientation(body, [1.2, 0.0, 0.05], [0, 0, 0, 1], physicsClientId=client)
    for _ in range(10):
        outcome = simulation.step(np.array([[0.0, 0.0, 0.0, 0.0, 1.0]]))
        if outcome.terminated[0]:
            break
    assert outcome.terminated[0]
    assert not simulation.task.success[0] and outcome.terms["collision"][0] == 0
