"""Both engines on Grasp's draws: rest, joint targets, contacts, what is parked; that the expert succeeds in both."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from simgym.envs.config import DOMAINS
from simgym.envs.engines.rigid import solid_inertia
from simgym.envs.quaternion import conjugate, from_yaw, multiply
from simgym.envs.scene import Shape
from simgym.envs.simulation import Simulation
from simgym.envs.tasks.grasp.config import GraspConfig, GraspLayoutConfig
from tests.envs.helpers import seeds_of

pytest.importorskip("pybullet", reason="PyBullet has wheels for Python 3.11 only")
ENGINES = ("mujoco", "bullet")
STAY = np.array([[0.0, 0.0, 0.0, 0.0, 1.0]])


def load(engine: str, n: int = 1, split: str = "train") -> Simulation:
    return Simulation(GraspConfig(), replace(DOMAINS["sim"], engine=engine), n, split)


@pytest.fixture(scope="module")
def pair():
    simulations = [load(name) for name in ENGINES]
    yield simulations
    for simulation in simulations:
        simulation.close()


def run(simulation: Simulation, seed: int, actions: np.ndarray) -> None:
    simulation.reset(np.array([0]), np.array([seed]))
    for action in actions:
        simulation.step(action[None])


def turn_deg(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Angles between quaternions."""
    along = np.abs(multiply(conjugate(first), second)[..., 1:])
    return np.degrees(2 * np.arcsin(np.clip(np.linalg.norm(along, axis=-1), 0, 1)))


@pytest.mark.parametrize("seed", seeds_of("train", 4))
def test_objects_and_arm_rest_alike(pair, seed):
    for simulation in pair:
        run(simulation, seed, np.repeat(STAY, 15, axis=0))
    there = pair[0].task.half_m[0, :, 2] > 0
    first, second = (simulation.engine.state for simulation in pair)
    np.testing.assert_allclose(first.object_pos[0, there], second.object_pos[0, there], atol=1e-3)
    assert turn_deg(first.object_quat[0, there], second.object_quat[0, there]).max() < 0.1
    assert np.abs(first.object_pos[0, there, 2]).max() < 1e-3
    np.testing.assert_allclose(first.link_pos, second.link_pos, atol=1e-3)
    assert turn_deg(first.link_quat, second.link_quat).max() < 0.1


def test_what_lies_still_sleeps_and_wakes_when_it_is_taken(pair):
    """MuJoCo's: what is awake creeps by some nanometres a step, what sleeps does not move by a bit."""
    simulation, seed = pair[0], seeds_of("train", 1)[0]

    def poses() -> np.ndarray:
        return np.concatenate([simulation.engine.state.object_pos[0], simulation.engine.state.object_quat[0]], axis=-1)

    run(simulation, seed, np.repeat(STAY, 20, axis=0))
    asleep = poses()
    for _ in range(5):
        simulation.step(STAY)
    np.testing.assert_array_equal(poses(), asleep)
    for _ in range(100):
        simulation.step(simulation.expert_action())
        if simulation.task.success[0]:
            break
    assert simulation.task.success[0]
    run(simulation, seed, np.repeat(STAY, 20, axis=0))
    np.testing.assert_array_equal(poses(), asleep, "an episode is the same, whatever slept before it")


@pytest.mark.parametrize("seed", seeds_of("train", 4, first=10))
def test_the_same_joint_targets_end_at_the_same_hand(pair, seed):
    """Within 5 mm; and where the kinematics say."""
    rng = np.random.default_rng(seed)
    ways = np.repeat(rng.uniform(-1, 1, (3, 5)) * (1, 1, 0.4, 1, 0), 5, axis=0) + (0, 0, 0.1, 0, 1)
    ends = []
    for simulation in pair:
        run(simulation, seed, np.concatenate([ways, np.repeat(STAY, 12, axis=0)]))
        ends.append(simulation.task.measure(simulation.engine.state)[0])
    assert np.linalg.norm(ends[0][:3] - ends[1][:3]) < 5e-3
    assert np.abs(ends[0][3:] - ends[1][3:]).max() < 0.02
    for simulation, end in zip(pair, ends, strict=True):
        pos, _, _ = simulation.task._chain.forward(simulation.task.joint_target[:, :7])
        assert np.linalg.norm(pos[0] - end[:3]) < 5e-3


