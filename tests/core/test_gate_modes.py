"""The gate's state machine, with time moved by hand."""

from dataclasses import fields, replace

import numpy as np
import pytest

from spillguard_core.arm import GEN3_LIMITS
from spillguard_core.decision import Mode, Reason, Request, Verdict
from spillguard_core.gate import VERDICTS, decide, initial_decision, refusal
from spillguard_core.kinematics import NOMINAL_POSTURE

FORWARD = np.array([0.0, 0.0, 0.1, 0.0])


def test_nothing_is_sent_before_a_reset(rig):
    for _ in range(50):
        assert not rig.tick(FORWARD).send
    assert rig.decision.reason is Reason.NOT_RESET


def test_resume_alone_does_not_open_the_gate(rig):
    assert not rig.tick(FORWARD, Request.RESUME).send
    assert "reset first" in refusal(Request.RESUME, rig.inputs(FORWARD), rig.decision, rig.config)


def test_reset_sends_the_measured_pose_and_does_not_move(rig):
    rig.q = NOMINAL_POSTURE + 0.05
    first = rig.tick(FORWARD, Request.RESET)
    assert first.send
    np.testing.assert_array_equal(first.q, NOMINAL_POSTURE + 0.05)
    last = rig.run(100, FORWARD)
    np.testing.assert_array_equal(last.q, first.q)
    assert last.mode is Mode.HELD


def test_resume_after_a_reset_follows_the_proposal(rig):
    rig.follow(30)
    assert rig.decision.verdict is Verdict.PASS
    assert rig.qd.any()


def test_reset_and_resume_within_one_period_start_from_the_measured_pose(rig):
    decision = rig.tick(FORWARD, Request.RESET, Request.RESUME)
    assert decision.mode is Mode.FOLLOWING
    assert np.abs(decision.q - rig.q).max() <= 0.5 * 5.0 * 0.01**2 + 1e-12  # half a t^2 from rest


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"measurement": None}, "no joint state yet"),
        ({"state_received": 99.0}, "joint state is stale: received"),
        ({"state_stamp": float("nan")}, "stamp has not advanced"),
    ],
)
def test_reset_is_refused_while_the_state_is_bad(rig, changed, message):
    assert message in refusal(Request.RESET, rig.inputs(**changed), rig.decision, rig.config)
    assert not rig.tick(FORWARD, Request.RESET, **changed).send


def test_reset_is_refused_while_the_arm_moves(rig):
    rig.qd = np.full(7, 0.1)
    assert "moves at 0.100 rad/s" in refusal(Request.RESET, rig.inputs(), rig.decision, rig.config)
    assert not rig.tick(None, Request.RESET).send


def test_stop_in_the_same_period_beats_reset_and_resume(rig):
    decision = rig.tick(FORWARD, Request.RESET, Request.STOP, Request.RESUME)
    assert decision.mode is Mode.STOPPED
    assert not decision.send


def test_hold_in_the_same_period_beats_resume(rig):
    rig.tick(None, Request.RESET)
    assert rig.tick(FORWARD, Request.HOLD, Request.RESUME).mode is Mode.HELD


def test_operator_hold_brakes_and_keeps_its_pose_until_a_resume(rig):
    rig.follow()
    rig.tick(FORWARD, Request.HOLD)
    rest = rig.run(50, FORWARD)
    assert not rest.qd.any()
    np.testing.assert_array_equal(rig.run(50, FORWARD).q, rest.q)
    assert rig.tick(FORWARD, Request.RESUME).qd.any()


def test_stop_latches_until_reset_and_resume(rig):
    rig.follow()
    rig.tick(FORWARD, Request.STOP)
    pose = rig.run(100, FORWARD).q
    assert rig.tick(FORWARD, Request.RESUME).mode is Mode.STOPPED
    assert rig.tick(FORWARD, Request.RESET).mode is Mode.HELD
    np.testing.assert_array_equal(rig.run(10, FORWARD).q, pose)
    assert rig.tick(FORWARD, Request.RESUME).mode is Mode.FOLLOWING


def test_stopped_arm_brakes_and_is_then_left_alone(rig):
    rig.follow()
    assert rig.tick(FORWARD, Request.STOP).send
    rig.run(50)
    assert not rig.decision.send
    assert np.abs(rig.qd).max() == 0.0


def test_arm_moved_by_hand_while_stopped_is_not_pulled_back_by_a_reset(rig):
    rig.follow()
    rig.tick(None, Request.STOP)
    rig.run(50)
    rig.told, rig.q = None, rig.q + 0.3
    np.testing.assert_array_equal(rig.tick(None, Request.RESET).q, rig.q)


def test_stale_proposal_brakes_to_rest_and_a_fresh_one_resumes_without_a_jump(rig):
    rig.follow()
    stamp = rig.now - 3.0
    old = replace(rig.inputs(FORWARD).proposal, stamp=stamp)
    verdicts = [rig.tick(None, proposal=old).verdict for _ in range(11)]
    # 0.1 s after it was received, give or take the rounding of the tenth sum
    assert verdicts[:9] == [Verdict.PASS] * 9 and verdicts[10] is Verdict.HOLD
    rest = rig.run(50, proposal=old)
    assert rest.reason is Reason.PROPOSAL_STALE and not rest.qd.any()
    np.testing.assert_array_equal(rig.run(20, proposal=old).q, rest.q)
    again = rig.tick(FORWARD)
    assert again.verdict is Verdict.PASS
    assert 0.0 < np.abs(again.qd).max() <= 5.0 * 0.01 + 1e-12


