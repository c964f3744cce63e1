"""The batch of worlds behind every environment: task + engine + renderer + randomization, with no Gymnasium API.

`simgym.envs.env`, `simgym.envs.vector` and `simgym.policies.vec_env` are thin adapters over it.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from simgym.deploy.camera import Camera
from simgym.errors import UsageError

from .arm import Arm
from .camera_flaws import CameraFlaws
from .config import DomainConfig, term_groups
from .curriculum import Boundary, Curriculum
from .domain_check import check_domain
from .draw import Draw, Dynamics, Layout, Look, Setting
from .drive import CommandPath
from .dynamics import sample_dynamics
from .engines import make_engine
from .looks import make_look
from .motion import CameraPose
from .places import SPLITS, place_of
from .renderers import Frames, make_renderer
from .scene_flow import SceneFlow
from .tasks import Outcome, make_task
from .terms import Drawing, LiveTerms, Terms
from .twin import CanonicalTwin

MAX_EPISODE_SEED = 2**31
# Of an episode's seed; those of the camera's flaws are 4 and 5, those of single terms come after.
LAYOUT_STREAM, LOOK_STREAM, DYNAMICS_STREAM, MEASUREMENT_STREAM, CURRICULUM_STREAM = 0, 1, 2, 3, 6


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


@dataclass
class _Episode:
    """What a running episode is drawn from: its terms can be drawn again, bit for bit."""

    seed: int
    startup_seed: int
    setting: Setting
    groups: dict[str, Terms]
    times: dict[str, int] = field(default_factory=dict)  # how often a group's interval terms were drawn again

    @property
    def unit_seed(self) -> int:
        """Of the camera unit: a place has one, and without places every episode."""
        return self.seed if self.setting.place is None else self.setting.place

    def rng(self, stream: int) -> np.random.Generator:
        """The episode's random numbers for one purpose, from their start."""
        return np.random.default_rng([self.seed, stream])

    def terms(self, group: str) -> Drawing:
        """How a group of terms is drawn now."""
        return Drawing(self.groups[group], self.startup_seed, self.seed, self.times.get(group, 0))


