"""Exact limits of the gate's tolerances, and what counts as consecutive."""

from dataclasses import replace

import numpy as np
import pytest

from sim.pouring.gen3 import GEN3_LIMITS
from spillguard_core.gate import reasons
from spillguard_core.gate.decision import Mode, Request
from spillguard_core.gate.refusal import refusal

FORWARD = np.array([0.0, 0.0, 0.1, 0.0])


def test_tracking_errors_that_are_not_in_a_row_do_not_add_up(rig):
    rig.follow(60)
    for _ in range(5):
        off = replace(rig.inputs().measurement, joint_position=rig.q + 0.06)
        for _ in range(rig.config.tracking_cycles - 1):
            assert rig.tick(FORWARD, measurement=off).mode is Mode.FOLLOWING
        assert rig.tick(FORWARD).mode is Mode.FOLLOWING


def test_joint_state_whose_stamp_goes_back_again_and_again_is_stale(rig):
    """Each stamp differs from the previous one, but none is newer."""
    rig.follow()
    stamp = rig.inputs().state_stamp
    decisions = [rig.tick(FORWARD, state_stamp=stamp - 0.001 * back) for back in range(1, 8)]
    assert decisions[0].mode is Mode.FOLLOWING
    assert (decisions[-1].mode, decisions[-1].reason) == (Mode.STOPPED, reasons.STATE_STALE)


@pytest.mark.parametrize("beyond", [-0.009, -0.011, 0.009, 0.011])
def test_joint_may_read_beyond_its_limit_by_the_tolerance_alone(rig, beyond):
    """10 mrad, at either end stop."""
    q = rig.q.copy()
    q[3] = beyond + (GEN3_LIMITS.position_max[3] if beyond > 0.0 else GEN3_LIMITS.position_min[3])
    said = refusal(
        Request.RESET,
        rig.inputs(measurement=replace(rig.inputs().measurement, joint_position=q)),
        rig.decision,
        rig.config,
    )
    assert ("joint outside its position limits: joint 4" in said) is (abs(beyond) > 0.01)


def test_reset_that_comes_with_a_stop_is_refused_by_name(rig):
    rig.follow()
    rig.run(60, FORWARD, command_writers=2)
    asked = rig.inputs(requests=(Request.STOP,))
    assert refusal(Request.RESET, asked, rig.decision, rig.config) == "a stop was asked for at the same time"


def test_resume_that_comes_with_a_hold_is_refused_by_name(rig):
    rig.tick(None, Request.RESET)
    asked = rig.inputs(FORWARD, Request.HOLD)
    said = refusal(Request.RESUME, asked, rig.decision, rig.config)
    assert said == "a hold was asked for at the same time"


def test_reset_of_an_arm_that_reads_beyond_its_limit_commands_the_limit(rig):
    rig.q = rig.q + (GEN3_LIMITS.position_max[3] + 0.009 - rig.q[3]) * np.eye(7)[3]
    rig.run(31)
    decision = rig.tick(None, Request.RESET)
    assert decision.mode is Mode.HELD
    assert decision.q[3] == GEN3_LIMITS.position_max[3]
    np.testing.assert_array_equal(np.delete(decision.q, 3), np.delete(rig.q, 3))


def test_time_to_settle_begins_anew_with_a_reset(rig):
    """An arm that sways when its brakes open, long after a stop, gets the settle time of any other hold."""
    rig.follow()
    rig.tick(FORWARD, Request.STOP)
    rig.run(200)
    rig.tick(None, Request.RESET)
    met = []
    for tick in range(1, 121):
        swaying = rig.q + 0.0003 * tick * np.eye(7)[1]  # 0.03 rad/s
        seen = replace(rig.inputs().measurement, joint_position=swaying)
        met.append(rig.tick(None, measurement=seen).reason)
    assert met[90] is reasons.OPERATOR_HOLD
    assert met[-1] is reasons.NOT_SETTLING
