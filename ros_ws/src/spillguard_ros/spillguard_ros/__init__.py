"""The ROS 2 nodes: thin shells around `spillguard_core`."""