@pytest.mark.parametrize("engine", ENGINES)
def test_the_hand_moves_as_commanded(engine):
    """Once it is under way: by the speed times the time."""
    simulation = load(engine)
    for axis in range(4):
        command = np.array([[0.0, 0.0, 0.0, 0.0, 0.08]])
        command[0, axis] = 0.1
        action = simulation.task.action(command)[0]
        run(simulation, 2, np.repeat(action[None], 6, axis=0))
        before = simulation.task.measure(simulation.engine.state)[0]
        for _ in range(6):
            simulation.step(action[None])
        moved = simulation.task.measure(simulation.engine.state)[0] - before
        expected = np.zeros(5)
        expected[axis] = 0.06
        np.testing.assert_allclose(moved, expected, atol=4e-3)


@pytest.mark.parametrize("seed", seeds_of("train", 3))
def test_the_same_pairs_touch_while_an_object_is_lifted(pair, seed):
    """The same fingers the same object; the table and the arm are left alone."""
    held = []
    for simulation in pair:
        simulation.reset(np.array([0]), np.array([seed]))
        for _ in range(80):
            if simulation.step(simulation.expert_action()).terminated[0]:
                break
        assert simulation.task.success[0]
        held.append(np.flatnonzero(simulation.engine.state.contact_n[0] > 0.5).tolist())
    assert held[0] == held[1] and len(held[0]) == 2 and held[0][0] % 2 == 0


@pytest.mark.parametrize("engine", ENGINES)
def test_a_hand_on_the_table_is_felt(engine):
    simulation = load(engine)
    simulation.reset(np.array([0]), np.array([2]))
    for _ in range(40):
        outcome = simulation.step(np.array([[0.0, 1.0, -1.0, 0.0, -1.0]]))
        if outcome.terminated[0]:
            break
    assert outcome.terms["collision"][0] == 1
    assert simulation.engine.state.contact_n[0, -2] > GraspConfig().collision_force_n
    assert simulation.engine.state.contact_n[0, -1] == 0


@pytest.mark.parametrize(("bent", "hits"), [((-0.5, -3.05, 0.9), True), ((-1.0, -3.1, 1.5), False)])
def test_a_hand_that_folds_onto_its_arm_is_felt_alike(pair, bent, hits):
    shoulder, elbow, wrist = bent
    target = np.array([[0.0, shoulder, 0.0, elbow, 0.0, wrist, 0.785, 0.04, 0.04]])
    for simulation in pair:
        simulation.reset(np.array([0]), np.array([2]))
        forces = []
        for _ in range(15):
            simulation.engine.step(target)
            forces.append(simulation.engine.state.contact_n[0, -2:].copy())
        table, arm = np.max(forces, axis=0)
        assert table == 0 and (arm > GraspConfig().collision_force_n) == hits and (arm > 0) == hits


@pytest.mark.parametrize("friction", [0.35, 0.9])
@pytest.mark.parametrize("engine", ENGINES)
def test_an_object_slides_as_far_as_its_friction_lets_it(engine, friction):
    """v**2 / (2 mu g); a box, which does not roll."""
    layout = GraspLayoutConfig(objects=(1, 1), friction=(friction, friction))
    simulation = Simulation(GraspConfig(layout=layout), replace(DOMAINS["sim"], engine=engine), 1)
    seed = next(s for s in seeds_of("train", 50) if _kinds(simulation, s) == ["box"] and _height(simulation) < 0.06)
    run(simulation, seed, STAY)
    before = simulation.engine.state.object_pos[0, 0, 0]
    _push(simulation, 0.4)
    for _ in range(8):
        simulation.step(STAY)
    way = simulation.engine.state.object_pos[0, 0, 0] - before
    assert way == pytest.approx(0.4**2 / (2 * friction * 9.81), rel=0.15)