def test_policy_that_repeats_its_answer_to_an_old_state_is_stale(rig):
    rig.follow()
    stamp = rig.inputs().state_stamp
    for _ in range(20):  # received now each time, but always about the same state
        rig.tick(None, proposal=replace(rig.inputs(FORWARD).proposal, stamp=stamp, received=rig.now + 0.01))
    assert rig.decision.reason is Reason.PROPOSAL_STALE
    assert "its state is" in rig.decision.detail


def test_missing_proposal_holds(rig):
    rig.follow()
    assert rig.run(50).reason is Reason.PROPOSAL_MISSING
    assert not rig.decision.qd.any()


def test_silent_joint_state_stops_within_its_timeout(rig):
    rig.follow()
    received = rig.now
    decisions = [rig.tick(FORWARD, state_received=received) for _ in range(6)]
    assert [d.mode for d in decisions[:4]] == [Mode.FOLLOWING] * 4
    assert decisions[5].mode is Mode.STOPPED  # 0.06 s > 0.05 s
    assert rig.run(50, FORWARD).reason is Reason.STATE_STALE  # latched although the state is back


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
    assert decision.reason is Reason.STATE_OUT_OF_LIMITS
    assert "joint 6 at -2.2" in decision.detail
    assert (decision.q >= GEN3_LIMITS.position_min).all()


def test_arm_that_does_not_follow_is_stopped(rig):
    rig.follow(60)
    stuck = rig.q + 0.06
    seen = replace(rig.inputs().measurement, joint_position=stuck, joint_velocity=np.zeros(7))
    decisions = [rig.tick(FORWARD, measurement=seen) for _ in range(3)]
    assert [d.mode for d in decisions] == [Mode.FOLLOWING, Mode.FOLLOWING, Mode.STOPPED]
    assert decisions[-1].reason is Reason.TRACKING_ERROR
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
    rig.tick(None, Request.RESET)
    wrapped = rig.q - 2 * np.pi * np.eye(7)[2]
    for _ in range(10):
        seen = replace(rig.inputs().measurement, joint_position=wrapped)
        assert rig.tick(None, measurement=seen).mode is Mode.HELD


def test_arm_that_keeps_moving_while_held_is_stopped(rig):
    rig.follow()
    rig.tick(None, Request.HOLD)
    for _ in range(120):
        creeping = replace(rig.inputs().measurement, joint_velocity=np.full(7, 0.03))
        rig.tick(None, measurement=creeping)
    assert rig.decision.reason is Reason.NOT_SETTLING


@pytest.mark.parametrize("writers", [0, 2, 17])
def test_another_writer_on_the_command_topic_stops_the_arm(rig, writers):
    rig.follow(60)
    assert rig.qd.any()
    assert rig.tick(FORWARD, command_writers=writers).reason is Reason.FOREIGN_WRITER
    rig.run(60, FORWARD)  # it is gone again, the stop is not
    assert rig.decision.mode is Mode.STOPPED
    assert not rig.qd.any()


def test_reset_is_refused_while_another_writer_is_there(rig):
    rig.follow()
    rig.run(60, FORWARD, command_writers=2)
    inputs = rig.inputs(command_writers=2)
    assert "another node" in refusal(Request.RESET, inputs, rig.decision, rig.config)
    assert rig.tick(None, Request.RESET, command_writers=2).mode is Mode.STOPPED
    assert rig.tick(None, Request.RESET).mode is Mode.HELD


def test_sensor_that_falls_silent_holds(rig):
    rig.follow()
    rig.run(30, FORWARD, sensors_received=rig.now)
    assert rig.decision.reason is Reason.SENSOR_STALE
    assert rig.run(1, FORWARD).verdict is Verdict.PASS


def test_reason_without_a_verdict_means_stop():
    stopping = {reason for reason in Reason if reason not in VERDICTS}
    assert {Reason.STATE_STALE, Reason.OPERATOR_STOP, Reason.TRACKING_ERROR, Reason.NOT_RESET} <= stopping
    assert initial_decision().verdict is Verdict.STOP


def test_equal_arguments_give_equal_decisions(rig):
    rig.follow()
    inputs = rig.inputs(np.array([0.3, 0.0, -0.2, 1.0]))
    first, second = (decide(inputs, rig.decision, rig.config, rig.models) for _ in range(2))
    for part in fields(first):
        np.testing.assert_equal(getattr(first, part.name), getattr(second, part.name))


def test_driver_that_is_not_in_order_stops_the_arm_until_it_is_and_a_reset(rig):
    rig.follow(60)
    assert rig.qd.any()
    fault = "joint_trajectory_controller is inactive"
    assert rig.tick(FORWARD, driver_fault=fault).reason is Reason.DRIVER_FAULT
    rig.run(60, FORWARD, driver_fault=fault)
    assert not rig.qd.any()
    assert fault in refusal(Request.RESET, rig.inputs(driver_fault=fault), rig.decision, rig.config)
    assert rig.tick(None, Request.RESET, driver_fault=fault).mode is Mode.STOPPED
    rig.run(60, FORWARD)  # it is in order again, the stop is not over
    assert rig.decision.mode is Mode.STOPPED
    moved = replace(rig.inputs().measurement, joint_position=rig.q + 0.1)  # by hand, meanwhile
    decision = rig.tick(None, Request.RESET, measurement=moved)
    assert decision.mode is Mode.HELD
    np.testing.assert_allclose(decision.q, moved.joint_position)  # goes on from where the arm is
