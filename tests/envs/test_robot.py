"""Reading robots from URDF: the rover's measures, other robots by path, and one clear error for each broken file."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from simgym.envs.config import DOMAINS
from simgym.envs.robot import ASSETS, RobotError, load_robot
from simgym.envs.scene import Semantic, Shape
from simgym.envs.simulation import Simulation
from simgym.envs.tasks.chair_nav.env import ChairNavEnv
from simgym.errors import UserError
from tests.envs.helpers import chair_nav

ROVER = (ASSETS / "rover.urdf").read_text()


def origin_of(link: str) -> str:
    """The joint's offset that puts a link of the rover in its place."""
    found = re.search(rf'<child link="{link}"/>\s*<origin xyz="([^"]*)"', ROVER)
    assert found is not None
    return found[1]


CAMERA, MAST = origin_of("camera_link"), origin_of("mast_link")


@pytest.fixture
def write_urdf(tmp_path):
    def write(text: str) -> str:
        path = tmp_path / "robot.urdf"
        path.write_text(text)
        return str(path)

    return write


def changed(old: str, new: str) -> str:
    assert old in ROVER
    return ROVER.replace(old, new)


# Wider between the wheels, with larger wheels and the camera up on a taller mast.
WIDE_AND_TALL = (
    ROVER.replace('xyz="0 0.14 0.05"', 'xyz="0 0.18 0.06"')
    .replace('xyz="0 -0.14 0.05"', 'xyz="0 -0.18 0.06"')
    .replace('radius="0.05" length="0.03"', 'radius="0.06" length="0.03"')
    .replace('radius="0.17" length="0.11"', 'radius="0.24" length="0.11"')
    .replace(f'xyz="{CAMERA}"', 'xyz="0.12 0 0.55"')
    .replace(f'xyz="{MAST}"', 'xyz="-0.14 0 0.47"')
)


def test_rover_measures_are_the_issues():
    rover = load_robot("rover")
    assert rover.radius_m == pytest.approx(0.17)
    assert rover.height_m == pytest.approx(0.30)  # the top of the mast
    assert rover.camera_height_m == pytest.approx(0.30)
    assert rover.drive.wheel_torque_nm == 1.5
    assert (rover.drive.wheel_radius_m, rover.drive.wheel_separation_m) == pytest.approx((0.05, 0.28))
    assert rover.links[0].name == "base_link" and rover.links[rover.camera_link].name == "camera_link"


def test_links_and_their_shapes_come_in_the_order_of_the_file():
    rover = load_robot("rover")
    shapes = {link.name: [part.shape for part in link.parts] for link in rover.links}
    assert list(shapes) == [
        "base_link",
        "mast_link",
        "camera_link",
        "left_wheel_link",
        "right_wheel_link",
        "front_caster_link",
        "rear_caster_link",
    ]
    assert shapes["camera_link"] == []
    assert shapes["left_wheel_link"] == [Shape.CYLINDER] and shapes["front_caster_link"] == [Shape.SPHERE]
    assert all(part.semantic == Semantic.ROBOT for link in rover.links for part in link.parts)
    assert rover.links[0].parts[0].size[:2] == pytest.approx((0.17, 0.055))  # radius and half length


def test_a_path_and_a_name_give_the_same_robot():
    by_name, by_path = load_robot("rover"), load_robot(str(ASSETS / "rover.urdf"))
    assert by_name == by_path


LIDAR = """
  <link name="lidar_link"><collision><origin xyz="0.1 0 0"/><geometry>{geometry}</geometry></collision></link>
  <joint name="lidar_joint" type="fixed"><parent link="base_link"/><child link="lidar_link"/>
    <origin xyz="0.2 0 0.2" rpy="{rpy}"/></joint>
</robot>"""


