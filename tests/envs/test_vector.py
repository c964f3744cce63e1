"""The vector environment: the same episodes as single ones, bit for bit, and Gymnasium's SAME_STEP autoreset."""

import copy
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import simgym  # noqa: F401  (registers the environments)
from simgym.envs.tasks.chair_nav.env import ChairNavEnv, ChairNavVectorEnv
from simgym.envs.tasks.grasp.config import GraspConfig
from simgym.envs.vector import TaskVectorEnv
from simgym.errors import UsageError
from tests.envs.helpers import ALL_SENSORS, RUNNABLE, assert_same, chair_nav, randomized

MEASURES = ("is_success", "spl", "soft_spl", "distance_to_goal", "collisions")
# Short episodes, so that a walk of 60 steps resets often; everything that can be drawn is drawn.
OPTIONS = {"domain": "randomized", "config": chair_nav(time_limit_s=3.0), "observations": ALL_SENSORS}


def actions(n: int, steps: int, seed: int = 0) -> np.ndarray:
    """(steps, n, 2); world i's do not depend on n."""
    return np.stack([np.random.default_rng([seed, i]).uniform(-1, 1, (steps, 2)) for i in range(n)], axis=1)


def rows_of(batch: dict, world: int) -> dict:
    return {name: values[world] for name, values in batch.items()}


def info_of(infos: dict, world: int) -> dict:
    """The info of one world out of a batch's, as a single environment gives it."""
    info = {}
    for name, values in infos.items():
        if not name.startswith("_") and infos[f"_{name}"][world] and not name.startswith("final"):
            if isinstance(values, dict):
                info[name] = {key: value[world] for key, value in values.items()}
            else:
                info[name] = values[world]
    return info


def assert_same_info(batch: dict, world: int, single: dict) -> None:
    info = info_of(batch, world)
    assert info.keys() == single.keys()
    for name, value in single.items():
        assert info[name] == value, name


@pytest.mark.parametrize("n", [1, 3, 5])
def test_a_world_of_a_batch_lives_like_a_single_environment(n):
    seed, ended = 20, 0
    batch = ChairNavVectorEnv(n, **OPTIONS)
    singles = [ChairNavEnv(**OPTIONS) for _ in range(n)]
    observations, infos = batch.reset(seed=seed)
    for i, single in enumerate(singles):
        observation, info = single.reset(seed=seed + i)
        assert_same(rows_of(observations, i), observation, f"reset of world {i}")
        assert_same_info(infos, i, info)
    for step, action in enumerate(actions(n, 60)):
        observations, rewards, terminated, truncated, infos = batch.step(action)
        for i, single in enumerate(singles):
            where = f"step {step}, world {i}"
            observation, *judged, info = single.step(action[i])
            assert [rewards[i], terminated[i], truncated[i]] == judged, where
            assert ("final_obs" in infos and bool(infos["_final_obs"][i])) == (terminated[i] or truncated[i]), where
            if terminated[i] or truncated[i]:
                assert_same(infos["final_obs"][i], observation, where)
                assert_same_info(infos["final_info"], i, info)
                observation, info = single.reset()
                ended += 1
            assert_same(rows_of(observations, i), observation, where)
            assert_same_info(infos, i, info)
    assert ended >= 3 * n


@pytest.mark.parametrize("domain", ["sim", "randomized"])
def test_two_batches_with_the_same_seed_are_the_same(domain):
    walks = []
    for _ in range(2):
        env = ChairNavVectorEnv(3, **OPTIONS | {"domain": domain})
        walk: list[Any] = [env.reset(seed=[5, 1, 9])[0]]
        for action in actions(3, 30):
            observation, *judged, _ = env.step(action)
            walk += [observation, *judged]
        walks.append(dict(enumerate(walk)))
    assert_same(walks[0], walks[1])


