"""Driving the arm of a rig towards something."""

import numpy as np

from tests.core.conftest import resensed

ASIDE = np.array([0.6, 0.2, 0.12])  # target away from the arm
LEVEL = np.array([1.0, 1.0, 0.0])
LEFT = np.array([0.0, 0.25, 0.0, 0.0])


def run_towards(rig, twist, target, ticks=400):
    for _ in range(ticks):
        seen = resensed(rig.inputs().measurement, target_position=target)
        rig.tick(twist, measurement=seen)
