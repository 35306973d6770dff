"""Suspension of the critic: what an operator may override, for how long, and what not."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillguard_core.gate import reasons
from spillguard_core.gate.decision import Mode, Request, SuspensionRequest
from spillguard_core.gate.gate import decide
from spillguard_core.gate.reasons import Verdict
from spillguard_core.gate.refusal import refusal
from spillguard_ros.recording import flight
from tests.core.gate.test_gate_properties import FAULT, REQUESTS, THOROUGH, TWIST, changed

FORWARD = np.array([0.0, 0.0, 0.1, 0.0])
WISH = SuspensionRequest("the cup is empty", 1.0)
SENSELESS = [
    (SuspensionRequest("", 1.0), "a reason of one line is needed, got ''"),
    (SuspensionRequest("  ", 1.0), "a reason of one line"),
    (SuspensionRequest("two\nlines", 1.0), "a reason of one line"),
    (SuspensionRequest("x" * 201, 1.0), "201 characters, allowed are 200"),
    (SuspensionRequest("x", 0.0), "seconds is 0.0, it has to be above 0 and at most 60.0"),
    (SuspensionRequest("x", -1.0), "above 0 and at most 60.0"),
    (SuspensionRequest("x", 60.001), "above 0 and at most 60.0"),
    (SuspensionRequest("x", float("nan")), "seconds is nan"),
    (SuspensionRequest("x", float("inf")), "seconds is inf"),
]


def terrified(obs, action):
    """A critic that considers every action dangerous."""
    return np.full(len(obs), 0.9, dtype=np.float32)


@pytest.fixture
def feared(rig):
    """Follows, with a critic that rejects everything from now on."""
    rig.follow()
    rig.models = replace(rig.models, critic=terrified)
    assert rig.tick(FORWARD).verdict is Verdict.RECOVER
    return rig


def test_suspended_critic_is_reported_and_does_not_act(feared):
    decision = feared.tick(FORWARD, suspend=WISH)
    np.testing.assert_array_equal(decision.twist_sent, FORWARD)
    assert decision.verdict is Verdict.PASS
    assert decision.q_c == pytest.approx(0.9)
    assert decision.margins["critic"] == pytest.approx(0.5 - 0.9)
    assert decision.suspension.reason == "the cup is empty"
    assert decision.suspension.until == pytest.approx(feared.now + 1.0)


def test_suspension_ends_by_itself(feared):
    feared.tick(FORWARD, suspend=WISH)
    assert feared.run(99, FORWARD).verdict is Verdict.PASS  # 0.99 s
    assert feared.run(2, FORWARD).verdict is Verdict.RECOVER  # 1.01 s
    assert feared.decision.suspension is None


def test_suspension_runs_out_while_held(feared):
    feared.tick(FORWARD, Request.HOLD, suspend=WISH)
    feared.run(110, FORWARD)
    assert feared.tick(FORWARD, Request.RESUME).verdict is Verdict.RECOVER


def test_another_suspension_replaces_time_and_reason_also_by_less(feared):
    feared.tick(FORWARD, suspend=replace(WISH, seconds=50.0))
    again = feared.tick(FORWARD, suspend=SuspensionRequest("again", 0.1)).suspension
    assert (again.reason, again.until) == ("again", pytest.approx(feared.now + 0.1))
    assert feared.run(12, FORWARD).verdict is Verdict.RECOVER


def test_longest_suspension_is_granted_and_lasts(feared):
    feared.tick(FORWARD, suspend=replace(WISH, seconds=feared.config.max_suspension))
    assert feared.run(300, FORWARD).suspension is not None


def test_restore_ends_it_early_and_beats_a_wish_of_the_same_period(feared):
    feared.tick(FORWARD, suspend=WISH)
    assert feared.tick(FORWARD, Request.RESTORE_CRITIC, suspend=WISH).verdict is Verdict.RECOVER
    assert feared.decision.suspension is None
    waiting = feared.inputs(FORWARD, Request.RESTORE_CRITIC)
    assert "at the same time" in refusal(WISH, waiting, feared.decision, feared.config)


@pytest.mark.parametrize(
    ("requests", "fault"),
    [((Request.STOP,), {}), ((), {"state_received": 0.0}), ((), {"command_writers": 2})],
)
def test_every_stop_ends_it_for_good(feared, requests, fault):
    feared.tick(FORWARD, suspend=WISH)
    assert feared.tick(FORWARD, *requests, **fault).suspension is None
    feared.run(40, None)
    assert feared.tick(FORWARD, Request.RESET, Request.RESUME).mode is Mode.FOLLOWING
    assert feared.decision.suspension is None


def test_nothing_is_suspended_in_advance(rig):
    assert refusal(WISH, rig.inputs(), rig.decision, rig.config) == "stopped: reset first"
    rig.tick(None, suspend=WISH)
    assert rig.tick(None, Request.RESET).suspension is None


@pytest.mark.parametrize(("asked", "message"), SENSELESS)
def test_senseless_wish_is_refused_and_without_effect(feared, asked, message):
    assert message in refusal(asked, feared.inputs(FORWARD), feared.decision, feared.config)
    assert feared.tick(FORWARD, suspend=asked).verdict is Verdict.RECOVER
    feared.tick(FORWARD, suspend=WISH)
    assert feared.tick(FORWARD, suspend=asked).suspension.reason == WISH.reason  # the previous one


def test_reason_of_the_longest_length_is_granted(feared):
    asked = replace(WISH, reason="x" * 200)
    assert not refusal(asked, feared.inputs(FORWARD), feared.decision, feared.config)


def test_suspension_can_be_forbidden(feared):
    feared.config = replace(feared.config, max_suspension=0.0)
    tiny = replace(WISH, seconds=1e-9)
    assert "at most 0.0" in refusal(tiny, feared.inputs(FORWARD), feared.decision, feared.config)
    assert feared.tick(FORWARD, suspend=tiny).suspension is None


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_suspended_critic_without_a_finite_value_holds(feared, bad):
    feared.models = replace(feared.models, critic=lambda obs, action: np.full(len(obs), bad, np.float32))
    decision = feared.tick(FORWARD, suspend=WISH)
    assert (decision.verdict, decision.reason) == (Verdict.HOLD, reasons.CRITIC_INVALID)
    assert decision.suspension is not None


SEGMENT = st.tuples(st.integers(1, 30), TWIST | st.none(), REQUESTS, FAULT, st.floats(0.0, 1.0))


def unjudged(decision):
    """The decision without the fields that depend on the critic."""
    margins = {**decision.margins, "critic": 0.0}
    return replace(decision, q_c=0.0, detail="", suspension=None, margins=margins)


@given(st.lists(SEGMENT, min_size=1, max_size=5))
@THOROUGH
def test_suspended_gate_decides_as_with_a_critic_that_never_objects(make_rig, segments):
    """Hard limits, braking check, staleness, stop: none of them is affected."""
    rig = make_rig()
    rig.follow(5)
    calm = rig.models
    rig.models = replace(calm, critic=terrified)
    for ticks, twist, requests, fault, strength in segments:
        for tick in range(ticks):
            asked = tuple(r for r in requests if r is not Request.RESTORE_CRITIC) if tick == 0 else ()
            given_, before = changed(rig, fault, strength), rig.decision
            decision = rig.tick(twist, *asked, **given_, suspend=replace(WISH, seconds=60.0))
            # The rig has advanced: use the inputs of its last decision.
            inputs, unsuspended = rig.last_inputs, replace(before, suspension=None)
            other = decide(replace(inputs, suspend=None), unsuspended, rig.config, calm)
            assert flight.equal(unjudged(decision), unjudged(other))