def test_worlds_of_a_batch_are_different_episodes():
    env = ChairNavVectorEnv(5, **OPTIONS)
    observations, infos = env.reset(seed=0)
    assert len({image.tobytes() for image in observations["image"]}) == 5
    assert len({draw["episode_seed"] for draw in infos["draw"]}) == 5


@pytest.mark.parametrize("name", RUNNABLE)
def test_make_vec_gives_the_batch_itself(name):
    env = gym.make_vec(name, num_envs=3, vectorization_mode="vector_entry_point", split="test", render_mode="rgb_array")
    assert isinstance(env.unwrapped, TaskVectorEnv)
    assert env.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    observations, infos = env.reset(seed=0)
    assert env.observation_space.contains(observations)
    assert env.num_envs == 3
    assert [draw["split"] for draw in infos["draw"]] == ["test"] * 3
    observations, rewards, terminated, truncated, _ = env.step(env.action_space.sample())
    assert env.observation_space.contains(observations)
    for array, dtype in ((rewards, np.float64), (terminated, np.bool_), (truncated, np.bool_)):
        assert (array.shape, array.dtype) == ((3,), dtype)
    np.testing.assert_array_equal(env.render(), observations["image"])
    env.close()
    env.close()


@pytest.mark.parametrize("name", RUNNABLE)
def test_make_vec_of_single_environments_lives_the_same_episodes(name):
    """Gymnasium's own vectorization of the single environment is the independent twin of the batch."""
    config = OPTIONS["config"] if "ChairNav" in name else GraspConfig(time_limit_s=3.0)
    options: dict[str, Any] = {"num_envs": 3, "config": config, "domain": "randomized"}
    batch = gym.make_vec(name, vectorization_mode="vector_entry_point", **options)
    twin = gym.make_vec(
        name, vectorization_mode="sync", vector_kwargs={"autoreset_mode": AutoresetMode.SAME_STEP}, **options
    )
    assert_same(batch.reset(seed=3)[0], twin.reset(seed=3)[0])
    rng = np.random.default_rng(3)
    for _ in range(40):
        action = rng.uniform(-1, 1, batch.action_space.shape).astype(np.float32)
        one, other = batch.step(action), twin.step(action)
        for first, second in zip(one[:4], other[:4], strict=True):
            assert_same(first, second)
        assert ("final_obs" in one[4]) == ("final_obs" in other[4])
        if "final_obs" in one[4]:
            np.testing.assert_array_equal(one[4]["_final_obs"], other[4]["_final_obs"])
            for world in np.flatnonzero(one[4]["_final_obs"]):
                assert_same(one[4]["final_obs"][world], other[4]["final_obs"][world])
                for name in one[4]["final_info"].keys() & {*MEASURES, "lift", "held_s"}:
                    assert one[4]["final_info"][name][world] == other[4]["final_info"][name][world]
    twin.close()


def test_running_worlds_keep_their_infos_while_another_restarts():
    env = ChairNavVectorEnv(3, **OPTIONS)
    env.reset(seed=0)
    for action in actions(3, 20, seed=2):
        *_, terminated, truncated, infos = env.step(action)
        done = terminated | truncated
        if done.any() and not done.all():
            break
    else:
        pytest.fail("no step ended some worlds and not others")
    running = np.flatnonzero(~done)
    assert "reward_terms" in infos and infos["_reward_terms"][running].all()
    assert (infos["reward_terms"]["time"][running] == 1).all()


def test_reset_mask_restarts_only_the_masked_worlds():
    env = ChairNavVectorEnv(3, **OPTIONS)
    env.reset(seed=0)
    before = env.step(actions(3, 1)[0])[0]
    poses = env.simulation.engine.state.link_pos.copy()
    mask = np.array([True, False, True])
    observations, infos = env.reset(seed=[7, 8, 9], options={"reset_mask": mask})
    assert_same(rows_of(observations, 1), rows_of(before, 1))
    np.testing.assert_array_equal(env.simulation.engine.state.link_pos[1], poses[1])
    np.testing.assert_array_equal(infos["_draw"], mask)
    fresh = ChairNavVectorEnv(3, **OPTIONS).reset(seed=[7, 8, 9])[0]
    for world in (0, 2):
        assert_same(rows_of(observations, world), rows_of(fresh, world))
    assert env.simulation.task.steps.tolist() == [0, 1, 0]


