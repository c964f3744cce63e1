"""Grasp's arithmetic on hand-made states: success, what ends an episode, reward terms, commands, the expert."""

import numpy as np
import pytest

from simgym.envs.config import RandomizationConfig
from simgym.envs.draw import Layout
from simgym.envs.engines import RobotState
from simgym.envs.quaternion import from_rpy
from simgym.envs.tasks import TASKS, Task, make_task
from simgym.envs.tasks.chair_nav.config import ChairNavConfig
from simgym.envs.tasks.chair_nav.task import ChairNav
from simgym.envs.tasks.grasp.config import GraspConfig
from simgym.envs.tasks.grasp.layout import Episode
from simgym.envs.tasks.grasp.objects import ANY_YAW
from simgym.envs.tasks.grasp.privileged import FIRST_OBJECT, HOLDING, PER_OBJECT, TIME_LEFT, privileged_dim
from simgym.envs.tasks.grasp.task import LEASH_M, OPEN_M, REACH_M, YAW_LIMIT_RAD, Grasp
from simgym.errors import UsageError

pytest.importorskip("pybullet_data", reason="the Panda's description comes with PyBullet")

HALF_M = (0.02, 0.03, 0.05)  # of the one box that is there, 10 cm high
NOTHING = np.zeros((1, 60, 80, 2), np.int16)


class Stage:
    """One world with a box at (0.5, 0) under the hand; the test is the engine."""

    def __init__(self, things: int = 1, **config) -> None:
        self.task = Grasp(GraspConfig(**config), RandomizationConfig())
        self.task.allocate(1)
        slots = len(self.task.scene.objects)
        grasps, half = np.full((slots, 8, 4), np.nan), np.zeros((slots, 3))
        grasps[:things, 0], half[:things] = (0.0, 0.0, 0.07, 0.0), HALF_M
        self.layout = Layout.nominal(self.task.scene, 1)
        self.layout.joint_pos = np.zeros((1, 9))
        episode = Episode(grasps, half, np.array([0.5, 0.0, 0.3, 0.0]), {}, {"objects": ["box"] * things})
        self.task.begin(0, self.layout, episode)
        self.state = RobotState.zeros(1, self.task.scene, 9)
        self.state.object_quat[..., 0] = 1
        self.state.object_pos[0, :things] = [(0.5 + 0.1 * k, 0.0, 0.0) for k in range(things)]
        self.place_hand(0.5, 0.0, 0.3)

    def place_hand(self, x: float, y: float, z: float) -> None:
        """Pointing down with yaw 0."""
        self.state.link_pos[0, self.task._hand_link] = x, y, z
        self.state.link_quat[0, self.task._hand_link] = from_rpy((np.pi, 0, 0))

    def step(self, lift: float = 0.0, touch=(0.0, 0.0), table: float = 0.0, arm: float = 0.0):
        """One step after which object 0 is ``lift`` up, with forces of left and right finger, of table and arm."""
        self.state.object_pos[0, 0, 2] = lift
        self.state.contact_n[0] = 0
        self.state.contact_n[0, :2] = touch
        self.state.contact_n[0, -2:] = table, arm
        return self.task.advance(self.state, NOTHING)


HOLDS = (5.0, 5.0)


# --- success -------------------------------------------------------------------------------------------------------


def test_success_needs_half_a_second_ten_centimetres_up():
    stage = Stage()
    outcomes = [stage.step(0.101, HOLDS) for _ in range(5)]
    assert [bool(o.terms["success"][0]) for o in outcomes] == [False] * 4 + [True]
    assert outcomes[-1].terminated[0] and not outcomes[-1].truncated[0]
    assert stage.task.info()["held_s"][0] == pytest.approx(0.5)


@pytest.mark.parametrize("lift, touch", [(0.099, HOLDS), (0.2, (5.0, 0.0)), (0.2, (0.0, 5.0)), (0.2, (0.0, 0.0))])
def test_too_low_or_held_by_no_two_fingers_is_no_success(lift, touch):
    stage = Stage()
    assert not any(stage.step(lift, touch).terminated[0] for _ in range(20))
    assert stage.task.info()["held_s"][0] == 0