def _push(simulation: Simulation, speed_m_s: float) -> None:
    engine: Any = simulation.engine
    if simulation.domain.engine == "mujoco":
        engine._qvel[0, 9] = speed_m_s  # after the arm's joints
    else:
        body = next(iter(engine._object_bodies[0]))
        engine._bullet.resetBaseVelocity(body, [speed_m_s, 0, 0], physicsClientId=engine._clients[0])


def _kinds(simulation: Simulation, seed: int) -> list[str]:
    simulation.reset(np.array([0]), np.array([seed]))
    return simulation.draws[0]["layout"]["objects"]


def _height(simulation: Simulation) -> float:
    return 2 * float(simulation.task.half_m[0, 0, 2])


@pytest.mark.parametrize("engine", ENGINES)
def test_slots_that_are_not_used_stay_apart(engine):
    simulation = load(engine)
    seed = next(s for s in seeds_of("train", 50) if len(_kinds(simulation, s)) == 1)
    run(simulation, seed, np.repeat(STAY, 20, axis=0))
    state = simulation.engine.state
    assert (state.object_pos[0, 1:, 2] < -1).all() and np.isfinite(state.object_pos).all()
    assert (simulation.observe().segmentation[0, ..., 1] == simulation.task.scene.num_fixed + 1).sum() == 0


@pytest.mark.parametrize("engine", ENGINES)
def test_joints_keep_within_their_limits_whatever_the_actions(engine):
    simulation = load(engine, 2)
    simulation.reset(np.arange(2), np.array([2, 4]))
    rng, robot = np.random.default_rng(0), simulation.task.robot
    for _ in range(12):
        action = rng.choice([-1.0, 1.0], (2, 5))
        for _ in range(3):
            simulation.step(action)
        joints = simulation.engine.state.joint_pos
        assert (joints[:, :7] > robot.low[:7] - 0.02).all() and (joints[:, :7] < robot.high[:7] + 0.02).all()
        assert (joints[:, 7:] > -0.005).all() and (joints[:, 7:] < 0.045).all()


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("engine", ENGINES)
def test_the_expert_succeeds(engine, split):
    """A few episodes; the tables of `benchmarks.expert` have hundreds."""
    n = 6
    simulation = load(engine, n, split)
    simulation.reset(np.arange(n), np.array(seeds_of(split, n, first=100)))
    success = np.zeros(n, bool)
    for _ in range(simulation.task.max_steps):
        simulation.step(simulation.expert_action())
        success |= simulation.task.success
        if success.all():
            break
    assert success.sum() >= n - 1


# --- masses --------------------------------------------------------------------------------------------------------


def test_inertia_of_a_box_cut_in_two_is_that_of_the_whole():
    whole = solid_inertia(
        [Shape.BOX], np.array([[0.1, 0.05, 0.02]]), np.zeros((1, 3)), from_yaw(np.array([0.4])), np.array([True]), 0.6
    )
    shift = 0.05 * np.array([np.cos(0.4), np.sin(0.4), 0.0])
    halves = solid_inertia(
        [Shape.BOX, Shape.SPHERE, Shape.BOX],
        np.array([[0.05, 0.05, 0.02], [9.0, 0, 0], [0.05, 0.05, 0.02]]),
        np.array([shift, [5.0, 5.0, 5.0], -shift]),
        from_yaw(np.array([0.4, 0.0, 0.4])),
        np.array([True, False, True]),
        0.6,
    )
    assert halves.mass == whole.mass
    np.testing.assert_allclose(halves.com, whole.com, atol=1e-12)
    np.testing.assert_allclose(halves.tensor, whole.tensor, atol=1e-12)


def test_inertia_of_a_cylinder():
    inertia = solid_inertia(
        [Shape.CYLINDER],
        np.array([[0.03, 0.05, 0]]),
        np.array([[0, 0, 0.05]]),
        from_yaw(np.zeros(1)),
        np.ones(1, bool),
        2,
    )
    across = 2 * (3 * 0.03**2 + 0.1**2) / 12
    np.testing.assert_allclose(np.diag(inertia.tensor), [across, across, 2 * 0.03**2 / 2])
    np.testing.assert_allclose(inertia.com, [0, 0, 0.05])
