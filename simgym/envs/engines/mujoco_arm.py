"""Engine `mujoco` for an arm: it stands on the table, its joints are driven to positions, and objects lie about.

Beside what `mujoco_base.py` says: an object's shapes that a draw does not use touch nothing, and an object that is not
there floats apart from all the others, without weight.
"""

from __future__ import annotations

import mujoco
import numpy as np

from ..arm import ARM_JOINTS, BASE_LINKS, FINGER_JOINTS, HAND_LINKS, Arm
from ..draw import Dynamics, Layout
from ..scene import Scene
from . import is_floor
from .mujoco_base import FLOOR_GROUP, FURNITURE_GROUP, OFF_AXES, OFF_ORIGIN, MujocoBase, add_body, set_options
from .rigid import object_inertia

PHYSICS_DT_S = 0.005
OBJECT_GROUP, BASE_GROUP = 4, 8  # collision bits: of objects, and of the arm's part that its own hand may hit
ARM_GAIN_NM, ARM_DAMPING_NM_S = 3000.0, 200.0  # of the joints' drives: torque per rad and per rad/s
FINGER_GAIN_N, FINGER_DAMPING_N_S = 8000.0, 10.0  # force per m and per m/s
FINGER_DRAG_N_S, FINGER_ROTOR_KG = 130.0, 0.3  # of the geared motor: the fingers close at 0.15 m/s, the force is 20 N
SLIPPERY = 1e-3  # of all but objects: MuJoCo takes the greater friction of two, and an object's own shall count
SPIN_FRICTION_M, ROLL_FRICTION_M = 0.01, 0.0001  # fingers are soft: what they hold does not spin between them
STIFF_S = 0.01  # time constant of contacts with objects: with MuJoCo's usual 0.02 thin things slip out of the fingers
APART_M = 5.0  # objects that are not there float so far below the table, and so far from one another
TINY_M = 1e-4


class MujocoArmEngine(MujocoBase[Arm]):
    """Fixed bodies are static, the arm's base too; objects are free."""

    _physics_dt_s = PHYSICS_DT_S
    _persistent = True
    _drawn = (
        *MujocoBase._drawn, "body_ipos", "body_iquat", "body_gravcomp", "geom_contype", "geom_conaffinity",
    )  # fmt: skip

    def load(self, scene: Scene, robot: Arm, num_worlds: int, control_dt_s: float) -> None:
        """See `Engine.load`."""
        super().load(scene, robot, num_worlds, control_dt_s)
        self._object_friction = np.ones((num_worlds, len(scene.objects)))

    def _compile(self) -> mujoco.MjModel:
        """The arm plus one static body for each fixed body of the scene, one free body for each object."""
        scene, arm = self._scene, self._robot
        spec = mujoco.MjSpec.from_string(arm.description)
        set_options(spec, self._physics_dt_s)
        spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC  # with an impratio, what is held does not creep out
        spec.option.impratio = 10
        # What lies still, until something touches it, is not simulated: that takes half of the time.
        spec.option.enableflags |= mujoco.mjtEnableBit.mjENBL_SLEEP
        _set_up_arm(spec, arm)
        for body in scene.bodies:
            group = FLOOR_GROUP if is_floor(body) else FURNITURE_GROUP
            for geom in add_body(spec, spec.worldbody, scene, body, group).geoms:
                geom.friction[0] = SLIPPERY
        for body in scene.objects:
            node = add_body(spec, spec.worldbody, scene, body, OBJECT_GROUP)
            node.pos, node.quat = (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0)
            node.mass, node.inertia, node.explicitinertial = 0.1, (1e-4,) * 3, True
            # No shortcuts: draws set them.
            node.ipos, node.iquat, node.gravcomp = OFF_ORIGIN, OFF_AXES, 0.5
            node.add_freejoint()
            for geom in node.geoms:
                geom.conaffinity = FLOOR_GROUP | FURNITURE_GROUP | OBJECT_GROUP
                geom.friction, geom.solref = (1.0, SPIN_FRICTION_M, ROLL_FRICTION_M), (STIFF_S, 1.0)
        _add_contacts(spec, scene)
        return spec.compile()

    def _find_ids(self, model: mujoco.MjModel) -> None:
        super()._find_ids(model)
        objects = self._scene.objects
        self._objects = self._moving[: len(objects)]
        self._motors = np.arange(len(ARM_JOINTS))  # a weak arm lags, and the gripper's force is limited anyway
        self._joints = np.array([model.joint(name).qposadr[0] for name in self._robot.joints], int)
        free = np.array([model.jnt_qposadr[model.body(body.name).jntadr[0]] for body in objects], int)
        self._object_qpos = free[:, None] + np.arange(7)  # (M, 7)
        self._object_geoms = [np.flatnonzero(model.geom_bodyid == body) for body in self._objects]
        self._aside = np.zeros((len(objects), 3))
        self._aside[:, 0], self._aside[:, 2] = APART_M * (1 + np.arange(len(objects))), -APART_M

    def _write_layout(self, worlds: np.ndarray, layout: Layout) -> None:
        super()._write_layout(worlds, layout)
        self._object_friction[worlds] = layout.object_friction
        for row, world in enumerate(worlds):
            for k, geoms in enumerate(self._object_geoms):
                self._write_object(int(world), k, geoms, layout, row)

    def _write_object(self, world: int, k: int, geoms: np.ndarray, layout: Layout, row: int) -> None:
        parts, body, fields = self._scene.part_range(self._scene.num_fixed + k), self._objects[k], self._fields
        used = layout.part_visible[row, parts]
        for name in ("body_mass", "body_inertia", "body_ipos", "body_iquat"):
            fields[name][world, body] = self._nominal[name][body]
        for name in ("geom_contype", "geom_conaffinity"):
            fields[name][world, geoms] = np.where(used, self._nominal[name][geoms], 0)
        fields["body_gravcomp"][world, body] = 0.0 if used.any() else 1.0
        # Unused shapes count for the body's bounds: they lie within it.
        fields["geom_pos"][world, geoms[~used]] = fields["geom_pos"][world, geoms[used][0]] if used.any() else 0.0
        fields["geom_size"][world, geoms[~used]] = TINY_M
        if not used.any():
            return
        size, pos, quat = (getattr(layout, f"part_{name}")[row, parts] for name in ("size", "pos", "quat"))
        inertia = object_inertia(self._scene.objects[k], size, pos, quat, used, layout.object_mass_kg[row, k])
        moments, axes = inertia.principal()
        fields["body_mass"][world, body], fields["body_inertia"][world, body] = inertia.mass, moments
        fields["body_ipos"][world, body], fields["body_iquat"][world, body] = inertia.com, axes

    def vary(self, worlds: np.ndarray, dynamics: Dynamics) -> None:
        """See `Engine.vary`."""
        super().vary(worlds, dynamics)
        friction = self._object_friction[worlds] * dynamics.wheel_friction_scale[:, None]  # (n, M)
        for k, geoms in enumerate(self._object_geoms):
            self._fields["geom_friction"][np.ix_(worlds, geoms, np.array([0]))] = friction[:, k, None, None]

    def _start(self, worlds: np.ndarray, layout: Layout) -> None:
        self._qpos[np.ix_(worlds, self._joints)] = self._ctrl[worlds] = layout.joint_pos
        first = self._scene.num_fixed
        for row, world in enumerate(worlds):
            for k, address in enumerate(self._object_qpos):
                there = layout.part_visible[row, self._scene.part_range(first + k)].any()
                self._qpos[world, address[:3]] = layout.body_pos[row, first + k] if there else self._aside[k]
                self._qpos[world, address[3:]] = layout.body_quat[row, first + k]

    def _read_contacts(self) -> None:
        forces = self._sensors.reshape(len(self._sensors), -1, 3)  # (n, K, 3)
        np.maximum(self.state.contact_n, np.sqrt((forces * forces).sum(-1)), out=self.state.contact_n)


