"""The single environment: the public checkers, seeds, replay, bad input, and that its data sheet is true."""

import inspect
import json
import math
import re
import subprocess
import sys
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as sb3_check_env

import simgym  # noqa: F401  (registers the environments)
from simgym.deploy.camera import CameraError
from simgym.envs.config import DOMAINS, DomainConfig, RandomizationConfig
from simgym.envs.engines import make_engine
from simgym.envs.renderers import make_renderer
from simgym.envs.scene import Semantic
from simgym.envs.tasks.chair_nav.config import ChairNavConfig, RewardConfig
from simgym.envs.tasks.chair_nav.env import ChairNavEnv
from simgym.errors import UsageError
from tests.envs import sheets
from tests.envs.helpers import ALL_SENSORS, RUNNABLE, SENSORS_OF, assert_same, chair_nav, randomized
from tests.envs.sheets import table

IDS = sorted(name for name in gym.registry if name.startswith("simgym/"))
CAMERA_INFO = """
image_width: 64
image_height: 48
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [0, 0, 0, 0, 0]}
camera_matrix: {rows: 3, cols: 3, data: [50.0, 0, 31.5, 0, 52.0, 23.5, 0, 0, 1]}
projection_matrix: {rows: 3, cols: 4, data: [50.0, 0, 31.5, 0, 0, 52.0, 23.5, 0, 0, 0, 1, 0]}
rectification_matrix: {rows: 3, cols: 3, data: [1, 0, 0, 0, 1, 0, 0, 0, 1]}
"""


def walk(env: gym.Env, steps: int, action_seed: int = 0, **reset) -> list[dict]:
    """Observations, rewards, ends and infos of a random walk; it goes on after an episode's end."""
    rng = np.random.default_rng(action_seed)
    observation, info = env.reset(**reset)
    rows = [{"observation": observation, "info": info}]
    for _ in range(steps):
        action = rng.uniform(-1, 1, env.action_space.shape).astype(np.float32)
        observation, reward, terminated, truncated, info = env.step(action)
        ends = np.array([terminated, truncated])
        rows.append({"observation": observation, "reward": reward, "ends": ends, "info": info})
    return rows


def assert_same_walk(first: list[dict], second: list[dict]) -> None:
    assert len(first) == len(second)
    for step, (one, other) in enumerate(zip(first, second, strict=True)):
        assert one["info"]["draw"] == other["info"]["draw"]
        drawless = [row | {"info": {k: v for k, v in row["info"].items() if k != "draw"}} for row in (one, other)]
        assert_same(drawless[0], drawless[1], f"step {step}")


@pytest.fixture(scope="module")
def env():
    env = ChairNavEnv(observations=ALL_SENSORS)
    yield env
    env.close()


# --- the public checkers -------------------------------------------------------------------------------------------


def test_every_task_is_registered():
    assert sorted(SENSORS_OF) == IDS


@pytest.mark.parametrize("order", ["import simgym, gymnasium", "import gymnasium, simgym"])
def test_ids_are_known_in_whichever_order_the_packages_are_imported(order):
    code = f"{order}\nprint([n for n in gymnasium.registry if n.startswith('simgym/')])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.strip() == str(IDS)


@pytest.mark.parametrize("render_mode", [None, "rgb_array", "depth_array"])
@pytest.mark.parametrize("name", RUNNABLE)
def test_gymnasium_checker_passes(name, render_mode):
    check_env(gym.make(name, render_mode=render_mode).unwrapped)


@pytest.mark.filterwarnings("ignore:.*maximum value is infinity")  # depth where there is nothing
@pytest.mark.parametrize("name", RUNNABLE)
def test_gymnasium_checker_passes_with_every_sensor_in_the_randomized_test_split(name):
    check_env(gym.make(name, domain="randomized", split="test", observations=SENSORS_OF[name]).unwrapped)


@pytest.mark.parametrize("domain", sorted(DOMAINS))
@pytest.mark.parametrize("name", RUNNABLE)
def test_sb3_checker_passes(name, domain):
    sb3_check_env(gym.make(name, domain=domain, render_mode="rgb_array").unwrapped)


