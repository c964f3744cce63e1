"""Engine `bullet` for an arm: it stands on the table, its joints are driven to positions, and objects lie about."""

from __future__ import annotations

import numpy as np

from ..arm import BASE_LINKS, FINGER_JOINTS, FINGER_SPEED_M_S, HAND_LINKS, Arm
from ..draw import Dynamics, Layout
from ..quaternion import multiply, rotate
from ..scene import Scene
from .bullet_base import BulletBase, xyzw
from .rigid import ARM_JOINTS, HERE, Pose, combined, inverse, object_inertia

SPIN_FRICTION = 0.02  # fingers are soft: what they hold does not spin between them
ARM_GAIN, FINGER_GAIN = 0.08, 0.2  # the share of its error that a drive takes away in a physics step
GEAR_FORCE_N, GEAR_ERP = 100.0, 0.5  # of what couples the fingers: one motor moves both
AWAY_M = (0.0, 0.0, -5.0)
Group = frozenset[int]  # Bullet's link indices


class BulletArmEngine(BulletBase[Arm]):
    """Fixed bodies are static, the arm's base too; objects are free."""

    # Of what rests, little changes in an iteration: a solver that ends early lets it creep by half a degree.
    _physics_dt_s, _solver_iterations, _solver_residual = 0.005, 60, 0.0
    _joint_kinds, _flags = ARM_JOINTS, ("URDF_USE_SELF_COLLISION",)

    def load(self, scene: Scene, robot: Arm, num_worlds: int, control_dt_s: float) -> None:
        """See `BulletBase.load`."""
        super().load(scene, robot, num_worlds, control_dt_s)
        self._fingers = self._driven[-len(FINGER_JOINTS) :]
        self._hands, self._base_links = (self._rigid_of(links) for links in (HAND_LINKS, BASE_LINKS))
        self._pairs = [(self._hanging_on(c.first), self._second(c.second)) for c in scene.contacts]
        self._object_bodies: list[dict[int, int]] = [{} for _ in range(num_worlds)]  # Bullet's body -> object
        # Object -> its own frame in Bullet's.
        self._object_frames: list[dict[int, Pose]] = [{} for _ in range(num_worlds)]
        self._arm_gain = np.full(num_worlds, ARM_GAIN)

    def _driven_joints(self, robot: Arm) -> tuple[str, ...]:
        return robot.joints

    @property
    def _num_joints(self) -> int:
        return len(self._robot.joints)

    def _rigid_of(self, links: tuple[str, ...]) -> Group:
        """Bullet's indices of the rigid bodies to which links belong."""
        wanted = {self._robot.link_index(name) for name in links}
        return frozenset(b - 1 for b, body in enumerate(self._rigid) if wanted & {link for link, _ in body.links})

    def _hanging_on(self, link: str) -> Group:
        """A link's rigid body, and those that hang on it."""
        group = set(self._rigid_of((link,)))
        for b, body in enumerate(self._rigid[1:]):
            if body.parent - 1 in group:
                group.add(b)
        return frozenset(group)

    def _second(self, name: str) -> int | Group | None:
        """What a contact's second body is: an object's number, a group of links, or None: fixed."""
        names = [body.name for body in self._scene.objects]
        if name in names:
            return names.index(name)
        return self._hanging_on(name) if name in {link.name for link in self._robot.links} else None

    def _build(self, world: int, unseen: int, layout: Layout, dynamics: Dynamics, row: int) -> None:
        client = self._clients[world]
        self._robots[world] = self._build_arm(client, unseen, layout.joint_pos[row])
        self._build_objects(world, unseen, layout, row)
        self._filter(client, self._robots[world])
        self._write_arm(client, self._robots[world], dynamics, row)

    def _build_arm(self, client: int, unseen: int, joint_pos: np.ndarray) -> int:
        robot = self._add_robot(client, unseen, 0.0, self._base)
        for link, value in zip(self._driven, joint_pos.tolist(), strict=True):
            self._bullet.resetJointState(robot, link, value, physicsClientId=client)
        axis, here = [1, 0, 0], [0, 0, 0]
        gear = self._bullet.createConstraint(
            robot, self._fingers[0], robot, self._fingers[1], self._bullet.JOINT_GEAR, axis, here, here,
            physicsClientId=client,
        )  # fmt: skip
        self._bullet.changeConstraint(gear, gearRatio=-1, erp=GEAR_ERP, maxForce=GEAR_FORCE_N, physicsClientId=client)
        return robot

    def _build_objects(self, world: int, unseen: int, layout: Layout, row: int) -> None:
        """Add the objects that are there, each at its centre of mass and in its principal axes, as Bullet has them."""
        client, bodies, frames = self._clients[world], {}, {}
        for k, body in enumerate(self._scene.objects):
            index = self._scene.num_fixed + k
            parts = self._scene.part_range(index)
            used = layout.part_visible[row, parts]
            if not used.any():
                continue
            size, pos, quat = (getattr(layout, f"part_{name}")[row, parts] for name in ("size", "pos", "quat"))
            mass = float(layout.object_mass_kg[row, k])
            inertia = object_inertia(body, size, pos, quat, used, mass)
            moments, axes = inertia.principal()
            frame = inertia.com, axes
            local = [combined(inverse(frame), pose) for pose in zip(pos[used], quat[used], strict=True)]
            shown = [part for part, there in zip(body.parts, used, strict=True) if there]
            shape = self._shapes(
                client, shown, size[used], np.array([at for at, _ in local]), np.array([turn for _, turn in local])
            )
            at, turn = combined((layout.body_pos[row, index], layout.body_quat[row, index]), frame)
            made = self._bullet.createMultiBody(mass, shape, unseen, at.tolist(), xyzw(turn), physicsClientId=client)
            self._bullet.changeDynamics(
                made,
                -1,
                localInertiaDiagonal=moments.tolist(),
                lateralFriction=float(layout.object_friction[row, k]),
                spinningFriction=SPIN_FRICTION,
                linearDamping=0.0,
                angularDamping=0.0,
                physicsClientId=client,
            )
            bodies[made], frames[k] = k, inverse(frame)
        self._object_bodies[world], self._object_frames[world] = bodies, frames

    def _filter(self, client: int, robot: int) -> None:
        """Let the hand alone touch what stands about, and the arm's own base."""
        links = range(-1, len(self._rigid) - 1)
        for first in links:
            for second in range(first + 1, len(self._rigid) - 1):
                touch = first in self._base_links and second in self._hands
                self._bullet.setCollisionFilterPair(robot, robot, first, second, touch, physicsClientId=client)
        others = [self._bullet.getBodyUniqueId(i, physicsClientId=client) for i in range(self._num_bodies(client))]
        for other in (body for body in others if body != robot):
            for link in (link for link in links if link not in self._hands):
                self._bullet.setCollisionFilterPair(robot, other, link, -1, 0, physicsClientId=client)

    def _num_bodies(self, client: int) -> int:
        return self._bullet.getNumBodies(physicsClientId=client)

    def _write_arm(self, client: int, robot: int, dynamics: Dynamics, row: int) -> None:
        """Masses, inertias and damping, always from the nominal."""
        mass_scale = float(dynamics.mass_scale[row])
        for link, body in enumerate(self._rigid[1:]):
            self._bullet.changeDynamics(
                robot,
                link,
                mass=body.inertia.mass * mass_scale,
                localInertiaDiagonal=(body.inertia.principal()[0] * mass_scale).tolist(),
                spinningFriction=SPIN_FRICTION,
                linearDamping=0.0,
                angularDamping=0.0,
                jointDamping=0.0,
                physicsClientId=client,
            )

    def vary(self, worlds: np.ndarray, dynamics: Dynamics) -> None:
        """See `Engine.vary`."""
        for row, world in enumerate(worlds):
            for link in range(len(self._rigid) - 1):
                self._bullet.changeDynamics(
                    self._robots[world],
                    link,
                    # Bullet multiplies the frictions of what touches.
                    lateralFriction=float(dynamics.wheel_friction_scale[row]),
                    physicsClientId=self._clients[world],
                )
            self._arm_gain[world] = ARM_GAIN * float(dynamics.actuator_gain_scale[row])

    def _send(self, world: int, target: np.ndarray) -> None:
        client, robot, position = self._clients[world], self._robots[world], target.tolist()
        effort, arm = self._robot.effort.tolist(), len(self._driven) - len(self._fingers)
        self._bullet.setJointMotorControlArray(
            robot,
            self._driven[:arm],
            self._bullet.POSITION_CONTROL,
            targetPositions=position[:arm],
            positionGains=[float(self._arm_gain[world])] * arm,
            forces=effort[:arm],
            physicsClientId=client,
        )
        for link, goal, force in zip(self._fingers, position[arm:], effort[arm:], strict=True):
            self._bullet.setJointMotorControl2(
                robot,
                link,
                self._bullet.POSITION_CONTROL,
                targetPosition=goal,
                positionGain=FINGER_GAIN,
                force=force,
                maxVelocity=FINGER_SPEED_M_S,
                physicsClientId=client,
            )

    def _read_contacts(self, world: int) -> None:
        np.maximum(self.state.contact_n[world], self._forces(world), out=self.state.contact_n[world])

    def _forces(self, world: int) -> np.ndarray:
        """(K,) net force between each of the scene's contacts now."""
        robot, objects = self._robots[world], self._object_bodies[world]
        total = np.zeros((len(self._pairs), 3))
        for contact in self._bullet.getContactPoints(robot, physicsClientId=self._clients[world]):
            own, other = (contact[3], contact[4]) if contact[1] == robot else (contact[4], contact[3])
            body = contact[2] if contact[1] == robot else contact[1]
            force = np.array(contact[7]) * contact[9]  # along the normal, then two directions of friction
            force += np.array(contact[11]) * contact[10] + np.array(contact[13]) * contact[12]
            for k, (first, second) in enumerate(self._pairs):
                if isinstance(second, frozenset):
                    both = (own in first and other in second) or (other in first and own in second)
                    matches = body == robot and both
                elif second is None:
                    matches = body != robot and body not in objects and own in first
                else:
                    matches = objects.get(body) == second and own in first
                if matches:
                    total[k] += force
        return np.sqrt((total * total).sum(1))

    def _read_state(self, worlds: np.ndarray) -> None:
        """Poses of arm and objects; a world whose state is not finite has failed and keeps its last."""
        objects = {world: self._object_poses(world) for world in worlds.tolist()}
        lost = [world for world, (pos, quat) in objects.items() if not np.isfinite([*pos.flat, *quat.flat]).all()]
        self.state.failed[lost] = True
        good = worlds[~self.state.failed[worlds]]
        super()._read_state(good)
        for world in good[~self.state.failed[good]].tolist():
            self.state.object_pos[world], self.state.object_quat[world] = objects[world]
            joints = self._bullet.getJointStates(
                self._robots[world], self._driven, physicsClientId=self._clients[world]
            )
            self.state.joint_pos[world] = [joint[0] for joint in joints]

    def _object_poses(self, world: int) -> tuple[np.ndarray, np.ndarray]:
        """Positions (M, 3) and quaternions (M, 4); what is not there is below all."""
        pos, quat = np.tile(AWAY_M, (len(self._scene.objects), 1)), np.tile(HERE[1], (len(self._scene.objects), 1))
        for body, k in self._object_bodies[world].items():
            at, turn = self._bullet.getBasePositionAndOrientation(body, physicsClientId=self._clients[world])
            base = np.roll(turn, 1)
            offset, back = self._object_frames[world][k]
            pos[k], quat[k] = at + rotate(base, offset), multiply(base, back)
        return pos, quat
