"""Engine `mujoco` for an arm: it stands on the table, its joints are driven to positions, and objects lie about.

Beside what `mujoco.py` says: an object's shapes that a draw does not use touch nothing, and an object that is not there
floats apart from all the others, without weight.
"""

from __future__ import annotations

import mujoco
import numpy as np
from mujoco.batch import Batch

from simgym.cores import usable_cores

from ..arm import ARM_JOINTS, BASE_LINKS, FINGER_JOINTS, HAND_LINKS, Arm
from ..draw import Dynamics, Layout
from ..robot import RobotError
from ..scene import Body, Part, Scene
from . import CONTACT_CHECK_S, RobotState, contact_checks, is_floor
from .mujoco import FLOOR_GROUP, FURNITURE_GROUP, MujocoEngine, add_geom
from .rigid import solid_inertia

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


class MujocoArmEngine(MujocoEngine):
    """Fixed bodies are static, the arm's base too; objects are free."""

    def load(self, scene: Scene, robot: Arm, num_worlds: int, control_dt_s: float) -> None:  # type: ignore[override]
        """See `Engine.load`. Raises RobotError where the URDF does not compile, UsageError for an odd rate."""
        self._chunks = contact_checks(control_dt_s)
        self._arm, self._scene = robot, scene
        try:
            model = _compile(scene, robot)
        except ValueError as error:
            raise RobotError(f"{robot.urdf}: MuJoCo refuses it: {' '.join(str(error).split())}") from error
        self._batch = Batch(model, num_worlds, nthread=min(num_worlds, usable_cores()))
        self._substeps = round(CONTACT_CHECK_S / PHYSICS_DT_S)
        self._find_arm_ids(model, scene, robot)
        names = ["body_pos", "body_quat", "geom_pos", "geom_quat", "geom_size", "geom_friction", "body_mass"]
        names += ["body_inertia", "body_ipos", "body_iquat", "body_gravcomp", "geom_contype", "geom_conaffinity"]
        names += ["actuator_gainprm", "actuator_biasprm"]
        self._expand(model, names)
        self.state = RobotState.zeros(num_worlds, scene, len(robot.joints))
        self._all = np.arange(num_worlds)
        self._object_friction = np.ones((num_worlds, len(scene.objects)))
        self._forces = self._batch.bind("sensordata")  # (n, 3 K)
        self._bind()

    def _find_arm_ids(self, model: mujoco.MjModel, scene: Scene, arm: Arm) -> None:
        self._bodies = [model.body(body.name).id for body in scene.bodies]
        parts = scene.parts[: scene.num_placed_parts]
        self._parts = np.array([i for i, part in enumerate(parts) if part.collides], int)
        self._geoms = np.array([model.geom(f"part{i}").id for i in self._parts], int)
        self._objects = np.array([model.body(body.name).id for body in scene.objects], int)
        self._links = np.array([model.body(link.name).id for link in arm.links], int)
        self._moving = np.concatenate([self._objects, self._links])
        self._joints = np.array([model.joint(name).qposadr[0] for name in arm.joints], int)
        free = np.array([model.jnt_qposadr[model.body(body.name).jntadr[0]] for body in scene.objects], int)
        self._object_qpos = free[:, None] + np.arange(7)  # (M, 7)
        self._object_geoms = [np.flatnonzero(model.geom_bodyid == body) for body in self._objects]
        self._aside = np.zeros((len(scene.objects), 3))
        self._aside[:, 0], self._aside[:, 2] = APART_M * (1 + np.arange(len(scene.objects))), -APART_M

    def _write_layout(self, worlds: np.ndarray, layout: Layout) -> None:
        super()._write_layout(worlds, layout)
        self._object_friction[worlds] = layout.object_friction
        for row, world in enumerate(worlds):
            for k, geoms in enumerate(self._object_geoms):
                self._write_object(int(world), k, geoms, layout, row)

    def _write_object(self, world: int, k: int, geoms: np.ndarray, layout: Layout, row: int) -> None:
        parts, body, fields = self._scene.part_range(self._scene.num_fixed + k), self._objects[k], self._fields
        used = layout.part_visible[row, parts]
        pos, quat = layout.part_pos[row, parts], layout.part_quat[row, parts]
        for name in ("body_mass", "body_inertia", "body_ipos", "body_iquat"):
            fields[name][world, body] = self._nominal[name][body]
        for name in ("geom_contype", "geom_conaffinity"):
            fields[name][world, geoms] = np.where(used, self._nominal[name][geoms], 0)
        fields["body_gravcomp"][world, body] = 0.0 if used.any() else 1.0
        # Unused shapes count for the body's bounds: they lie within it.
        fields["geom_pos"][world, geoms] = np.where(used[:, None], pos, pos[used][0] if used.any() else 0.0)
        fields["geom_size"][world, geoms[~used]] = TINY_M
        if not used.any():
            return
        kinds = [part.shape for part in self._scene.objects[k].parts]
        inertia = solid_inertia(kinds, layout.part_size[row, parts], pos, quat, used, layout.object_mass_kg[row, k])
        moments, axes = inertia.principal()
        fields["body_mass"][world, body], fields["body_inertia"][world, body] = inertia.mass, moments
        fields["body_ipos"][world, body], fields["body_iquat"][world, body] = inertia.com, axes

    def vary(self, worlds: np.ndarray, dynamics: Dynamics) -> None:
        """See `Engine.vary`."""
        friction = self._object_friction[worlds] * dynamics.wheel_friction_scale[:, None]  # (n, M)
        for k, geoms in enumerate(self._object_geoms):
            self._fields["geom_friction"][np.ix_(worlds, geoms, np.array([0]))] = friction[:, k, None, None]
        motors = np.arange(len(ARM_JOINTS))  # a weak arm lags, and the gripper's force is limited anyway
        self._scale("actuator_gainprm", worlds, motors, dynamics.actuator_gain_scale)
        self._scale("actuator_biasprm", worlds, motors, dynamics.actuator_gain_scale)

    def _start(self, worlds: np.ndarray, layout: Layout) -> None:
        self._qpos[np.ix_(worlds, self._joints)] = self._ctrl[worlds] = layout.joint_pos
        first = self._scene.num_fixed
        for row, world in enumerate(worlds):
            for k, address in enumerate(self._object_qpos):
                there = layout.part_visible[row, self._scene.part_range(first + k)].any()
                self._qpos[world, address[:3]] = layout.body_pos[row, first + k] if there else self._aside[k]
                self._qpos[world, address[3:]] = layout.body_quat[row, first + k]
        self.state.contact_n[worlds] = 0

    def step(self, target: np.ndarray) -> None:
        """See `Engine.step`."""
        self._ctrl[:] = target
        self.state.contact_n[:] = 0
        for chunk in range(self._chunks):
            last = chunk == self._chunks - 1
            stage = mujoco.mjtStage.mjSTAGE_VEL if last else mujoco.mjtStage.mjSTAGE_NONE
            self._batch.step(nstep=self._substeps, stage=stage.value)
            forces = self._forces.reshape(len(self._forces), -1, 3)  # (n, K, 3)
            np.maximum(self.state.contact_n, np.sqrt((forces * forces).sum(-1)), out=self.state.contact_n)
        self._read_state(self._all)

    def _read_state(self, worlds: np.ndarray) -> None:
        state = self.state
        state.failed[worlds] |= ~(np.isfinite(self._qpos[worlds]).all(1) & np.isfinite(self._qvel[worlds]).all(1))
        state.contact_n[state.failed] = 0
        worlds = worlds[~state.failed[worlds]]
        state.moving_pos[worlds] = self._xpos[worlds][:, self._moving]
        state.moving_quat[worlds] = self._xquat[worlds][:, self._moving]
        state.joint_pos[worlds] = self._qpos[worlds][:, self._joints]