@pytest.mark.parametrize("name", RUNNABLE)
def test_time_limit_is_the_environments_own(name):
    """Gymnasium's wrapper would hide it from the vector environment."""
    assert gym.spec(name).max_episode_steps is None


# --- seeds and replay ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("domain", sorted(DOMAINS))
@pytest.mark.parametrize("name", RUNNABLE)
def test_same_seed_same_trajectory_in_another_instance(name, domain):
    walks = [walk(gym.make(name, domain=domain, observations=SENSORS_OF[name]), 40, seed=7) for _ in range(2)]
    assert_same_walk(*walks)


def test_unseeded_resets_continue_the_stream_of_the_seed(env):
    def episodes() -> list[int]:
        first = env.reset(seed=11)[1]["draw"]["episode_seed"]
        return [first] + [env.reset()[1]["draw"]["episode_seed"] for _ in range(5)]

    drawn = episodes()
    assert len(set(drawn)) == 6
    assert episodes() == drawn


def test_other_seeds_are_other_episodes(env):
    seeds = {env.reset(seed=s)[1]["draw"]["episode_seed"] for s in range(20)}
    assert len(seeds) == 20


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_draw_replays_its_episode_bit_for_bit_in_another_instance(split):
    domain = randomized(dynamics={"action_delay_steps": (0, 3)})
    options = {"domain": domain, "split": split, "observations": ALL_SENSORS}
    first = ChairNavEnv(**options)
    first.reset(seed=3)
    walk(first, 5)  # the episode to replay begins in a world that was used before
    lived = walk(first, 40, action_seed=1)
    stored = json.loads(json.dumps(lived[0]["info"]["draw"]))  # as from a file
    other = ChairNavEnv(**options)
    walk(other, 3, seed=99)
    assert_same_walk(lived, walk(other, 40, action_seed=1, options={"draw": stored}))


def test_a_draw_of_the_other_split_is_replayed_or_refused_never_replaced_by_another_episode():
    lived = walk(ChairNavEnv(split="test"), 3, seed=2)
    try:
        replayed = walk(ChairNavEnv(split="train"), 3, options={"draw": lived[0]["info"]["draw"]})
    except UsageError as error:
        assert "split" in str(error)
        return
    assert_same_walk(lived, replayed)


def test_a_draw_that_is_not_whole_is_refused(env):
    with pytest.raises(ValueError, match="lacks split, layout, look, dynamics"):
        env.reset(options={"draw": {"episode_seed": 4}})
    with pytest.raises(UsageError, match="'redraw'"):
        env.reset(options={"redraw": {}})


@pytest.mark.parametrize(
    "options", [{"domain": "randomized"}, {"config": chair_nav(layout={"obstacles": (8, 8), "chairs": (3, 3)})}]
)
def test_a_draw_of_another_domain_or_configuration_is_refused(env, options):
    _, info = env.reset(seed=2)
    with pytest.raises(UsageError, match="another domain or configuration"):
        ChairNavEnv(**options).reset(options={"draw": info["draw"]})


def test_a_replay_does_not_disturb_the_stream_of_seeds(env):
    _, info = env.reset(seed=5)
    after = env.reset()[1]["draw"]["episode_seed"]
    env.reset(seed=5)
    env.reset(options={"draw": info["draw"]})
    assert env.reset()[1]["draw"]["episode_seed"] == after


def test_randomization_switched_off_is_bit_for_bit_the_nominal_domain():
    off = randomized(enabled=False)
    walks = [walk(ChairNavEnv(domain=d, observations=ALL_SENSORS), 200, seed=4) for d in ("sim", off)]
    assert_same_walk(*walks)


def test_observations_are_the_callers_to_keep(env):
    env.reset(seed=0)
    observation, *_ = env.step(np.array([1.0, 1.0]))
    kept = {name: value.copy() for name, value in observation.items()}
    env.step(np.array([1.0, -1.0]))
    env.reset(seed=8)
    assert_same(observation, kept)


def test_infos_are_the_callers_to_keep(env):
    env.reset(seed=0)
    *_, info = env.step(np.array([1.0, 1.0]))
    kept = json.dumps(info)
    env.step(np.array([1.0, -1.0]))
    env.reset(seed=8)
    assert json.dumps(info) == kept


