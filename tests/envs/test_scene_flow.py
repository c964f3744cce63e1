"""The flow of an arm's picture: that of camera poses and depth, none for what the hand carries; what comes of it."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from simgym.envs.config import DOMAINS, FlawRanges
from simgym.envs.motion import known_flow
from simgym.envs.scene import Semantic
from simgym.envs.simulation import Simulation
from simgym.envs.tasks.grasp.config import GraspConfig

pytest.importorskip("pybullet_data", reason="the Panda's description comes with PyBullet")
ROLLING = FlawRanges(readout_s=(0.01, 0.01))
WAYS = {
    "across": (1.0, 0.6, 0.0, 0.0, 1.0),
    "down": (0.0, 0.0, -1.0, 0.0, 1.0),
    "turning": (0.0, 0.0, 0.0, 1.0, 1.0),
    "all at once": (0.5, -0.5, 0.5, -0.7, 1.0),
}


def moving(way: tuple[float, ...], view: str = "wrist", steps: int = 6, flaws: FlawRanges = ROLLING) -> Any:
    """A simulation of a hand on its way, in the mistaken look for its mount of the camera."""
    simulation = Simulation(GraspConfig(view=view), replace(DOMAINS["mistaken"], flaws=flaws))
    simulation.reset(np.array([0]), np.array([4]))
    for _ in range(steps):
        simulation.step(np.array([way]))
    return simulation


@pytest.mark.parametrize("name", WAYS)
def test_what_stands_still_moves_as_depth_and_camera_poses_say(name: str) -> None:
    simulation = moving(WAYS[name])
    before, pose = simulation.observe().depth[0].copy(), simulation.renderer.camera_pose(0)
    simulation.step(np.array([WAYS[name]]))
    seen = simulation.observe()
    back, known = known_flow(seen.depth[0], simulation.renderer.camera_pose(0), before, pose)
    known &= seen.segmentation[0, ..., 0] != Semantic.ROBOT
    assert known.sum() > 1500
    moved = -simulation._flow._flow[0] * simulation.task.control_dt_s
    assert np.abs(back[known]).max() > 1
    assert np.abs(moved - back)[known].max() < 0.15 * np.abs(back[known]).max() + 0.1
    assert np.median(np.abs(moved - back)[known]) < 0.05 * np.abs(back[known]).max()
    simulation.close()


def test_a_camera_beside_the_arm_sees_the_hand_move_and_the_table_stand() -> None:
    simulation = moving(WAYS["across"], view="shoulder")
    flow = np.linalg.norm(simulation._flow._flow[0], axis=-1)
    is_robot = simulation.observe().segmentation[0, ..., 0] == Semantic.ROBOT
    assert flow[is_robot].max() > 5 and flow[~is_robot].max() < 0.5
    simulation.close()


@pytest.mark.parametrize("flaw", [FlawRanges(exposure_time_s=(0.1, 0.1)), FlawRanges(readout_s=(0.1, 0.1))])
def test_a_moving_hand_blurs_and_bends_all_but_its_fingers(flaw: FlawRanges) -> None:
    way = WAYS["across"]
    simulations = [moving(way, steps=0, flaws=flaws) for flaws in (flaw, FlawRanges())]
    flawed, clean = (simulation.observe() for simulation in simulations)
    np.testing.assert_array_equal(flawed.image, clean.image, "it begins at rest")
    for _ in range(6):
        for simulation in simulations:
            simulation.step(np.array([way]))
    flawed, clean = (simulation.observe() for simulation in simulations)
    np.testing.assert_array_equal(flawed.depth, clean.depth)
    is_robot = clean.segmentation[0, ..., 0] == Semantic.ROBOT
    differs = np.abs(flawed.image[0].astype(int) - clean.image[0]).max(-1) > 2
    assert is_robot.sum() > 50 and differs[is_robot].mean() < 0.05
    assert differs[~is_robot].sum() > 50
    for simulation in simulations:
        simulation.close()
