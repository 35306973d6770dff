"""Observation terms: order, width, units, and invalid numbers."""

from dataclasses import replace

import mujoco
import numpy as np
import pytest
from numpy.testing import assert_allclose

from sim.pouring.cell_model import guard_model_xml
from sim.pouring.gen3 import GEN3, NOMINAL_POSTURE
from spillguard_core.gate.task import observation_scaling, observation_width, observe
from spillguard_core.tasks.pouring import TASK as POURING
from spillguard_core.tasks.pouring.lip import LipKinematics
from spillguard_core.tasks.pouring.observation import POUR_TERMS, TARGET, TERMS, measured

REST = measured(NOMINAL_POSTURE, np.zeros(7), 0.01, 0.05, np.array([0.68, 0.02, 0.12]))


@pytest.fixture(scope="module")
def kinematics() -> LipKinematics:
    return LipKinematics(mujoco.MjModel.from_xml_string(guard_model_xml()), GEN3)


def test_each_term_fills_its_declared_width(kinematics: LipKinematics) -> None:
    lip = kinematics.state(REST.joint_position, REST.joint_velocity)
    for name, term in TERMS.items():
        assert len(term.function(REST, lip)) == term.width == len(term.shift) == len(term.scale), name


def test_terms_stand_in_the_order_asked_for(kinematics: LipKinematics) -> None:
    both = observe(POURING, ("remaining_mass", "poured_mass"), REST, kinematics)
    assert_allclose(both, [0.05, 0.01])
    assert (
        observe(POURING, POUR_TERMS, REST, kinematics).shape
        == (observation_width(POURING, POUR_TERMS),)
        == (14,)
    )


def test_lip_to_target_moves_against_the_target(kinematics: LipKinematics) -> None:
    here = observe(POURING, ("lip_to_target",), REST, kinematics)
    elsewhere = REST.sensed[TARGET] + np.array([0.1, 0.0, -0.05])
    moved = replace(REST, sensed={**REST.sensed, TARGET: elsewhere})
    assert_allclose(
        here - observe(POURING, ("lip_to_target",), moved, kinematics), [0.1, 0.0, -0.05], atol=1e-6
    )


def test_scaling_brings_usual_values_near_one(kinematics: LipKinematics) -> None:
    shift, scale = observation_scaling(POURING, POUR_TERMS)
    assert shift.shape == scale.shape == (14,) and (scale > 0).all()
    assert (abs((observe(POURING, POUR_TERMS, REST, kinematics) - shift) / scale) < 3).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    "field", ["joint_position", "joint_velocity", "poured_mass", "remaining_mass", "target_position"]
)
def test_one_bad_number_makes_a_measurement_not_finite(field: str, bad: float) -> None:
    value = REST.sensed[field] if field in REST.sensed else getattr(REST, field)
    wrong = np.where(np.arange(value.size) == 0, bad, value)
    changed = {"sensed": {**REST.sensed, field: wrong}} if field in REST.sensed else {field: wrong}
    assert REST.is_finite()
    assert not replace(REST, **changed).is_finite()
