"""Engine `mujoco`: every world is a row of one `mujoco.batch.Batch`, stepped on a C thread pool.

The scene is compiled once. A draw only writes the per-world model fields below, always from the nominal, and then
lets MuJoCo derive what depends on them (`set_const`).
"""

from __future__ import annotations

import mujoco
import numpy as np
from mujoco.batch import Batch

from simgym.cores import usable_cores

from ..draw import PARKED_Z_M, Dynamics, Layout
from ..quaternion import from_yaw, rotate
from ..robot import Robot, RobotError, mesh_file
from ..scene import Part, Scene, Shape
from . import (
    CONTACT_CHECK_S,
    ROTOR_INERTIA_KG_M2,
    WHEEL_FRICTION,
    WHEEL_GAIN_NM_S,
    WHEEL_HALF_WIDTH_M,
    RobotState,
    contact_checks,
    is_floor,
)

PHYSICS_DT_S = 0.025  # within 7 cm and 3 degrees of 0.001 after 8 s of driving; 1/60 would be within 1 cm
FRICTION = (WHEEL_FRICTION, 0.005, 0.0001)  # sliding; the others count for nothing at condim 3
FLOOR_GROUP, FURNITURE_GROUP = 1, 2  # collision bits

_GEOM = {
    Shape.BOX: mujoco.mjtGeom.mjGEOM_BOX,
    Shape.CYLINDER: mujoco.mjtGeom.mjGEOM_CYLINDER,
    Shape.SPHERE: mujoco.mjtGeom.mjGEOM_SPHERE,
    Shape.CAPSULE: mujoco.mjtGeom.mjGEOM_CAPSULE,
    Shape.PLANE: mujoco.mjtGeom.mjGEOM_PLANE,  # infinite in physics, whatever its size in pictures
    Shape.MESH: mujoco.mjtGeom.mjGEOM_MESH,
}
# A nominal pose that is no shortcut: MuJoCo skips geom_pos and geom_quat where they compile to the identity.
_OFF_ORIGIN = (0.123, 0.234, 0.345)
_OFF_AXES = (0.5, 0.5, 0.5, 0.5)


