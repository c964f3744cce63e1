"""Engine `bullet` for a robot that drives: it is free on its wheels; see `bullet_base.py`."""

from __future__ import annotations

import numpy as np

from ..draw import Dynamics, Layout
from ..quaternion import conjugate, from_yaw, rotate
from ..robot import Robot
from ..scene import Scene, Shape
from . import CONTACT_CHECK_S, ROTOR_INERTIA_KG_M2, WHEEL_FRICTION, WHEEL_GAIN_NM_S, WHEEL_HALF_WIDTH_M
from .bullet_base import BulletBase
from .rigid import Rigid, combined

PHYSICS_DT_S = CONTACT_CHECK_S  # ends within 2.2 % of the way and 2.8 degrees of MuJoCo; half of it is no nearer
SOLVER_ITERATIONS, SOLVER_RESIDUAL = 20, 1e-4  # at most so many a physics step, fewer once so little changes
TOUCH_M = 0.001  # Bullet stops bodies about here before they touch
# What touches the floor shares the robot's weight as springs do; among rigid bodies the solver would choose who carries
# it. With wheels ten times as stiff as casters as much of it is on them as in MuJoCo.
CONTACT_STIFFNESS_N_M, WHEEL_STIFFNESS_N_M = 20_000.0, 200_000.0
CONTACT_DAMPING_N_S_M = 200.0
ROLLING = 0.994  # MuJoCo's wheels sink 0.6 mm into the floor, and roll on a circle that much smaller


class BulletEngine(BulletBase[Robot]):
    """Fixed bodies are static, the robot is free on its wheels."""

    _physics_dt_s, _solver_iterations, _solver_residual = PHYSICS_DT_S, SOLVER_ITERATIONS, SOLVER_RESIDUAL

    def load(self, scene: Scene, robot: Robot, num_worlds: int, control_dt_s: float) -> None:
        """See `BulletBase.load`."""
        super().load(scene, robot, num_worlds, control_dt_s)
        self._moments = [self._principal_moments(link, body) for link, body in enumerate(self._rigid, start=-1)]
        self._motor_gain, self._motor_share = np.ones((num_worlds, 2)), np.ones((num_worlds, 2))  # see `_motors`

    def _driven_joints(self, robot: Robot) -> tuple[str, ...]:
        return robot.drive.joints

    def _reshape(self, body: Rigid, size: np.ndarray) -> None:
        if body.joint in self._robot.drive.joints:
            size[[part.shape == Shape.CYLINDER for part in body.shapes], 1] = WHEEL_HALF_WIDTH_M

    def _principal_moments(self, link: int, body: Rigid) -> tuple[np.ndarray, np.ndarray]:
        """(3,) nominal moments of inertia that scale with the mass, and (3,) those of the rotor, which do not."""
        moments, axes = body.inertia.principal()
        is_wheel = link in self._driven
        return moments, is_wheel * ROTOR_INERTIA_KG_M2 * rotate(conjugate(axes), body.axis) ** 2

    def _build(self, world: int, unseen: int, layout: Layout, dynamics: Dynamics, row: int) -> None:
        client, (x, y, heading) = self._clients[world], layout.robot_pose[row]
        start = combined((np.array([x, y, 0.0]), from_yaw(heading)), self._base)
        self._robots[world] = self._add_robot(client, unseen, self._rigid[0].inertia.mass, start)
        self._write_dynamics(client, self._robots[world], dynamics, row)

    def _write_dynamics(self, client: int, robot: int, dynamics: Dynamics, row: int) -> None:
        """Masses, inertias, friction and damping, always from the nominal."""
        mass_scale, friction_scale = float(dynamics.mass_scale[row]), float(dynamics.wheel_friction_scale[row])
        for link, body in enumerate(self._rigid, start=-1):
            is_wheel, (moments, rotor) = link in self._driven, self._moments[link + 1]
            self._bullet.changeDynamics(
                robot,
                link,
                mass=body.inertia.mass * mass_scale,
                localInertiaDiagonal=(moments * mass_scale + rotor).tolist(),
                lateralFriction=WHEEL_FRICTION * friction_scale if is_wheel else 0.0,
                linearDamping=0.0,
                angularDamping=0.0,
                jointDamping=0.0 if is_wheel else body.damping_nm_s,  # see `_motors`
                contactStiffness=WHEEL_STIFFNESS_N_M if is_wheel else CONTACT_STIFFNESS_N_M,
                contactDamping=CONTACT_DAMPING_N_S_M,
                physicsClientId=client,
            )
            if link >= 0 and not is_wheel:  # Bullet gives every joint a motor that brakes it
                self._bullet.setJointMotorControl2(
                    robot, link, self._bullet.VELOCITY_CONTROL, force=0, physicsClientId=client
                )

    def vary(self, worlds: np.ndarray, dynamics: Dynamics) -> None:
        """See `Engine.vary`."""
        for row, world in enumerate(worlds):
            for link in self._driven:
                self._bullet.changeDynamics(
                    self._robots[world],
                    link,
                    lateralFriction=WHEEL_FRICTION * float(dynamics.wheel_friction_scale[row]),
                    physicsClientId=self._clients[world],
                )
            motors = self._motors(float(dynamics.actuator_gain_scale[row]), float(dynamics.mass_scale[row]))
            self._motor_gain[world], self._motor_share[world] = np.transpose(motors)

    def _motors(self, gain_scale: float, mass_scale: float) -> list[tuple[float, float]]:
        """Velocity gain of each wheel's motor, and the share of the command it settles at (gain against damping).

        Bullet's motor removes a share of the velocity error in one physics step, while its torque suffices. This is the
        share that a torque of gain times error removes, taken implicitly, from a wheel that carries half of the robot.
        """
        carried = sum(body.inertia.mass for body in self._rigid) / 2 * self._robot.drive.wheel_radius_m**2
        motors = []
        for wheel in (self._rigid[1 + link] for link in self._driven):
            inertia = ROTOR_INERTIA_KG_M2 + mass_scale * (carried + wheel.axis @ wheel.inertia.tensor @ wheel.axis)
            gain = WHEEL_GAIN_NM_S * gain_scale
            rate = (gain + wheel.damping_nm_s) * PHYSICS_DT_S / inertia
            motors.append((rate / (1 + rate), ROLLING * gain / (gain + wheel.damping_nm_s)))
        return motors

    def _send(self, world: int, target: np.ndarray) -> None:
        self._bullet.setJointMotorControlArray(
            self._robots[world],
            self._driven,
            self._bullet.VELOCITY_CONTROL,
            targetVelocities=(target * self._motor_share[world]).tolist(),
            velocityGains=self._motor_gain[world].tolist(),
            forces=[self._robot.drive.wheel_torque_nm] * 2,
            physicsClientId=self._clients[world],
        )

    def _read_contacts(self, world: int) -> None:
        floors = self._floors[world]
        contacts = self._bullet.getContactPoints(self._robots[world], physicsClientId=self._clients[world])
        # Distance, bodies.
        touches = (c[8] < TOUCH_M and c[1] not in floors and c[2] not in floors for c in contacts)
        self.state.collision[world] |= any(touches)
