"""Somebody else's policy as a bundle: its contract, its graph between the robot's terms and actions."""