class MujocoEngine:
    """Fixed bodies are static, the robot is free on its wheels; poses come out after each control step."""

    state: RobotState

    def load(self, scene: Scene, robot: Robot, num_worlds: int, control_dt_s: float) -> None:
        """See `Engine.load`. Raises RobotError where the URDF does not compile, UsageError for an odd rate."""
        self._chunks = contact_checks(control_dt_s)
        self._robot = robot
        try:
            model = _compile(scene, robot)
        except ValueError as error:
            raise RobotError(f"{robot.urdf}: MuJoCo refuses it: {' '.join(str(error).split())}") from error
        self._batch = Batch(model, num_worlds, nthread=min(num_worlds, usable_cores()))
        self._substeps = round(CONTACT_CHECK_S / PHYSICS_DT_S)
        self._find_ids(model, scene, robot)
        names = ["body_pos", "body_quat", "geom_pos", "geom_quat", "geom_size", "geom_friction", "body_mass"]
        self._expand(model, [*names, "body_inertia", "actuator_gainprm", "actuator_biasprm"])
        self.state = RobotState.zeros(num_worlds, scene)
        self._all = np.arange(num_worlds)
        self._contact_found = self._batch.bind("sensordata")  # (n, 1)
        self._bind()

    def _bind(self) -> None:
        """Arrays over what every step reads and writes."""
        self._xpos, self._xquat = self._batch.bind("xpos"), self._batch.bind("xquat")
        self._qpos, self._qvel = self._batch.bind("qpos"), self._batch.bind("qvel")
        self._ctrl = self._batch.bind("ctrl")

    def _find_ids(self, model: mujoco.MjModel, scene: Scene, robot: Robot) -> None:
        self._bodies = [model.body(body.name).id for body in scene.bodies]
        colliding = [i for i, part in enumerate(scene.parts[: scene.num_fixed_parts]) if part.collides]
        self._parts = np.array(colliding, int)
        self._geoms = np.array([model.geom(f"part{i}").id for i in colliding], int)
        self._links = np.array([model.body(link.name).id for link in robot.links], int)
        wheel_bodies = [model.joint(name).bodyid[0] for name in robot.drive.joints]
        self._wheel_geoms = np.flatnonzero(np.isin(model.geom_bodyid, wheel_bodies))

    def _expand(self, model: mujoco.MjModel, names: list[str]) -> None:
        """Give the fields that draws write one row a world, and remember the nominal of those that draws scale."""
        self._fields = {name: self._batch.expand(name) for name in names}
        self._nominal = {name: getattr(model, name).copy() for name in names}

    def apply(self, worlds: np.ndarray, layout: Layout, dynamics: Dynamics) -> None:
        """See `Engine.apply`."""
        self._write_layout(worlds, layout)
        self._scale("body_mass", worlds, self._links, dynamics.mass_scale)
        self._scale("body_inertia", worlds, self._links, dynamics.mass_scale)
        self.vary(worlds, dynamics)
        self._batch.set_const(worlds)
        self._batch.reset(worlds, stage=mujoco.mjtStage.mjSTAGE_NONE.value)
        self._start(worlds, layout)
        self._batch.forward(worlds, stage=mujoco.mjtStage.mjSTAGE_VEL.value)
        self.state.collision[worlds] = False
        self.state.failed[worlds] = False
        self._read_state(worlds)

    def _start(self, worlds: np.ndarray, layout: Layout) -> None:
        """Put what moves at its start."""
        self._qpos[worlds, :2] = layout.robot_pose[:, :2]
        self._qpos[worlds, 2] = 0.0
        self._qpos[worlds, 3:7] = from_yaw(layout.robot_pose[:, 2])

    def _write_layout(self, worlds: np.ndarray, layout: Layout) -> None:
        rows = np.ix_(worlds, self._bodies)
        self._fields["body_pos"][rows] = layout.body_pos[:, : len(self._bodies)]
        self._fields["body_quat"][rows] = layout.body_quat[:, : len(self._bodies)]
        rows = np.ix_(worlds, self._geoms)
        position = layout.part_pos[:, self._parts].copy()  # (n, G, 3)
        position[..., 2] = np.where(layout.part_visible[:, self._parts], position[..., 2], PARKED_Z_M)
        self._fields["geom_pos"][rows] = position
        self._fields["geom_quat"][rows] = layout.part_quat[:, self._parts]
        self._fields["geom_size"][rows] = layout.part_size[:, self._parts]

    def vary(self, worlds: np.ndarray, dynamics: Dynamics) -> None:
        """See `Engine.vary`."""
        self._scale("geom_friction", worlds, self._wheel_geoms, dynamics.wheel_friction_scale)
        motors = np.arange(len(self._nominal["actuator_gainprm"]))
        self._scale("actuator_gainprm", worlds, motors, dynamics.actuator_gain_scale)
        self._scale("actuator_biasprm", worlds, motors, dynamics.actuator_gain_scale)

    def _scale(self, name: str, worlds: np.ndarray, rows: np.ndarray, scale: np.ndarray) -> None:
        nominal = self._nominal[name][rows]
        self._fields[name][np.ix_(worlds, rows)] = nominal * scale.reshape(-1, *[1] * nominal.ndim)

    def step(self, target: np.ndarray) -> None:
        """See `Engine.step`."""
        self._ctrl[:] = target
        self.state.collision[:] = False
        for chunk in range(self._chunks):
            last = chunk == self._chunks - 1
            stage = mujoco.mjtStage.mjSTAGE_VEL if last else mujoco.mjtStage.mjSTAGE_NONE
            self._batch.step(nstep=self._substeps, stage=stage.value)
            self.state.collision |= self._contact_found[:, 0] > 0
        self._read_state(self._all)

    def _read_state(self, worlds: np.ndarray) -> None:
        state = self.state
        state.failed[worlds] |= ~(np.isfinite(self._qpos[worlds]).all(1) & np.isfinite(self._qvel[worlds]).all(1))
        state.velocity[worlds] = 0
        worlds = worlds[~state.failed[worlds]]
        state.link_pos[worlds] = self._xpos[worlds][:, self._links]
        state.link_quat[worlds] = self._xquat[worlds][:, self._links]
        base_to_world = self._qpos[worlds, 3:7]
        forward = rotate(base_to_world, np.array([1.0, 0.0, 0.0]))  # (n, 3)
        state.velocity[worlds, 0] = (self._qvel[worlds, :3] * forward).sum(-1)
        state.velocity[worlds, 1] = self._qvel[worlds, 5]

    def close(self) -> None:
        """See `Engine.close`."""
        self.__dict__.pop("_batch", None)


def _compile(scene: Scene, robot: Robot) -> mujoco.MjModel:
    """The robot's URDF plus one static body for each fixed body of the scene, all under one parent."""
    spec = mujoco.MjSpec.from_file(str(robot.urdf))
    for mesh in spec.meshes:
        mesh.file = str(mesh_file(robot.urdf, mesh.file).resolve())
    spec.compiler.fusestatic = False  # keep the links that are fixed to others: they carry the camera
    spec.option.timestep = PHYSICS_DT_S
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    # The bounding volumes inside bodies are built at compilation, and draws change what they bound.
    spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_MIDPHASE
    # Physics that fails must show, not start again from the origin.
    spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
    root = spec.body(robot.links[0].name)
    root.add_freejoint()
    _set_up_robot(spec, robot)
    furniture = spec.worldbody.add_body(name="furniture")
    index = 0
    for body in scene.bodies:
        parent, group = (spec.worldbody, FLOOR_GROUP) if is_floor(body) else (furniture, FURNITURE_GROUP)
        node = parent.add_body(name=body.name, pos=_OFF_ORIGIN, quat=_OFF_AXES)
        for part in body.parts:
            if part.collides:
                add_geom(spec, node, part, index, group)
            index += 1
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


def add_geom(spec: mujoco.MjSpec, body: mujoco.MjsBody, part: Part, index: int, group: int) -> None:
    """Add a part that collides, in collision group ``group``; its pose and size are for draws to say."""
    options = {}
    if part.mesh is not None:
        mesh = spec.add_mesh(name=f"mesh{index}", file=str(part.mesh.resolve()), scale=part.size)
        options["meshname"] = mesh.name
    size = [max(value, 0.01) for value in part.size]
    body.add_geom(
        name=f"part{index}",
        type=_GEOM[part.shape],
        size=size,
        pos=_OFF_ORIGIN,
        quat=_OFF_AXES,
        contype=group,
        conaffinity=0,
        **options,
    )