def test_a_masked_reset_does_not_change_what_the_other_worlds_live_through():
    first, second = (ChairNavVectorEnv(2, **OPTIONS) for _ in range(2))
    for env in (first, second):
        env.reset(seed=0)
    for step, action in enumerate(actions(2, 40)):
        if step == 3:
            second.reset(options={"reset_mask": np.array([False, True])})
        assert_same(rows_of(first.step(action)[0], 0), rows_of(second.step(action)[0], 0), f"step {step}")


@pytest.mark.parametrize("bad", [np.ones(2, bool), np.ones((3, 1), bool), True])
def test_a_reset_mask_of_the_wrong_shape_is_refused(bad):
    env = ChairNavVectorEnv(3)
    with pytest.raises(ValueError, match="reset_mask"):
        env.reset(options={"reset_mask": bad})


@pytest.mark.parametrize("seeds", [[1], [1, 2], [1, 2, 3, 4]])
def test_a_list_of_seeds_of_the_wrong_length_is_refused(seeds):
    with pytest.raises(ValueError, match="seed"):
        ChairNavVectorEnv(3).reset(seed=seeds)


@pytest.mark.parametrize(
    "bad", [np.zeros(2), np.zeros((2, 2)), np.zeros((3, 3)), np.full((3, 2), np.nan), np.full((3, 2), -np.inf)]
)
def test_bad_actions_are_refused_and_change_nothing(bad):
    env = ChairNavVectorEnv(3)
    env.reset(seed=0)
    with pytest.raises(ValueError, match="action"):
        env.step(bad)
    assert env.simulation.task.steps.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    "bad", [{"domain": "moon"}, {"split": "all"}, {"observations": ("sonar",)}, {"render_mode": "hologram"}]
)
def test_unknown_options_are_usage_errors(bad):
    with pytest.raises(UsageError):
        ChairNavVectorEnv(2, **bad)


def test_reset_refuses_options_it_does_not_know():
    """A draw among them: only the single environment replays."""
    env = ChairNavVectorEnv(2, config=chair_nav(control_rate_hz=10.0))
    assert env.metadata["render_fps"] == 10.0
    with pytest.raises(UsageError, match="'draw'"):
        env.reset(options={"draw": {}})


def test_what_a_step_returned_is_the_callers_to_keep():
    env = ChairNavVectorEnv(3, **OPTIONS)
    env.reset(seed=0)
    kept, copies = [], []
    for action in actions(3, 25):
        kept.append(env.step(action))
        copies.append(copy.deepcopy(kept[-1]))
    for step, (one, other) in enumerate(zip(kept, copies, strict=True)):
        for k in range(4):
            assert_same(one[k], other[k], f"step {step}")
        for name in MEASURES:
            np.testing.assert_array_equal(one[4][name], other[4][name])
        assert [d == e for d, e in zip(one[4]["draw"], other[4]["draw"], strict=True)] == [True] * 3


def test_a_longer_noise_stream_or_delay_in_one_world_leaves_the_others_alone():
    """Worlds share no generator: world 0 lives the same whatever its neighbours draw."""
    domain = randomized(dynamics={"velocity_noise_m_s": (0.1, 0.1), "velocity_noise_rad_s": (0.1, 0.1)})
    options = OPTIONS | {"domain": domain}
    lives = []
    for neighbour in (1, 2):
        env = ChairNavVectorEnv(2, **options)
        env.reset(seed=[0, neighbour])
        lives.append([rows_of(env.step(action)[0], 0) for action in actions(2, 30)])
    assert_same(dict(enumerate(lives[0])), dict(enumerate(lives[1])))
