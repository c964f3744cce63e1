"""Grasp's environments, alone and as a batch; the single one is its data sheet."""

from __future__ import annotations

from ...env import TaskEnv
from ...vector import TaskVectorEnv


class GraspEnv(TaskEnv):
    """Take an object from a table with a Franka Panda and lift it, seeing it through a camera.

    ## Task
    1-5 objects of 0.05-0.4 kg stand on a table: boxes, cans, bowls, bottles and hammers of human sizes, at any angle,
    and in the split `train` as many assemblies of blocks and cylinders by chance. The hand starts above them, pointing
    down, where it stays pointing; any one object will do. With `layout.meshes`, a folder of OBJ and STL files, half of
    the objects are these (`layout.mesh_share`).

    ## Action space
    `Box(-1, 1, (5,), float32)`, held for 0.1 s (10 Hz)

    | index | action | -1 | 1 | unit | frame |
    | --- | --- | --- | --- | --- | --- |
    | 0 | velocity of the hand along x | -0.25 | 0.25 | m/s | panda_link0 |
    | 1 | velocity of the hand along y | -0.25 | 0.25 | m/s | panda_link0 |
    | 2 | velocity of the hand along z | -0.25 | 0.25 | m/s | panda_link0 |
    | 3 | yaw rate of the hand, positive to the left | -1.5 | 1.5 | rad/s | panda_link0, about z |
    | 4 | opening of the gripper | 0.0 | 0.08 | m | panda_hand, along y |

    The velocities move a target for the hand within 0.28-0.72 m in x, 0.38 m to each side in y, -0.03-0.5 m in z and
    1.75 rad of yaw to each side; it stays within 3 cm and 0.3 rad of the hand. Inverse kinematics by damped least
    squares turn it into targets of the joints, always within their limits.

    ## Observation space
    `Dict`

    | key | index | meaning | lowest | highest | dtype | unit | frame |
    | --- | --- | --- | --- | --- | --- | --- | --- |
    | image | (row, column, channel) of (60, 80, 3) | RGB picture of the camera | 0 | 255 | uint8 | - | optical |
    | proprio | 0 of (5,) | x of the point between the finger tips | -2 | 2 | float32 | m | panda_link0 |
    | proprio | 1 of (5,) | y of that point | -2 | 2 | float32 | m | panda_link0 |
    | proprio | 2 of (5,) | z of that point: its height above the table | -2 | 2 | float32 | m | panda_link0 |
    | proprio | 3 of (5,) | yaw of the hand, of its x axis | -3.1416 | 3.1416 | float32 | rad | panda_link0 |
    | proprio | 4 of (5,) | opening between the fingers | -0.02 | 0.1 | float32 | m | panda_hand |

    On request (`observations=("image", "proprio", "depth", "segmentation")`)

    | key | index | meaning | lowest | highest | dtype | unit | frame |
    | --- | --- | --- | --- | --- | --- | --- | --- |
    | depth | (row, column) of (60, 80) | along the optical axis, inf: nothing | 0 | inf | float32 | m | optical |
    | segmentation | (row, column, k) of (60, 80, 2) | class, body index (-1: nothing) | -1 | any | int16 | - | - |

    The camera looks along the fingers from beside the palm (`view="shoulder"`: over the arm's right shoulder at the
    table, 0.42 m above it), and sees 69 degrees across. x points from the arm's base over the table, z up, z = 0 is the
    table.

    ## Reward
    The sum of `weight * term`, terms in `info["reward_terms"]`

    | term | value | weight |
    | --- | --- | --- |
    | approach | metres by which the hand came nearer to the nearest grasp | 2.0 |
    | grasp | 1 when both fingers begin to hold an object, -1 when they lose it | 1.0 |
    | lift | change of the height of the held object, as a share of what success needs, at most 1 | 3.0 |
    | success | 1 on success | 5.0 |
    | collision | 1 on a collision | -5.0 |
    | time | 1 | -0.02 |

    ## Episode end
    *Terminated* on success (an object's lowest point at least 0.1 m above the table, both fingers on it, for 0.5 s),
    on a collision (more than 60 N between arm and table, or between the hand and the arm), or when no object is left
    on the table. *Truncated* after 15 s, 150 steps.

    ## Randomization
    Masses and frictions of the objects vary always. `domain="randomized"`: also appearance, lights, camera, masses of
    the arm, friction of the fingers, drives and delay, and clutter out of the hand's reach: furniture behind the table,
    things on the walls and at the table's edges; ranges and units in `simgym.envs.config.RandomizationConfig`.
    `split="test"` has layouts, and half of the time kinds of objects, sizes and colours, that `split="train"` never
    draws.

    ## Info
    `is_success`, `lift` (m, the highest that a held object's lowest point was), `held_s` (s, how long it has been held
    up), `collisions` (steps with one), `reward_terms`, `draw` (what was drawn;
    `reset(options={"draw": info["draw"]})` replays the episode).

    ## Arguments
    `domain` (name or `DomainConfig`), `config` (`GraspConfig`), `split`, `observations`, `render_mode`.

    ## Version history
    v0: first.
    """

    metadata = TaskEnv.metadata | {"render_fps": 10}
    task = "Grasp"


class GraspVectorEnv(TaskVectorEnv):
    """A batch of `GraspEnv`."""

    metadata = TaskVectorEnv.metadata | {"render_fps": 10}
    task = "Grasp"
