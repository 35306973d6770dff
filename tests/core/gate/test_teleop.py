"""A teleoperator in the policy's place, with a manual clock."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillguard_core.gate import reasons
from spillguard_core.gate.decision import Mode, Proposal, Request
from spillguard_core.gate.gate import decide
from spillguard_core.gate.reasons import Verdict
from spillguard_core.gate.refusal import refusal
from tests.core.gate.test_gate_properties import REQUESTS, THOROUGH, TWIST, check_command, check_step

FORWARD = np.array([0.0, 0.0, 0.1, 0.0])
BACKWARD = np.array([-0.1, 0.05, 0.0, 0.3])
OLD = 1.0  # [s] a stamp unrelated to any present state


def spoken(rig, twist, age=0.0, stamp=OLD):
    """A teleoperator's message that is `age` [s] old at the next decision."""
    return Proposal(twist, rig.now + rig.config.period - age, stamp)


def teleoperate(rig, ticks, *requests, twist=BACKWARD, policy=FORWARD):
    """Policy and teleoperator are both active."""
    return [
        rig.tick(policy, *(requests if tick == 0 else ()), teleop=spoken(rig, twist)) for tick in range(ticks)
    ]


def fall_silent(rig, ticks):
    """The last teleop message ages while the policy continues."""
    last = rig.inputs().now
    return [rig.tick(FORWARD, teleop=Proposal(BACKWARD, last, OLD)) for _ in range(ticks)]


def test_fresh_teleop_message_takes_the_policys_place(rig):
    rig.follow()
    (decision,) = teleoperate(rig, 1)
    np.testing.assert_array_equal(decision.twist_sent, BACKWARD)
    assert (decision.mode, decision.verdict) == (Mode.TELEOP, Verdict.PASS)
    assert decision.margins["command_age"] == 0.0


def test_teleop_needs_no_policy(rig):
    rig.follow()
    decision = teleoperate(rig, 30, policy=None)[-1]
    assert decision.verdict is Verdict.PASS and rig.qd.any()


@pytest.mark.parametrize("stamp", [0.0, OLD, 1e12, np.nan])
def test_stamp_of_a_teleop_message_does_not_matter(rig, stamp):
    rig.follow()
    assert rig.tick(None, teleop=spoken(rig, BACKWARD, stamp=stamp)).verdict is Verdict.PASS


def test_teleop_moves_no_stopped_arm(rig):
    assert not any(decision.send for decision in teleoperate(rig, 50))
    rig.follow()
    teleoperate(rig, 1, Request.STOP)
    teleoperate(rig, 60)
    assert rig.decision.mode is Mode.STOPPED and not rig.decision.qd.any()


def test_teleop_moves_no_held_arm_and_a_resume_gives_it_the_arm_at_once(rig):
    rig.tick(None, Request.RESET)
    pose = rig.q.copy()
    assert all(decision.mode is Mode.HELD for decision in teleoperate(rig, 50))
    np.testing.assert_array_equal(rig.q, pose)
    resumed = teleoperate(rig, 20, Request.RESUME)
    assert all(np.array_equal(decision.twist_sent, BACKWARD) for decision in resumed)  # never the policy's


def test_silent_teleoperator_holds_until_a_resume_hands_back_to_the_policy(rig):
    rig.follow()
    teleoperate(rig, 40)
    assert rig.qd.any()
    decisions = fall_silent(rig, 80)
    # 0.2 s after it was received, within the rounding of the twentieth sum
    assert [d.mode for d in decisions[:19]] == [Mode.TELEOP] * 19
    held = decisions[21:]
    assert {(d.mode, d.verdict, d.reason) for d in held} == {(Mode.HELD, Verdict.HOLD, reasons.TELEOP_SILENT)}
    assert "waits for resume" in held[-1].detail
    assert not held[-1].qd.any() and not any(d.twist_sent.any() for d in held)
    assert not refusal(Request.RESUME, rig.inputs(FORWARD), rig.decision, rig.config)
    resumed = rig.tick(FORWARD, Request.RESUME)
    assert resumed.mode is Mode.FOLLOWING
    np.testing.assert_array_equal(resumed.twist_sent, FORWARD)


