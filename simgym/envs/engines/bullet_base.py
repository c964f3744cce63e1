"""What every Bullet engine has in common: one physics client a world, in which only what a draw shows exists.

A draw empties its world and builds it anew, which takes a few milliseconds: PyBullet can neither resize a shape nor
free a removed one, and a world that starts empty depends on nothing that was there before.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import ClassVar, Generic, TypeVar

import numpy as np

from simgym.errors import UsageError, UserError, install_command

from ..arm import Arm
from ..draw import Dynamics, Layout
from ..hull import convex_hull
from ..quaternion import multiply, rotate
from ..robot import Robot
from ..scene import Part, Scene, Shape
from . import CONTACT_CHECK_S, RobotState, contact_checks, is_floor
from .rigid import HERE, JOINTS, Pose, Rigid, combined, inverse, rigid_bodies

MAX_SHAPES = 16  # of one body; PyBullet drops the rest without a word
GRAVITY_M_S2 = 9.81
RobotT = TypeVar("RobotT", bound=Robot | Arm)


def import_pybullet() -> ModuleType:
    """PyBullet. Raises UserError with how to get it."""
    try:
        import pybullet
    except ModuleNotFoundError as error:
        raise UserError(
            "domain.engine=bullet and domain.renderer=bullet need PyBullet, which is not installed and has wheels for "
            f"Python 3.11 only: {install_command('train')} under Python 3.11, or take mujoco and raster"
        ) from error
    return pybullet


def connect(bullet: ModuleType, clients: list[int], count: int) -> None:
    """Add so many new physics clients to ``clients``. Raises UserError where PyBullet has no room for them."""
    for _ in range(count):
        clients.append(bullet.connect(bullet.DIRECT))
        if clients[-1] < 0:
            raise UserError(
                f"PyBullet started {len(clients) - 1} of {count} worlds and no more: use fewer environments"
            )


def disconnect(bullet: ModuleType, clients: list[int]) -> None:
    """Release physics clients that are still connected."""
    for client in clients:
        if client >= 0 and bullet.isConnected(client):
            bullet.disconnect(client)


def xyzw(quat: np.ndarray) -> list:
    """Quaternions (..., 4) wxyz in Bullet's order."""
    return np.roll(quat, -1, axis=-1).tolist()


