"""Scripted controllers: pure functions of the deployed observation. They prove that a task can be solved from
the robot's sensors, serve as a baseline in every table, and provide prior data."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sim.pouring.scripted import pour_controller, pour_potential
from sim.reaching.reach_env import potential as reach_potential
from sim.reaching.reach_env import reach_controller
from sim.tasks.nav2d import nav2d_controller
from sim.tasks.nav2d import potential as nav2d_potential

Controller = Callable[[NDArray[np.float32]], NDArray[np.float32]]
Potential = Callable[[NDArray[np.float32]], NDArray[np.float32]]

CONTROLLERS: dict[str, Controller] = {
    "spillguard/PourCoffee-v0": pour_controller,
    "spillguard/Nav2D-v0": nav2d_controller,
    "spillguard/HastyNav2D-v0": nav2d_controller,
    "spillguard/Reach-v0": reach_controller,
    "spillguard/ReachPillars-v0": reach_controller,
    "spillguard/Carry-v0": reach_controller,
}
POTENTIALS: dict[str, Potential] = {
    "spillguard/PourCoffee-v0": pour_potential,
    "spillguard/Nav2D-v0": nav2d_potential,
    "spillguard/HastyNav2D-v0": nav2d_potential,
    "spillguard/Reach-v0": reach_potential,
    "spillguard/ReachPillars-v0": reach_potential,
    "spillguard/Carry-v0": reach_potential,
}