def test_hold_after_the_silence_is_the_operators(rig):
    rig.follow()
    teleoperate(rig, 5)
    fall_silent(rig, 30)
    assert rig.tick(FORWARD, Request.HOLD).reason is reasons.OPERATOR_HOLD
    assert rig.tick(FORWARD).reason is reasons.OPERATOR_HOLD


def test_teleoperator_that_speaks_again_moves_nothing_before_a_resume(rig):
    rig.follow()
    teleoperate(rig, 5)
    fall_silent(rig, 60)
    assert all(not decision.qd.any() for decision in teleoperate(rig, 30))
    assert teleoperate(rig, 1, Request.RESUME)[0].mode is Mode.TELEOP


def test_resume_while_a_teleoperator_drives_is_refused_and_ignored(rig):
    rig.follow()
    teleoperate(rig, 5)
    inputs = rig.inputs(FORWARD, teleop=spoken(rig, BACKWARD))
    assert "teleoperator drives" in refusal(Request.RESUME, inputs, rig.decision, rig.config)
    assert teleoperate(rig, 1, Request.RESUME)[0].mode is Mode.TELEOP
    last = rig.tick(FORWARD, Request.RESUME, teleop=spoken(rig, BACKWARD, age=0.3))
    assert (last.mode, last.reason) == (Mode.HELD, reasons.TELEOP_SILENT)  # the resume came too early


def test_resume_is_refused_while_a_hold_waits(rig):
    rig.follow()
    waiting = rig.inputs(FORWARD, Request.HOLD)
    assert "a hold" in refusal(Request.RESUME, waiting, rig.decision, rig.config)


def test_hold_stops_a_teleoperator_that_goes_on_speaking(rig):
    rig.follow()
    teleoperate(rig, 20)
    teleoperate(rig, 60, Request.HOLD)
    assert (rig.decision.mode, rig.decision.reason) == (Mode.HELD, reasons.OPERATOR_HOLD)
    assert not rig.decision.qd.any()


@pytest.mark.parametrize(
    "bad",
    [np.full(4, np.nan), np.array([np.inf, 0, 0, 0]), np.array([0, 0, 0, -np.inf]), np.zeros(3), np.zeros(0)],
)
def test_teleop_message_that_is_no_twist_holds_and_lets_no_policy_through(rig, bad):
    rig.follow()
    teleoperate(rig, 20)
    decisions = teleoperate(rig, 60, twist=bad)
    assert {(d.verdict, d.reason) for d in decisions} == {(Verdict.HOLD, reasons.TELEOP_INVALID)}
    assert not decisions[-1].qd.any() and not any(d.twist_sent.any() for d in decisions)
    assert teleoperate(rig, 1)[0].verdict is Verdict.PASS


def test_first_teleop_message_that_is_no_twist_stops_the_policy_too(rig):
    rig.follow()
    (decision,) = teleoperate(rig, 1, twist=np.full(4, np.nan))
    assert decision.verdict is Verdict.HOLD and not decision.twist_sent.any()


@pytest.mark.parametrize("received", [np.nan, np.inf, 1e6])
def test_teleop_message_received_at_no_sensible_time_holds(rig, received):
    rig.follow()
    decision = rig.tick(FORWARD, teleop=Proposal(BACKWARD, received, OLD))
    assert (decision.mode, decision.verdict) == (Mode.HELD, Verdict.HOLD)


@pytest.mark.parametrize("received", [-np.inf, 0.0])
def test_teleop_message_of_long_ago_does_not_disturb_the_policy(rig, received):
    rig.follow()
    assert rig.tick(FORWARD, teleop=Proposal(BACKWARD, received, OLD)).mode is Mode.FOLLOWING


