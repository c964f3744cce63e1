"""Worlds of ChairNav for tests of engines: layouts, and driving in them."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np

from simgym.envs.draw import Dynamics, Layout
from simgym.envs.engines import Engine
from simgym.envs.quaternion import yaw
from simgym.envs.robot import load_robot
from simgym.envs.scene import Scene
from simgym.envs.tasks.chair_nav.config import ChairNavConfig, ClutterRanges
from simgym.envs.tasks.chair_nav.layout import LayoutSampler, build_bodies

ROBOT = load_robot("rover")
CLUTTERED = ClutterRanges(furniture=(0, 4), wall_items=(0, 2))
SCENE = Scene(build_bodies(ChairNavConfig().layout, CLUTTERED), ROBOT.links, ROBOT.camera_link)
SAMPLER = LayoutSampler(SCENE, ROBOT, ChairNavConfig().layout, CLUTTERED, success_distance_m=1.0)
DT_S = 0.2


def empty_layout() -> Layout:
    """One row: the floor alone, the robot at the origin."""
    layout = Layout.nominal(SCENE, 1)
    layout.part_visible[:] = False
    layout.part_visible[0, SCENE.part_range(SCENE.body_index("floor"))] = True
    return layout


def wall_at(x: float, layout: Layout | None = None, visible: bool = True) -> Layout:
    """A wall across the way whose face is at ``x``."""
    layout = layout or empty_layout()
    part = SCENE.part_range(SCENE.body_index("walls")).start
    layout.part_pos[0, part], layout.part_size[0, part] = (x + 0.1, 0, 1.0), (0.1, 2.0, 1.0)
    layout.part_visible[0, part] = visible
    return layout


def drawn_layout(seed: int, split: str = "train") -> Layout:
    return SAMPLER.sample(np.random.default_rng(seed), split, seed)[0]


def stack(layouts: list[Layout]) -> Layout:
    return Layout(**{f.name: np.concatenate([getattr(row, f.name) for row in layouts]) for f in fields(Layout)})


def begin(engine: Engine, layouts: list[Layout], dynamics: Dynamics | None = None) -> None:
    n = len(layouts)
    engine.apply(np.arange(n), stack(layouts), dynamics or Dynamics.nominal(n))


def drive(engine: Engine, forward: float, turn: float, steps: int) -> np.ndarray:
    """(steps, n, 4) x, y, yaw_rad, collision after each control step of a constant command."""
    n = len(engine.state.collision)
    wheels = ROBOT.drive.wheel_velocity(np.tile([forward, turn], (n, 1)))
    rows = []
    for _ in range(steps):
        engine.step(wheels)
        heading = yaw(engine.state.link_quat[:, 0])
        rows.append(np.column_stack([engine.state.link_pos[:, 0, :2], heading, engine.state.collision]))
    return np.stack(rows)


def scaled(**factors: float) -> Dynamics:
    return replace(Dynamics.nominal(1), **{name: np.array([value]) for name, value in factors.items()})
