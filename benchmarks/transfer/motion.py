"""Drives through the stand-in with known camera motion, for the flicker of translations between frames in a row."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np

from simgym.config.run_dir import run_folder
from simgym.envs.config import DomainConfig
from simgym.envs.motion import CameraPose, known_flow
from simgym.envs.scene import Semantic
from simgym.envs.simulation import Simulation, draw_episode_seed
from simgym.files import atomic_path

MOTION = "motion.npz"
LENGTH = 10  # frames in a row
WORLDS = 16


@dataclass(frozen=True, kw_only=True)
class MotionConfig:
    """Of one run: the task and domain, how many drives of episodes of which split, and where they are written."""

    env: Any
    domain: DomainConfig
    drives: int
    seed: int
    split: str
    out: str


@dataclass(frozen=True)
class Drive:
    """Frames in a row of one robot, and by how much what they show moves.

    Args:
        rgb: (T, H, W, 3) uint8.
        flow: (T - 1, H, W, 2) float32 pixels, see `known_flow`.
        known: (T - 1, H, W) bool, where the flow is known.
    """

    rgb: np.ndarray
    flow: np.ndarray
    known: np.ndarray


def main(config: MotionConfig) -> None:
    """Write ``motion.npz``: the arrays of `Drive`, stacked."""
    with run_folder(config) as out:
        drives = list(record(config))
        rgb, flow, known = (np.stack(parts) for parts in zip(*((d.rgb, d.flow, d.known) for d in drives), strict=True))
        with atomic_path(out / MOTION) as path, path.open("wb") as file:
            np.savez(file, rgb=rgb, flow=flow, known=known)


def load(path: str) -> list[Drive]:
    """What `main` wrote."""
    with np.load(path) as arrays:
        return [Drive(*parts) for parts in zip(arrays["rgb"], arrays["flow"], arrays["known"], strict=True)]


def record(config: MotionConfig) -> Iterator[Drive]:
    """The first frames of episodes that the expert drives."""
    rng, left = np.random.default_rng(config.seed), config.drives
    with closing(Simulation(config.env, config.domain, WORLDS, config.split, twin=True)) as simulation:
        while left > 0:
            seeds = [draw_episode_seed(rng, config.split) for _ in range(WORLDS)]
            simulation.reset(np.arange(WORLDS), np.array(seeds, np.int64))
            moments = [_moment(simulation) for _ in range(LENGTH)]
            yield from (_drive(world, moments) for world in range(min(left, WORLDS)))
            left -= WORLDS


def _moment(simulation: Simulation) -> tuple[np.ndarray, np.ndarray, list[CameraPose]]:
    """What all cameras see, how far away it is, and where they are; then the expert's next step."""
    twin = simulation.canonical()
    standing = twin.segmentation[..., 0] != Semantic.ROBOT  # what the robot sees of itself moves with it
    depth_m = np.where(standing, twin.depth, np.inf)
    poses = [simulation.camera_pose(world) for world in range(WORLDS)]
    image = simulation.observe().image.copy()
    simulation.step(simulation.expert_action())
    return image, depth_m, poses


def _drive(world: int, moments: list[tuple[np.ndarray, np.ndarray, list[CameraPose]]]) -> Drive:
    flows = [
        known_flow(depth_m[world], poses[world], next_depth_m[world], next_poses[world])
        for (_, depth_m, poses), (_, next_depth_m, next_poses) in zip(moments, moments[1:], strict=False)
    ]
    flow, known = (np.stack(parts) for parts in zip(*flows, strict=True))
    return Drive(np.stack([image[world] for image, _, _ in moments]), flow.astype(np.float32), known)