def _compile(scene: Scene, arm: Arm) -> mujoco.MjModel:
    """The arm plus one static body for each fixed body of the scene, one free body for each object."""
    spec = mujoco.MjSpec.from_string(arm.description)
    spec.compiler.fusestatic = False  # keep the links that are fixed to others: they carry the camera
    option = spec.option
    option.timestep = PHYSICS_DT_S
    option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC  # with an impratio, what is held does not creep out of the fingers
    option.impratio = 10
    option.disableflags |= mujoco.mjtDisableBit.mjDSBL_MIDPHASE | mujoco.mjtDisableBit.mjDSBL_AUTORESET
    _set_up_arm(spec, arm)
    for body in scene.bodies:
        node = spec.worldbody.add_body(name=body.name, pos=(0.1, 0.2, 0.3), quat=(0.5, 0.5, 0.5, 0.5))
        group = FLOOR_GROUP if is_floor(body) else FURNITURE_GROUP
        for i, part in _parts_of(scene, body):
            if part.collides:
                add_geom(spec, node, part, i, group)
                node.geoms[-1].friction[0] = SLIPPERY
    for body in scene.objects:
        node = spec.worldbody.add_body(name=body.name, mass=0.1, inertia=(1e-4,) * 3, explicitinertial=True)
        node.ipos, node.iquat, node.gravcomp = (
            (0.1, 0.2, 0.3),
            (0.5, 0.5, 0.5, 0.5),
            0.5,
        )  # no shortcuts: draws set them
        node.add_freejoint()
        for i, part in _parts_of(scene, body):
            add_geom(spec, node, part, i, OBJECT_GROUP)
            geom = node.geoms[-1]
            geom.conaffinity = FLOOR_GROUP | FURNITURE_GROUP | OBJECT_GROUP
            geom.friction, geom.solref = (1.0, SPIN_FRICTION_M, ROLL_FRICTION_M), (STIFF_S, 1.0)
    _add_contacts(spec, scene)
    return spec.compile()


def _parts_of(scene: Scene, body: Body) -> list[tuple[int, Part]]:
    """The parts of a body, each with its index in the scene."""
    parts = scene.part_range(scene.all_bodies.index(body))
    return list(zip(range(parts.start, parts.stop), body.parts, strict=True))


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
