"""Every state of the gate that can be reached, and what every request and every fault make of it.

What holds in each single step of each state that can be reached holds on every path.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from spillguard.case.rules import rules
from spillguard_core.gate import reasons
from spillguard_core.gate.decision import GUARDED, Mode, Request
from spillguard_core.gate.reasons import Reason, Verdict
from spillguard_core.tasks.pouring.zone import TILT_LIMIT
from tests.assurance.machine import SHORT, UNKNOWN, Step, walk

MOVING = (Mode.FOLLOWING, Mode.TELEOP)
HARD = {
    reasons.TWIST_LIMIT, reasons.VELOCITY_LIMIT, reasons.POSITION_LIMIT, reasons.WORKSPACE_LIMIT,
    reasons.COLLISION, TILT_LIMIT,
}  # fmt: skip


@dataclass
class Walked:
    """What was seen on the way."""

    wrong: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    modes: set[Mode] = field(default_factory=set)
    examples: dict[tuple[Mode, Reason], Step] = field(default_factory=dict)
    suspended: set[Reason] = field(default_factory=set)


def opened_without_being_asked(step: Step) -> bool:
    """STOPPED is left by a reset, HELD by a resume, both by the one and then the other; nothing else does."""
    before, after, asked = step.before.decision.mode, step.after.decision.mode, step.requests
    if before is Mode.STOPPED and after is not Mode.STOPPED:
        if Request.RESET not in asked:
            return True
        asked = asked[asked.index(Request.RESET) :]
    return before in (Mode.STOPPED, Mode.HELD) and after in MOVING and Request.RESUME not in asked


def stop_that_lost(step: Step) -> bool:
    """A stop is asked for, or the inputs alone mean stop, and it does not stop."""
    inputs, asked, seen = step.inputs, step.requests, step.inputs.measurement
    means_stop = (
        Request.STOP in asked or UNKNOWN in asked or inputs.command_writers != 1 or inputs.driver_fault
    )
    means_stop = means_stop or seen is None or not inputs.now - inputs.state_received <= SHORT.state_timeout
    if seen is not None:
        q, limits, slack = seen.joint_position, step.config.limits, SHORT.position_tolerance
        inside = (q >= limits.position_min - slack) & (q <= limits.position_max + slack)
        means_stop = means_stop or not inside.all()
    decision = step.after.decision
    return bool(means_stop) and (decision.mode, decision.verdict) != (Mode.STOPPED, Verdict.STOP)


def motion_out_of_rest(step: Step) -> bool:
    """Stopped or held, the command slows down and stays; out of a stop it begins where the arm is."""
    last, decision, seen = step.before.decision, step.after.decision, step.inputs.measurement
    if decision.mode in MOVING:
        return False
    if decision.twist_sent.any():
        return True
    if decision.anchored and not last.anchored:
        return seen is None or decision.qd.any() or not np.array_equal(decision.q, seen.joint_position)
    if decision.anchored and last.mode is Mode.STOPPED and decision.mode is Mode.HELD:
        return bool(decision.qd.any())
    return decision.send and bool((np.abs(decision.qd) > np.abs(last.qd)).any())


def rule_that_was_suspended(step: Step) -> bool:
    """With the critic suspended it is decided as without, but where the critic objects."""
    if step.after.decision.suspension is None or step.fault.startswith("critic: objects"):
        return False
    with_it, without = step.after.decision, step.again(suspension=False)
    labels = (with_it.mode, with_it.verdict, with_it.reason) == (
        without.mode,
        without.verdict,
        without.reason,
    )
    return not (labels and np.array_equal(with_it.q, without.q) and np.array_equal(with_it.qd, without.qd))


CHECKS: dict[str, Callable[[Step], bool]] = {
    check.__name__: check
    for check in (opened_without_being_asked, stop_that_lost, motion_out_of_rest, rule_that_was_suspended)
}


@pytest.fixture(scope="module")
def walked() -> Walked:
    seen = Walked()
    for step in walk():
        decision = step.after.decision
        seen.modes.add(decision.mode)
        seen.examples.setdefault((step.before.decision.mode, decision.reason), step)
        if decision.suspension is not None:
            seen.suspended.add(decision.reason)
        for name, check in CHECKS.items():
            if check(step):
                seen.wrong[name].append(str(step))
    return seen


def test_the_walk_reaches_every_mode_and_every_reason(walked: Walked) -> None:
    assert walked.modes == set(GUARDED)
    assert {reason for _, reason in walked.examples} == {reasons.OK, *rules().values()}


def test_no_path_leaves_a_stop_without_a_reset_and_then_a_resume(walked: Walked) -> None:
    assert walked.wrong["opened_without_being_asked"] == []
    # Both ways out are taken, so the walk would have seen one that is not asked for.
    assert (Mode.STOPPED, reasons.OPERATOR_HOLD) in walked.examples
    assert (Mode.STOPPED, reasons.OK) in walked.examples and (Mode.HELD, reasons.OK) in walked.examples


def test_a_stop_and_whatever_means_stop_win_over_every_request(walked: Walked) -> None:
    assert walked.wrong["stop_that_lost"] == []


def test_nothing_moves_an_arm_that_is_stopped_or_held(walked: Walked) -> None:
    assert walked.wrong["motion_out_of_rest"] == []


def test_a_suspension_changes_nothing_but_what_the_critic_says(walked: Walked) -> None:
    assert walked.wrong["rule_that_was_suspended"] == []
    assert walked.suspended >= HARD
    assert walked.suspended >= {reasons.CRITIC_INVALID, reasons.SENSOR_STALE, reasons.PROPOSAL_STALE}


def test_a_reason_of_which_nothing_is_said_means_stop() -> None:
    assert Reason.named("SOMETHING_NEW").verdict is Verdict.STOP


def test_a_reason_that_means_stop_stops_wherever_it_comes_up(
    walked: Walked, monkeypatch: pytest.MonkeyPatch
) -> None:
    for (_, reason), step in walked.examples.items():
        with monkeypatch.context() as patched:
            patched.setattr(reason, "verdict", Verdict.STOP)
            decision = step.again()
        assert (decision.mode, decision.verdict) == (Mode.STOPPED, Verdict.STOP), str(step)
        assert not decision.twist_sent.any()