def test_losing_it_for_a_step_starts_the_half_second_anew():
    stage = Stage()
    for _ in range(4):
        stage.step(0.15, HOLDS)
    stage.step(0.15, (5.0, 0.0))
    assert [bool(stage.step(0.15, HOLDS).terms["success"][0]) for _ in range(5)] == [False] * 4 + [True]


def test_the_lowest_point_counts():
    """A tilted box hangs lower than its frame: by sin of the tilt times half its breadth."""
    stage = Stage()
    stage.state.object_quat[0, 0] = from_rpy((0.5, 0.0, 0.0))
    stage.state.object_pos[0, 0, 2] = 0.11
    lowest = stage.task.lowest_points(stage.state)[0, 0]
    assert lowest == pytest.approx(0.11 - HALF_M[1] * np.sin(0.5))
    assert not any(stage.step(0.11, HOLDS).terminated[0] for _ in range(10))


def test_configured_height_and_time():
    stage = Stage(lift_m=0.05, hold_s=0.2)
    assert [bool(stage.step(0.051, HOLDS).terms["success"][0]) for _ in range(2)] == [False, True]


# --- other ends ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("force", [{"table": 61.0}, {"arm": 61.0}])
def test_a_hard_collision_ends_the_episode(force):
    stage = Stage()
    outcome = stage.step(**force)
    assert outcome.terminated[0] and outcome.terms["collision"][0] == 1
    assert stage.task.info()["collisions"][0] == 1 and not stage.task.success[0]


def test_a_soft_touch_does_not():
    assert not Stage().step(table=59.0).terminated[0]
    assert Stage(collision_force_n=50.0).step(table=59.0).terminated[0]


def test_the_last_object_off_the_table_ends_the_episode():
    stage = Stage(things=2)
    stage.state.object_pos[0, 1, 2] = -0.3
    assert not stage.step(0.0).terminated[0]
    outcome = stage.step(-0.3)
    assert outcome.terminated[0] and not stage.task.success[0] and outcome.terms["collision"][0] == 0


def test_the_time_limit_truncates():
    stage = Stage(time_limit_s=1.0)
    outcomes = [stage.step() for _ in range(10)]
    assert [bool(o.truncated[0]) for o in outcomes] == [False] * 9 + [True]
    assert not outcomes[-1].terminated[0]


def test_failed_physics_is_a_collision():
    stage = Stage()
    stage.state.failed[0] = True
    outcome = stage.step()
    assert outcome.terminated[0] and outcome.terms["collision"][0] == 1


# --- reward --------------------------------------------------------------------------------------------------------


def test_terms_of_progress_sum_to_what_was_reached():
    stage = Stage()
    sums = dict.fromkeys(("approach", "grasp", "lift"), 0.0)

    def step(**what) -> None:
        outcome = stage.step(**what)
        for name in sums:
            sums[name] += float(outcome.terms[name][0])

    step()
    for z in (0.25, 0.1, 0.3, 0.07):
        stage.place_hand(0.5, 0.0, z)
        step()
    assert sums["approach"] == pytest.approx(0.3 - 0.07)
    step(touch=HOLDS)
    assert sums["grasp"] == 1
    step(lift=0.05, touch=HOLDS)
    assert sums["lift"] == pytest.approx(0.5)
    step(lift=0.3, touch=HOLDS)
    assert sums["lift"] == pytest.approx(1.0)
    step(lift=0.0)
    assert sums["grasp"] == pytest.approx(0) and sums["lift"] == pytest.approx(0)


def test_the_reward_is_the_weighted_sum():
    stage = Stage()
    stage.step()
    outcome = stage.step(lift=0.05, touch=HOLDS, table=100.0)
    weights = vars(GraspConfig().reward)
    assert outcome.reward[0] == pytest.approx(sum(weights[name] * outcome.terms[name][0] for name in weights))


# --- commands ------------------------------------------------------------------------------------------------------