class BulletBase(ABC, Generic[RobotT]):
    """Fixed bodies are static; poses come out after each control step."""

    state: RobotState
    _physics_dt_s: ClassVar[float]
    _solver_iterations: ClassVar[int]
    _solver_residual: ClassVar[float]
    _joint_kinds: ClassVar[tuple[str, ...]] = JOINTS  # that a robot may have
    _flags: ClassVar[tuple[str, ...]] = ()  # of the robot, by their names in PyBullet
    _release: Callable[[], object] | None = None

    def load(self, scene: Scene, robot: RobotT, num_worlds: int, control_dt_s: float) -> None:
        """See `Engine.load`.

        Raises UserError where PyBullet is missing, RobotError or UsageError where it cannot honour the robot, the
        scene or the rate.
        """
        self._checks = contact_checks(control_dt_s)
        self._substeps = round(CONTACT_CHECK_S / self._physics_dt_s)
        self._bullet = import_pybullet()
        self._scene, self._robot, self._rigid = scene, robot, rigid_bodies(robot, self._joint_kinds)
        self._sort_parts()
        self._prepare_robot()
        self._clients: list[int] = []
        self._release = weakref.finalize(self, disconnect, self._bullet, self._clients)
        self._hulls = self._write_hulls()
        connect(self._bullet, self._clients, num_worlds)
        self._robots: list[int] = [-1] * num_worlds
        self._floors: list[set[int]] = [set() for _ in range(num_worlds)]
        self.state = RobotState.zeros(num_worlds, scene, self._num_joints)

    @abstractmethod
    def _driven_joints(self, robot: RobotT) -> tuple[str, ...]:
        """The joints that `step` drives."""

    @property
    def _num_joints(self) -> int:
        """Of an arm."""
        return 0

    def _write_hulls(self) -> dict[Path, Path]:
        """A file of the hull of each mesh that collides: Bullet crashes over some meshes that we read."""
        parts = [part for part in self._scene.parts[: self._scene.num_placed_parts] if part.collides]
        parts += [part for body in self._rigid for part in body.shapes]
        meshes = dict.fromkeys(part.mesh for part in parts if part.mesh is not None)
        if not meshes:
            return {}
        folder = Path(tempfile.mkdtemp(prefix="simgym-hulls-"))  # Bullet takes meshes from files only
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        files = {mesh: folder / f"{i}.obj" for i, mesh in enumerate(meshes)}
        for mesh, file in files.items():
            file.write_text(convex_hull(mesh).obj())
        return files

    def _sort_parts(self) -> None:
        """Which fixed parts are floor and which are furniture."""
        scene = self._scene
        parts = scene.parts[: scene.num_fixed_parts]
        floors = [b for b, body in enumerate(scene.bodies) if is_floor(body)]
        on_floor = np.isin(scene.part_body[: len(parts)], floors)
        collides = np.array([part.collides for part in parts], bool)
        self._floor_parts, self._solid_parts = np.flatnonzero(on_floor & collides), np.flatnonzero(~on_floor & collides)
        for index in self._solid_parts:
            if parts[index].shape == Shape.PLANE:
                name = scene.bodies[scene.part_body[index]].name
                raise UsageError(f"body {name!r}: domain.engine=bullet has planes as floors only; make it a box")

    def _prepare_robot(self) -> None:
        """What building the robot takes, and where its links sit on its rigid bodies."""
        rigid = self._rigid
        names = [body.joint for body in rigid]
        self._driven = [names.index(name) - 1 for name in self._driven_joints(self._robot)]  # Bullet's base is -1
        # Bullet has the base's pose at its centre of mass, in its principal axes, and what hangs on it from there.
        self._base = rigid[0].inertia.com, rigid[0].inertia.principal()[1]
        from_base = inverse(self._base)
        frames = [from_base, *[HERE] * len(rigid[1:])]  # of the rigid bodies in Bullet's
        placed = sorted(
            (link, b, combined(frames[b], pose)) for b, body in enumerate(rigid) for link, pose in body.links
        )
        self._carrier = np.array([b for _, b, _ in placed])  # (L,)
        self._link_offset = np.array([pose[0] for *_, pose in placed])  # (L, 3)
        self._link_turn = np.array([pose[1] for *_, pose in placed])  # (L, 4)
        self._robot_parts = [self._collision_parts(body, frame) for body, frame in zip(rigid, frames, strict=True)]
        hung = [combined(frames[body.parent], body.pose) for body in rigid[1:]]
        self._robot_links: dict[str, list] = {
            "linkMasses": [body.inertia.mass for body in rigid[1:]],
            "linkPositions": [pos.tolist() for pos, _ in hung],
            "linkOrientations": [xyzw(quat) for _, quat in hung],
            "linkInertialFramePositions": [body.inertia.com.tolist() for body in rigid[1:]],
            "linkInertialFrameOrientations": [xyzw(body.inertia.principal()[1]) for body in rigid[1:]],
            "linkParentIndices": [body.parent for body in rigid[1:]],
            "linkJointTypes": [
                self._bullet.JOINT_PRISMATIC if body.slides else self._bullet.JOINT_REVOLUTE for body in rigid[1:]
            ],
            "linkJointAxis": [body.axis.tolist() for body in rigid[1:]],
        }

    def _collision_parts(
        self, body: Rigid, frame: Pose
    ) -> tuple[list[Part], np.ndarray, np.ndarray, np.ndarray] | None:
        """What a rigid body, whose frame has pose ``frame`` in Bullet's, collides with, as `_shapes` takes it."""
        if not body.shapes:
            return None
        if len(body.shapes) > MAX_SHAPES:
            raise UsageError(
                f"{self._robot.urdf}: {len(body.shapes)} collision shapes hang together, and domain.engine=bullet "
                f"takes {MAX_SHAPES}; use fewer, or domain.engine=mujoco"
            )
        size = np.array([part.size for part in body.shapes])
        self._reshape(body, size)
        poses = [combined(frame, (np.array(part.pos), np.array(part.quat))) for part in body.shapes]
        return list(body.shapes), size, np.array([pos for pos, _ in poses]), np.array([quat for _, quat in poses])

    def _reshape(self, body: Rigid, size: np.ndarray) -> None:
        """Change the sizes (k, 3) of a rigid body's shapes as the engine needs them."""

    def apply(self, worlds: np.ndarray, layout: Layout, dynamics: Dynamics) -> None:
        """See `Engine.apply`."""
        for row, world in enumerate(worlds):
            client = self._clients[world]
            unseen = self._empty(client)
            self._floors[world] = self._build_room(client, unseen, layout, row)
            self._build(int(world), unseen, layout, dynamics, row)
        self.vary(worlds, dynamics)
        self.state.collision[worlds] = False
        self.state.contact_n[worlds] = 0
        self.state.failed[worlds] = False
        self._read_state(worlds)

    @abstractmethod
    def vary(self, worlds: np.ndarray, dynamics: Dynamics) -> None:
        """See `Engine.vary`."""

    @abstractmethod
    def _build(self, world: int, unseen: int, layout: Layout, dynamics: Dynamics, row: int) -> None:
        """Add to a world what moves; ``unseen`` is a visual shape for it."""

    def _empty(self, client: int) -> int:
        """Empty a world. Returns a visual shape for what is added: or Bullet makes meshes of all that collides."""
        self._bullet.resetSimulation(physicsClientId=client)
        self._bullet.setGravity(0, 0, -GRAVITY_M_S2, physicsClientId=client)
        self._bullet.setPhysicsEngineParameter(
            fixedTimeStep=self._physics_dt_s,
            numSolverIterations=self._solver_iterations,
            deterministicOverlappingPairs=1,
            solverResidualThreshold=self._solver_residual,
            physicsClientId=client,
        )
        return self._bullet.createVisualShape(self._bullet.GEOM_BOX, halfExtents=[1e-3] * 3, physicsClientId=client)

    def _build_room(self, client: int, unseen: int, layout: Layout, row: int) -> set[int]:
        """Add the visible fixed parts; returns the bodies that are floor."""
        visible = layout.part_visible[row]
        pos, quat = layout.world_poses(self._scene, row)

        def add(parts: np.ndarray) -> int:
            kinds = [self._scene.parts[part] for part in parts]
            shape = self._shapes(client, kinds, layout.part_size[row, parts], pos[parts], quat[parts])
            body = self._bullet.createMultiBody(0, shape, unseen, physicsClientId=client)
            # Bullet multiplies the frictions of what touches: the robot's alone shall count.
            self._bullet.changeDynamics(body, -1, lateralFriction=1.0, physicsClientId=client)
            return body

        solid = self._solid_parts[visible[self._solid_parts]]
        for first in range(0, len(solid), MAX_SHAPES):
            add(solid[first : first + MAX_SHAPES])
        return {add(np.array([part])) for part in self._floor_parts[visible[self._floor_parts]]}

    def _shapes(self, client: int, parts: list[Part], size: np.ndarray, pos: np.ndarray, quat: np.ndarray) -> int:
        """One collision shape of several parts, sizes (k, 3), at positions (k, 3) and quaternions (k, 4)."""
        bullet, kinds = self._bullet, [part.shape for part in parts]
        types = {
            Shape.BOX: bullet.GEOM_BOX,
            Shape.CYLINDER: bullet.GEOM_CYLINDER,
            Shape.SPHERE: bullet.GEOM_SPHERE,
            Shape.CAPSULE: bullet.GEOM_CAPSULE,
            Shape.PLANE: bullet.GEOM_PLANE,
            Shape.MESH: bullet.GEOM_MESH,  # its convex hull
        }
        return bullet.createCollisionShapeArray(
            shapeTypes=[types[kind] for kind in kinds],
            halfExtents=size.tolist(),
            radii=size[:, 0].tolist(),
            lengths=(2 * size[:, 1]).tolist(),
            fileNames=["" if part.mesh is None else str(self._hulls[part.mesh]) for part in parts],
            meshScales=size.tolist(),
            planeNormals=[[0, 0, 1]] * len(parts),
            collisionFramePositions=np.broadcast_to(pos, (len(parts), 3)).tolist(),
            collisionFrameOrientations=xyzw(np.broadcast_to(quat, (len(parts), 4))),
            physicsClientId=client,
        )

    def _add_robot(self, client: int, unseen: int, mass_kg: float, pose: Pose) -> int:
        """Add the robot with its base at a pose in Bullet's frame; a base without mass stays there."""
        shapes = [-1 if parts is None else self._shapes(client, *parts) for parts in self._robot_parts]
        return self._bullet.createMultiBody(
            baseMass=mass_kg,
            baseCollisionShapeIndex=shapes[0],
            baseVisualShapeIndex=unseen,
            basePosition=pose[0],
            baseOrientation=xyzw(pose[1]),
            linkCollisionShapeIndices=shapes[1:],
            linkVisualShapeIndices=[unseen] * len(shapes[1:]),
            flags=sum(getattr(self._bullet, name) for name in self._flags),
            physicsClientId=client,
            **self._robot_links,
        )

    def step(self, target: np.ndarray) -> None:
        """See `Engine.step`."""
        self.state.collision[:] = False
        self.state.contact_n[:] = 0
        for world in np.flatnonzero(~self.state.failed).tolist():
            self._send(world, target[world])
            for _ in range(self._checks):
                for _ in range(self._substeps):
                    self._bullet.stepSimulation(physicsClientId=self._clients[world])
                self._read_contacts(world)
        self._read_state(np.flatnonzero(~self.state.failed))

    @abstractmethod
    def _send(self, world: int, target: np.ndarray) -> None:
        """Drive the joints towards targets (J,)."""

    @abstractmethod
    def _read_contacts(self, world: int) -> None:
        """Add what touches now to the state."""

    def _read_state(self, worlds: np.ndarray) -> None:
        """Poses and velocities of ``worlds``; a world whose state is not finite has failed and keeps its last."""
        pos, quat = np.zeros((len(worlds), len(self._rigid), 3)), np.zeros((len(worlds), len(self._rigid), 4))
        velocity, spin = np.zeros((len(worlds), 3)), np.zeros((len(worlds), 3))
        links = list(range(len(self._rigid) - 1))
        for row, world in enumerate(worlds):
            client, robot = self._clients[world], self._robots[world]
            pos[row, 0], quat[row, 0] = self._bullet.getBasePositionAndOrientation(robot, physicsClientId=client)
            velocity[row], spin[row] = self._bullet.getBaseVelocity(robot, physicsClientId=client)
            states = self._bullet.getLinkStates(robot, links, computeForwardKinematics=1, physicsClientId=client)
            for link, state in enumerate(states, start=1):
                pos[row, link], quat[row, link] = state[4], state[5]
        quat = np.roll(quat, 1, axis=-1)[:, self._carrier]  # (k, L, 4)
        link_pos, link_quat = pos[:, self._carrier] + rotate(quat, self._link_offset), multiply(quat, self._link_turn)
        finite = np.isfinite(link_pos).all((1, 2)) & np.isfinite(link_quat).all((1, 2)) & np.isfinite(velocity).all(1)
        good, state = worlds[finite], self.state
        state.failed[worlds[~finite]] = True
        state.velocity[worlds] = 0
        state.link_pos[good], state.link_quat[good] = link_pos[finite], link_quat[finite]
        velocity += np.cross(spin, link_pos[:, 0] - pos[:, 0])  # at the root's origin, not the centre of mass
        forward = rotate(state.link_quat[worlds, 0], np.array([1.0, 0.0, 0.0]))
        state.velocity[good, 0] = (velocity * forward).sum(-1)[finite]
        state.velocity[good, 1] = spin[finite, 2]

    def close(self) -> None:
        """See `Engine.close`."""
        if self._release is not None:
            self._release()
