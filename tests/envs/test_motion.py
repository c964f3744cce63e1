"""Flow from depth and poses: closed forms, and what the renderer itself shows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simgym.envs.config import DOMAINS
from simgym.envs.motion import CameraPose, known_flow
from simgym.envs.scene import Semantic
from simgym.envs.simulation import Simulation
from simgym.envs.tasks import TASKS
from simgym.goggles.metrics import warped_temporal_error

HEIGHT, WIDTH, FOCAL = 6, 8, 10.0
INTRINSICS = np.array([FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2])
WALL = np.full((HEIGHT, WIDTH), 2.0)  # metres: a wall square to the camera


def pose(right_m: float = 0.0, down_m: float = 0.0, forward_m: float = 0.0, focal_scale: float = 1.0) -> CameraPose:
    """A camera whose optical frame is the world's, moved."""
    intrinsics = INTRINSICS * [focal_scale, focal_scale, 1, 1]
    return CameraPose(intrinsics, np.array([right_m, down_m, forward_m]), np.eye(3))


@given(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5))
def test_a_step_aside_moves_a_wall_by_focal_length_over_depth(right_m: float, down_m: float) -> None:
    flow, known = known_flow(WALL, pose(), WALL, pose(right_m, down_m))
    assert np.allclose(flow[known], np.array([-right_m, -down_m]) * FOCAL / 2)
    assert np.all(flow[~known] == 0)
    columns = np.arange(WIDTH) + 0.5 - right_m * FOCAL / 2  # (W,) where they go
    rows = np.arange(HEIGHT) + 0.5 - down_m * FOCAL / 2
    inside = ((rows >= 0) & (rows < HEIGHT))[:, None] & ((columns >= 0) & (columns < WIDTH))
    assert np.array_equal(known, inside)


def test_a_step_forward_spreads_the_picture_from_its_middle() -> None:
    flow, known = known_flow(WALL, pose(), WALL - 1, pose(forward_m=1))
    centres = np.stack(np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5), -1) - [WIDTH / 2, HEIGHT / 2]
    assert np.allclose(flow[known], centres[known])  # half the distance is twice the size
    assert known.sum() == WIDTH * HEIGHT / 4


def test_a_longer_focal_length_is_a_zoom() -> None:
    flow, known = known_flow(WALL, pose(), WALL, pose(focal_scale=2))
    nearer, _ = known_flow(WALL, pose(), WALL - 1, pose(forward_m=1))
    assert known.any() and np.allclose(flow[known], nearer[known])


def test_a_turn_moves_all_depths_alike() -> None:
    angle = np.arctan(2 / FOCAL)  # to the right, about the axis that points down
    cosine, sine = np.cos(angle), np.sin(angle)
    turned = CameraPose(INTRINSICS, np.zeros(3), np.array([[cosine, 0, -sine], [0, 1, 0], [sine, 0, cosine]]))
    far = [known_flow(depth_m, pose(), np.full_like(WALL, np.inf), turned)[1] for depth_m in (WALL, 3 * WALL)]
    assert not np.any(far)  # nothing is met there
    middle = (HEIGHT // 2, WIDTH // 2)
    flows = []
    for scale in (1, 3):
        depth_m = scale * WALL
        seen_m = depth_m * (cosine + sine * 0.5 / FOCAL)  # of the pixel right of the middle, by the turned camera
        flow, known = known_flow(depth_m, pose(), seen_m, turned)
        assert known[middle]
        flows.append(flow[middle])
    assert np.allclose(flows[0], flows[1]) and -2.2 < flows[0][0] < -1.8


@pytest.mark.parametrize("behind", [np.inf, 1.0, 5.0])
def test_what_is_hidden_or_met_by_nothing_is_not_known(behind: float) -> None:
    _, known = known_flow(WALL, pose(), np.full_like(WALL, behind), pose())
    assert not known.any()


def test_points_behind_the_camera_and_holes_are_not_known() -> None:
    _, known = known_flow(WALL, pose(), WALL, pose(forward_m=3))
    assert not known.any()
    holes = WALL.copy()
    holes[2, 3] = np.inf
    flow, known = known_flow(holes, pose(), WALL, pose())
    assert known.sum() == WALL.size - 1 and not known[2, 3] and not flow.any()


def test_the_flow_of_a_driving_robot_explains_what_its_camera_sees() -> None:
    simulation = Simulation(TASKS["ChairNav"].load("config")(), DOMAINS["sim"], 4, twin=True)
    simulation.reset(np.arange(4), np.arange(4))
    frames, depths, poses = [], [], []
    for _ in range(3):
        twin = simulation.canonical()
        frames.append(twin.rgb.copy())
        depths.append(np.where(twin.segmentation[..., 0] == Semantic.ROBOT, np.inf, twin.depth))
        poses.append([simulation.camera_pose(world) for world in range(4)])
        simulation.step(np.full((4, 2), 0.5, np.float32))
    simulation.close()
    errors = []
    for world in range(4):
        views = [(depth_m[world], pose[world]) for depth_m, pose in zip(depths, poses, strict=True)]
        pairs = [known_flow(*now, *following) for now, following in zip(views, views[1:], strict=False)]
        flow, known = (np.stack(parts) for parts in zip(*pairs, strict=True))
        rgb = np.stack([frame[world] for frame in frames])
        assert known.mean() > 0.3 and np.abs(flow[known]).mean() > 1
        errors.append([warped_temporal_error(rgb, flow, known), warped_temporal_error(rgb, 0 * flow, known)])
    warped, still = np.array(errors).mean(0)
    assert warped < still / 3


def test_only_a_simulation_with_a_twin_knows_its_pose() -> None:
    simulation = Simulation(TASKS["ChairNav"].load("config")(), DOMAINS["sim"], 1)
    with pytest.raises(ValueError, match="twin=True"):
        simulation.camera_pose(0)
    simulation.close()