def test_actions_and_commands_are_inverse():
    task = Stage().task
    actions = np.random.default_rng(0).uniform(-1, 1, (50, 5))
    np.testing.assert_allclose(task.action(task.command(actions)), actions, atol=1e-6)
    np.testing.assert_allclose(task.command(np.array([[0, 0, 0, 0, 1.0]])), task.rest[None], atol=1e-12)
    np.testing.assert_array_equal(task.command(np.full((1, 5), 7.0)), task.command(np.ones((1, 5))))


def test_targets_stay_on_their_leash_in_reach_and_within_joint_limits():
    stage = Stage()
    task, low, high = stage.task, np.array(REACH_M[0]), np.array(REACH_M[1])
    rng = np.random.default_rng(1)
    for _ in range(200):
        stage.place_hand(*rng.uniform(low - 0.1, high + 0.1))
        joints = task.drive(task.command(rng.uniform(-1, 1, (1, 5))), stage.state)
        hand = task.measure(stage.state)[0, :3]
        inside = ((hand - LEASH_M > low) & (hand + LEASH_M < high)).all()
        assert not inside or (np.abs(task.target[0, :3] - hand) <= LEASH_M + 1e-6).all()
        assert (task.target[0, :3] >= low).all() and (task.target[0, :3] <= high).all()
        assert abs(task.target[0, 3]) <= YAW_LIMIT_RAD
        assert (joints >= task.robot.low - 1e-12).all() and (joints <= task.robot.high + 1e-12).all()


def test_no_command_keeps_the_target_and_opens_or_closes_the_gripper():
    stage = Stage()
    before = stage.task.target.copy()
    joints = stage.task.drive(np.array([[0, 0, 0, 0, OPEN_M]]), stage.state)
    np.testing.assert_allclose(stage.task.target, before, atol=1e-7)
    assert joints[0, 7:].tolist() == [OPEN_M / 2] * 2
    assert stage.task.drive(np.zeros((1, 5)), stage.state)[0, 7:].tolist() == [0.0, 0.0]


# --- expert and critic ---------------------------------------------------------------------------------------------


def test_the_expert_has_no_memory():
    """The same state, the same action, whatever came before."""
    stage, fresh = Stage(), Stage()
    for z in (0.2, 0.1):
        stage.place_hand(0.45, 0.1, z)
        stage.task.expert_action(stage.state)
    for each in (stage, fresh):
        each.place_hand(0.48, 0.02, 0.2)
    first, second = (each.task.expert_action(each.state) for each in (stage, fresh))
    np.testing.assert_array_equal(first, second)
    assert first.shape == (1, 5) and first.dtype == np.float32


def test_the_expert_comes_down_closes_and_lifts():
    stage = Stage()
    assert stage.task.expert_action(stage.state)[0, 2] < -0.5  # above: down, open
    stage.place_hand(0.5, 0.0, 0.07)
    command = stage.task.command(stage.task.expert_action(stage.state).astype(float))[0]
    np.testing.assert_allclose(command, 0, atol=1e-6)  # there: stays and closes
    stage.step(touch=HOLDS)
    command = stage.task.command(stage.task.expert_action(stage.state).astype(float))[0]
    assert command[2] > 0.2 and command[4] < 1e-6  # holds: up, closed


def test_expert_and_privileged_state_are_the_same_in_a_mirror():
    """So mirror images teach what it does: y and yaw change signs, of what it sees and of what it does."""
    stage = Stage(things=2)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        beside = rng.uniform((0.2, 0.1), (0.3, 0.2))  # the second one, off the axis and farther away
        (x, y, z), yaw = rng.uniform((0.35, -0.2, 0.05), (0.65, 0.2, 0.3)), rng.uniform(-0.6, 0.6)
        turned = rng.uniform(-0.6, 0.6)
        actions, privileged = [], []
        for sign in (1.0, -1.0):
            stage.place_hand(x, sign * y, z)
            stage.state.link_quat[0, stage.task._hand_link] = from_rpy((np.pi, 0, sign * yaw))
            stage.state.object_quat[0, 0] = from_rpy((0, 0, sign * turned))
            stage.state.object_pos[0, 1, :2] = 0.7 + beside[0], sign * beside[1]
            actions.append(stage.task.expert_action(stage.state)[0])
            privileged.append(stage.task.privileged(stage.state)[0])
        assert stage.task.mirror is not None
        np.testing.assert_allclose(privileged[1], privileged[0] * stage.task.mirror.privileged, atol=1e-5)
        np.testing.assert_allclose(actions[1], actions[0] * stage.task.mirror.action, atol=1e-5)


