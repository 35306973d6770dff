"""Observation terms: order, width, units, and bad numbers."""

from dataclasses import replace

import mujoco
import numpy as np
import pytest
from numpy.testing import assert_allclose

from sim.cell_model import guard_model_xml
from spillguard_core.kinematics import NOMINAL_POSTURE, ArmKinematics
from spillguard_core.observation import (
    POUR_TERMS,
    TERMS,
    Measurement,
    observation_scaling,
    observation_width,
    observe,
)

REST = Measurement(NOMINAL_POSTURE, np.zeros(7), 0.01, 0.05, np.array([0.68, 0.02, 0.12]))


@pytest.fixture(scope="module")
def kinematics() -> ArmKinematics:
    return ArmKinematics(mujoco.MjModel.from_xml_string(guard_model_xml()))


def test_each_term_fills_its_declared_width(kinematics: ArmKinematics) -> None:
    lip = kinematics.lip(REST.joint_position, REST.joint_velocity)
    for name, term in TERMS.items():
        assert len(term.function(REST, lip)) == term.width == len(term.shift) == len(term.scale), name


def test_terms_stand_in_the_order_asked_for(kinematics: ArmKinematics) -> None:
    both = observe(("remaining_mass", "poured_mass"), REST, kinematics)
    assert_allclose(both, [0.05, 0.01])
    assert observe(POUR_TERMS, REST, kinematics).shape == (observation_width(POUR_TERMS),) == (14,)


def test_lip_to_target_moves_against_the_target(kinematics: ArmKinematics) -> None:
    here = observe(("lip_to_target",), REST, kinematics)
    moved = replace(REST, target_position=REST.target_position + np.array([0.1, 0.0, -0.05]))
    assert_allclose(here - observe(("lip_to_target",), moved, kinematics), [0.1, 0.0, -0.05], atol=1e-6)


def test_scaling_brings_usual_values_near_one(kinematics: ArmKinematics) -> None:
    shift, scale = observation_scaling(POUR_TERMS)
    assert shift.shape == scale.shape == (14,) and (scale > 0).all()
    assert (abs((observe(POUR_TERMS, REST, kinematics) - shift) / scale) < 3).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    "field", ["joint_position", "joint_velocity", "poured_mass", "remaining_mass", "target_position"]
)
def test_one_bad_number_makes_a_measurement_not_finite(field: str, bad: float) -> None:
    value = getattr(REST, field)
    wrong = np.where(np.arange(np.size(value)) == 0, bad, value) if np.ndim(value) else bad
    assert REST.is_finite()
    assert not replace(REST, **{field: wrong}).is_finite()