def test_critic_screens_a_teleoperator(rig):
    def tilting(obs, action):
        return np.where(action[:, 3] > 0.1, 0.9, 0.1).astype(np.float32)

    rig.models = replace(rig.models, critic=tilting)
    rig.follow()
    (decision,) = teleoperate(rig, 1, twist=np.array([0.0, 0.0, 0.0, 1.0]))
    assert decision.reason is reasons.CRITIC and decision.twist_sent[3] <= 0.12 + 1e-9


def test_workspace_stops_a_teleoperator(rig):
    rig.follow()
    down = np.array([0.0, 0.0, -0.25, 0.0])
    teleoperate(rig, 500, twist=down)
    assert rig.decision.reason is reasons.WORKSPACE_LIMIT
    low = rig.config.limits.workspace_min[2]
    assert rig.models.tool.pose(rig.q).position[2] > low - 1e-3


def test_silent_sensor_holds_a_teleoperator(rig):
    rig.follow()
    teleoperate(rig, 20)
    decision = rig.tick(FORWARD, teleop=spoken(rig, BACKWARD), sensors_received=0.0)
    assert (decision.mode, decision.reason) == (Mode.TELEOP, reasons.SENSOR_STALE)


DRIVERS = st.sampled_from(["policy", "teleop", "both", "nobody", "silent", "spoiled"])
SEGMENTS = st.lists(st.tuples(st.integers(1, 30), DRIVERS, TWIST, TWIST, REQUESTS), min_size=2, max_size=5)


@given(SEGMENTS)
@THOROUGH
def test_command_does_not_jump_whoever_takes_over_or_hands_back(make_rig, segments):
    rig = make_rig()
    rig.follow(5)
    said = None
    for ticks, driver, wanted, told, requests in segments:
        for tick in range(ticks):
            before = rig.decision
            if driver in ("teleop", "both", "spoiled"):
                said = spoken(rig, told, age=np.nan if driver == "spoiled" else 0.0)
            policy = wanted if driver in ("policy", "both", "silent") else None
            decision = rig.tick(policy, *(requests if tick == 0 else ()), teleop=said)
            if decision.send:
                check_command(rig, decision)
                if before.anchored:
                    check_step(rig.config.limits, before, decision)
            assert decision.mode is not Mode.TELEOP or said is not None


@pytest.mark.parametrize("policy", [False, True])
def test_a_resume_for_a_teleoperator_who_falls_silent_moves_nothing(rig, policy):
    """It was granted while he spoke; by the next decision nobody does, or only the policy."""
    rig.follow()
    rig.tick(FORWARD, Request.HOLD)
    rig.run(50, FORWARD)
    timeout, spoken = rig.config.teleop_timeout, Proposal(FORWARD, rig.now, math.nan)
    for _ in range(round(timeout / rig.config.period) - 1):
        rig.tick(FORWARD if policy else None, teleop=spoken)
    rig.now += rig.config.period - 0.001
    asked = rig.inputs(FORWARD if policy else None, teleop=spoken)
    assert refusal(Request.RESUME, asked, rig.decision, rig.config) == ""
    rig.now += 0.002
    asked = rig.inputs(FORWARD if policy else None, teleop=spoken)
    assert "just fallen silent" in refusal(Request.RESUME, asked, rig.decision, rig.config)
    late = rig.inputs(FORWARD if policy else None, Request.RESUME, teleop=spoken)
    decision = decide(late, rig.decision, rig.config, rig.models)
    assert (decision.mode, bool(decision.qd.any())) == (Mode.HELD, False)


def test_a_while_after_a_teleoperator_fell_silent_a_resume_is_for_the_policy(rig):
    rig.follow()
    rig.tick(FORWARD, Request.HOLD)
    spoken = Proposal(FORWARD, rig.now, math.nan)
    rig.run(50, FORWARD, teleop=spoken)
    assert rig.tick(FORWARD, Request.RESUME, teleop=spoken).verdict is Verdict.PASS


def test_a_resume_that_nobody_drives_leads_nowhere_however_it_came(rig):
    rig.follow()
    rig.tick(FORWARD, Request.HOLD)
    assert rig.tick(None, Request.RESUME).mode is Mode.HELD
    assert rig.tick(FORWARD).mode is Mode.HELD
