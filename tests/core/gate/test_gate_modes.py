"""The gate's state machine, with a manual clock."""

from dataclasses import replace

import numpy as np
import pytest

from sim.pouring.gen3 import NOMINAL_POSTURE
from spillguard_core.gate import reasons
from spillguard_core.gate.decision import Mode, Request
from spillguard_core.gate.gate import decide, initial_decision
from spillguard_core.gate.reasons import Reason, Verdict
from spillguard_core.gate.refusal import refusal
from spillguard_ros.recording import flight

FORWARD = np.array([0.0, 0.0, 0.1, 0.0])


def test_nothing_is_sent_before_a_reset(rig):
    for _ in range(50):
        assert not rig.tick(FORWARD).send
    assert rig.decision.reason is reasons.NOT_RESET


def test_resume_alone_does_not_open_the_gate(rig):
    assert not rig.tick(FORWARD, Request.RESUME).send
    assert "reset first" in refusal(Request.RESUME, rig.inputs(FORWARD), rig.decision, rig.config)


def test_reset_sends_the_measured_pose_and_does_not_move(rig):
    rig.q = NOMINAL_POSTURE + 0.05
    rig.run(31)
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
    for _ in range(10):
        rig.q = rig.q + 0.001
        rig.tick()
    assert "seen at rest for 0.3 s" in refusal(Request.RESET, rig.inputs(), rig.decision, rig.config)
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
    rig.run(31)
    np.testing.assert_array_equal(rig.tick(None, Request.RESET).q, rig.q)


@pytest.mark.parametrize("writers", [0, 2, 17])
def test_another_writer_on_the_command_topic_stops_the_arm(rig, writers):
    rig.follow(60)
    assert rig.qd.any()
    assert rig.tick(FORWARD, command_writers=writers).reason is reasons.FOREIGN_WRITER
    rig.run(60, FORWARD)  # the other writer is gone, the stop stays
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
    assert rig.decision.reason is reasons.SENSOR_STALE
    assert rig.run(1, FORWARD).verdict is Verdict.PASS


def test_reason_without_a_verdict_means_stop():
    assert Reason("SOMETHING_NEW", "nobody has said what it means").verdict is Verdict.STOP
    assert Reason.named("OF_ANOTHER_VERSION").verdict is Verdict.STOP
    assert Reason("OF_ANOTHER_VERSION", "now it is known", Verdict.LIMIT) is Reason.named(
        "OF_ANOTHER_VERSION"
    )
    with pytest.raises(
        ValueError, match="the reason OF_ANOTHER_VERSION is known as 'now it is known', LIMIT"
    ):
        Reason("OF_ANOTHER_VERSION", "now it is something else", Verdict.LIMIT)
    stopping = {reason for reason in Reason.known.values() if reason.verdict is Verdict.STOP}
    assert {reasons.STATE_STALE, reasons.OPERATOR_STOP, reasons.TRACKING_ERROR, reasons.NOT_RESET} <= stopping
    assert initial_decision(7, 4).verdict is Verdict.STOP


def test_equal_arguments_give_equal_decisions(rig):
    rig.follow()
    inputs = rig.inputs(np.array([0.3, 0.0, -0.2, 1.0]))
    first, second = (decide(inputs, rig.decision, rig.config, rig.models) for _ in range(2))
    assert flight.equal(first, second)


def test_driver_that_is_not_in_order_stops_the_arm_until_it_is_and_a_reset(rig):
    rig.follow(60)
    assert rig.qd.any()
    fault = "joint_trajectory_controller is inactive"
    assert rig.tick(FORWARD, driver_fault=fault).reason is reasons.DRIVER_FAULT
    rig.run(60, FORWARD, driver_fault=fault)
    assert not rig.qd.any()
    assert fault in refusal(Request.RESET, rig.inputs(driver_fault=fault), rig.decision, rig.config)
    assert rig.tick(None, Request.RESET, driver_fault=fault).mode is Mode.STOPPED
    rig.run(60, FORWARD)  # the driver is healthy again, the stop stays
    assert rig.decision.mode is Mode.STOPPED
    moved = replace(rig.inputs().measurement, joint_position=rig.q + 0.1)  # by hand, in the meantime
    rig.run(31, measurement=moved)
    decision = rig.tick(None, Request.RESET, measurement=moved)
    assert decision.mode is Mode.HELD
    np.testing.assert_allclose(decision.q, moved.joint_position)  # continues from the arm's present position
