"""ROS 2 nodes of simgym: thin shells over `simgym.deploy`, which does the work and knows no ROS."""
