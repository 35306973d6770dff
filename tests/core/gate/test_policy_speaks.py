"""A policy that is late, silent or senseless: when the arm holds, and when that needs a resume."""

from dataclasses import replace

import numpy as np
import pytest

from spillguard_core.gate import reasons
from spillguard_core.gate.decision import Mode, Request
from spillguard_core.gate.reasons import Verdict
from spillguard_core.gate.refusal import refusal

FORWARD = np.array([0.0, 0.0, 0.1, 0.0])


def test_stale_proposal_brakes_to_rest_and_a_fresh_one_resumes_without_a_jump(rig):
    rig.follow()
    stamp = rig.now - 3.0
    old = replace(rig.inputs(FORWARD).proposal, stamp=stamp)
    verdicts = [rig.tick(None, proposal=old).verdict for _ in range(11)]
    # 0.1 s after it was received, within the rounding of the tenth sum
    assert verdicts[:9] == [Verdict.PASS] * 9 and verdicts[10] is Verdict.HOLD
    rest = rig.run(50, proposal=old)
    assert rest.reason is reasons.PROPOSAL_STALE and not rest.qd.any()
    np.testing.assert_array_equal(rig.run(20, proposal=old).q, rest.q)
    again = rig.tick(FORWARD)
    assert again.verdict is Verdict.PASS
    assert 0.0 < np.abs(again.qd).max() <= 5.0 * 0.01 + 1e-12


def test_policy_that_repeats_its_answer_to_an_old_state_is_stale(rig):
    rig.follow()
    stamp = rig.inputs().state_stamp
    for _ in range(20):  # received anew each time, but always for the same state
        rig.tick(None, proposal=replace(rig.inputs(FORWARD).proposal, stamp=stamp, received=rig.now + 0.01))
    assert rig.decision.reason is reasons.PROPOSAL_STALE
    assert "its state is" in rig.decision.detail


@pytest.mark.parametrize(("late", "follows"), [(0.06, True), (0.15, True), (0.19, True), (0.21, False)])
def test_latency_has_a_limit_of_its_own(rig, late, follows):
    """Messages in time that answer old states: a slow way between the nodes, not a policy that hangs."""
    rig.config = replace(rig.config, answer_timeout=0.2)
    rig.follow()
    for _ in range(20):
        stamp = rig.inputs().state_stamp + rig.config.period - late
        rig.tick(None, proposal=replace(rig.inputs(FORWARD).proposal, stamp=stamp, received=rig.now + 0.01))
    assert (rig.decision.verdict is Verdict.PASS) is follows
    assert (rig.decision.reason is reasons.PROPOSAL_STALE) is not follows


def test_an_answer_to_a_state_that_is_yet_to_come_is_stale(rig):
    rig.follow()
    stamp = rig.inputs().state_stamp + 0.2
    rig.tick(None, proposal=replace(rig.inputs(FORWARD).proposal, stamp=stamp, received=rig.now + 0.01))
    assert rig.decision.reason is reasons.PROPOSAL_STALE


def silent_for(rig, seconds):
    """The policy spoke last so long ago."""
    spoken = replace(rig.inputs(FORWARD).proposal, received=rig.now)
    for _ in range(round(seconds / rig.config.period)):
        rig.tick(None, proposal=spoken)
    return rig.decision


def test_a_policy_that_speaks_again_after_a_long_silence_moves_nothing_before_a_resume(rig):
    """It may be another one, and whoever went there meanwhile expects no motion."""
    rig.follow()
    assert silent_for(rig, 0.9).mode is Mode.FOLLOWING
    assert rig.tick(FORWARD).verdict is Verdict.PASS  # a short silence ends by itself
    silent = silent_for(rig, 1.1)
    assert (silent.mode, silent.verdict, silent.reason) == (Mode.HELD, Verdict.HOLD, reasons.POLICY_SILENT)
    assert "allowed 1.0 s; waits for resume" in silent.detail
    again = rig.run(50, FORWARD)
    assert (again.mode, again.reason) == (Mode.HELD, reasons.POLICY_SILENT) and not again.qd.any()
    assert rig.tick(FORWARD, Request.RESUME).verdict is Verdict.PASS
    assert rig.run(20, FORWARD).qd.any()