# --- bad input -----------------------------------------------------------------------------------------------------

BAD_ACTIONS = {
    "nan": np.array([0.0, np.nan]),
    "inf": np.array([np.inf, 0.0]),
    "a batch": np.zeros((1, 2)),
    "three": np.zeros(3),
    "a scalar": np.float32(0),
    "none": None,
}


@pytest.mark.parametrize("name", BAD_ACTIONS)
def test_bad_actions_are_refused_and_change_nothing(env, name):
    env.reset(seed=0)
    before = env.simulation.engine.state.link_pos.copy()
    with pytest.raises(ValueError, match="action"):
        env.step(BAD_ACTIONS[name])
    assert env.simulation.task.steps[0] == 0
    np.testing.assert_array_equal(env.simulation.engine.state.link_pos, before)


@pytest.mark.parametrize(
    ("options", "known"),
    [
        ({"domain": "moon"}, ["moon", *DOMAINS]),
        ({"split": "validation"}, ["validation", "train", "test"]),
        ({"observations": ("image", "sonar")}, ["sonar", *ALL_SENSORS]),
        ({"observations": ()}, list(ALL_SENSORS)),
        ({"render_mode": "hologram"}, ["render_mode", "hologram", "rgb_array", "depth_array"]),
        ({"config": chair_nav(collision="bounce")}, ["env.collision", "bounce", "end", "cost"]),
        ({"config": chair_nav(control_rate_hz=3.0)}, ["env.control_rate_hz", "3", "divisor of 20"]),
        ({"config": chair_nav(max_speed_m_s=-1.0)}, ["max_speed_m_s", "-1"]),
        ({"config": chair_nav(layout={"chairs": (0, 2)})}, ["chairs", "0"]),
        ({"config": chair_nav(layout={"chairs": (3, 2)})}, ["chairs", "3,2"]),
        ({"config": chair_nav(layout={"room_side_m": (4.0, 12.0)})}, ["room_side_m", "12"]),
        ({"config": chair_nav(time_limit_s=math.nan)}, ["time_limit_s", "nan"]),
        ({"domain": randomized(dynamics={"action_delay_steps": (0, 99)})}, ["action_delay_steps", "99"]),
        ({"domain": randomized(dynamics={"mass_scale": (2.0, 1.0)})}, ["mass_scale", "2.0,1.0"]),
        ({"domain": randomized(look={"saturation": (0.0, 2.0)})}, ["saturation", "2"]),
        ({"domain": DomainConfig(engine="toy")}, ["domain.engine", "toy", "mujoco"]),
        ({"domain": DomainConfig(renderer="toy")}, ["domain.renderer", "toy", "raster"]),
        (
            {"domain": DomainConfig(look="randomized")},
            ["domain.look", "randomization.enabled=true", "domain=randomized"],
        ),
        (
            {"domain": randomized(enabled=False, dynamics={"mass_scale": (1.0, 2.0)})},
            ["domain.randomization.dynamics.mass_scale", "domain.randomization.enabled=true"],
        ),
        (
            {"domain": replace(randomized(look={"saturation": (0.0, 0.1)}), look="canonical")},
            ["domain.randomization.look.saturation", "domain.look=randomized"],
        ),
    ],
)
def test_impossible_options_are_usage_errors_that_name_what_is_known(options, known):
    with pytest.raises(UsageError) as caught:
        ChairNavEnv(**options)
    message = str(caught.value)
    assert "\n" not in message
    assert [word for word in known if word not in message] == []


def test_engines_and_renderers_are_made_by_name():
    assert type(make_engine("mujoco")).__name__ == "MujocoEngine"
    assert type(make_renderer("raster")).__name__ == "RasterRenderer"
    for make in (make_engine, make_renderer):
        with pytest.raises(UsageError, match="'toy'"):
            make("toy")


def test_close_may_be_called_twice():
    for used in (False, True):
        env = gym.make("simgym/ChairNav-v0")
        if used:
            walk(env, 2, seed=0)
        env.close()
        env.close()


# --- observations and pictures -------------------------------------------------------------------------------------


