"""No invalid number in any input ever reaches the arm."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from spillguard_core.bundle.bundle import load_bundle
from spillguard_core.bundle.gate_config import LAUNCH, gate_config
from spillguard_core.gate import reasons
from spillguard_core.gate.decision import GateConfig, Mode, Proposal, Request
from spillguard_core.gate.reasons import Verdict
from spillguard_core.gate.refusal import refusal
from tests.core.conftest import resensed

FORWARD = np.array([0.0, 0.0, 0.1, 0.0])
BAD = [np.nan, np.inf, -np.inf]
SENSED = ["joint_position", "joint_velocity", "target_position", "poured_mass", "remaining_mass"]
CLOCKS = ["now", "state_received", "state_stamp", "sensors_received"]


def check_rests(rig, decision):
    """The verdict is at least HOLD, the command finite, and the arm slower than before or at rest."""
    assert decision.verdict >= Verdict.HOLD
    assert np.isfinite(decision.q).all() and np.isfinite(decision.qd).all()
    assert np.abs(decision.qd).max() < np.abs(rig.qd).max()
    assert not decision.twist_sent.any()


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("name", SENSED)
def test_bad_number_in_a_measurement_brakes_the_arm(rig, name, bad):
    rig.follow()
    seen = rig.inputs().measurement
    value = seen.sensed[name] if name in seen.sensed else getattr(seen, name)
    spoiled = np.where(np.arange(len(value)) == 0, bad, value)
    decision = rig.tick(FORWARD, measurement=resensed(seen, **{name: spoiled}))
    check_rests(rig, decision)
    # Refused by name, before anything computes with it.
    own = name.startswith("joint")
    assert decision.reason is (reasons.STATE_INVALID if own else reasons.SENSOR_INVALID)


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("name", CLOCKS)
def test_bad_number_in_a_clock_brakes_the_arm(rig, name, bad):
    rig.follow()
    check_rests(rig, rig.tick(FORWARD, **{name: bad}))


def test_one_infinite_stamp_does_not_make_the_states_after_it_stale(rig):
    rig.follow()
    rig.tick(FORWARD, state_stamp=np.inf)
    assert rig.run(20, FORWARD).reason is reasons.OK


def test_stamp_that_advanced_in_the_future_stops_the_arm(rig):
    rig.follow()
    back, stamp = rig.now - 0.5, rig.last_inputs.state_stamp
    decision = rig.tick(FORWARD, now=back, state_received=back, state_stamp=stamp)
    assert decision.reason is reasons.STATE_STALE and "not advanced for -0.5" in decision.detail


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("name", ["received", "stamp"])
def test_bad_number_in_the_proposals_clock_brakes_the_arm(rig, name, bad):
    rig.follow()
    proposal = replace(rig.inputs(FORWARD).proposal, **{name: bad})
    check_rests(rig, rig.tick(None, proposal=proposal))


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("entry", range(4))
def test_bad_number_in_the_twist_brakes_the_arm(rig, entry, bad):
    rig.follow()
    twist = FORWARD.copy()
    twist[entry] = bad
    decision = rig.tick(twist)
    check_rests(rig, decision)
    assert decision.reason is reasons.PROPOSAL_INVALID


@pytest.mark.parametrize("twist", [np.zeros(0), np.zeros(3), np.zeros(5), np.zeros((1, 4))])
def test_twist_of_another_shape_brakes_the_arm(rig, twist):
    rig.follow()
    check_rests(rig, rig.tick(twist))


@pytest.mark.parametrize("joints", [0, 6, 8])
def test_joint_state_of_another_length_stops(rig, joints):
    rig.follow()
    seen = replace(rig.inputs().measurement, joint_position=np.zeros(joints))
    decision = rig.tick(FORWARD, measurement=seen)
    check_rests(rig, decision)
    assert decision.reason is reasons.STATE_INVALID


def test_proposal_from_the_future_holds(rig):
    rig.follow()
    proposal = Proposal(FORWARD, rig.now + 1.0, rig.inputs().state_stamp)
    assert rig.tick(None, proposal=proposal).reason is reasons.PROPOSAL_STALE


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0, -1.0])
@pytest.mark.parametrize(
    "name", ["period", "command_timeout", "answer_timeout", "policy_timeout", "teleop_timeout",
             "state_timeout", "sensor_timeout", "max_tracking_error", "tracking_cycles", "settle_time",
             "still_speed", "still_time"],
)  # fmt: skip
def test_senseless_setting_is_refused(rig, name, bad):
    with pytest.raises(ValueError, match=name):
        replace(rig.config, **{name: bad})


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
@pytest.mark.parametrize(
    "name", ["position_tolerance", "tracking_lag", "coast_time", "clearance", "target_reach",
             "max_suspension"],
)  # fmt: skip
def test_senseless_setting_that_may_be_zero_is_refused(rig, name, bad):
    assert getattr(replace(rig.config, **{name: 0.0}), name) == 0.0
    with pytest.raises(ValueError, match=name):
        replace(rig.config, **{name: bad})


@pytest.mark.parametrize("name", ["command_timeout", "teleop_timeout", "state_timeout"])
def test_timeout_below_the_period_is_refused(rig, name):
    with pytest.raises(ValueError, match=rf"{name} 0.001 s.* must not be shorter than the period"):
        replace(rig.config, **{name: 0.001})


@pytest.mark.parametrize("bad", [np.nan, -0.1, 1.1])
@pytest.mark.parametrize("name", ["critic_threshold", "critic_release"])
def test_senseless_share_or_threshold_is_refused(rig, name, bad):
    with pytest.raises(ValueError, match=name):
        replace(rig.config, **{name: bad})


def test_no_setting_has_a_default():
    with pytest.raises(TypeError, match="required"):
        GateConfig()


FAR = np.array([1.7e308, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])


@pytest.mark.parametrize("follows", [True, False])
@pytest.mark.parametrize("jump", [FAR, -FAR, 2e-304 * FAR])
def test_posture_that_no_arm_can_have_stops_the_arm(rig, follows, jump):
    if follows:
        rig.follow()
    for sign in (1.0, -1.0, 1.0):
        seen = replace(rig.inputs().measurement, joint_position=sign * jump)
        decision = rig.tick(FORWARD, measurement=seen)
        assert decision.mode is Mode.STOPPED
        assert decision.reason is (reasons.STATE_INVALID if follows else reasons.NOT_RESET)
    assert "joint 1" in refusal(Request.RESET, rig.inputs(measurement=seen), rig.decision, rig.config)


@pytest.mark.parametrize("speed", [1e3, -1e6, 1e30])
def test_speed_that_no_arm_can_have_stops_the_arm(rig, speed):
    rig.follow()
    decision = rig.tick(
        FORWARD, measurement=replace(rig.inputs().measurement, joint_velocity=np.full(7, speed))
    )
    assert (decision.reason, decision.mode) == (reasons.STATE_INVALID, Mode.STOPPED)
    assert "no arm is faster" in decision.detail


@pytest.mark.parametrize("name", ["poured_mass", "remaining_mass"])
@pytest.mark.parametrize("mass", [1e30, -1e30, 11.0])
def test_mass_that_no_cup_can_have_holds_the_arm(rig, name, mass):
    rig.follow()
    decision = rig.tick(FORWARD, measurement=resensed(rig.inputs().measurement, **{name: mass}))
    assert (decision.reason, decision.verdict) == (reasons.SENSOR_INVALID, Verdict.HOLD)
    assert name.partition("_")[0] in decision.detail


@pytest.mark.parametrize("shape", [(0,), (3,), (8,), (1, 7), ()])
def test_joint_state_of_another_shape_stops_however_often_it_comes(rig, shape):
    rig.follow()
    for _ in range(3):
        seen = replace(
            rig.inputs().measurement, joint_position=np.zeros(shape), joint_velocity=np.zeros(shape)
        )
        decision = rig.tick(FORWARD, measurement=seen)
        assert (decision.reason, decision.mode) == (reasons.STATE_INVALID, Mode.STOPPED)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -0.1, 3.3])
def test_a_rules_number_outside_its_range_is_refused_by_name(bad):
    bundle = load_bundle(Path(__file__).parents[3] / "artifacts/pour_coffee")
    told = yaml.safe_load((LAUNCH / "params/safety_monitor.yaml").read_text())["/**"]["ros__parameters"]
    with pytest.raises(ValueError, match=r"free_tilt is .*, allowed is 0.0 to 3.2: \[rad\] the cup may lean"):
        gate_config(told | {"free_tilt": bad}, bundle)
    with pytest.raises(ValueError, match="parameters lack free_tilt"):
        gate_config({name: value for name, value in told.items() if name != "free_tilt"}, bundle)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_rules_number_that_is_none_is_refused(rig, bad):
    with pytest.raises(ValueError, match="free_tilt must be finite"):
        replace(rig.config, settings={"free_tilt": bad})


def test_a_policy_timeout_that_every_proposal_would_miss_is_refused():
    bundle = load_bundle(Path(__file__).parents[3] / "artifacts/pour_coffee")
    told = yaml.safe_load((LAUNCH / "params/safety_monitor.yaml").read_text())["/**"]["ros__parameters"]
    with pytest.raises(
        ValueError, match=r"policy_timeout is 0.03 s, needed are two periods of the policy, 0.1 s"
    ):
        gate_config(told | {"policy_timeout": 0.03}, bundle)
