"""Goggles and a policy, disabled at first: ros2 launch simgym_ros drive.launch.py goggles:=<file> policy:=<file>."""

from launch import LaunchDescription
from simgym_ros.launching import common, goggles, policy


def generate_launch_description() -> LaunchDescription:
    """What `ros2 launch` runs."""
    return LaunchDescription([*common(use_sim_time=False), *goggles(), *policy(enabled=False)])
