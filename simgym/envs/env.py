"""ChairNav as a `gymnasium.Env`: the batch of one."""

from __future__ import annotations

import copy
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from simgym.errors import UsageError

from .config import DOMAINS, DomainConfig
from .simulation import Simulation, draw_episode_seed
from .spaces import (
    DEFAULT_SENSORS,
    RENDER_MODES,
    action_space,
    check_action,
    check_render_mode,
    check_reset_options,
    observation_space,
    view,
)
from .tasks.chair_nav.config import ChairNavConfig

DRAW = ("episode_seed", "split", "layout", "look", "dynamics", "flaws")  # the keys of info["draw"]


class ChairNavEnv(gymnasium.Env[dict[str, np.ndarray], np.ndarray]):
    """Drive a differential-drive robot to a chair, seeing only through its camera.

    ## Task
    A furnished room of 4-9 m a side, some L-shaped or parted by a wall with an opening; 1-3 chairs, 0-8 obstacles,
    some of them in front of a chair. The robot starts anywhere, facing anywhere, at least 1 m short of success.

    ## Action space
    `Box(-1, 1, (2,), float32)`, held for 0.2 s (5 Hz)

    | index | action | -1 | 1 | unit | frame |
    | --- | --- | --- | --- | --- | --- |
    | 0 | forward speed | 0.0 | 0.5 | m/s | base_link, along x |
    | 1 | yaw rate, positive to the left | -1.5 | 1.5 | rad/s | base_link, about z |

    ## Observation space
    `Dict`

    | key | index | meaning | lowest | highest | dtype | unit | frame |
    | --- | --- | --- | --- | --- | --- | --- | --- |
    | image | (row, column, channel) of (60, 80, 3) | RGB picture of the camera | 0 | 255 | uint8 | - | optical |
    | velocity | 0 of (2,) | measured forward speed | -100 | 100 | float32 | m/s | base_link |
    | velocity | 1 of (2,) | measured yaw rate, positive to the left | -100 | 100 | float32 | rad/s | base_link |

    On request (`observations=("image", "velocity", "depth", "segmentation")`)

    | key | index | meaning | lowest | highest | dtype | unit | frame |
    | --- | --- | --- | --- | --- | --- | --- | --- |
    | depth | (row, column) of (60, 80) | along the optical axis, inf: nothing | 0 | inf | float32 | m | optical |
    | segmentation | (row, column, k) of (60, 80, 2) | class, body index (-1: nothing) | -1 | any | int16 | - | - |

    The camera stands 0.30 m high, looks level along x and sees 69 degrees across.

    ## Reward
    The sum of `weight * term`, terms in `info["reward_terms"]`

    | term | value | weight |
    | --- | --- | --- |
    | progress | metres of geodesic distance to success gained in the step | 2.0 |
    | success | 1 on success | 5.0 |
    | collision | 1 in a step with a collision | -5.0 |
    | tightness | 1 in a step that ends nearer to an obstacle than planned ways lead (0.17 m) | -0.1 |
    | time | 1 | -0.03 |

    ## Episode end
    *Terminated* on success (the base's centre within 1.0 m of a chair's centre, that chair within 30 degrees of
    straight ahead and in the picture with 0.5 % of its pixels, no collision before), or on a collision with anything
    but the floor (`collision="cost"`: it only costs). *Truncated* after 40 s, 200 steps.

    ## Randomization
    `domain="randomized"`: appearance, lights, camera, clutter, masses, friction, motors, delay and noise; ranges and
    units in `simgym.envs.config.RandomizationConfig`. `domain="standin"`: rooms of a place in photographic textures,
    through a flawed camera (`PhotoRanges`, `FlawRanges`); the image may be late, depth and segmentation never are.
    `split="test"` has layouts, and half of the time room shapes and chair styles, that `split="train"` never draws.

    ## Info
    `is_success`, `spl`, `soft_spl`, `distance_to_goal` (m, geodesic), `collisions` (steps with one), `reward_terms`,
    `draw` (what was drawn; `reset(options={"draw": info["draw"]})` replays the episode).

    ## Arguments
    `domain` (name or `DomainConfig`), `config` (`ChairNavConfig`), `split`, `observations`, `render_mode`.

    ## Version history
    v0: first.
    """

    metadata = {"render_modes": list(RENDER_MODES), "render_fps": 5}

    def __init__(
        self,
        domain: str | DomainConfig = "sim",
        config: ChairNavConfig | None = None,
        split: str = "train",
        observations: tuple[str, ...] = DEFAULT_SENSORS,
        render_mode: str | None = None,
    ) -> None:
        check_render_mode(render_mode)
        self.simulation = Simulation(config or ChairNavConfig(), resolve_domain(domain), 1, split)
        self.render_mode = render_mode
        self.metadata = self.metadata | {"render_fps": self.simulation.task.config.control_rate_hz}
        self._sensors = tuple(observations)
        self.observation_space: spaces.Dict = observation_space(self.simulation, self._sensors)  # type: ignore[assignment]
        self.action_space = action_space()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Start an episode; ``options={"draw": info["draw"]}`` replays one.

        Raises ValueError for a draw that is not whole, UsageError for one of another split, domain or configuration.
        """
        super().reset(seed=seed)
        check_reset_options(options or {}, "draw")
        drawn = (options or {}).get("draw")
        if drawn is None:
            self._start(draw_episode_seed(self.np_random, self.simulation.split))
        else:
            self._replay(drawn)
        return self._observe(), self._info()

    def _start(self, episode_seed: int) -> None:
        self.simulation.reset(np.array([0]), np.array([episode_seed]))

    def _replay(self, drawn: dict[str, Any]) -> None:
        missing = [name for name in DRAW if name not in drawn]
        if missing:
            raise ValueError(f"the draw lacks {', '.join(missing)}: pass the whole info['draw'] of an episode")
        if drawn["split"] != self.simulation.split:
            raise UsageError(f"the draw is of split={drawn['split']!r}, this environment of {self.simulation.split!r}")
        self._start(int(drawn["episode_seed"]))
        differing = [name for name in DRAW if drawn[name] != self.simulation.draws[0][name]]
        if differing:
            raise UsageError(
                f"the draw was made in another domain or configuration: its {', '.join(differing)} cannot be drawn here"
            )

    def step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """Act for one control step. Raises ValueError for an action of the wrong shape or with NaN."""
        outcome = self.simulation.step(check_action(action, (2,))[None])
        info = self._info()
        info["reward_terms"] = {name: float(term[0]) for name, term in outcome.terms.items()}
        return (
            self._observe(),
            float(outcome.reward[0]),
            bool(outcome.terminated[0]),
            bool(outcome.truncated[0]),
            info,
        )

    def _observe(self) -> dict[str, np.ndarray]:
        return view(self.simulation.observe(), self._sensors, 0)

    def _info(self) -> dict[str, Any]:
        info: dict[str, Any] = {name: values[0].item() for name, values in self.simulation.task.info().items()}
        return info | {"draw": copy.deepcopy(self.simulation.draws[0])}

    def expert_action(self) -> np.ndarray:
        """(2,) float32: what the privileged planner would do now."""
        return self.simulation.expert_action()[0]

    def render(self) -> np.ndarray | None:
        """The camera's picture (H, W, 3) or depth (H, W), as ``render_mode`` says."""
        observation = self.simulation.observe()
        if self.render_mode == "rgb_array":
            return observation.image[0].copy()
        return observation.depth[0].copy() if self.render_mode == "depth_array" else None

    def close(self) -> None:
        """Release the simulator; may be called twice."""
        self.simulation.close()


def resolve_domain(domain: str | DomainConfig) -> DomainConfig:
    """A domain by name. Raises UsageError with the known names."""
    if isinstance(domain, DomainConfig):
        return domain
    if domain not in DOMAINS:
        raise UsageError(f"domain={domain!r}: expected one of {', '.join(DOMAINS)}")
    return DOMAINS[domain]
