"""The gate and what it hears of the arm: stale, impossible, off its command; with a manual clock."""

from dataclasses import replace

import numpy as np
import pytest

from sim.pouring.gen3 import GEN3_LIMITS, NOMINAL_POSTURE
from spillguard_core.gate import reasons
from spillguard_core.gate.decision import Mode, Request
from spillguard_core.gate.reasons import Verdict

FORWARD = np.array([0.0, 0.0, 0.1, 0.0])


def test_silent_joint_state_stops_within_its_timeout(rig):
    rig.follow()
    received = rig.now
    decisions = [rig.tick(FORWARD, state_received=received) for _ in range(6)]
    assert [d.mode for d in decisions[:4]] == [Mode.FOLLOWING] * 4
    assert decisions[5].mode is Mode.STOPPED  # 0.06 s > 0.05 s
    assert rig.run(50, FORWARD).reason is reasons.STATE_STALE  # latched although the state is valid again


@pytest.mark.parametrize("shift", [0.0, -0.5, float("-inf")], ids=["frozen", "back-dated", "minus infinity"])
def test_joint_state_whose_stamp_does_not_advance_is_stale(rig, shift):
    rig.follow()
    stamp = rig.inputs().state_stamp + shift
    for _ in range(7):
        rig.tick(FORWARD, state_stamp=stamp)
    assert rig.decision.verdict >= Verdict.HOLD
    assert rig.decision.mode is Mode.STOPPED


def test_driver_whose_clock_was_set_back_works_again_after_a_reset(rig):
    rig.follow()
    rig.run(10, state_stamp=rig.inputs().state_stamp)
    assert rig.decision.mode is Mode.STOPPED
    rig.run(100)
    for cycle in range(10):
        rig.tick(None, state_stamp=0.01 * cycle)
    assert rig.tick(None, Request.RESET, state_stamp=0.2).mode is Mode.HELD
    assert rig.tick(None, state_stamp=0.21).mode is Mode.HELD


def test_joint_outside_its_limits_stops(rig):
    rig.follow()
    far = rig.q.copy()
    far[5] = -2.2
    measured = replace(rig.inputs().measurement, joint_position=far)
    decision = rig.tick(FORWARD, measurement=measured)
    assert decision.reason is reasons.STATE_OUT_OF_LIMITS
    assert "joint 6 at -2.2" in decision.detail
    assert (decision.q >= GEN3_LIMITS.position_min).all()


def test_arm_that_does_not_follow_is_stopped(rig):
    rig.follow(60)
    stuck = rig.q + 0.06
    seen = replace(rig.inputs().measurement, joint_position=stuck, joint_velocity=np.zeros(7))
    decisions = [rig.tick(FORWARD, measurement=seen) for _ in range(3)]
    assert [d.mode for d in decisions] == [Mode.FOLLOWING, Mode.FOLLOWING, Mode.STOPPED]
    assert decisions[-1].reason is reasons.TRACKING_ERROR
    assert not rig.run(40, FORWARD, measurement=seen).send
    assert not rig.qd.any()


@pytest.mark.parametrize("offset", [0.1, 0.3, -0.3])
def test_reading_that_jumps_does_not_make_the_arm_jump(rig, offset):
    rig.follow(60)
    rows = [rig.q]
    for _ in range(60):
        wrong = rig.q + offset * np.eye(7)[1]
        rig.tick(FORWARD, measurement=replace(rig.inputs().measurement, joint_position=wrong))
        rows.append(rig.q)
    assert rig.decision.mode is Mode.STOPPED
    acceleration = np.diff(np.array(rows), n=2, axis=0) / rig.config.period**2
    assert (np.abs(acceleration) <= GEN3_LIMITS.acceleration * 1.1).all()


def test_short_disturbance_is_not_a_tracking_error(rig):
    rig.follow(60)
    for _ in range(2):
        off = replace(rig.inputs().measurement, joint_position=rig.q + 0.06)
        rig.tick(FORWARD, measurement=off)
    assert rig.run(10, FORWARD).mode is Mode.FOLLOWING


def test_arm_that_trails_its_command_by_a_known_lag_is_healthy(rig):
    rig.follow(60, np.array([0.25, 0.0, 0.0, 1.2]))
    q, qd = rig.q, rig.qd
    for _ in range(5):
        behind = replace(rig.inputs().measurement, joint_position=rig.q - 0.05 * rig.qd)
        rig.tick(np.array([0.25, 0.0, 0.0, 1.2]), measurement=behind)
    assert rig.decision.mode is Mode.FOLLOWING
    assert np.abs(0.05 * qd).max() > 0.02 and (q != rig.q).any()


def test_continuous_joint_that_wraps_at_pi_is_not_a_tracking_error(rig):
    rig.q = NOMINAL_POSTURE.copy()
    rig.q[2] = np.pi - 1e-3
    rig.run(31)
    rig.tick(None, Request.RESET)
    wrapped = rig.q - 2 * np.pi * np.eye(7)[2]
    for _ in range(10):
        seen = replace(rig.inputs().measurement, joint_position=wrapped)
        assert rig.tick(None, measurement=seen).mode is Mode.HELD


def test_arm_that_keeps_moving_while_held_is_stopped(rig):
    rig.follow()
    rig.tick(None, Request.HOLD)
    for tick in range(120):
        q = rig.q + 0.0003 * tick * np.eye(7)[1]  # 0.03 rad/s
        rig.tick(None, measurement=replace(rig.inputs().measurement, joint_position=q))
    assert rig.decision.reason is reasons.NOT_SETTLING