class Simulation:
    """``n`` worlds of one task in one domain, reset one by one by episode seeds.

    What a world draws at startup depends on its startup seed alone. By default this is 2 i in world i of ``train`` and
    2 i + 1 in that of ``test``; a Gymnasium environment that is seeded has its seed in place.
    """

    def __init__(
        self, config: Any, domain: DomainConfig, num_worlds: int = 1, split: str = "train", twin: bool = False
    ) -> None:
        """Compiles the scene, with a canonical twin if asked for.

        Raises UserError where the configuration is impossible.
        """
        if split not in SPLITS:
            raise UsageError(f"split={split!r}: expected one of {', '.join(SPLITS)}")
        check_domain(domain)
        self.num_worlds, self.split, self.domain = num_worlds, split, domain
        randomization = domain.randomization
        self.task: Any = make_task(config, randomization)  # a `Task`, with more that is its own
        self.camera = Camera.from_yaml(config.camera) if config.camera else Camera.from_fov(80, 60, np.radians(69.0))
        check_domain(domain, self.task.name, self.task.ignored)
        self._look = make_look(domain, self.task.scene)
        self.renderer = make_renderer(domain.renderer, self._look.textures, num_worlds)
        self.renderer.load(self.task.scene, self.camera, num_worlds)
        self._twin = CanonicalTwin(self.task.scene, self.camera, num_worlds) if twin else None
        self.engine = make_engine(domain.engine, isinstance(self.task.robot, Arm))
        self.engine.load(self.task.scene, self.task.robot, num_worlds, self.task.control_dt_s)
        self.task.allocate(num_worlds)
        self.flaws = CameraFlaws(domain.flaws, self.camera, num_worlds, self.task.control_dt_s)
        moves_freely = isinstance(self.task.robot, Arm) and self.flaws.follows_motion
        self._flow = (
            SceneFlow(self.task.scene, self.camera, num_worlds, self.task.control_dt_s) if moves_freely else None
        )
        self._commands = CommandPath(num_worlds, self.task.control_dt_s, self.task.rest)
        self._noise = [np.random.default_rng(0) for _ in range(num_worlds)]
        values = len(self.task.measured_range[0])
        self._measurement_noise = np.zeros((num_worlds, values))
        self._measured = np.zeros((num_worlds, values), np.float32)
        self.curriculum: Curriculum | None = None  # whose ranges are drawn from; training sets it where the domain asks
        self._pins: list[Boundary | None] = [None] * num_worlds
        self._episodes: dict[int, _Episode] = {}
        self.startup_seeds = [2 * world + SPLITS.index(split) for world in range(num_worlds)]
        self._has_startup = any(group.startup for group in term_groups(domain).values())
        # Control steps of an episode after which a group's interval terms are drawn again, in each world.
        self._due = {
            name: np.full(num_worlds, np.iinfo(int).max)  # never, before a reset
            for name, group in term_groups(domain).items()
            if isinstance(group, LiveTerms) and group.interval
        }
        self.draws: list[dict[str, Any]] = [{} for _ in range(num_worlds)]  # what was drawn, for info["draw"]
        self._all = np.arange(num_worlds)

    def reset(self, worlds: np.ndarray, episode_seeds: np.ndarray, startup_seeds: Sequence[int] | None = None) -> None:
        """Start the episode of seed ``episode_seeds[i]`` in world ``worlds[i]``.

        An episode depends on its seed alone, and where terms are drawn at startup on ``startup_seeds[i]``, by default
        that of its world.
        """
        startup_seeds = startup_seeds or [self.startup_seeds[world] for world in worlds]
        for world, seed, startup_seed in zip(worlds.tolist(), episode_seeds, startup_seeds, strict=True):
            draw = self._draw(world, int(seed), startup_seed)
            row = np.array([world])
            self._show(world, draw.layout, draw.look)  # first: it may go on in another process
            self.engine.apply(row, draw.layout, draw.dynamics)
            self._commands.apply(row, draw.dynamics)
            self._measurement_noise[world] = self.task.noise(draw.dynamics)
            for group, due in self._due.items():
                due[world] = self._steps_to_next(self._episodes[world].terms(group))
        self._render(worlds)
        self._sense(worlds)

    def _draw(self, world: int, seed: int, startup_seed: int = 0) -> Draw:
        """Draw layout, look and dynamics from separate streams, so that switching one off leaves the others alone."""
        place = place_of(self.domain.place, seed, self.split) if self.domain.look == "photo" else None
        domain = self._drawn_domain(world, seed)
        randomizes, groups = domain.randomization.enabled, term_groups(domain)
        clutter = Drawing(groups["clutter"], startup_seed, seed) if randomizes else None
        layout_rng = np.random.default_rng([seed, LAYOUT_STREAM])
        layout, plan = self.task.sample(layout_rng, self.split, seed, place, clutter)
        self.task.begin(world, layout, plan)
        episode = _Episode(seed, startup_seed, Setting(layout, plan.kinds, place), groups)
        self._episodes[world], self._noise[world] = episode, episode.rng(MEASUREMENT_STREAM)
        look, look_facts = self._draw_look(episode)
        dynamics, dynamics_facts = self._draw_dynamics(episode) if randomizes else (Dynamics.nominal(1), {})
        flaws = self.flaws.apply(world, seed, episode.unit_seed, float(look.focal_scale[0]), episode.terms("flaws"))
        self.draws[world] = {
            "episode_seed": seed,
            "split": self.split,
            "layout": plan.facts,
            "look": look_facts,
            "dynamics": dynamics_facts,
            "flaws": flaws,
        }
        if self._has_startup:
            self.draws[world]["startup_seed"] = startup_seed
        return Draw(layout, look, dynamics)

    def _draw_look(self, episode: _Episode) -> tuple[Look, dict[str, Any]]:
        return self._look.sample(episode.rng(LOOK_STREAM), episode.setting, episode.terms("look"))

    def _draw_dynamics(self, episode: _Episode) -> tuple[Dynamics, dict[str, Any]]:
        return sample_dynamics(episode.rng(DYNAMICS_STREAM), episode.terms("dynamics"))

    def _show(self, world: int, layout: Layout, look: Look) -> None:
        self.renderer.apply(np.array([world]), layout, look)
        if self._twin is not None:
            self._twin.apply(world, layout, look)
        if self._flow is not None:
            self._flow.aim(world, look)

    def _vary(self, group: str, world: int) -> None:
        """Draw the interval terms of a group again in a running episode: the others come out as before."""
        episode, row = self._episodes[world], np.array([world])
        episode.times[group] = episode.times.get(group, 0) + 1
        if group == "look":
            self._show(world, episode.setting.layout, self._draw_look(episode)[0])
        elif group == "dynamics":
            dynamics, _ = self._draw_dynamics(episode)
            self.engine.vary(row, dynamics)
            self._commands.vary(row, dynamics)
            self._measurement_noise[world] = self.task.noise(dynamics)
        else:
            self.flaws.vary(world, episode.seed, episode.unit_seed, episode.terms(group))
        self._due[group][world] += self._steps_to_next(episode.terms(group))

    def _steps_to_next(self, terms: Drawing) -> int:
        return max(1, round(terms.next_interval_s() / self.task.control_dt_s))

    def _drawn_domain(self, world: int, seed: int) -> DomainConfig:
        """What this episode is drawn from: the domain, or the ranges that the curriculum has come to."""
        if self.curriculum is None:
            return self.domain
        domain, self._pins[world] = self.curriculum.draw(np.random.default_rng([seed, CURRICULUM_STREAM]))
        return domain

    def report_to_curriculum(self, world: int) -> None:
        """Tell the curriculum, if there is one, how the episode that has just ended in ``world`` went."""
        pin = self._pins[world]
        if self.curriculum is not None and pin is not None:
            self.curriculum.record(pin, bool(self.task.success[world]))

    def step(self, action: np.ndarray) -> Outcome:
        """Advance every world by one control step with (n, action_dim) actions in [-1, 1]."""
        for group, due in self._due.items():
            for row in np.flatnonzero(self.task.steps >= due).tolist():
                self._vary(group, row)
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
        flow, poses = None, (state.moving_pos, state.moving_quat)
        if self._flow is not None:
            flow = self._flow.advance(*poses, self._frames) if worlds is None else self._flow.begin(worlds, *poses)
        self._image = self.flaws.take(self._frames.rgb, state.velocity[:, 1], worlds, flow)

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

    def canonical(self) -> Frames:
        """Every world at this moment in the canonical look; only of a simulation with a twin, see `CanonicalTwin`."""
        state = self.engine.state
        return self._with_twin().render(state.moving_pos, state.moving_quat)

    def camera_pose(self, world: int) -> CameraPose:
        """Where the camera was when `canonical` was called last."""
        return self._with_twin().camera_pose(world)

    def _with_twin(self) -> CanonicalTwin:
        if self._twin is None:
            raise ValueError("this simulation has no canonical twin: make it with twin=True")
        return self._twin

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
        if self._twin is not None:
            self._twin.close()


def draw_episode_seed(rng: np.random.Generator, split: str) -> int:
    """An episode seed of a split: `train` draws the even ones, `test` the odd ones, so that they share none."""
    return 2 * int(rng.integers(MAX_EPISODE_SEED // 2)) + SPLITS.index(split)