@pytest.mark.parametrize("sensors", [("image",), ("velocity",), ("depth", "image"), ALL_SENSORS])
def test_observations_on_request(sensors):
    env = ChairNavEnv(observations=sensors)
    observation, _ = env.reset(seed=0)
    assert set(observation) == set(sensors) == set(env.observation_space.spaces)
    assert env.observation_space.contains(observation)
    stepped, *_ = env.step(np.zeros(2))
    assert env.observation_space.contains(stepped)


def test_segmentation_and_depth_agree_with_the_picture(env):
    """Pixels of one body are of its class; what has depth has a body."""
    scene = env.simulation.task.scene
    semantic_of = np.array([body.parts[0].semantic if body.parts else Semantic.VOID for body in scene.all_bodies])
    for seed in range(5):
        observation, _ = env.reset(seed=seed)
        semantic, body = np.moveaxis(observation["segmentation"], -1, 0)
        hit = body >= 0
        np.testing.assert_array_equal(semantic[hit], semantic_of[body[hit]])
        np.testing.assert_array_equal(np.isfinite(observation["depth"]), hit)
        assert hit.mean() > 0.99  # a room is closed


@pytest.mark.parametrize("mode", ["rgb_array", "depth_array"])
def test_render_shows_what_the_camera_sees(mode):
    env = ChairNavEnv(render_mode=mode, observations=ALL_SENSORS)
    observation, _ = env.reset(seed=1)
    np.testing.assert_array_equal(env.render(), observation["image" if mode == "rgb_array" else "depth"])
    rendered = np.asarray(env.render())
    env.step(np.array([1.0, 1.0]))
    assert not np.array_equal(np.asarray(env.render()), rendered)


def test_videos_play_at_the_control_rate(env):
    assert ChairNavEnv(config=chair_nav(control_rate_hz=10.0)).metadata["render_fps"] == 10.0
    assert env.metadata["render_fps"] == ChairNavEnv.metadata["render_fps"] == 5


def test_without_a_render_mode_render_gives_nothing(env):
    env.reset(seed=0)
    assert env.render() is None


@pytest.fixture
def camera_info(tmp_path):
    path = tmp_path / "camera_info.yaml"
    path.write_text(CAMERA_INFO)
    return path


def test_a_camera_info_file_gives_size_and_focal_lengths(camera_info):
    env = ChairNavEnv(config=chair_nav(camera=str(camera_info)), observations=ALL_SENSORS)
    shapes = {name: env.observation_space[name].shape for name in ALL_SENSORS}
    assert shapes == {"image": (48, 64, 3), "velocity": (2,), "depth": (48, 64), "segmentation": (48, 64, 2)}
    observation, _ = env.reset(seed=0)
    assert env.observation_space.contains(observation)
    camera = env.simulation.camera
    assert (camera.fx, camera.fy) == (50.0, 52.0)
    assert (camera.cx, camera.cy) == (32.0, 24.0)  # ROS counts from the middle of the first pixel


@pytest.mark.parametrize("text", ["image_width: 3\n", "::: [", ""])
def test_a_broken_camera_info_file_is_one_clear_error(tmp_path, text):
    path = tmp_path / "camera.yaml"
    path.write_text(text)
    with pytest.raises(CameraError, match="camera.yaml"):
        ChairNavEnv(config=chair_nav(camera=str(path)))


def test_a_missing_camera_info_file_is_one_clear_error(tmp_path):
    with pytest.raises(CameraError, match="nowhere.yaml"):
        ChairNavEnv(config=chair_nav(camera=str(tmp_path / "nowhere.yaml")))


# --- the data sheet ------------------------------------------------------------------------------------------------

SHEET = inspect.getdoc(ChairNavEnv) or ""


def section(title: str) -> str:
    return sheets.section(ChairNavEnv, title)


def test_sheet_actions(env):
    box = env.action_space
    bounds = re.search(r"`Box\((-?\d+), (\d+), \((\d+),\), (\w+)\)`", section("Action space"))
    assert bounds is not None
    low, high, size, dtype = bounds.groups()
    assert (box.low.tolist(), box.high.tolist()) == ([float(low)] * 2, [float(high)] * 2)
    assert (box.shape, box.dtype) == ((int(size),), np.dtype(dtype))
    rows = table(section("Action space"))
    assert [int(row["index"]) for row in rows] == list(range(box.shape[0]))
    ends = env.simulation.task.command(np.array([box.low, box.high]))
    for row in rows:
        assert ends[:, int(row["index"])].tolist() == [float(row["-1"]), float(row["1"])]
    assert [row["unit"] for row in rows] == ["m/s", "rad/s"]