def useless(rig, kind):
    """A proposal of now that cannot be used."""
    spoken = rig.inputs(FORWARD).proposal
    if kind == "not a number":
        return replace(spoken, twist=np.full(4, np.nan))
    return replace(spoken, stamp=spoken.stamp - 1.0)  # the answer to a joint state of long ago


@pytest.mark.parametrize("kind", ["not a number", "an old answer"])
def test_a_policy_that_says_nothing_of_use_for_long_is_as_good_as_silent(rig, kind):
    rig.follow()
    for _ in range(90):
        rig.tick(None, proposal=useless(rig, kind))
    assert (rig.decision.mode, rig.decision.verdict) == (Mode.FOLLOWING, Verdict.HOLD)
    assert rig.tick(FORWARD).verdict is Verdict.PASS  # what is short ends by itself
    for _ in range(110):
        rig.tick(None, proposal=useless(rig, kind))
    assert (rig.decision.mode, rig.decision.reason) == (Mode.HELD, reasons.POLICY_SILENT)
    assert "allowed 1.0 s; what it says is of no use: " in rig.decision.detail
    nonsense = replace(rig.inputs(None), proposal=useless(rig, kind))
    assert "let it speak first" in refusal(Request.RESUME, nonsense, rig.decision, rig.config)
    again = rig.run(50, FORWARD)
    assert (again.mode, again.reason) == (Mode.HELD, reasons.POLICY_SILENT) and not again.qd.any()
    # What is short is forgiven after a resume, too.
    assert rig.tick(None, Request.RESUME, proposal=useless(rig, kind)).mode is Mode.FOLLOWING
    assert rig.tick(None, proposal=useless(rig, kind)).mode is Mode.FOLLOWING
    assert rig.tick(FORWARD).verdict is Verdict.PASS


def test_useless_of_both_kinds_in_turns_is_silence_too(rig):
    rig.follow()
    for number in range(110):
        rig.tick(None, proposal=useless(rig, ("not a number", "an old answer")[number % 2]))
    assert (rig.decision.mode, rig.decision.reason) == (Mode.HELD, reasons.POLICY_SILENT)


def test_what_else_held_the_arm_neither_excuses_nonsense_nor_makes_sense_of_it(rig):
    rig.follow()
    for _ in range(50):
        rig.tick(None, proposal=useless(rig, "not a number"))
    for _ in range(100):  # the sensors fall silent, too, and so their fault gives the reason
        rig.tick(None, proposal=useless(rig, "not a number"), sensors_received=rig.now - 5.0)
    assert (rig.tick(FORWARD).mode, rig.decision.reason) == (Mode.HELD, reasons.POLICY_SILENT)


def test_a_sound_policy_needs_no_resume_after_something_else_held_the_arm(rig):
    rig.follow()
    for _ in range(300):
        rig.tick(FORWARD, sensors_received=rig.now - 5.0)
    assert (rig.decision.mode, rig.decision.reason) == (Mode.FOLLOWING, reasons.SENSOR_STALE)
    rig.tick(None, proposal=useless(rig, "an old answer"))
    assert rig.decision.mode is Mode.FOLLOWING
    assert rig.tick(FORWARD).verdict is Verdict.PASS


def test_a_resume_is_refused_while_nobody_drives(rig):
    """Else the first who speaks, however late, would move the arm."""
    rig.tick(FORWARD, Request.RESET)
    asked = rig.inputs(None)
    assert "start the policy" in refusal(Request.RESUME, asked, rig.decision, rig.config)
    old = replace(asked, proposal=replace(rig.inputs(FORWARD).proposal, received=rig.now - 3.0))
    said = refusal(Request.RESUME, old, rig.decision, rig.config)
    assert said == "the policy is silent for 3.000 s, allowed 1.0 s: let it speak first"
    driven = replace(asked, teleop=rig.inputs(FORWARD).proposal)
    assert refusal(Request.RESUME, driven, rig.decision, rig.config) == ""
    assert refusal(Request.RESUME, rig.inputs(FORWARD), rig.decision, rig.config) == ""


def test_missing_proposal_holds(rig):
    rig.follow()
    assert rig.run(50).reason is reasons.PROPOSAL_MISSING
    assert not rig.decision.qd.any()
