"""The whole loop with no hardware, driving at once: ros2 launch simgym_ros loop.launch.py goggles:=<file>."""

from launch import LaunchDescription
from simgym_ros.launching import common, goggles, policy, robot

from simgym.shipped import PRETRAINED, bundle_path


def generate_launch_description() -> LaunchDescription:
    """What `ros2 launch` runs."""
    shipped = str(bundle_path(PRETRAINED, "policy", "ChairNav"))
    return LaunchDescription([*common(use_sim_time=True), *robot(), *goggles(), *policy(enabled=True, bundle=shipped)])
