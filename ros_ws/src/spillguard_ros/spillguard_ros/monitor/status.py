"""A decision of the monitor as a status that every ROS tool can show."""

import math
from collections.abc import Callable, Mapping
from enum import Enum

from diagnostic_msgs.msg import DiagnosticStatus

from spillguard_core.bundle.certificate import UNCALIBRATED
from spillguard_core.gate import reasons
from spillguard_core.gate.decision import Decision, Mode, Request, Suspension
from spillguard_core.gate.reasons import Reason, Verdict
from spillguard_ros.node import convert
from spillguard_ros.recording import flight
from spillguard_ros.recording.recorder import FlightRecorder

NAME = "safety_monitor: gate"
SHADOW = "SHADOW: nothing is sent"
PROPOSAL, TELEOP = "policy/proposal", "teleop/twist"
LEVELS = {
    Verdict.PASS: DiagnosticStatus.OK,
    Verdict.LIMIT: DiagnosticStatus.WARN,
    Verdict.RECOVER: DiagnosticStatus.WARN,
    Verdict.HOLD: DiagnosticStatus.WARN,
}
"""All other verdicts are errors."""
GRANTED = {
    Request.HOLD: "holding; resume to go on",
    Request.RESUME: "following the policy, or the teleoperator while it speaks",
    Request.STOP: "stopped; reset, then resume to go on",
    Request.RESET: "reset and holding; resume to move",
    Request.RESTORE_CRITIC: "the critic is not suspended any more",
}


class About(Enum):
    """The messages that a gate reason refers to."""

    STATE = "joint state"
    SENSORS = "the task's sensors"
    PROPOSAL = PROPOSAL
    TELEOP = TELEOP


ABOUT = {
    reasons.STATE_MISSING: About.STATE,
    reasons.STATE_STALE: About.STATE,
    reasons.STATE_INVALID: About.STATE,
    reasons.SENSOR_STALE: About.SENSORS,
    reasons.SENSOR_INVALID: About.SENSORS,
    reasons.PROPOSAL_STALE: About.PROPOSAL,
    reasons.PROPOSAL_INVALID: About.PROPOSAL,
    reasons.TELEOP_INVALID: About.TELEOP,
}
NOT_NUMBERS = (
    reasons.STATE_INVALID,
    reasons.SENSOR_INVALID,
    reasons.PROPOSAL_INVALID,
    reasons.TELEOP_INVALID,
)
"""Their details show the NaN that replaced an invalid message, and say nothing about the message itself."""

Heard = Callable[[About], str]
"""Fault in the messages: topic, what was received, what is needed; empty if none."""


def in_words(reason: Reason, detail: str, heard: Heard) -> str:
    """The gate's details, with the fault of the messages behind them; that alone if the details are NaN."""
    said = heard(ABOUT[reason]) if reason in ABOUT else ""
    figures = "" if said and reason in NOT_NUMBERS else detail
    return "; ".join(filter(None, (figures, said)))


def refusal_in_words(refusal: str, heard: Heard) -> str:
    """The same for a refusal, which begins with the reason's text if it has such a reason."""
    for reason in ABOUT:
        if refusal.startswith(reason.value):
            words = in_words(reason, refusal.removeprefix(reason.value).removeprefix(": "), heard)
            return f"{reason.value}: {words}" if words else reason.value
    return refusal


def granted(request: Request, mode: Mode) -> str:
    """Answer to an operator whose request was granted in `mode`."""
    if request is Request.RESET and mode is not Mode.STOPPED:
        return f"nothing to reset: {mode.value}, not stopped"
    if request is Request.HOLD and mode is Mode.STOPPED:
        return GRANTED[Request.STOP]
    return GRANTED[request]


def suspension_left(decision: Decision) -> str:
    """Why and for how long the critic is still suspended; empty if it acts."""
    running = decision.suspension
    if running is None:
        return ""
    return f"critic suspended: {running.reason}, {running.until - decision.decided:.1f} s left"


def suspension_news(before: Suspension | None, after: Suspension | None) -> list[str]:
    """Log lines for a suspension that has ended or begun between two decisions."""
    if before == after:
        return []
    ended = [] if before is None else [f"suspension of the critic has ended: {before.reason}"]
    return ended if after is None else [*ended, f"the critic is suspended: {after.reason}"]


def _margins(margins: Mapping[str, float], units: Mapping[str, str]) -> dict[str, str]:
    """All margins, keyed with their units if they have one: "margin_position [rad]", "state_age [s]"."""
    return {
        f"{'' if field.is_age else 'margin_'}{field.name}{f' [{field.unit}]' if field.unit else ''}":
        f"{margins.get(field.name, math.nan):.4f}"
        for field in flight.margin_fields(units)
    }  # fmt: skip


def said(decision: Decision, speed_scale: float) -> str:
    """Verdict and reason for people: in shadow what they would be; the speed, if it is not the full one."""
    verdict = f"{decision.verdict.name}: {decision.reason.value}"
    slow = "" if speed_scale == 1.0 else f"at {100 * speed_scale:g} % speed"
    if decision.mode is Mode.SHADOW:
        return f"{', '.join(filter(None, (SHADOW, slow)))}; it would be {verdict}"
    return f"{verdict}; {slow}" if slow else verdict


def decision_status(
    decision: Decision, units: Mapping[str, str], extra: dict[str, str], speed_scale: float = 1.0
) -> DiagnosticStatus:
    """The status of a decision; `units` are those of the margins.

    `extra` is appended to the decision's own values, or replaces those with the same key.
    """
    suspended = suspension_left(decision)
    values = {
        "verdict": decision.verdict.name,
        "reason": decision.reason.name,
        "detail": decision.detail,
        "mode": decision.mode.value,
        "cycle": str(decision.cycle),
        "sent": str(decision.send).lower(),
        "twist_sent": " ".join(f"{x:.4f}" for x in decision.twist_sent),
        "q_c": f"{decision.q_c:.4f}",
        "suspension": suspended,
        **_margins(decision.margins, units),
        **extra,
    }
    uncalibrated = "critic uncalibrated" if extra.get("calibration", "").startswith(UNCALIBRATED) else ""
    warning = f"driver: {extra['driver']}" if extra.get("driver") else ""
    slow, crowd = extra.get("latency", ""), extra.get("crowd", "")
    parts = [said(decision, speed_scale), suspended, uncalibrated, warning, slow, crowd]
    level = LEVELS.get(decision.verdict, DiagnosticStatus.ERROR)
    if suspended or warning or slow or crowd:
        level = max(level, DiagnosticStatus.WARN)
    return convert.to_status(NAME, level, "; ".join(filter(None, parts)), values)


def recorder_status(recorder: FlightRecorder) -> DiagnosticStatus:
    """An error once the recording has ended, a warning if records are missing."""
    lost = f"{recorder.dropped} records dropped" if recorder.dropped else ""
    level = DiagnosticStatus.WARN if lost else DiagnosticStatus.OK
    if recorder.error:
        level = DiagnosticStatus.ERROR
    message = ", ".join(filter(None, (recorder.error or "recording", lost)))
    values = {"dropped": str(recorder.dropped), "written [MB]": f"{1e-6 * recorder.written:.3f}"}
    return convert.to_status("safety_monitor: recorder", level, message, values)
