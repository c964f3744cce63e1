"""The whole loop with no hardware, driving at once: ros2 launch simgym_ros loop.launch.py."""

from launch import LaunchDescription
from simgym_ros.launching import common, goggles, policy, robot


def generate_launch_description() -> LaunchDescription:
    """What `ros2 launch` runs."""
    nodes = [*robot(), *goggles(bundle="pretrained"), *policy(enabled=True, bundle="pretrained")]
    return LaunchDescription([*common(use_sim_time=True), *nodes])
