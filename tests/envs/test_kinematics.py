"""Kinematics of the Panda: against MuJoCo's, closed forms of small motions, limits, the same alone as in a batch."""

import mujoco
import numpy as np
import pytest

from simgym.envs.arm import ARM_JOINTS, GRASP_POINT, HOME_RAD, Mount, load_panda
from simgym.envs.kinematics import Chain

pytest.importorskip("pybullet_data", reason="the Panda's description comes with PyBullet")

PANDA = load_panda(Mount("panda_link0", (0.0, 0.0, 0.5), (0.0, 0.0, 0.0)))
CHAIN = Chain(PANDA)
HOME = np.array(HOME_RAD)


@pytest.fixture(scope="module")
def angles() -> np.ndarray:
    return np.random.default_rng(0).uniform(CHAIN.low, CHAIN.high, (40, 7))


def test_the_end_is_where_mujoco_has_it(angles):
    model = mujoco.MjModel.from_xml_string(PANDA.description)
    data = mujoco.MjData(model)
    address = [model.joint(name).qposadr[0] for name in ARM_JOINTS]
    pos, rotation, jacobian = CHAIN.forward(angles)
    # fusestatic drops the grasp point's own body: it hangs 0.105 m below the hand, on link 7.
    body = model.body(ARM_JOINTS[-1].replace("joint", "link")).id
    assert GRASP_POINT in [link.name for link in PANDA.links]
    for i in range(len(angles)):
        data.qpos[address] = angles[i]
        mujoco.mj_forward(model, data)
        link = data.xmat[body].reshape(3, 3)
        np.testing.assert_allclose(pos[i], data.xpos[body] + link @ (0, 0, 0.107 + 0.105), atol=1e-9)
        np.testing.assert_allclose(rotation[i][:, 2], link[:, 2], atol=1e-9)
        turning = np.zeros((3, model.nv)), np.zeros((3, model.nv))
        mujoco.mj_jac(model, data, *turning, pos[i], body)
        columns = [model.joint(name).dofadr[0] for name in ARM_JOINTS]
        np.testing.assert_allclose(jacobian[i], np.concatenate(turning)[:, columns], atol=1e-9)


def test_at_home_the_hand_points_down_over_the_table():
    pos, rotation, _ = CHAIN.forward(HOME[None])
    np.testing.assert_allclose(rotation[0][:, 2], (0, 0, -1), atol=1e-3)
    assert 0.4 < pos[0, 0] < 0.6 and abs(pos[0, 1]) < 1e-6 and pos[0, 2] > 0.2


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_way_along_an_axis_moves_the_end_along_it_alone(axis):
    start, _, _ = CHAIN.forward(HOME[None])
    goal = start.copy()
    goal[0, axis] += 0.02
    joints = CHAIN.solve(HOME[None], goal, np.zeros(1), HOME)
    pos, rotation, _ = CHAIN.forward(joints)
    np.testing.assert_allclose(pos, goal, atol=2e-4)
    np.testing.assert_allclose(rotation[0], np.diag([1.0, -1.0, -1.0]), atol=2e-3)


def test_a_turn_is_the_last_joints():
    pos, _, _ = CHAIN.forward(HOME[None])
    straight, turned = (CHAIN.solve(HOME[None], pos, np.array([heading]), HOME)[0] for heading in (0.0, 0.1))
    np.testing.assert_allclose(turned - straight, [0] * 6 + [-0.1], atol=1e-2)


def test_from_anywhere_over_the_table_to_anywhere():
    rng = np.random.default_rng(1)
    n = 60
    pos = rng.uniform((0.33, -0.28, 0.02), (0.66, 0.28, 0.35), (n, 3))
    heading, joints = rng.uniform(-1.5, 1.5, n), np.tile(HOME, (n, 1))
    for _ in range(10):
        joints = CHAIN.solve(joints, pos, heading, HOME)
    end, rotation, _ = CHAIN.forward(joints)
    np.testing.assert_allclose(end, pos, atol=1e-3)
    np.testing.assert_allclose(rotation[:, 0, 0], np.cos(heading), atol=5e-3)
    np.testing.assert_allclose(rotation[:, 2, 2], -1, atol=5e-3)


def test_limits_are_never_exceeded_however_far_the_goal(angles):
    goals = np.random.default_rng(2).uniform(-3, 3, (40, 3))
    joints = angles.copy()
    for _ in range(20):
        joints = CHAIN.solve(joints, goals, np.linspace(-9, 9, 40), HOME)
        assert (joints >= CHAIN.low).all() and (joints <= CHAIN.high).all()


def test_a_row_of_a_batch_is_solved_as_alone(angles):
    goals, heading = np.random.default_rng(3).uniform(0.2, 0.5, (40, 3)), np.linspace(-1, 1, 40)
    together = CHAIN.solve(angles, goals, heading, HOME)
    before = angles.copy()
    for i in range(0, 40, 7):
        alone = CHAIN.solve(angles[i : i + 1], goals[i : i + 1], heading[i : i + 1], HOME)
        np.testing.assert_array_equal(alone[0], together[i])
    np.testing.assert_array_equal(angles, before)
