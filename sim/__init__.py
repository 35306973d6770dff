"""MuJoCo worlds: the pouring cell, the point among obstacles, and controllers that solve them.

Importing this package is light: the worlds need mujoco and numpy only, so that a simulated arm can stand
in for a real one without the training stack. The Gymnasium environments register themselves through the
entry point ``gymnasium.envs`` (see `sim.registration`).
"""