def test_over_things_whose_yaw_does_not_count_the_hand_does_not_turn():
    stage = Stage()
    stage.task.grasps[0, 0, 0, 3] = ANY_YAW
    stage.state.link_quat[0, stage.task._hand_link] = from_rpy((np.pi, 0, 0.9))
    assert stage.task.expert_action(stage.state)[0, 3] == pytest.approx(0, abs=1e-6)


def test_the_expert_takes_what_fell_over_at_its_middle():
    stage = Stage()
    stage.state.object_quat[0, 0] = from_rpy((np.pi / 2, 0.0, 0.0))  # its axis along -y
    stage.state.object_pos[0, 0] = 0.5, 0.05, 0.03
    grasp = stage.task._seen(stage.state).grasps_in_world()[0, 0, 0]
    np.testing.assert_allclose(grasp[:3], (0.5, 0.0, 0.03), atol=1e-9)
    assert abs(np.sin(grasp[3])) == pytest.approx(1)  # the hand's x along the thing


def test_what_fell_off_the_table_is_not_gone_for():
    stage = Stage(things=2)
    stage.state.object_pos[0, 0] = 0.5, 0.0, -0.5  # below the hand
    command = stage.task.command(stage.task.expert_action(stage.state).astype(float))[0]
    assert command[0] > 0.1 and stage.task._seen(stage.state).nearest_grasp_m()[0] == pytest.approx(np.hypot(0.1, 0.23))


def test_privileged_values():
    stage = Stage(things=2)
    stage.step(lift=0.05, touch=HOLDS)
    out = stage.task.privileged(stage.state)
    assert out.shape == (1, stage.task.privileged_dim) == (1, privileged_dim(5)) and out.dtype == np.float32
    assert out[0, HOLDING] == 1 and out[0, TIME_LEFT] == pytest.approx(1 - 1 / 150)
    slots = out[0, FIRST_OBJECT:].reshape(5, PER_OBJECT)
    assert slots[:, 0].tolist() == [1, 1, 0, 0, 0] and not slots[2:].any()
    assert slots[0, 4] == pytest.approx(0.5) and slots[:2, 5].tolist() == [1, 0]


# --- the registry --------------------------------------------------------------------------------------------------


def test_both_tasks_are_tasks():
    """The protocol itself is mypy's to check."""
    tasks: list[Task] = [Grasp(GraspConfig(), RandomizationConfig()), ChairNav(ChairNavConfig(), RandomizationConfig())]
    for task in tasks:
        low, high = task.measured_range
        assert low.shape == high.shape and low.dtype == high.dtype == np.float32 and (low < high).all()


def test_every_registered_task_is_whole():
    from simgym import _register

    assert tuple(TASKS) == _register.TASKS
    for name, entry in TASKS.items():
        config, env, vector = (entry.load(which) for which in ("config", "env", "vector_env"))
        assert config().name == env.task == vector.task == name
        task: Task = make_task(config(), RandomizationConfig())
        assert task.name == name and task.action_dim == len(task.action(task.rest[None])[0])
        assert {"is_success", "collisions"} <= _measures(task)


def _measures(task: Task) -> set[str]:
    task.allocate(1)
    return set(task.info())


def test_an_unknown_task_is_one_clear_line():
    with pytest.raises(UsageError, match="'Cook'.*ChairNav, Grasp"):
        make_task(GraspConfig(name="Cook"), RandomizationConfig())
