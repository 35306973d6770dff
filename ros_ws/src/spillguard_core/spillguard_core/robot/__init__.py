"""The arm: its names, limits, kinematics, and its distance to its surroundings."""