def test_sheet_control_step_and_time_limit(env):
    config, task = ChairNavConfig(), env.simulation.task
    assert f"held for {task.control_dt_s:g} s ({config.control_rate_hz:g} Hz)" in section("Action space")
    assert f"after {config.time_limit_s:g} s, {task.max_steps} steps" in section("Episode end")
    assert env.metadata["render_fps"] == config.control_rate_hz


def test_sheet_observations(env):
    spaces, rows = env.observation_space, table(section("Observation space"))
    assert list(dict.fromkeys(row["key"] for row in rows)) == list(ALL_SENSORS)
    for name in ALL_SENSORS:
        box, own = spaces[name], [row for row in rows if row["key"] == name]
        assert {row["index"].split(" of ")[1] for row in own} == {str(box.shape)}
        for row in own:
            assert np.dtype(row["dtype"]) == box.dtype
            assert box.low.min() == box.low.max() == float(row["lowest"])
            assert box.high.min() == box.high.max()
            assert row["highest"] == "any" or float(row["highest"]) == box.high.max()
    velocity = [int(row["index"].split()[0]) for row in rows if row["key"] == "velocity"]
    assert velocity == [0, 1]


def test_sheet_says_which_observations_come_by_default():
    default = list(ChairNavEnv().observation_space.spaces)
    first_table = section("Observation space").split("On request")[0]
    assert sorted({row["key"] for row in table(first_table)}) == sorted(default)


def test_sheet_camera(env):
    camera, simulation = env.simulation.camera, env.simulation
    env.reset(seed=0)
    height = simulation.engine.state.link_pos[0, simulation.task.robot.camera_link, 2]
    degrees = math.degrees(2 * math.atan(camera.width / 2 / camera.fx))
    text = section("Observation space")
    stated = re.search(r"stands ([\d.]+) m high, looks level along x and sees (\d+) degrees across", text)
    assert stated is not None
    assert height == pytest.approx(float(stated[1]), abs=0.005)
    assert degrees == pytest.approx(float(stated[2]), abs=1e-9)


def test_sheet_rewards_and_their_terms(env):
    stated = {row["term"]: float(row["weight"]) for row in table(section("Reward"))}
    assert stated == vars(RewardConfig())
    env.reset(seed=0)
    *_, info = env.step(np.zeros(2))
    assert set(info["reward_terms"]) == set(stated)


def test_sheet_episode_end():
    config, text = ChairNavConfig(), " ".join(section("Episode end").split())
    assert f"within {config.success_distance_m:.1f} m of a chair's centre" in text
    assert f"within {config.success_bearing_deg:g} degrees" in text
    assert f"with {100 * config.visible_share:g} % of its pixels" in text
    assert config.collision == "end" and '`collision="cost"`' in text


def test_sheet_rooms_and_starts(env):
    layout, text = ChairNavConfig().layout, section("Task")
    assert "{:g}-{:g} m a side".format(*layout.room_side_m) in text
    assert "{}-{} chairs, {}-{} obstacles".format(*layout.chairs, *layout.obstacles) in text
    shortest = min(env.reset(seed=seed)[1]["distance_to_goal"] for seed in range(40))
    assert "at least 1 m short of success" in text and shortest >= 1.0


def test_sheet_infos(env):
    listed = set(re.findall(r"`(\w+)`", section("Info")))
    env.reset(seed=0)
    *_, info = env.step(np.zeros(2))
    assert set(info) == listed
    assert set(env.reset(seed=0)[1]) == listed - {"reward_terms"}


def test_sheet_arguments_and_randomization():
    named = set(re.findall(r"`(\w+)`", section("Arguments"))) - {"DomainConfig", "ChairNavConfig"}
    assert named == set(inspect.signature(ChairNavEnv.__init__).parameters) - {"self"}
    assert RandomizationConfig.__module__ + "." + RandomizationConfig.__name__ in " ".join(SHEET.split())
