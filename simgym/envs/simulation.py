"""The batch of worlds behind every environment: task + engine + renderer + randomization, with no Gymnasium API.

`simgym.envs.env`, `simgym.envs.vector` and `simgym.policies.vec_env` are thin adapters over it.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from simgym.deploy.camera import Camera
from simgym.errors import UsageError

from .arm import Arm
from .camera_flaws import CameraFlaws
from .config import DomainConfig, RandomizationConfig, check_domain
from .curriculum import Boundary, Curriculum
from .draw import Draw, Dynamics, Setting
from .drive import CommandPath
from .dynamics import sample_dynamics
from .engines import make_engine
from .looks import make_look, paint_objects
from .places import SPLITS, place_of
from .renderers import make_renderer
from .tasks import Outcome, make_task

MAX_EPISODE_SEED = 2**31
CURRICULUM_STREAM = 6  # of an episode's seed; those of the camera's flaws are below it


@dataclass
class Observation:
    """What the robot senses. Views of buffers that the next step overwrites: copy what must stay.

    The image has the camera's flaws and may be late; depth and segmentation are the truth of the moment. What the robot
    measures of itself goes by the name that its task gives it.
    """

    image: np.ndarray  # (n, H, W, 3) uint8
    depth: np.ndarray  # (n, H, W) float32 metres, inf where nothing was hit
    segmentation: np.ndarray  # (n, H, W, 2) int16 semantic class, body index
    measured: np.ndarray  # (n, D) float32, as `Task.measure` says

    @property
    def velocity(self) -> np.ndarray:
        """(n, 2) float32 m/s, rad/s, of a robot that drives."""
        return self.measured

    @property
    def proprio(self) -> np.ndarray:
        """(n, 5) float32 hand pose and opening, m and rad, of an arm."""
        return self.measured


class Simulation:
    """``n`` worlds of one task in one domain, reset one by one by episode seeds."""

    def __init__(self, config: Any, domain: DomainConfig, num_worlds: int = 1, split: str = "train") -> None:
        """Compiles the scene. Raises UserError where the configuration is impossible."""
        if split not in SPLITS:
            raise UsageError(f"split={split!r}: expected one of {', '.join(SPLITS)}")
        check_domain(domain)
        self.num_worlds, self.split, self.domain = num_worlds, split, domain
        randomization = domain.randomization
        self.task: Any = make_task(config, randomization)  # a `Task`, with more that is its own
        self.camera = Camera.from_yaml(config.camera) if config.camera else Camera.from_fov(80, 60, np.radians(69.0))
        self._look = make_look(domain, self.task.scene)
        self.renderer = make_renderer(domain.renderer, self._look.textures, num_worlds)
        self.renderer.load(self.task.scene, self.camera, num_worlds)
        self.engine = make_engine(domain.engine, isinstance(self.task.robot, Arm))
        self.engine.load(self.task.scene, self.task.robot, num_worlds, self.task.control_dt_s)
        self.task.allocate(num_worlds)
        self.flaws = CameraFlaws(domain.flaws, self.camera, num_worlds, self.task.control_dt_s)
        self._commands = CommandPath(num_worlds, self.task.control_dt_s, self.task.rest)
        self._noise = [np.random.default_rng(0) for _ in range(num_worlds)]
        values = len(self.task.measured_range[0])
        self._measurement_noise = np.zeros((num_worlds, values))
        self._measured = np.zeros((num_worlds, values), np.float32)
        self.curriculum: Curriculum | None = None  # whose ranges are drawn from; training sets it where the domain asks
        self._pins: list[Boundary | None] = [None] * num_worlds
        self.draws: list[dict[str, Any]] = [{} for _ in range(num_worlds)]  # what was drawn, for info["draw"]
        self._all = np.arange(num_worlds)

    def reset(self, worlds: np.ndarray, episode_seeds: np.ndarray) -> None:
        """Start the episode of seed ``episode_seeds[i]`` in world ``worlds[i]``; an episode depends on it alone."""
        for world, seed in zip(worlds, episode_seeds, strict=True):
            draw = self._draw(int(world), int(seed))
            row = np.array([world])
            self.renderer.apply(row, draw.layout, draw.look)  # first: it may go on in another process
            self.engine.apply(row, draw.layout, draw.dynamics)
            self._commands.apply(row, draw.dynamics)
            self._measurement_noise[world] = self.task.noise(draw.dynamics)
        self._render(worlds)
        self._sense(worlds)

    def _draw(self, world: int, seed: int) -> Draw:
        """Draw layout, look and dynamics from separate streams, so that switching one off leaves the others alone."""
        layout_rng, look_rng, dynamics_rng, self._noise[world] = (
            np.random.default_rng([seed, stream]) for stream in range(4)
        )
        has_place = self.domain.look == "photo"
        place = place_of(self.domain.place, seed, self.split) if has_place else None
        ranges = self._ranges(world, seed)
        clutter = ranges.clutter if ranges.enabled else None
        layout, episode = self.task.sample(layout_rng, self.split, seed, place, clutter)
        self.task.begin(world, layout, episode)
        look, look_facts = self._look.sample(look_rng, Setting(layout, episode.kinds, place), ranges.look)
        if self.domain.shown_look != "canonical":
            paint_objects(look, layout, self.task.scene)
        dynamics, dynamics_facts = (
            sample_dynamics(dynamics_rng, ranges.dynamics) if ranges.enabled else (Dynamics.nominal(1), {})
        )
        self.draws[world] = {
            "episode_seed": seed,
            "split": self.split,
            "layout": episode.facts,
            "look": look_facts,
            "dynamics": dynamics_facts,
            "flaws": self.flaws.apply(world, seed, seed if place is None else place, float(look.focal_scale[0])),
        }
        return Draw(layout, look, dynamics)

    def _ranges(self, world: int, seed: int) -> RandomizationConfig:
        """What this episode is drawn from: the domain's ranges, or those that the curriculum has come to."""
        if self.curriculum is None:
            return self.domain.randomization
        ranges, self._pins[world] = self.curriculum.draw(np.random.default_rng([seed, CURRICULUM_STREAM]))
        return ranges

    def report_to_curriculum(self, world: int) -> None:
        """Tell the curriculum, if there is one, how the episode that has just ended in ``world`` went."""
        pin = self._pins[world]
        if self.curriculum is not None and pin is not None:
            self.curriculum.record(pin, bool(self.task.success[world]))

    def step(self, action: np.ndarray) -> Outcome:
        """Advance every world by one control step with (n, action_dim) actions in [-1, 1]."""
        command = self._commands.send(self.task.command(action))
        failed = self.engine.state.failed.copy()
        self.engine.step(self.task.drive(command, self.engine.state))
        for world in np.flatnonzero(self.engine.state.failed & ~failed):
            warnings.warn(
                f"the physics of {self.domain.engine} gave no finite numbers; the episode ends as a collision. "
                f"Its draw: {self.draws[world]}",
                RuntimeWarning,
                stacklevel=2,
            )
        self._render(None)
        self._sense(self._all)
        return self.task.advance(self.engine.state, self._frames.segmentation)

    def _render(self, worlds: np.ndarray | None) -> None:
        state = self.engine.state
        self._frames = self.renderer.render(state.moving_pos, state.moving_quat, worlds)
        self._image = self.flaws.take(self._frames.rgb, state.velocity[:, 1], worlds)

    def _sense(self, worlds: np.ndarray) -> None:
        self._measured[worlds] = self.task.measure(self.engine.state)[worlds]
        for world in worlds:
            noise = self._measurement_noise[world]
            if noise.any():
                self._measured[world] += self._noise[world].normal(0.0, noise)

    def observe(self) -> Observation:
        """What every robot senses now."""
        frames = self._frames
        return Observation(self._image, frames.depth, frames.segmentation, self._measured)

    def overview(self, world: int, side_px: int = 240) -> tuple[np.ndarray, float]:
        """A picture of the room from high above, (S, S, 3) uint8 with x to the right and y up, and its edge in metres.

        The ceiling faces down and does not hide the room.
        """
        height_m = 60.0  # so high that walls hardly lean
        camera = Camera.from_fov(side_px, side_px, 2 * np.arctan(self.task.overview_m / 2 / height_m))
        picture = self.renderer.snapshot(world, camera, np.array([0, 0, height_m]), np.zeros(3))
        return picture, self.task.overview_m

    def expert_action(self) -> np.ndarray:
        """(n, action_dim) float32 actions of the task's scripted expert."""
        return self.task.expert_action(self.engine.state)

    def close(self) -> None:
        """Release engine and renderer; may be called twice."""
        self.engine.close()
        self.renderer.close()


def draw_episode_seed(rng: np.random.Generator, split: str) -> int:
    """An episode seed of a split: `train` draws the even ones, `test` the odd ones, so that they share none."""
    return 2 * int(rng.integers(MAX_EPISODE_SEED // 2)) + SPLITS.index(split)
