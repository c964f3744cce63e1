"""The batch as SB3's `VecEnv`: frame stacks, infos of ended episodes, restarts, and that PPO runs on it."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecMonitor

from simgym.deploy.policy import Memory
from simgym.envs.config import DOMAINS
from simgym.envs.simulation import Simulation
from simgym.envs.tasks.chair_nav.config import RewardConfig
from simgym.policies.networks import AsymmetricPolicy
from simgym.policies.vec_env import GUIDE_STD, SimulationVecEnv
from tests.envs.helpers import assert_same, chair_nav

STACK = 3
SHORT = chair_nav(time_limit_s=2.0)  # 10 steps


def make(
    n: int = 3,
    stack: int = STACK,
    seed: int = 0,
    config=SHORT,
    domain: str = "randomized",
    averages=(),
    trail=(),
    goggles=None,
) -> Any:
    simulation = Simulation(config, DOMAINS[domain], n)
    memory = Memory(stack, 1, averages, trail, simulation.task.control_dt_s, n)
    return SimulationVecEnv(simulation, memory, seed=seed, goggles=goggles, privileged=True)


def actions(n: int, steps: int) -> np.ndarray:
    return np.random.default_rng(1).uniform(-1, 1, (steps, n, 2)).astype(np.float32)


def frames_of(image: np.ndarray) -> np.ndarray:
    """(n, 3K, H, W) -> (n, K, H, W, 3), oldest first."""
    n, channels, height, width = image.shape
    return image.reshape(n, channels // 3, 3, height, width).transpose(0, 1, 3, 4, 2)


def row(observation: dict, world: int) -> dict:
    return {name: values[world] for name, values in observation.items()}


def test_observations_lie_in_their_space():
    env = make()
    observation = env.reset()
    for action in [None, *actions(3, 15)]:
        if action is not None:
            observation = env.step(action)[0]
        for world in range(3):
            assert env.observation_space.contains(row(observation, world))


def test_a_reset_fills_the_stack_with_the_first_frame():
    env = make()
    frames = frames_of(env.reset()["image"])
    for k in range(STACK):
        np.testing.assert_array_equal(frames[:, k], env.simulation.observe().image)


@pytest.mark.parametrize("stack", [1, 2, 4])
def test_frames_are_stacked_oldest_first_and_refilled_where_an_episode_begins(stack):
    """Against a plain list of the pictures that each world showed."""
    env = make(stack=stack)
    env.reset()
    shown = [[picture.copy()] * stack for picture in env.simulation.observe().image]
    restarts = 0
    for action in actions(3, 40):
        observation, _, done, infos = env.step(action)
        for world in range(3):
            picture = env.simulation.observe().image[world].copy()
            if done[world]:
                last = frames_of(infos[world]["terminal_observation"]["image"][None])[0]
                np.testing.assert_array_equal(last[:-1], np.stack(shown[world])[1:])
                shown[world] = [picture] * stack
                restarts += 1
            else:
                shown[world] = [*shown[world][1:], picture]
            np.testing.assert_array_equal(frames_of(observation["image"])[world], np.stack(shown[world]))
    assert restarts >= 6


class Negative:
    """Goggles whose work is easy to tell, and which count it."""

    def __init__(self) -> None:
        self.translated = 0

    def translate(self, images: np.ndarray) -> np.ndarray:
        self.translated += len(images)
        return 255 - images


def test_behind_goggles_every_frame_is_a_translated_one_and_none_is_translated_twice():
    goggles = Negative()
    bare, behind = make(), make(goggles=goggles)
    np.testing.assert_array_equal(behind.reset()["image"], 255 - bare.reset()["image"])
    restarts = 0
    for action in actions(3, 40):
        expected, _, ended, told = bare.step(action)
        observation, _, done, infos = behind.step(action)
        np.testing.assert_array_equal(observation["image"], 255 - expected["image"])
        for world in np.flatnonzero(done):
            terminal, other = (info[world]["terminal_observation"]["image"] for info in (infos, told))
            np.testing.assert_array_equal(terminal, 255 - other)
        restarts += done.sum()
        np.testing.assert_array_equal(done, ended)
    assert restarts >= 6 and goggles.translated == 3 * 41 + restarts


def test_infos_of_ended_episodes_tell_them_and_those_of_running_ones_are_empty():
    env = make(4, config=chair_nav(time_limit_s=2.0, collision="end"))
    env.reset()
    returns, lengths = np.zeros(4), np.zeros(4, int)
    seeds = [draw["episode_seed"] for draw in env.simulation.draws]
    kinds = set()
    for action in actions(4, 80):
        _, reward, done, infos = env.step(action)
        returns += reward
        lengths += 1
        for world in range(4):
            info = infos[world]
            if not done[world]:
                assert info == {}
                continue
            assert info["episode"]["r"] == pytest.approx(returns[world], abs=1e-4)
            assert info["episode"]["l"] == lengths[world]
            assert info["episode"]["t"] == pytest.approx(lengths[world] * 0.2)
            assert info["TimeLimit.truncated"] == (lengths[world] == 10 and not info["collisions"])
            assert info["TimeLimit.truncated"] or info["collisions"] or info["is_success"]
            assert set(info) >= set(env.simulation.task.info())
            assert info["episode_seed"] == seeds[world]
            total = sum(getattr(RewardConfig(), name) * value for name, value in info["reward_terms"].items())
            assert total == pytest.approx(info["episode"]["r"], abs=1e-6)
            assert info["reward_terms"]["time"] == lengths[world]
            kinds.add("truncated" if info["TimeLimit.truncated"] else "collision")
            returns[world], lengths[world] = 0, 0
            seeds[world] = env.simulation.draws[world]["episode_seed"]
    assert kinds == {"truncated", "collision"}


def test_the_terminal_observation_is_the_last_of_the_ended_episode():
    """As a twin sees it that is stopped there: a batch of one with a longer time limit."""
    short, long = make(1), make(1, config=chair_nav(time_limit_s=20.0))
    short.reset()
    long.reset()
    for action in actions(1, 10):
        _, _, done, infos = short.step(action)
        observation, *_ = long.step(action)
        if done[0]:
            break
    assert done[0] and infos[0]["TimeLimit.truncated"]
    terminal = infos[0]["terminal_observation"]
    for name in ("image", "velocity"):  # the privileged time left differs
        np.testing.assert_array_equal(terminal[name], observation[name][0])


def test_the_privileged_state_of_a_terminal_observation_is_of_the_ended_episode():
    env = make(1)
    env.reset()
    for action in actions(1, 10):
        observation, _, done, infos = env.step(action)
    assert done[0]
    time_left = 4
    assert infos[0]["terminal_observation"]["privileged"][time_left] == 0.0
    assert observation["privileged"][0, time_left] == 1.0


def walk(env: Any, steps: int) -> dict:
    rows = [env.reset()]
    for action in actions(env.num_envs, steps):
        observation, reward, done, infos = env.step(action)
        rows.append(observation | {"reward": reward, "done": done})
    return dict(enumerate(rows))


def test_restart_begins_again_from_a_seed_bit_for_bit():
    env = make(seed=3)
    first = walk(env, 30)
    second = walk(env, 30)
    env.restart(3)
    assert_same(walk(env, 30), first)
    assert not np.array_equal(second[0]["image"], first[0]["image"])
    assert_same(walk(make(seed=3), 30), first)
    env.restart(4)
    assert not np.array_equal(walk(env, 0)[0]["image"], first[0]["image"])


def test_sb3s_own_seed_method_seeds_the_episodes():
    """What `PPO(seed=...)` and `model.set_random_seed` call."""
    env = make()
    seen = []
    for _ in range(2):
        env.seed(12)
        seen.append(env.reset()["image"])
    np.testing.assert_array_equal(seen[0], seen[1])


def test_worlds_are_different_episodes():
    image = make(4).reset()["image"]
    assert len({picture.tobytes() for picture in image}) == 4


def test_a_worlds_life_does_not_depend_on_the_number_of_worlds():
    one, three = make(1), make(3)
    assert_same(row(one.reset(), 0), row(three.reset(), 0))
    for action in actions(3, 25):
        alone, together = one.step(action[:1]), three.step(action)
        assert_same(row(alone[0], 0), row(together[0], 0))
        assert (alone[1][0], alone[2][0]) == (together[1][0], together[2][0])


def test_what_a_step_returned_never_changes_afterwards():
    env = make()
    kept, copies = [env.reset()], []
    copies.append(copy.deepcopy(kept[0]))
    for action in actions(3, 25):
        observation, reward, done, infos = env.step(action)
        kept.append(observation | {"reward": reward, "done": done, "infos": dict(enumerate(infos))})
        copies.append(copy.deepcopy(kept[-1]))
    for one, other in zip(kept, copies, strict=True):
        assert_same(one, other)


def test_the_caller_may_write_into_what_it_got():
    clean, scribbled = make(), make()
    for env in (clean, scribbled):
        env.reset()
    for action in actions(3, 25):
        expected = clean.step(action)[0]
        observation = scribbled.step(action)[0]
        assert_same(observation, expected)
        for values in observation.values():
            values[...] = 7


@pytest.mark.parametrize("bad", [np.full((3, 2), np.nan), np.zeros((2, 2)), np.zeros(2)])
def test_bad_actions_are_refused(bad):
    env = make()
    env.reset()
    with pytest.raises(ValueError, match="action"):
        env.step(bad)


def test_the_batch_behaves_as_sb3_expects_of_a_vec_env():
    env = make()
    assert env.num_envs == 3
    assert env.get_attr("num_envs") == [3, 3, 3]
    assert env.get_attr("num_envs", indices=1) == [3]
    assert env.env_is_wrapped(VecMonitor) == [False] * 3
    env.set_attr("marker", 5)
    assert env.get_attr("marker", [0, 2]) == [5, 5]
    env.close()
    env.close()


def test_ppo_learns_from_it_for_two_updates():
    torch.manual_seed(0)
    env = make(2)
    model = PPO(AsymmetricPolicy, env, n_steps=16, batch_size=16, n_epochs=1, seed=0, device="cpu")
    before = {name: p.detach().clone() for name, p in model.policy.named_parameters()}
    model.learn(64)
    assert model.num_timesteps == 64 and model._n_updates == 2
    moved = {name for name, p in model.policy.named_parameters() if not torch.equal(p, before[name])}
    assert moved == set(before)
    assert all(torch.isfinite(p).all() for p in model.policy.parameters())
    assert len(model.ep_info_buffer or ()) >= 4  # ended episodes reach SB3's logs


def test_a_learner_of_ones_own_sees_what_a_robot_sees():
    """Stock SB3, over the batch as a user makes it."""
    env = SimulationVecEnv(Simulation(SHORT, DOMAINS["sim"], 2, "train"))
    observation = env.reset()
    assert set(observation) == {"image", "velocity"}
    assert env.observation_space.contains(row(observation, 0))
    model = PPO("MultiInputPolicy", env, n_steps=8, batch_size=16, n_epochs=1, seed=0, device="cpu")
    model.learn(32)
    assert model.num_timesteps == 32
    env.close()


def test_memory_of_an_episode_is_of_its_own_measurements():
    """Worked out anew from what each world measured since its episode began, over ends of episodes."""
    constants = (0.5, 3.0), (1.0, 8.0)
    env = make(averages=constants[0], trail=constants[1])
    dt_s, seen = env.simulation.task.control_dt_s, env.reset()["velocity"]
    alone = [Memory(1, 1, *constants, dt_s) for _ in range(3)]

    def remembered(i: int, measured: np.ndarray) -> np.ndarray:
        return alone[i].push(np.zeros((1, 1, 1, 3), np.uint8), measured)[1]

    expected = np.concatenate([remembered(i, seen[i : i + 1, :2]) for i in range(3)])
    np.testing.assert_array_equal(seen, expected)
    ends = 0
    for action in actions(3, 25):
        observation, _, done, infos = env.step(action)
        for i in range(3):
            if done[i]:
                ends += 1
                last = infos[i]["terminal_observation"]["velocity"]
                np.testing.assert_array_equal(last, remembered(i, last[None, :2])[0])
                alone[i].reset()
            now = observation["velocity"][i : i + 1]
            np.testing.assert_array_equal(now, remembered(i, now[:, :2]))
    assert ends > 3
    env.close()


def test_the_expert_leads_guided_worlds_and_no_others(monkeypatch):
    env = make(domain="sim")
    sent: list[np.ndarray] = []
    step = env.simulation.step

    def watched(action: np.ndarray) -> Any:
        sent.append(action.copy())
        return step(action)

    monkeypatch.setattr(env.simulation, "step", watched)
    expert, off = env.reset()["expert"], []
    env.guided = 2
    for _ in range(40):
        before, expert = expert, env.step(np.zeros((3, 2)))[0]["expert"]
        off.append(sent[-1][:2] - before[:2])
        assert not sent[-1][2].any()
    assert np.abs(off).max() < 6 * GUIDE_STD and 0 < np.std(off) < 2 * GUIDE_STD
    env.close()


def test_an_expert_that_is_not_asked_shows_nothing_and_is_not_computed(monkeypatch):
    env = make(domain="sim")
    env.asks_expert = False
    monkeypatch.setattr(env.simulation, "expert_action", lambda: pytest.fail("it was asked"))
    for observation in (env.reset(), env.step(np.ones((3, 2)))[0]):
        assert not observation["expert"].any() and observation["expert"].dtype == np.float32
    env.close()
