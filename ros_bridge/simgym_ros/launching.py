"""What the launch files share: their arguments and nodes, each in one place."""

from __future__ import annotations

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

PACKAGE = "simgym_ros"


def common(use_sim_time: bool) -> list[DeclareLaunchArgument]:
    """The arguments of every launch file."""
    parameters = Path(get_package_share_directory(PACKAGE), "config", "simgym.yaml")
    return [
        DeclareLaunchArgument("namespace", default_value="", description="of the nodes and of what is not remapped"),
        DeclareLaunchArgument("params_file", default_value=str(parameters), description="parameters of the nodes"),
        DeclareLaunchArgument(
            "use_sim_time", default_value=str(use_sim_time).lower(), description="whether /clock is the time"
        ),
    ]


def goggles(bundle: str | None = None) -> list[DeclareLaunchArgument | Node]:
    """The goggles node and its arguments; the ``bundle`` is the default one."""
    return [
        DeclareLaunchArgument("goggles", default_value=bundle, description="path of the goggles' .onnx file"),
        DeclareLaunchArgument("image", default_value="image_raw", description="the camera's topic"),
        DeclareLaunchArgument("camera_info", default_value="camera_info", description="its calibration"),
        _node("goggles", {"bundle": _text("goggles")}, {"image_raw": "image", "camera_info": "camera_info"}),
    ]


def policy(enabled: bool, bundle: str | None = None) -> list[DeclareLaunchArgument | Node]:
    """The policy node and its arguments; the ``bundle`` is the default one."""
    return [
        DeclareLaunchArgument("policy", default_value=bundle, description="path of the policy's .onnx file"),
        DeclareLaunchArgument(
            "enabled", default_value=str(enabled).lower(), description="whether it drives at once; else call ~/enable"
        ),
        DeclareLaunchArgument("odom", default_value="odom", description="what the robot measures"),
        DeclareLaunchArgument("cmd_vel", default_value="cmd_vel", description="where commands go"),
        _node(
            "policy",
            {"bundle": _text("policy"), "enabled": LaunchConfiguration("enabled")},
            {"odom": "odom", "cmd_vel": "cmd_vel"},
        ),
    ]


def robot() -> list[DeclareLaunchArgument | Node]:
    """The robot node and its arguments."""
    return [
        DeclareLaunchArgument("env", default_value="ChairNav", description="ChairNav or Grasp"),
        DeclareLaunchArgument(
            "domain", default_value="lifelike", description="such as sim, lifelike or, with PyBullet, standin"
        ),
        DeclareLaunchArgument("seed", default_value="1", description="of the episodes"),
        _node("robot", {"env": _text("env"), "domain": _text("domain"), "seed": LaunchConfiguration("seed")}, {}),
    ]


def _text(argument: str) -> ParameterValue:
    """The value of an argument as a string, whatever it looks like."""
    return ParameterValue(LaunchConfiguration(argument), value_type=str)


def _node(name: str, parameters: dict[str, object], topics: dict[str, str]) -> Node:
    """A node; ``topics`` maps its names to the arguments that rename them."""
    return Node(
        package=PACKAGE,
        executable=name,
        name=name,
        namespace=LaunchConfiguration("namespace"),
        parameters=[
            LaunchConfiguration("params_file"),
            {**parameters, "use_sim_time": LaunchConfiguration("use_sim_time")},
        ],
        remappings=[(topic, LaunchConfiguration(argument)) for topic, argument in topics.items()],
        output="screen",
    )
