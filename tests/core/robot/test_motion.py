"""The velocity ramp that simulation and gate share."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from spillguard_core.robot.motion import ramp

VELOCITY = st.lists(st.floats(-2, 2), min_size=3, max_size=3).map(np.array)
LIMIT = np.array([1.0, 5.0, 10.0])


@given(qd=VELOCITY, goal=VELOCITY, ticks=st.integers(1, 8))
def test_no_joint_accelerates_beyond_its_limit(qd: np.ndarray, goal: np.ndarray, ticks: int) -> None:
    _, velocities = ramp(np.zeros(3), qd, goal, LIMIT, 0.01, ticks)
    change = np.diff(np.vstack([qd, velocities]), axis=0)
    assert (abs(change) <= LIMIT * 0.01 + 1e-12).all()


@given(qd=VELOCITY, goal=VELOCITY)
def test_the_goal_is_reached_and_never_passed(qd: np.ndarray, goal: np.ndarray) -> None:
    _, velocities = ramp(np.zeros(3), qd, goal, LIMIT, 0.01, 500)
    assert_allclose(velocities[-1], goal, atol=1e-9)
    low, high = np.minimum(qd, goal) - 1e-9, np.maximum(qd, goal) + 1e-9
    assert ((velocities >= low) & (velocities <= high)).all()


def test_positions_are_the_integral_of_the_velocities() -> None:
    q, qd, goal = np.zeros(3), np.array([0.1, 0.0, -0.2]), np.array([0.1, 0.05, -0.2])
    positions, velocities = ramp(q, qd, goal, LIMIT, 0.01, 2)
    assert_allclose(velocities[0], [0.1, 0.05, -0.2])  # 0.05 rad/s at 5 rad/s^2 takes 10 ms
    assert_allclose(positions[0], [0.001, 0.00025, -0.002])
    assert_allclose(positions[1], [0.002, 0.00075, -0.004])


def test_many_small_ramps_equal_one_long_one() -> None:
    q, qd, goal = np.zeros(3), np.array([0.5, -0.5, 0.0]), np.array([-0.3, 1.0, 0.2])
    together, _ = ramp(q, qd, goal, LIMIT, 0.01, 5)
    for _ in range(5):
        positions, velocities = ramp(q, qd, goal, LIMIT, 0.01, 1)
        q, qd = positions[-1], velocities[-1]
    assert q == pytest.approx(together[-1], abs=1e-12)
