"""The arm built from the published table equals the reference kinematics and dynamics."""

from pathlib import Path

import mujoco
import numpy as np
import pytest
from numpy.testing import assert_allclose

from sim.pouring.gen3 import FLANGE_OFFSET, FLIP, add_arm

REFERENCE = np.load(Path(__file__).parents[1] / "data" / "gen3_reference.npz")
ROWS = range(len(REFERENCE["q"]))


@pytest.fixture(scope="module")
def bare_arm() -> mujoco.MjModel:
    spec = mujoco.MjSpec()
    spec.compiler.degree = False
    add_arm(spec).add_site(name="pinch", pos=FLANGE_OFFSET, quat=FLIP)
    return spec.compile()


@pytest.fixture(scope="module")
def states(bare_arm: mujoco.MjModel) -> list[mujoco.MjData]:
    found = []
    for row in ROWS:
        data = mujoco.MjData(bare_arm)
        data.qpos[:], data.qvel[:] = REFERENCE["q"][row], REFERENCE["qd"][row]
        mujoco.mj_forward(bare_arm, data)
        found.append(data)
    return found


def test_forward_kinematics_equal_the_reference(states: list[mujoco.MjData]) -> None:
    for row, data in zip(ROWS, states, strict=True):
        assert_allclose(data.site("pinch").xpos, REFERENCE["pinch_pos"][row], atol=1e-6)  # [m]
        turn = REFERENCE["pinch_rot"][row].T @ data.site("pinch").xmat.reshape(3, 3)
        angle = np.linalg.norm((turn - turn.T)[[2, 0, 1], [1, 2, 0]]) / 2
        assert turn.trace() > 2.9 and angle < 1e-6  # [rad]


def test_mass_matrix_equals_the_reference(bare_arm: mujoco.MjModel, states: list[mujoco.MjData]) -> None:
    for row, data in zip(ROWS, states, strict=True):
        mass = np.zeros((7, 7))
        mujoco.mj_fullM(bare_arm, mass, data.qM)
        want = REFERENCE["mass_matrix"][row]
        assert abs(mass - want).max() <= 1e-6 * abs(want).max()


def test_bias_forces_equal_the_reference(states: list[mujoco.MjData]) -> None:
    for row, data in zip(ROWS, states, strict=True):
        want = REFERENCE["bias_force"][row]
        assert abs(data.qfrc_bias - want).max() <= 1e-6 * abs(want).max()


def test_site_jacobian_equals_the_reference(bare_arm: mujoco.MjModel, states: list[mujoco.MjData]) -> None:
    for row, data in zip(ROWS, states, strict=True):
        moved, turned = np.zeros((3, 7)), np.zeros((3, 7))
        mujoco.mj_jacSite(bare_arm, data, moved, turned, bare_arm.site("pinch").id)
        assert_allclose(np.vstack([moved, turned]), REFERENCE["jacobian"][row], atol=1e-6)
