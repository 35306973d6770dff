"""Differential kinematics of the lip against finite differences, and its guarantees."""

import mujoco
import numpy as np
import pytest
from numpy.testing import assert_allclose

from sim.pouring.cell_model import guard_model_xml
from sim.pouring.gen3 import GEN3, GEN3_LIMITS, NOMINAL_POSTURE
from spillguard_core.robot.arm import joint_differences
from spillguard_core.tasks.pouring.lip import LipKinematics


@pytest.fixture(scope="module")
def kinematics() -> LipKinematics:
    return LipKinematics(mujoco.MjModel.from_xml_string(guard_model_xml()), GEN3)


def near_nominal(seed: int) -> np.ndarray:
    return NOMINAL_POSTURE + np.random.default_rng(seed).uniform(-0.2, 0.2, 7)


@pytest.mark.parametrize("seed", range(5))
def test_lip_velocity_is_the_derivative_of_the_lip(kinematics: LipKinematics, seed: int) -> None:
    q, step = near_nominal(seed), 1e-6
    qd = np.random.default_rng(seed).normal(size=7)
    ahead, behind = kinematics.state(q + step * qd, qd), kinematics.state(q - step * qd, qd)
    numeric = (ahead.position - behind.position) / (2 * step)
    assert_allclose(kinematics.state(q, qd).velocity, numeric, atol=1e-6)


@pytest.mark.parametrize(
    "twist", [(0.1, 0, 0, 0), (0, -0.1, 0, 0), (0, 0, 0.1, 0), (0, 0, 0, 0.5), (0.05, 0.1, -0.05, -0.4)]
)
def test_the_lip_moves_with_the_wanted_twist(kinematics: LipKinematics, twist: tuple[float, ...]) -> None:
    q = level_posture(kinematics)
    moved = kinematics.lip_twist(q, kinematics.joint_velocity(q, np.array(twist)))
    assert_allclose(moved, twist, atol=0.01)  # the damping takes a few per cent


def level_posture(kinematics: LipKinematics) -> np.ndarray:
    q = NOMINAL_POSTURE.copy()
    for _ in range(100):
        q = q + 0.05 * kinematics.joint_velocity(q, np.zeros(4))
    return q


def test_a_tilted_tool_comes_back_into_the_pouring_plane(kinematics: LipKinematics) -> None:
    q = level_posture(kinematics) + np.array([0.0, 0.0, 0.1, 0.0, 0.1, 0.0, 0.0])
    before = abs(kinematics.state(q, np.zeros(7)).rotation[1:, 0]).max()
    for _ in range(40):
        q = q + 0.05 * kinematics.joint_velocity(q, np.zeros(4))
    assert abs(kinematics.state(q, np.zeros(7)).rotation[1:, 0]).max() < 0.1 * before


def test_holding_the_pose_while_pouring_keeps_the_lip_in_place(kinematics: LipKinematics) -> None:
    q = level_posture(kinematics)
    start = kinematics.state(q, np.zeros(7))
    for _ in range(150):  # 1.5 rad
        q = q + 0.01 * kinematics.joint_velocity(q, np.array([0, 0, 0, 1.0]))
    end = kinematics.state(q, np.zeros(7))
    assert end.tilt - start.tilt == pytest.approx(1.5, abs=0.05)
    assert_allclose(end.position, start.position, atol=0.02)


def test_a_fast_wish_is_scaled_as_a_whole_into_the_velocity_limits(kinematics: LipKinematics) -> None:
    q = near_nominal(0)
    qd = kinematics.joint_velocity(q, np.array([50.0, -20.0, 30.0, 9.0]))
    assert (abs(qd) <= GEN3_LIMITS.velocity + 1e-12).all()
    assert (abs(qd) / GEN3_LIMITS.velocity).max() == pytest.approx(1.0)


def test_continuous_joints_are_compared_on_the_circle() -> None:
    low, high = np.full(7, -3.1), np.full(7, 3.1)
    difference = np.array(joint_differences(high, low, GEN3_LIMITS.turn))
    assert_allclose(difference[[0, 2, 4, 6]], 6.2 - 2 * np.pi)
    assert_allclose(difference[[1, 3, 5]], 6.2)


def test_a_model_without_a_lip_is_refused() -> None:
    with pytest.raises(ValueError, match="site 'lip'"):
        LipKinematics(mujoco.MjModel.from_xml_string("<mujoco/>"), GEN3)