@pytest.mark.parametrize(
    ("geometry", "rpy", "radius", "height"),
    [
        ('<sphere radius="0.2"/>', "0 0 0", 0.5, 0.4),
        ('<sphere radius="0.2"/>', "0 0 1.5707963", np.hypot(0.2, 0.1) + 0.2, 0.4),
        ('<sphere radius="0.2"/>', "0 -1.5707963 0", 0.4, 0.5),
        ('<box size="0.2 0.4 0.6"/>', "0 0 0", np.hypot(0.4, 0.2), 0.5),
        ('<box size="0.2 0.4 0.6"/>', "0 0 1.5707963", np.hypot(0.4, 0.2), 0.5),
        ('<box size="0.2 0.4 0.6"/>', "1.5707963 0 0", np.hypot(0.4, 0.3), 0.4),
        ('<cylinder radius="0.1" length="0.6"/>', "0 0 0", 0.4, 0.5),
        ('<cylinder radius="0.1" length="0.6"/>', "3.14159265 0 0", 0.4, 0.5),
        ('<cylinder radius="0.1" length="0.6"/>', "1.57079633 0 0", np.hypot(0.4, 0.3), 0.3),
    ],
)
def test_extents_hold_every_collision_shape_however_its_frame_is_turned(write_urdf, geometry, rpy, radius, height):
    text = ROVER.replace("</robot>", LIDAR.format(geometry=geometry, rpy=rpy))
    robot = load_robot(write_urdf(text))
    assert (robot.radius_m, robot.height_m) == pytest.approx((radius, height), abs=1e-6)


def test_frames_are_added_up_along_the_chain_of_joints(write_urdf):
    """Turned a quarter to the left, what lies ahead of a link lies to the left of the robot."""
    text = ROVER.replace("</robot>", LIDAR.format(geometry='<sphere radius="0.01"/>', rpy="0 0 1.57079633"))
    text = text.replace(
        "</robot>",
        """<link name="tip"><collision><geometry><sphere radius="0.01"/></geometry></collision></link>
        <joint name="tip_joint" type="fixed"><parent link="lidar_link"/><child link="tip"/>
        <origin xyz="0.5 0 0"/></joint></robot>""",
    )
    assert load_robot(write_urdf(text)).radius_m == pytest.approx(np.hypot(0.2, 0.5) + 0.01)


def test_wheels_may_have_turned_frames(write_urdf):
    """As in TurtleBot's URDF: the joint's frame is turned, the wheel's shape is not."""
    text = ROVER.replace('xyz="0 0.14 0.05"', 'xyz="0 0.14 0.05" rpy="-1.57079633 0 0"')
    text = text.replace('xyz="0 -0.14 0.05"', 'xyz="0 -0.14 0.05" rpy="-1.57079633 0 0"')
    text = text.replace('<origin rpy="1.5707963 0 0"/>', "").replace('<axis xyz="0 1 0"/>', '<axis xyz="0 0 1"/>')
    robot = load_robot(write_urdf(text))
    assert robot.radius_m == pytest.approx(0.17)
    assert (robot.drive.wheel_radius_m, robot.drive.wheel_separation_m) == pytest.approx((0.05, 0.28))


def test_meshes_are_found_in_packages_and_reach_as_far_as_their_corners(tmp_path):
    """A robot description package as ROS has them; the lidar's mesh is all on one side of its origin."""
    for folder in ("urdf", "meshes"):
        (tmp_path / "rover_description" / folder).mkdir(parents=True)
    mesh = tmp_path / "rover_description" / "meshes" / "lidar.obj"
    mesh.write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 2 3 4\nf 1 4 3\n")
    geometry = '<mesh filename="package://rover_description/meshes/lidar.obj" scale="0.2 0.1 0.3"/>'
    urdf = tmp_path / "rover_description" / "urdf" / "rover.urdf"
    urdf.write_text(ROVER.replace("</robot>", LIDAR.format(geometry=geometry, rpy="0 0 0")))
    robot = load_robot(str(urdf))
    assert (robot.radius_m, robot.height_m) == pytest.approx((0.2 + 0.1 + 0.2, 0.2 + 0.3))
    env = ChairNavEnv(config=chair_nav(robot=str(urdf)))
    env.reset(seed=0)
    assert env.step(np.array([1.0, 0.0]))[0]["velocity"][0] > 0.1


def test_the_root_is_the_link_that_hangs_on_no_joint(write_urdf):
    """Wherever the file puts it."""
    start, end = ROVER.index('<link name="base_link">'), ROVER.index('<link name="mast_link">')
    moved = (ROVER[:start] + ROVER[end:]).replace("</robot>", ROVER[start:end] + "</robot>")
    robot, rover = load_robot(write_urdf(moved)), load_robot("rover")
    assert robot.links == rover.links and robot.camera_link == rover.camera_link
    assert robot.radius_m == rover.radius_m and robot.drive == rover.drive


