"""Pours behind the gate, with arms as drivers move them: how well, `benchmarks/arm_forms.py` measures."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.arm_forms import FORMS, pour
from benchmarks.bundles import SHIPPED
from benchmarks.sequences import hard_limits_alone
from sim.identification.twin import BareArm, TorqueSensors
from sim.pouring.arms import Drive, DrivenArm, IdealArm, without_past
from sim.pouring.cell import PourCell
from sim.pouring.controller import ForwardController
from sim.pouring.domain import FIXED, NOMINAL
from sim.pouring.gen3 import NOMINAL_POSTURE
from sim.pouring.guarded import seen_at_rest
from sim.pouring.scenario import sample_scenario
from spillguard_core.gate.trajectory import Trajectory

JOINED = "not stamped, joined to the measured state"


@pytest.mark.parametrize("form", [form for form in FORMS if form != JOINED])
def test_a_cup_is_poured(form: str) -> None:
    poured = pour(SHIPPED, form, 0)
    assert (poured.success, poured.spill, poured.broken, poured.stopped) == (True, False, False, False)
    assert poured.acceleration < 2.0


def test_an_arm_whose_controller_joins_to_where_it_is_measured_shakes() -> None:
    """What a real one does with messages that have to be joined, by default."""
    poured = pour(SHIPPED, JOINED, 2)
    assert poured.stopped and not poured.success
    assert poured.acceleration > 5.0


@pytest.mark.parametrize(("points", "left"), [(2, 1), (3, 1), (4, 2)])
def test_a_command_without_its_past_ends_the_same(points: int, left: int) -> None:
    path = Trajectory(np.arange(points), np.arange(7 * points).reshape(points, 7), np.ones((points, 7)))
    rest = without_past(path)
    assert len(rest.times) == left
    np.testing.assert_array_equal(rest.positions[-1], path.positions[-1])


@pytest.mark.parametrize("timestep", [0.001, 0.002, 0.0025, 0.005])
def test_a_period_takes_as_long_whatever_the_step_of_the_physics(timestep: float) -> None:
    """A controller that looks once a millisecond need not do so at the end of a step."""
    drive = Drive(ForwardController(np.zeros(7)), np.zeros(7), lag=0.0)
    drive.controller.accept(np.full(7, 0.01), 0.004)
    q, qd = drive.advance(0.0, 0.01, timestep)
    ends = timestep * np.arange(1, round(0.01 / timestep) + 1)
    assert q.shape == qd.shape == (len(ends), 7)
    # Told from the update at 4 ms on, which ends at 5 ms; the position between two updates is on a line.
    np.testing.assert_allclose(q[:, 0], 0.01 * np.clip((ends - 0.004) / 0.001, 0.0, 1.0), atol=1e-12)


def test_a_driven_arm_moves_a_cell_of_another_time_step_in_real_time() -> None:
    models, config = hard_limits_alone(SHIPPED)
    cell = PourCell()
    scenario = sample_scenario(np.random.default_rng(0))
    cell.reset(replace(scenario, domain=replace(scenario.domain, timestep=0.0025)))
    arm = DrivenArm()
    arm.reset(cell.data.qpos[:7].copy(), 0)
    arm.follow(cell, seen_at_rest(cell.measure(), config, models), config)
    assert cell.data.time == pytest.approx(config.period)


ZERO = 0.003 * np.array([1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0])  # [rad]


def test_an_encoder_whose_zero_is_off_reads_the_command_and_the_arm_is_beside_it() -> None:
    models, config = hard_limits_alone(SHIPPED)
    scenario = sample_scenario(np.random.default_rng(0), FIXED)
    scenario = replace(scenario, domain=replace(scenario.domain, payload=0.0, granules=1))  # it does not sag
    off = replace(scenario, domain=replace(scenario.domain, encoder_offset=tuple(ZERO)))
    for arm in (IdealArm(), DrivenArm()):
        rests = []
        for one in (scenario, off):
            cell = PourCell()
            cell.reset(one)
            told = cell.read_position
            arm.reset(told, 0)
            decision = seen_at_rest(cell.measure(), config, models)
            for _ in range(100):
                arm.follow(cell, decision, config)
            np.testing.assert_allclose(cell.measure().joint_position, told, atol=5e-4)
            rests.append(cell.data.qpos[:7].copy())
        np.testing.assert_allclose(rests[0] - rests[1], ZERO, atol=2e-4)


def test_the_bare_arm_closes_on_its_encoders_too() -> None:
    arm = BareArm(replace(NOMINAL, payload=0.0, encoder_offset=tuple(ZERO)), 0, TorqueSensors())
    np.testing.assert_allclose(arm.read_position, NOMINAL_POSTURE, atol=5e-4)
    np.testing.assert_allclose(arm.measure().joint_position, arm.read_position, atol=1e-12)
    np.testing.assert_allclose(arm.read_position - arm.q, ZERO, atol=1e-12)


def test_messages_are_late_independently_of_what_else_is_random_in_the_cell() -> None:
    arm = DrivenArm()
    arm.reset(np.zeros(7), 5)
    assert arm._rng.random() != np.random.default_rng(5).random()
