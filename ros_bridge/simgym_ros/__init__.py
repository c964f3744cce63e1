"""ROS 2 nodes of simgym: thin shells over `simgym.deploy`, and any simulated domain as a robot."""
