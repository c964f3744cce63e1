"""The draw: one sampled variation of a scene, as arrays with one row a world.

Three independent parts: the *layout* (geometry, by the task), the *look* (appearance, by a look) and the *dynamics*
(physics and timing). Engines read layout and dynamics, renderers read layout and look.
B bodies and P parts are counted as in `Scene`; those that a draw places first.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from .quaternion import multiply, rotate
from .scene import Scene

MAX_LAMPS = 4
LAMP_REACH_M = 2.0
LAMP_SHARE = 0.14  # of a lamp's intensity, what it brings on average to what a camera sees of a room
PARKED_Z_M = -50.0  # unused slots wait here, out of the world and hidden


@dataclass
class Layout:
    """Geometry of the F bodies that a draw places, fixed ones then M objects, and of their Q parts.

    In metres, quaternions wxyz. Objects start at rest; one without a visible part is not there.
    """

    body_pos: np.ndarray  # (n, F, 3) world
    body_quat: np.ndarray  # (n, F, 4) world
    part_pos: np.ndarray  # (n, Q, 3) body frame
    part_quat: np.ndarray  # (n, Q, 4) body frame
    part_size: np.ndarray  # (n, Q, 3) as `Shape` says
    part_visible: np.ndarray  # (n, Q) bool; False: parked, collides with nothing, drawn nowhere
    robot_pose: np.ndarray  # (n, 3) start x, y, yaw_rad in the world
    joint_pos: np.ndarray  # (n, J) start of an arm's joints, rad and m; (n, 0) without an arm
    object_mass_kg: np.ndarray  # (n, M), spread evenly over the volume of its visible parts
    object_friction: np.ndarray  # (n, M) sliding, of every surface of the object
    object_rgb: np.ndarray  # (n, M, 3) its colour, in looks that have colours of things

    @classmethod
    def nominal(cls, scene: Scene, n: int) -> Layout:
        """Every body at the world origin, every part as the scene states it."""
        parts = scene.parts[: scene.num_placed_parts]

        def rows(values: list, width: int) -> np.ndarray:
            return np.tile(np.asarray(values, float).reshape(1, -1, width), (n, 1, 1))

        body_quat = np.zeros((n, scene.num_placed, 4))
        body_quat[..., 0] = 1
        return cls(
            body_pos=np.zeros((n, scene.num_placed, 3)),
            body_quat=body_quat,
            part_pos=rows([p.pos for p in parts], 3),
            part_quat=rows([p.quat for p in parts], 4),
            part_size=rows([p.size for p in parts], 3),
            part_visible=np.ones((n, len(parts)), bool),
            robot_pose=np.zeros((n, 3)),
            joint_pos=np.zeros((n, 0)),
            object_mass_kg=np.ones((n, len(scene.objects))),
            object_friction=np.ones((n, len(scene.objects))),
            object_rgb=np.ones((n, len(scene.objects), 3)),
        )

    def world_poses(self, scene: Scene, row: int) -> tuple[np.ndarray, np.ndarray]:
        """Positions (K, 3) and quaternions (K, 4) of the K parts of fixed bodies of one row in the world."""
        fixed = scene.num_fixed_parts
        body = scene.part_body[:fixed]
        body_quat = self.body_quat[row, body]
        pos = self.body_pos[row, body] + rotate(body_quat, self.part_pos[row, :fixed])
        return pos, multiply(body_quat, self.part_quat[row, :fixed])


@dataclass
class Setting:
    """What a look may know of the one room that it paints."""

    layout: Layout  # one row
    kinds: dict[str, str]  # body -> kind of furniture, of what stands in the room
    place: int | None  # its number, in domains with places


def _no_lamps() -> np.ndarray:
    return np.zeros((0, MAX_LAMPS, 3), np.float32)


@dataclass
class Look:
    """Appearance of all P parts, lights and camera. Colours are linear factors in 0..1.

    A point of a face with outward normal N shows ``part_rgb * texture * light``, cut to 0..1, where ``light`` is
    ``ambient_rgb + light_rgb * max(0, -N . light_dir)`` plus, for each of the L lamps, with D the way from the point to
    ``lamp_pos``, ``lamp_rgb * max(0, N . D / |D|) * R**2 / (R**2 + |D|**2)``, R being `LAMP_REACH_M`. Lamps that shine
    come first; one of colour 0 is none. Light above 1 overexposes; only where no lamp shines may it be cut to 1. A
    renderer without lamps draws `without_lamps`.
    """

    part_rgb: np.ndarray  # (n, P, 3) float32; multiplies the texture where there is one
    part_texture: np.ndarray  # (n, P) int32 index into the renderer's texture bank; -1: plain colour
    texture_size_m: np.ndarray  # (n, P) float32: the edge of one texture repeat
    light_dir: np.ndarray  # (n, 3) float32 unit vector, world, pointing from the light to the scene
    light_rgb: np.ndarray  # (n, 3) float32 directional
    ambient_rgb: np.ndarray  # (n, 3) float32
    camera_offset: np.ndarray  # (n, 3) float32 metres in the camera link's frame (x forward, y left, z up)
    camera_rpy_rad: np.ndarray  # (n, 3) float32 roll, pitch (down positive), yaw about the camera link's axes
    focal_scale: np.ndarray  # (n,) float32 multiplies fx and fy
    lamp_pos: np.ndarray = field(default_factory=_no_lamps)  # (n, L, 3) float32 world, metres; given none: dark
    lamp_rgb: np.ndarray = field(default_factory=_no_lamps)  # (n, L, 3) float32

    def __post_init__(self) -> None:
        n = len(self.focal_scale)
        if len(self.lamp_rgb) == 0 < n:
            self.lamp_pos, self.lamp_rgb = (np.zeros((n, MAX_LAMPS, 3), np.float32) for _ in range(2))

    def without_lamps(self) -> Look:
        """The same with ambient light in place of the lamps, about as bright on the whole."""
        ambient = self.ambient_rgb + np.float32(LAMP_SHARE) * self.lamp_rgb.sum(axis=1)
        return replace(self, ambient_rgb=ambient, lamp_rgb=np.zeros_like(self.lamp_rgb))


@dataclass
class Dynamics:
    """Physics and timing; each factor multiplies the nominal."""

    mass_scale: np.ndarray  # (n,) of the robot's links
    wheel_friction_scale: np.ndarray  # (n,)
    actuator_gain_scale: np.ndarray  # (n,)
    actuator_lag_s: np.ndarray  # (n,) first-order time constant of commands
    action_delay_steps: np.ndarray  # (n,) int whole control steps
    velocity_noise: np.ndarray  # (n, 2) standard deviations of measured m/s, rad/s

    @classmethod
    def nominal(cls, n: int) -> Dynamics:
        """Exactly the robot's description: no lag, no delay, no noise."""
        one, zero = np.ones(n), np.zeros(n)
        return cls(one, one.copy(), one.copy(), zero, np.zeros(n, np.int64), np.zeros((n, 2)))


@dataclass
class Draw:
    """One row a world of everything that varies between episodes."""

    layout: Layout
    look: Look
    dynamics: Dynamics
