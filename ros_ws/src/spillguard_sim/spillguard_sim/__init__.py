"""The simulated arm with its driver's topics, and complete graphs as processes.

Imports spillguard_ros and sim.
"""