def test_weaker_motors_speed_up_more_slowly(write_urdf):
    speeds = []
    for effort in ("1.5", "0.02"):
        env = ChairNavEnv(config=chair_nav(robot=write_urdf(ROVER.replace('effort="1.5"', f'effort="{effort}"'))))
        assert env.simulation.task.robot.drive.wheel_torque_nm == float(effort)
        env.reset(seed=0)
        speeds.append(env.step(np.array([1.0, 0.0]))[0]["velocity"][0])
    assert speeds[1] < 0.5 * speeds[0]


BROKEN = {
    "malformed XML": (ROVER[:-30], "well-formed"),
    "no camera": (changed("camera_link", "lens_link"), "camera_link"),
    "no left wheel": (changed("left_wheel_joint", "left_joint"), "left_wheel_joint"),
    "no right wheel": (changed("right_wheel_joint", "right_joint"), "right_wheel_joint"),
    "a wheel that is a box": (
        changed(
            '<collision><origin rpy="1.5707963 0 0"/><geometry><cylinder radius="0.05" length="0.03"/>',
            '<collision><origin rpy="1.5707963 0 0"/><geometry><box size="0.1 0.1 0.03"/>',
        ),
        "cylinder",
    ),
    "a wheel with no shape": (
        changed(
            '<collision><origin rpy="1.5707963 0 0"/><geometry><cylinder radius="0.05" length="0.03"/>'
            "</geometry></collision>",
            "",
        ),
        "left_wheel_link",
    ),
    "a wheel of no size": (changed('radius="0.05" length="0.03"', 'radius="0" length="0.03"'), "radius"),
    "wheels at the same place": (
        changed('xyz="0 0.14 0.05"', 'xyz="0 0 0.05"').replace('xyz="0 -0.14 0.05"', 'xyz="0 0 0.05"'),
        "left",
    ),
    "an unknown geometry": (changed("<sphere", "<torus"), "torus"),
    "no geometry": (changed('<geometry><sphere radius="0.02"/></geometry>', ""), "geometry"),
    "a number that is none": (changed('radius="0.17"', 'radius="wide"'), "wide"),
    "a missing number": (changed('radius="0.17" length="0.11"', 'radius="0.17"'), "length"),
    "an origin that is none": (changed(f'xyz="{CAMERA}"', 'xyz="0.12 0 up"'), "up"),
    "an origin of two numbers": (changed(f'xyz="{CAMERA}"', 'xyz="0.12 0"'), "robot.urdf"),
    "a link without a name": (changed('<link name="mast_link">', "<link>"), "name"),
    "a joint without a child": (changed('<child link="mast_link"/>', ""), "mast_joint"),
    "a joint to a link that is not there": (
        changed('<child link="left_wheel_link"/>', '<child link="left_tyre"/>'),
        "left_tyre",
    ),
    "two roots": (changed("</robot>", '<link name="trailer"/></robot>'), "base_link, trailer"),
    "a motor without torque": (changed('effort="1.5"', 'effort="0"'), "effort"),
    "a mesh of another kind": (
        ROVER.replace("</robot>", LIDAR.format(geometry='<mesh filename="a.dae"/>', rpy="0 0 0")),
        "a.dae",
    ),
    "a mesh that is not there": (
        ROVER.replace("</robot>", LIDAR.format(geometry='<mesh filename="a.stl"/>', rpy="0 0 0")),
        "a.stl",
    ),
    "a package that is not there": (
        ROVER.replace("</robot>", LIDAR.format(geometry='<mesh filename="package://lidar/a.stl"/>', rpy="0 0 0")),
        "package://lidar/a.stl",
    ),
    "joints in a loop": (
        changed(
            "</robot>",
            '<joint name="loop" type="fixed"><parent link="mast_link"/><child link="base_link"/></joint></robot>',
        ),
        "loop",
    ),
    "not a robot at all": ("<html><body/></html>", "camera_link"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_urdf_is_one_clear_error(write_urdf, name):
    text, hint = BROKEN[name]
    with pytest.raises(RobotError) as caught:
        load_robot(write_urdf(text))
    message = str(caught.value)
    assert hint in message and "robot.urdf" in message
    assert "\n" not in message


MESHES = {
    "flat.obj": "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n",
    "solid.obj": "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 2 3 4\nf 1 4 3\n",
    "solid.stl": """solid a
        vertex 0 0 0 vertex 0 1 0 vertex 1 0 0
        vertex 0 0 0 vertex 1 0 0 vertex 0 0 1
        vertex 1 0 0 vertex 0 1 0 vertex 0 0 1
        vertex 0 0 0 vertex 0 0 1 vertex 0 1 0
        endsolid""",
}
INERTIAL = '<inertial><mass value="0.1"/><inertia ixx="1e-4" iyy="1e-4" izz="1e-4" ixy="0" ixz="0" iyz="0"/></inertial>'


def with_lidar_mesh(file: Path) -> str:
    """The rover with a mesh that collides."""
    file.write_text(MESHES[file.name])
    lidar = LIDAR.format(geometry=f'<mesh filename="{file}" scale="0.1 0.1 0.1"/>', rpy="0 0 0")
    return ROVER.replace("</robot>", lidar.replace("<collision>", f"{INERTIAL}<collision>"))


def test_a_flat_mesh_cannot_be_touched_and_is_refused(write_urdf, tmp_path):
    with pytest.raises(RobotError, match=r"robot\.urdf: .*flat\.obj: the mesh is flat"):
        load_robot(write_urdf(with_lidar_mesh(tmp_path / "flat.obj")))


@pytest.mark.parametrize(
    ("file", "engine"), [("solid.obj", "mujoco"), ("solid.obj", "bullet"), ("solid.stl", "bullet")]
)
def test_a_mesh_collides_in_every_engine(write_urdf, tmp_path, engine, file):
    """An STL that is text: MuJoCo refuses it, and Bullet by itself crashes over it."""
    if engine == "bullet":
        pytest.importorskip("pybullet")
    robot = write_urdf(with_lidar_mesh(tmp_path / file))
    simulation = Simulation(chair_nav(robot=robot), replace(DOMAINS["sim"], engine=engine))
    simulation.reset(np.array([0]), np.array([4]))
    simulation.step(np.zeros((1, 2)))
    assert not simulation.engine.state.failed.any()
    simulation.close()


@pytest.mark.parametrize("name", ["walker", "nowhere/robot.urdf"])
def test_an_unknown_robot_is_an_error_that_names_the_shipped_ones(name):
    with pytest.raises(RobotError, match=f"{name}.*rover"):
        load_robot(name)


def test_a_urdf_that_mujoco_refuses_is_one_clear_error(write_urdf):
    """Two links of one name: well-formed, but no model."""
    text = ROVER.replace("</robot>", '<link name="mast_link"/></robot>')
    with pytest.raises(UserError) as caught:
        Simulation(chair_nav(robot=write_urdf(text)), DOMAINS["sim"])
    assert "robot.urdf" in str(caught.value) and "\n" not in str(caught.value)


def test_another_robot_drives_in_an_environment(write_urdf):
    """Its camera is up where its URDF says, it goes as fast as told, and planned ways leave room for it."""
    env = ChairNavEnv(config=chair_nav(robot=write_urdf(WIDE_AND_TALL)))
    robot = env.simulation.task.robot
    assert (robot.radius_m, robot.height_m) == pytest.approx((0.24, 0.55))
    assert (robot.drive.wheel_radius_m, robot.drive.wheel_separation_m) == pytest.approx((0.06, 0.36))
    env.reset(seed=1)
    blocked = env.simulation.task.blocked.sum()
    with_rover = ChairNavEnv()
    with_rover.reset(options={"draw": env.simulation.draws[0]})
    assert blocked != with_rover.simulation.task.blocked.sum()
    successes = 0
    for seed in range(6):
        env.reset(seed=seed)
        assert env.simulation.engine.state.link_pos[0, robot.camera_link, 2] == pytest.approx(0.55, abs=1e-6)
        ended = False
        while not ended:
            observation, _, terminated, truncated, info = env.step(env.expert_action())
            assert -0.05 < observation["velocity"][0] < 0.55
            ended = terminated or truncated
        successes += info["is_success"]
    assert successes >= 5