def _set_up_arm(spec: mujoco.MjSpec, arm: Arm) -> None:
    """What a URDF cannot say: drives, no gravity (as the real arm makes up for it), what collides with what."""
    for link in arm.links:
        body = spec.body(link.name)
        body.gravcomp = 1.0
        for geom in body.geoms:
            is_hand = link.name in HAND_LINKS
            geom.contype = BASE_GROUP if link.name in BASE_LINKS else 0
            geom.conaffinity = FURNITURE_GROUP | OBJECT_GROUP | BASE_GROUP if is_hand else 0
            geom.condim, geom.friction = 4, (SLIPPERY, SPIN_FRICTION_M, ROLL_FRICTION_M)
            geom.solref = STIFF_S, 1.0
    for name, effort in zip(arm.joints, arm.effort, strict=True):
        is_finger = name in FINGER_JOINTS
        drive = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        gain, damping = (FINGER_GAIN_N, FINGER_DAMPING_N_S) if is_finger else (ARM_GAIN_NM, ARM_DAMPING_NM_S)
        drive.set_to_position(kp=gain, kv=damping)
        drive.forcelimited, drive.forcerange = True, [-effort, effort]
        if is_finger:
            spec.joint(name).damping[0], spec.joint(name).armature = FINGER_DRAG_N_S, FINGER_ROTOR_KG
    # One motor moves both fingers.
    spec.add_equality(
        type=mujoco.mjtEq.mjEQ_JOINT, name1=FINGER_JOINTS[1], name2=FINGER_JOINTS[0],
        objtype=mujoco.mjtObj.mjOBJ_JOINT, data=[0, 1] + [0] * 10,
    )  # fmt: skip


def _add_contacts(spec: mujoco.MjSpec, scene: Scene) -> None:
    """A sensor of the net force for each pair of groups."""
    for k, contact in enumerate(scene.contacts):
        spec.add_sensor(
            name=f"contact{k}",
            type=mujoco.mjtSensor.mjSENS_CONTACT,
            objtype=mujoco.mjtObj.mjOBJ_XBODY,
            objname=contact.first,
            reftype=mujoco.mjtObj.mjOBJ_XBODY,
            refname=contact.second,
            intprm=[1 << mujoco.mjtConDataField.mjCONDATA_FORCE.value, 3, 1],  # 3: of all contacts together
        )
