"""ChairNav's environments, alone and as a batch; the single one is its data sheet."""

from __future__ import annotations

from ...env import TaskEnv
from ...vector import TaskVectorEnv


class ChairNavEnv(TaskEnv):
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

    task = "ChairNav"


class ChairNavVectorEnv(TaskVectorEnv):
    """A batch of `ChairNavEnv`."""

    task = "ChairNav"
