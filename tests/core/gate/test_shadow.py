"""A gate in shadow: it judges the proposal from the measured arm, in every cycle anew, and sends nothing."""

import json
from dataclasses import replace

import numpy as np
import pytest

from sim.pouring.gen3 import GEN3
from spillguard_core.gate import reasons
from spillguard_core.gate.decision import Mode, Proposal, Request, SuspensionRequest
from spillguard_core.gate.gate import decide, initial_decision
from spillguard_core.gate.reasons import Verdict
from spillguard_core.gate.refusal import LOOKS_ON, refusal
from spillguard_core.gate.trajectory import braking_trajectory
from spillguard_ros.recording import flight
from tests.core.conftest import CONFIG, FORWARD, KINEMATICS, Rig, at, models

SHADOW = replace(CONFIG, shadow=True)
SENSELESS = np.full(4, np.nan)


@pytest.fixture
def shadow() -> Rig:
    """Nobody resets or resumes it; `led` moves the arm."""
    return Rig(config=SHADOW, decision=initial_decision(7, 4))


def led(rig: Rig, qd, ticks: int = 20, twist=FORWARD, **changed) -> list:
    """Somebody else moves the arm at qd (7,) [rad/s]."""
    made = []
    for _ in range(ticks):
        rig.q, rig.qd = rig.q + rig.config.period * qd, qd
        made.append(rig.tick(twist, **changed))
    return made


def test_it_decides_without_a_reset_and_sends_nothing(shadow):
    decision = shadow.tick(FORWARD)
    assert (decision.mode, decision.verdict, decision.reason) == (Mode.SHADOW, Verdict.PASS, reasons.OK)
    assert not decision.send and not decision.anchored
    np.testing.assert_array_equal(decision.twist_sent, FORWARD)


def test_an_arm_that_somebody_else_moves_is_no_tracking_error(shadow):
    """A guarded gate stops at once; a shadow has no command that anybody could follow."""
    qd = np.array([0.3, 0.0, 0.0, -0.2, 0.0, 0.0, 0.0])
    made = led(shadow, qd, 100)
    assert {decision.reason for decision in made} == {reasons.OK}
    assert {decision.off_track for decision in made} == {0}
    assert all(np.isnan(decision.margins["tracking"]) for decision in made)

    guarded = Rig()
    guarded.follow()
    guarded.move = lambda: None  # it is not what the gate says that moves it
    assert led(guarded, qd, 40)[-1].reason is reasons.TRACKING_ERROR


def test_every_decision_begins_where_the_arm_is_measured_to_be(shadow):
    for decision in led(shadow, np.full(7, 0.1)):
        np.testing.assert_array_equal(decision.start_qd, np.full(7, 0.1))
    np.testing.assert_array_equal(decision.start_q, shadow.last_inputs.measurement.joint_position)
    # As if it took over there: one period towards the wanted velocity, at the acceleration limit.
    goal = KINEMATICS.joint_velocity(decision.start_q, FORWARD)
    change = np.abs(decision.qd - 0.1)
    assert (change <= CONFIG.limits.acceleration * CONFIG.period + 1e-12).all()
    assert ((decision.qd - 0.1) * (goal - 0.1) >= 0.0).all()


def test_its_decision_is_that_of_a_guarded_gate_which_stands_there(shadow):
    """At rest the two differ in nothing but who may send."""
    guarded = Rig()
    guarded.tick(None, Request.RESET)
    opened = guarded.tick(FORWARD, Request.RESUME)
    seen = shadow.tick(FORWARD)
    np.testing.assert_array_equal(seen.q, opened.q)
    np.testing.assert_array_equal(seen.qd, opened.qd)
    assert (seen.verdict, seen.q_c) == (opened.verdict, opened.q_c)
    assert {name: seen.margins[name] for name in ("position", "workspace", "tilt")} == {
        name: opened.margins[name] for name in ("position", "workspace", "tilt")
    }


@pytest.mark.parametrize(
    ("changed", "reason", "verdict"),
    [
        ({"proposal": None}, reasons.PROPOSAL_MISSING, Verdict.HOLD),
        ({"sensors_received": 0.0}, reasons.SENSOR_STALE, Verdict.HOLD),
        ({"measurement": None}, reasons.STATE_MISSING, Verdict.STOP),
        ({"state_received": 0.0}, reasons.STATE_STALE, Verdict.STOP),
    ],
)  # fmt: skip
def test_what_would_hold_or_stop_is_said_and_is_over_when_it_is_over(shadow, changed, reason, verdict):
    shadow.tick(FORWARD)
    decision = shadow.tick(FORWARD, **changed)
    assert (decision.mode, decision.reason, decision.verdict) == (Mode.SHADOW, reason, verdict)
    assert not decision.send and not decision.twist_sent.any()
    assert shadow.tick(FORWARD).reason is reasons.OK


def test_a_measurement_that_is_no_number_is_stop(shadow):
    shadow.tick(FORWARD)
    decision = shadow.tick(FORWARD, measurement=at(np.full(7, np.nan), np.zeros(7)))
    assert (decision.reason, decision.verdict) == (reasons.STATE_INVALID, Verdict.STOP)
    assert np.isfinite(decision.q).all() and np.isfinite(decision.qd).all()
    assert shadow.tick(FORWARD).reason is reasons.OK


