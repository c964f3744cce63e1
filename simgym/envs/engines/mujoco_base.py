"""What every MuJoCo engine has in common: every world is a row of one `mujoco.batch.Batch`, on a C thread pool.

The scene is compiled once. A draw only writes per-world fields of the model, always from the nominal, and then lets
MuJoCo derive what depends on them (`set_const`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Generic, TypeVar

import mujoco
import numpy as np
from mujoco.batch import Batch

from simgym.cores import usable_cores

from ..arm import Arm
from ..draw import PARKED_Z_M, Dynamics, Layout
from ..hull import convex_hull
from ..quaternion import multiply, rotate
from ..robot import Robot, RobotError
from ..scene import Body, Scene, Shape
from . import CONTACT_CHECK_S, RobotState, contact_checks

FLOOR_GROUP, FURNITURE_GROUP = 1, 2  # collision bits

GEOM = {
    Shape.BOX: mujoco.mjtGeom.mjGEOM_BOX,
    Shape.CYLINDER: mujoco.mjtGeom.mjGEOM_CYLINDER,
    Shape.SPHERE: mujoco.mjtGeom.mjGEOM_SPHERE,
    Shape.CAPSULE: mujoco.mjtGeom.mjGEOM_CAPSULE,
    Shape.PLANE: mujoco.mjtGeom.mjGEOM_PLANE,  # infinite in physics, whatever its size in pictures
    Shape.MESH: mujoco.mjtGeom.mjGEOM_MESH,  # its convex hull
}
# A nominal pose that is no shortcut: MuJoCo skips geom_pos and geom_quat where they compile to the identity.
OFF_ORIGIN = (0.123, 0.234, 0.345)
OFF_AXES = (0.5, 0.5, 0.5, 0.5)
RobotT = TypeVar("RobotT", bound=Robot | Arm)


class MujocoBase(ABC, Generic[RobotT]):
    """Fixed bodies are static; poses come out after each control step."""

    state: RobotState
    _physics_dt_s: ClassVar[float]
    _persistent: ClassVar[bool] = False  # whether worlds keep more than their state, as those do whose things sleep
    _drawn: ClassVar[tuple[str, ...]] = (
        "body_pos", "body_quat", "body_mass", "body_inertia", "geom_pos", "geom_quat", "geom_size", "geom_friction",
        "actuator_gainprm", "actuator_biasprm",
    )  # fmt: skip  # fields of the model that draws write

    def load(self, scene: Scene, robot: RobotT, num_worlds: int, control_dt_s: float) -> None:
        """See `Engine.load`. Raises RobotError where the URDF does not compile, UsageError for an odd rate."""
        self._chunks = contact_checks(control_dt_s)
        self._scene, self._robot = scene, robot
        try:
            model = self._compile()
        except ValueError as error:
            raise RobotError(f"{robot.urdf}: MuJoCo refuses it: {' '.join(str(error).split())}") from error
        self._batch = Batch(model, num_worlds, nthread=min(num_worlds, usable_cores()), persistent=self._persistent)
        self._substeps = round(CONTACT_CHECK_S / self._physics_dt_s)
        self._find_ids(model)
        # One row a world of the fields that draws write, and the nominal of those that draws scale.
        self._fields = {name: self._batch.expand(name) for name in self._drawn}
        self._nominal = {name: getattr(model, name).copy() for name in self._drawn}
        self.state = RobotState.zeros(num_worlds, scene, len(self._joints))
        self._all = np.arange(num_worlds)
        self._xpos, self._xquat = self._batch.bind("xpos"), self._batch.bind("xquat")
        self._qpos, self._qvel = self._batch.bind("qpos"), self._batch.bind("qvel")
        self._ctrl, self._sensors = self._batch.bind("ctrl"), self._batch.bind("sensordata")

    @abstractmethod
    def _compile(self) -> mujoco.MjModel:
        """Scene and robot; raises ValueError where MuJoCo refuses them."""

    def _find_ids(self, model: mujoco.MjModel) -> None:
        """Where the model has what draws write and steps read; an arm adds its joints."""
        scene = self._scene
        self._joints = np.zeros(0, int)
        self._motors = np.arange(len(model.actuator_gainprm))  # whose gain draws scale
        self._bodies = [model.body(body.name).id for body in scene.bodies]
        self._parts = np.array(
            [i for i, part in enumerate(scene.parts[: scene.num_placed_parts]) if part.collides], int
        )
        self._geoms = np.array([model.geom(f"part{i}").id for i in self._parts], int)
        self._links = np.array([model.body(link.name).id for link in scene.links], int)
        objects = [model.body(body.name).id for body in scene.objects]
        self._moving = np.array([*objects, *self._links], int)
        # MuJoCo has a mesh at its centre of mass, in its principal axes, and its size was compiled in.
        meshes = model.geom_dataid[self._geoms]
        self._is_mesh = np.flatnonzero(meshes >= 0)
        self._mesh_pos, self._mesh_quat = (
            values[meshes[self._is_mesh]] for values in (model.mesh_pos, model.mesh_quat)
        )

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
        self.state.contact_n[worlds] = 0
        self.state.failed[worlds] = False
        self._read_state(worlds)

    @abstractmethod
    def _start(self, worlds: np.ndarray, layout: Layout) -> None:
        """Put what moves at its start."""

    def _write_layout(self, worlds: np.ndarray, layout: Layout) -> None:
        rows = np.ix_(worlds, self._bodies)
        self._fields["body_pos"][rows] = layout.body_pos[:, : len(self._bodies)]
        self._fields["body_quat"][rows] = layout.body_quat[:, : len(self._bodies)]
        rows = np.ix_(worlds, self._geoms)
        position, turn, size = (getattr(layout, f"part_{name}")[:, self._parts] for name in ("pos", "quat", "size"))
        if len(self._is_mesh):
            mesh = self._is_mesh
            position[:, mesh] += rotate(turn[:, mesh], self._mesh_pos)
            turn[:, mesh] = multiply(turn[:, mesh], self._mesh_quat)
            size[:, mesh] = self._nominal["geom_size"][self._geoms[mesh]]
        position[..., 2] = np.where(layout.part_visible[:, self._parts], position[..., 2], PARKED_Z_M)
        self._fields["geom_pos"][rows], self._fields["geom_quat"][rows] = position, turn  # (n, G, 3), (n, G, 4)
        self._fields["geom_size"][rows] = size

    def vary(self, worlds: np.ndarray, dynamics: Dynamics) -> None:
        """See `Engine.vary`; friction is for who knows what has any."""
        self._scale("actuator_gainprm", worlds, self._motors, dynamics.actuator_gain_scale)
        self._scale("actuator_biasprm", worlds, self._motors, dynamics.actuator_gain_scale)

    def _scale(self, name: str, worlds: np.ndarray, rows: np.ndarray, scale: np.ndarray) -> None:
        nominal = self._nominal[name][rows]
        self._fields[name][np.ix_(worlds, rows)] = nominal * scale.reshape(-1, *[1] * nominal.ndim)

    def step(self, target: np.ndarray) -> None:
        """See `Engine.step`."""
        self._ctrl[:] = target
        self.state.collision[:] = False
        self.state.contact_n[:] = 0
        for chunk in range(self._chunks):
            last = chunk == self._chunks - 1
            stage = mujoco.mjtStage.mjSTAGE_VEL if last else mujoco.mjtStage.mjSTAGE_NONE
            self._batch.step(nstep=self._substeps, stage=stage.value)
            self._read_contacts()
        self._read_state(self._all)

    @abstractmethod
    def _read_contacts(self) -> None:
        """Add what touches now to the state."""

    def _read_state(self, worlds: np.ndarray) -> None:
        """Poses and joints; a world whose state is not finite has failed and keeps its last."""
        state = self.state
        state.failed[worlds] |= ~(np.isfinite(self._qpos[worlds]).all(1) & np.isfinite(self._qvel[worlds]).all(1))
        state.contact_n[state.failed] = 0
        worlds = worlds[~state.failed[worlds]]
        state.moving_pos[worlds] = self._xpos[worlds][:, self._moving]
        state.moving_quat[worlds] = self._xquat[worlds][:, self._moving]
        state.joint_pos[worlds] = self._qpos[worlds][:, self._joints]

    def close(self) -> None:
        """See `Engine.close`."""
        self.__dict__.pop("_batch", None)


def set_options(spec: mujoco.MjSpec, physics_dt_s: float) -> None:
    """What every model is compiled with."""
    spec.compiler.fusestatic = False  # keep the links that are fixed to others: they carry the camera
    spec.option.timestep = physics_dt_s
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    # The bounding volumes inside bodies are built at compilation, and draws change what they bound.
    spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_MIDPHASE
    # Physics that fails must show, not start again from the origin.
    spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET


def add_body(spec: mujoco.MjSpec, parent: mujoco.MjsBody, scene: Scene, body: Body, group: int) -> mujoco.MjsBody:
    """Add what collides of a body in collision group ``group``; poses and sizes are for draws to say, but of meshes."""
    node = parent.add_body(name=body.name, pos=OFF_ORIGIN, quat=OFF_AXES)
    first = scene.part_range(scene.all_bodies.index(body)).start
    for i, part in enumerate(body.parts, start=first):
        if not part.collides:
            continue
        options = {}
        if part.mesh is not None:
            options["meshname"] = f"{part.mesh} {part.size}"
            if spec.mesh(options["meshname"]) is None:
                hull = convex_hull(part.mesh)
                vertices, triangles = (hull.vertices * part.size).ravel(), hull.triangles.ravel()
                spec.add_mesh(name=options["meshname"], uservert=vertices, userface=triangles)
        size = [max(value, 0.01) for value in part.size]
        node.add_geom(
            name=f"part{i}", type=GEOM[part.shape], size=size, pos=OFF_ORIGIN, quat=OFF_AXES, contype=group,
            conaffinity=0, **options,
        )  # fmt: skip
    return node
