"""How far the joints between two links keep them apart, against gaps that are known by hand."""

import numpy as np
import pytest

from sim.robots.capsules import Capsule
from sim.robots.neighbours import SEEN, least_gap, pieces
from sim.robots.urdf_tree import UrdfJoint

CUBE = 0.05 * (2.0 * np.indices((2, 2, 2)).reshape(3, -1).T - 1.0)  # [m]
TURN = UrdfJoint("turn", "revolute", "low", "high", -3.0, 3.0, 1.0)


def world(height: float, axis: str) -> str:
    """A link that turns `height` [m] above a fixed one; between them one that has no shape."""
    return f"""<mujoco><worldbody><body name="low"><body name="middle"><joint name="other"/>
        <inertial pos="0 0 0" mass="1" diaginertia="1 1 1"/>
        <body name="high" pos="0 0 {height}"><joint name="turn" axis="{axis}"/>
        <inertial pos="0 0 0" mass="1" diaginertia="1 1 1"/></body></body></body></worldbody></mujoco>"""


@pytest.mark.parametrize(
    ("height", "axis", "gap"),
    [
        (0.13, "0 0 1", 0.03),  # turns in its own plane
        (0.15, "1 0 0", 0.15 - 0.05 - 0.05 * np.sqrt(2.0)),  # stands on its edge
        (0.10, "1 0 0", 0.0),
        (0.40, "1 0 0", SEEN),
    ],
)
def test_the_least_gap_is_that_of_the_worst_posture(height, axis, gap):
    found = least_gap(world(height, axis), ("low", "high"), {"low": [CUBE], "high": [CUBE]}, [TURN])
    assert found == pytest.approx(gap, abs=2e-4) or found <= gap < 0.01


def test_what_is_not_known_counts_as_touching():
    parts = {"low": [CUBE], "high": []}
    assert least_gap(world(0.4, "1 0 0"), ("low", "high"), parts, [TURN]) == 0.0
    assert least_gap(world(0.4, "1 0 0"), ("low", "high"), {"low": [CUBE], "high": [CUBE]}, [TURN] * 3) == 0.0


def test_a_surface_comes_in_the_parts_that_capsules_hold():
    low, high = np.zeros(3), np.array([0.0, 0.0, 1.0])
    rods = (Capsule(low, low, 0.1), Capsule(high, high, 0.1))
    corner = np.array([[0.0, 0, 0], [0.01, 0, 0], [0, 0.01, 0], [0, 0, 0.01]])
    triangles = np.array([corner[[0, 1, 2]], corner[[0, 1, 3]], corner[[0, 2, 3]], corner[[1, 2, 3]]])
    found = pieces(np.concatenate([triangles, triangles + high]), rods)
    assert [part.min(axis=0).tolist() for part in found] == [[0, 0, 0], [0, 0, 1]]
    assert pieces(triangles[:1], rods[:1]) == []