def test_a_driver_whose_clock_was_set_back_is_seen_again_without_a_reset(shadow):
    shadow.run(3, FORWARD)
    stamp = shadow.last_inputs.state_stamp - 1000.0
    decision = shadow.decision
    for number in range(20):
        shadow.now += CONFIG.period
        old = replace(shadow.inputs(), state_stamp=stamp + 0.01 * number)
        inputs = replace(old, proposal=Proposal(FORWARD, shadow.now, old.state_stamp))
        decision = decide(inputs, decision, SHADOW, shadow.models)
        assert decision.reason is reasons.OK


@pytest.mark.parametrize("fault", [{"command_writers": 0}, {"command_writers": 2}, {"driver_fault": "off"}])
def test_others_who_command_the_arm_and_their_driver_are_not_judged(shadow, fault):
    assert shadow.tick(FORWARD, **fault).reason is reasons.OK


def test_what_the_policy_may_not_do_is_said(shadow):
    assert shadow.tick(10.0 * FORWARD).reason is reasons.TWIST_LIMIT
    critical = replace(shadow, models=models(lambda obs, action: np.abs(action).max(axis=1)))
    fast = np.array([0.25, 0.0, 0.0, 0.0])
    assert critical.tick(fast).reason is reasons.CRITIC
    assert shadow.tick(SENSELESS).reason is reasons.PROPOSAL_INVALID


@pytest.mark.parametrize("asked", [*Request, SuspensionRequest("looking", 1.0)])
def test_every_request_is_refused_and_none_has_an_effect(shadow, asked):
    shadow.tick(FORWARD)
    assert refusal(asked, shadow.inputs(FORWARD), shadow.decision, SHADOW) == LOOKS_ON
    requests = (asked,) if isinstance(asked, Request) else ()
    suspend = None if requests else asked
    decision = shadow.tick(FORWARD, *requests, suspend=suspend)
    assert (decision.mode, decision.reason, decision.suspension) == (Mode.SHADOW, reasons.OK, None)


def test_a_teleoperator_moves_the_arm_past_it_and_the_policy_is_judged(shadow):
    teleop = Proposal(np.array([0.0, 0.1, 0.0, 0.0]), shadow.now + 0.01, float("nan"))
    np.testing.assert_array_equal(shadow.tick(FORWARD, teleop=teleop).twist_sent, FORWARD)


def test_no_command_can_be_made_in_shadow(shadow):
    decision = shadow.tick(FORWARD)
    for config in (SHADOW, CONFIG):
        with pytest.raises(ValueError, match="shadow makes no commands"):
            braking_trajectory(decision, config)
    moving = Rig()
    with pytest.raises(ValueError, match="shadow makes no commands"):
        braking_trajectory(moving.follow(), SHADOW)


def test_no_output_can_be_opened_in_shadow():
    """Before the node is even asked for a publisher: there is none here that could be."""
    output = pytest.importorskip("spillguard_ros.monitor.arm_output")
    with pytest.raises(ValueError, match="nothing may command the arm"):
        output.ArmOutput(None, GEN3, SHADOW)
    assert output.arm_output(None, GEN3, SHADOW) is None
    with pytest.raises(AttributeError):  # guarded it asks the node
        output.arm_output(None, GEN3, CONFIG)


def test_not_even_a_decision_of_a_moving_gate_is_gone_on_with():
    moving = Rig()
    moving.follow()
    assert moving.decision.anchored and moving.decision.qd.any()
    moving.config = SHADOW
    decision = moving.tick(FORWARD)
    assert (decision.mode, decision.send, decision.anchored) == (Mode.SHADOW, False, False)


def test_a_hold_would_brake_from_where_the_arm_is_and_how_fast_it_moves(shadow):
    """What is kept of such a cycle is what the gate would do if it took over: brake at once, and no more."""
    qd = np.array([0.4, 0.0, 0.0, -0.2, 0.0, 0.0, 0.0])
    held = led(shadow, qd, 5, proposal=None)[-1]
    assert held.verdict is Verdict.HOLD
    left = 1.0 - CONFIG.period * CONFIG.limits.acceleration[0] / 0.4
    np.testing.assert_allclose(held.qd, left * qd, atol=1e-12)
    np.testing.assert_allclose(held.q, shadow.q + 0.5 * CONFIG.period * (qd + held.qd), atol=1e-12)


def test_a_gate_that_leaves_the_shadow_starts_closed(shadow):
    """A guarded gate that is handed a decision of a shadow sends nothing."""
    shadow.run(5, FORWARD)
    shadow.config = CONFIG
    assert not shadow.tick(FORWARD).send


def test_decisions_survive_the_recording(shadow):
    """Replay decides from what was written: every bit of inputs, decision and configuration."""
    config = flight.decode_config(flight.encode_config(SHADOW))
    assert config.shadow
    before = led(shadow, np.full(7, 0.2), 5)[-1]
    made = led(shadow, np.full(7, 0.2), 1)[-1]
    cycle = flight.decode(flight.encode(flight.CycleRecord(shadow.last_inputs, made, 0.0, 0.01)))
    assert cycle.decision.mode is Mode.SHADOW
    assert flight.equal(decide(cycle.inputs, before, config, shadow.models), made)


def test_a_recording_made_before_there_was_a_shadow_is_guarded():
    raw = json.loads(flight.encode_config(CONFIG))
    del raw["shadow"], raw["speed_scale"]
    config = flight.decode_config(json.dumps(raw))
    assert (config.shadow, config.speed_scale) == (False, 1.0)


@pytest.mark.parametrize("shadow", [None, 1, "false"])
def test_shadow_is_true_or_false(shadow):
    with pytest.raises(ValueError, match="shadow must be true or false"):
        replace(CONFIG, shadow=shadow)
