"""Engine `mujoco` for a robot that drives: it is free on its wheels; see `mujoco_base.py`."""

from __future__ import annotations

import mujoco
import numpy as np

from ..draw import Dynamics, Layout
from ..quaternion import from_yaw, rotate
from ..robot import Robot, mesh_file
from . import ROTOR_INERTIA_KG_M2, WHEEL_FRICTION, WHEEL_GAIN_NM_S, WHEEL_HALF_WIDTH_M, is_floor
from .mujoco_base import FLOOR_GROUP, FURNITURE_GROUP, MujocoBase, add_body, set_options

PHYSICS_DT_S = 0.025  # within 7 cm and 3 degrees of 0.001 after 8 s of driving; 1/60 would be within 1 cm
FRICTION = (WHEEL_FRICTION, 0.005, 0.0001)  # sliding; the others count for nothing at condim 3


class MujocoEngine(MujocoBase[Robot]):
    """Fixed bodies are static, the robot is free on its wheels."""

    _physics_dt_s = PHYSICS_DT_S

    def _compile(self) -> mujoco.MjModel:
        """The robot's URDF plus one static body for each fixed body of the scene, all under one parent."""
        scene, robot = self._scene, self._robot
        spec = mujoco.MjSpec.from_file(str(robot.urdf))
        for mesh in spec.meshes:
            mesh.file = str(mesh_file(robot.urdf, mesh.file).resolve())
        set_options(spec, self._physics_dt_s)
        root = spec.body(robot.links[0].name)
        root.add_freejoint()
        _set_up_robot(spec, robot)
        furniture = spec.worldbody.add_body(name="furniture")
        for body in scene.bodies:
            parent, group = (spec.worldbody, FLOOR_GROUP) if is_floor(body) else (furniture, FURNITURE_GROUP)
            add_body(spec, parent, scene, body, group)
        spec.add_sensor(
            name="collision",
            type=mujoco.mjtSensor.mjSENS_CONTACT,
            objtype=mujoco.mjtObj.mjOBJ_XBODY,
            objname=root.name,
            reftype=mujoco.mjtObj.mjOBJ_XBODY,
            refname=furniture.name,
            intprm=[1 << mujoco.mjtConDataField.mjCONDATA_FOUND.value, 0, 1],
        )
        return spec.compile()

    def _find_ids(self, model: mujoco.MjModel) -> None:
        super()._find_ids(model)
        wheel_bodies = [model.joint(name).bodyid[0] for name in self._robot.drive.joints]
        self._wheel_geoms = np.flatnonzero(np.isin(model.geom_bodyid, wheel_bodies))

    def _start(self, worlds: np.ndarray, layout: Layout) -> None:
        self._qpos[worlds, :2] = layout.robot_pose[:, :2]
        self._qpos[worlds, 2] = 0.0
        self._qpos[worlds, 3:7] = from_yaw(layout.robot_pose[:, 2])

    def vary(self, worlds: np.ndarray, dynamics: Dynamics) -> None:
        """See `Engine.vary`."""
        super().vary(worlds, dynamics)
        self._scale("geom_friction", worlds, self._wheel_geoms, dynamics.wheel_friction_scale)

    def _read_contacts(self) -> None:
        self.state.collision |= self._sensors[:, 0] > 0

    def _read_state(self, worlds: np.ndarray) -> None:
        """Poses and velocities; a world whose state is not finite has failed, keeps its last pose and stands still."""
        super()._read_state(worlds)
        state = self.state
        state.velocity[worlds] = 0
        worlds = worlds[~state.failed[worlds]]
        base_to_world = self._qpos[worlds, 3:7]
        forward = rotate(base_to_world, np.array([1.0, 0.0, 0.0]))  # (n, 3)
        state.velocity[worlds, 0] = (self._qvel[worlds, :3] * forward).sum(-1)
        state.velocity[worlds, 1] = self._qvel[worlds, 5]


def _set_up_robot(spec: mujoco.MjSpec, robot: Robot) -> None:
    """What a URDF cannot say: friction, what collides with what, and motors."""
    for link in robot.links:
        for geom in spec.body(link.name).geoms:
            geom.contype, geom.conaffinity = 0, FLOOR_GROUP | FURNITURE_GROUP  # never with itself
            is_wheel = any(joint.name in robot.drive.joints for joint in spec.body(link.name).joints)
            if is_wheel and geom.type == mujoco.mjtGeom.mjGEOM_CYLINDER:
                geom.size[1] = WHEEL_HALF_WIDTH_M
            geom.friction = FRICTION
            geom.condim = 3 if is_wheel else 1  # all but the wheels slide without friction
            geom.priority = 1  # the robot's contact parameters count, whatever it stands on
    torque = robot.drive.wheel_torque_nm
    for name in robot.drive.joints:
        spec.joint(name).armature = ROTOR_INERTIA_KG_M2
        motor = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        motor.set_to_velocity(kv=WHEEL_GAIN_NM_S)
        motor.forcelimited, motor.forcerange = True, [-torque, torque]
