"""Goggles alone: ros2 launch simgym_ros goggles.launch.py goggles:=<file> image:=/camera/image_raw."""

from launch import LaunchDescription
from simgym_ros.launching import common, goggles


def generate_launch_description() -> LaunchDescription:
    """What `ros2 launch` runs."""
    return LaunchDescription([*common(use_sim_time=False), *goggles()])
