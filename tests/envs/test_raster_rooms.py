"""What the renderer shows of real rooms, as it draws them in training, against MuJoCo's rays at the ideal shapes."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import mujoco
import numpy as np
import pytest
from scipy.ndimage import maximum_filter, minimum_filter

from simgym.envs.config import DOMAINS
from simgym.envs.draw import Layout
from simgym.envs.renderers.raster import RasterRenderer
from simgym.envs.scene import Shape
from simgym.envs.simulation import Simulation
from simgym.envs.tasks.chair_nav.config import ChairNavConfig
from tests.envs.raster_scenes import MUJOCO_GEOM, meet_geoms, rays

ROOMS = 24
CURVED = (Shape.CYLINDER, Shape.SPHERE, Shape.CAPSULE)


def make(domain: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Simulation, list[Layout]]:
    """Rooms of the test split, each at its start, and where things are in each of them (of one row)."""
    simulation = Simulation(ChairNavConfig(), DOMAINS[domain], ROOMS, "test")
    layouts: list[Layout] = []
    apply = simulation.renderer.apply

    def watched(worlds: np.ndarray, layout: Layout, look: Any) -> None:
        layouts.append(copy.deepcopy(layout))
        apply(worlds, layout, look)

    monkeypatch.setattr(simulation.renderer, "apply", watched)
    simulation.reset(np.arange(ROOMS), 2 * np.arange(ROOMS) + 1)
    assert len(layouts) == ROOMS
    return simulation, layouts


def cast(simulation: Simulation, layout: Layout, world: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What MuJoCo's rays meet: depth (H, W), semantic class and body (H, W, 2), whether the shape is curved (H, W)."""
    scene, camera = simulation.task.scene, simulation.camera
    assert isinstance(simulation.renderer, RasterRenderer)
    pose = simulation.renderer.camera_pose(world)
    drawn = replace(camera, **dict(zip(("fx", "fy", "cx", "cy"), pose.intrinsics.tolist(), strict=True)))
    forward, left, up = np.moveaxis(rays(drawn), -1, 0)
    directions = np.stack([-left, -up, forward], axis=-1) @ pose.world_to_optical  # (H, W, 3) in the world
    spec, shown = mujoco.MjSpec(), []
    positions, quats = layout.world_poses(scene, 0)
    for index in np.flatnonzero(layout.part_visible[0, : scene.num_fixed_parts]):
        shape, size = scene.parts[index].shape, layout.part_size[0, index]
        size = (*size[:2], 1.0) if shape == Shape.PLANE else size
        spec.worldbody.add_geom(type=MUJOCO_GEOM[shape], pos=positions[index], quat=quats[index], size=size)
        shown.append(index)
    depth, geom = meet_geoms(spec, np.asarray(pose.eye_m, float), directions)
    assert (geom >= 0).all()  # a room is closed
    part = np.array(shown)[geom]  # (H, W)
    semantic = np.array([item.semantic for item in scene.parts])
    curved = np.array([item.shape in CURVED for item in scene.parts])
    return depth, np.stack([semantic[part], scene.part_body[part]], axis=-1), curved[part]


@pytest.mark.parametrize("domain", ["sim", "randomized"])
def test_rooms_are_seen_as_mujocos_rays_see_them(domain: str, monkeypatch: pytest.MonkeyPatch) -> None:
    simulation, layouts = make(domain, monkeypatch)
    observation, robot = simulation.observe(), simulation.task.scene.num_fixed
    same, near, exact, total, smooth = 0, 0, 0, 0, 0
    for world in range(ROOMS):
        depth, labels, curved = cast(simulation, layouts[world], world)
        inside = maximum_filter(labels[..., 1], 3) == minimum_filter(labels[..., 1], 3)  # not between two bodies
        inside &= observation.segmentation[world, ..., 1] < robot  # rays know nothing of the robot itself
        agree = (observation.segmentation[world] == labels).all(-1) & inside
        error = np.abs(observation.depth[world] - depth) / depth
        total, same, near = total + inside.sum(), same + agree.sum(), near + (agree & (error < 0.02)).sum()
        flat = agree & ~curved
        smooth, exact = smooth + flat.sum(), exact + (error[flat] < 1e-3).sum()
    assert total > 0.5 * depth.size * ROOMS
    assert same / total > 0.99 and near / total > 0.99
    assert exact / smooth > 0.999
    simulation.close()
