"""Every transition of the gate's state machine, listed by hand and compared with the gate."""

from pathlib import Path

import pytest

from spillguard_core.gate import reasons
from spillguard_core.gate.decision import GUARDED, Mode, Request
from spillguard_core.gate.reasons import Reason, Verdict
from spillguard_core.gate.refusal import refusal
from spillguard_core.tasks.pouring.zone import TILT_LIMIT
from studies.monitor_states.bench import GateBench as Bench
from studies.monitor_states.events import EVENTS
from studies.monitor_states.page import NOTES, PAGE, PICTURE, page, picture
from studies.monitor_states.states import SUSPENSIONS, suspended_bench, table

DOCS = Path(__file__).parents[3] / "docs"
STAYS = ("held HOLD", "following PASS", "teleop PASS")
STOPS = ("stopped STOP",) * 3
LIMITS = ("held HOLD", "following LIMIT", "teleop LIMIT")
# Mode after the event in held, in following and in teleop.
EXPECTED = {
    "operator: nothing": STAYS,
    "operator: hold": ("held HOLD",) * 3,
    "operator: resume": ("following PASS", "following PASS", "teleop PASS"),
    "operator: resume while a teleoperator speaks": ("teleop PASS",) * 3,
    "operator: stop": STOPS,
    "operator: reset": STAYS,
    "operator: reset while the arm moves": STAYS,
    "operator: reset and resume in one period": ("following PASS", "following PASS", "teleop PASS"),
    "operator: hold and resume in one period": ("held HOLD",) * 3,
    "operator: stop, reset and resume in one period": STOPS,
    "operator: suspend_critic": STAYS,
    "operator: restore_critic": STAYS,
    "operator: unknown request": STOPS,
    "teleoperator: speaks": ("held HOLD", "teleop PASS", "teleop PASS"),
    "teleoperator: speaks, but no finite twist": ("held HOLD", "teleop HOLD", "teleop HOLD"),
    "teleoperator: falls silent": ("held HOLD", "following PASS", "held HOLD"),
    "teleoperator: speaks at no sensible time": ("held HOLD",) * 3,
    "policy: no proposal yet": ("held HOLD", "following HOLD", "teleop PASS"),
    "policy: proposal is stale": ("held HOLD", "following HOLD", "teleop PASS"),
    "policy: is silent for long": ("held HOLD", "held HOLD", "teleop PASS"),
    "policy: proposal answers an old state": ("held HOLD", "following HOLD", "teleop PASS"),
    "policy: proposal is no finite twist": ("held HOLD", "following HOLD", "teleop PASS"),
    "policy: says nothing of use for long": ("held HOLD", "held HOLD", "teleop PASS"),
    "task sensors: a sensor is stale": ("held HOLD", "following HOLD", "teleop HOLD"),
    "task sensors: a sensor is not finite": ("held HOLD", "following HOLD", "teleop HOLD"),
    "task sensors: the target is where none can be": ("held HOLD", "following HOLD", "teleop HOLD"),
    "critic: objects": LIMITS,
    "critic: objects to every candidate": ("held HOLD", "following RECOVER", "teleop RECOVER"),
    "critic: gives no finite value": ("held HOLD", "following HOLD", "teleop HOLD"),
    "critic: ends with an error": ("held HOLD", "stopped STOP", "stopped STOP"),
    "critic: objects to every candidate, suspended": STAYS,
    "critic: gives no finite value, suspended": ("held HOLD", "following HOLD", "teleop HOLD"),
    "hard limits: twist above the action scale": LIMITS,
    "hard limits: joint velocity limit": LIMITS,
    "hard limits: joint position limit ahead": LIMITS,
    "hard limits: workspace limit ahead": LIMITS,
    "hard limits: cup tilted beside the target": LIMITS,
    "hard limits: obstacle ahead": LIMITS,
    "hard limits: obstacle ahead, critic suspended": LIMITS,
    "arm: no joint state yet": STOPS,
    "arm: joint state is stale": STOPS,
    "arm: joint state's stamp stands still": STOPS,
    "arm: joint state is not finite": STOPS,
    "arm: joint outside its limits": STOPS,
    "arm: another node commands the arm": STOPS,
    "arm: driver reports a fault": STOPS,
    "arm: arm off its command": STOPS,
    "arm: arm still moves long after it should rest": ("stopped STOP", "following PASS", "teleop PASS"),
}
# Further effects of a reset; every other event leaves a stopped arm stopped.
OUT_OF_STOPPED = {
    "operator: reset": "held HOLD",
    "operator: reset and resume in one period": "following PASS",
}
NAMES = [f"{group}: {name}" for group, events in EVENTS.items() for name in events]
ENDED = ("the time is over", "restore_critic", "restore_critic and suspend_critic in one period", "stop",
         "joint state is stale")  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("mode", GUARDED)
def test_event_has_the_effect_that_is_written_down(mode, name):
    decision = table()[mode, name]
    if mode is Mode.STOPPED:
        wanted = OUT_OF_STOPPED.get(name, "stopped STOP")
    else:
        wanted = EXPECTED[name][GUARDED.index(mode) - 1]
    assert f"{decision.mode.value} {decision.verdict.name}" == wanted
    # The label alone is not enough: a verdict of rest must also command rest.
    if decision.verdict >= Verdict.HOLD:
        assert not decision.twist_sent.any()


def test_modes_are_listed_as_the_table_expects():
    assert GUARDED == (Mode.STOPPED, Mode.HELD, Mode.FOLLOWING, Mode.TELEOP)


def test_every_event_every_reason_and_every_request_is_in_the_table():
    assert set(NAMES) == set(EXPECTED)
    own = {reason for reason in vars(reasons).values() if isinstance(reason, Reason)} | {TILT_LIMIT}
    assert {decision.reason for decision in table().values()} == own
    operators = " ".join(EVENTS["operator"])
    assert all(request.value in operators for request in Request)


def test_reason_without_a_verdict_of_its_own_means_stop_in_the_table():
    for decision in table().values():
        assert decision.verdict is decision.reason.verdict


@pytest.mark.parametrize("name", SUSPENSIONS)
@pytest.mark.parametrize("mode", [Mode.HELD, Mode.FOLLOWING, Mode.TELEOP])
def test_suspension_ends_or_goes_on_as_it_is_written_down(mode, name):
    decision = SUSPENSIONS[name].befall(suspended_bench(mode))
    assert (decision.suspension is None) == (name in ENDED)


@pytest.mark.parametrize("mode", GUARDED)
def test_unknown_request_is_refused_by_name_and_stops(mode):
    bench = Bench(mode)
    text = refusal("dance", bench.inputs(), bench.decision, bench.config)
    assert "unknown request 'dance', known are hold, resume, stop, reset, restore_critic" in text
    assert EVENTS["operator"]["unknown request"].befall(bench).verdict is Verdict.STOP


def test_page_is_what_the_gate_does():
    assert page((DOCS / NOTES).read_text()) == (DOCS / PAGE).read_text()


def test_picture_is_what_the_gate_does():
    assert picture() == (DOCS / PICTURE).read_text()
