"""What the monitor says about a decision, as every ROS tool can show it."""

from diagnostic_msgs.msg import DiagnosticStatus

from spillguard_core.decision import Decision, Mode, Request, Suspension, Verdict
from spillguard_ros import convert
from spillguard_ros.recorder import FlightRecorder

NAME = "safety_monitor: gate"
UNCALIBRATED = "uncalibrated"  # how the calibration of such a bundle begins
LEVELS = {
    Verdict.PASS: DiagnosticStatus.OK,
    Verdict.LIMIT: DiagnosticStatus.WARN,
    Verdict.RECOVER: DiagnosticStatus.WARN,
    Verdict.HOLD: DiagnosticStatus.WARN,
}
"""Everything else is an error."""
GRANTED = {
    Request.HOLD: "holding; resume to go on",
    Request.RESUME: "following the policy, or the teleoperator while it speaks",
    Request.STOP: "stopped; reset, then resume to go on",
    Request.RESET: "reset and holding; resume to move",
    Request.RESTORE_CRITIC: "the critic is not suspended any more",
}


def granted(request: Request, mode: Mode) -> str:
    """What is said to an operator whose request was granted in `mode`."""
    if request is Request.RESET and mode is not Mode.STOPPED:
        return f"nothing to reset: {mode.value}, not stopped"
    if request is Request.HOLD and mode is Mode.STOPPED:
        return GRANTED[Request.STOP]
    return GRANTED[request]


def suspension_left(decision: Decision) -> str:
    """Why and for how long the critic still does not act; empty while it does."""
    running = decision.suspension
    if running is None:
        return ""
    return f"critic suspended: {running.reason}, {running.until - decision.decided:.1f} s left"


def suspension_news(before: Suspension | None, after: Suspension | None) -> list[str]:
    """What to tell about a suspension that has ended or begun between two decisions."""
    if before == after:
        return []
    ended = [] if before is None else [f"suspension of the critic has ended: {before.reason}"]
    return ended if after is None else [*ended, f"the critic is suspended: {after.reason}"]


def decision_status(decision: Decision, extra: dict[str, str]) -> DiagnosticStatus:
    """One status; `extra` follows the decision's own figures."""
    margins, suspended = decision.margins, suspension_left(decision)
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
        "margin_critic": f"{margins.critic:.4f}",
        "margin_position [rad]": f"{margins.position:.4f}",
        "margin_workspace [m]": f"{margins.workspace:.4f}",
        "margin_clearance [m]": f"{margins.clearance:.4f}",
        "margin_tilt [rad]": f"{margins.tilt:.4f}",
        "margin_tracking [rad]": f"{margins.tracking:.4f}",
        "state_age [s]": f"{margins.state_age:.4f}",
        "command_age [s]": f"{margins.command_age:.4f}",
        **extra,
    }
    uncalibrated = "critic uncalibrated" if extra.get("calibration", "").startswith(UNCALIBRATED) else ""
    parts = [f"{decision.verdict.name}: {decision.reason.value}", suspended, uncalibrated]
    level = LEVELS.get(decision.verdict, DiagnosticStatus.ERROR)
    if suspended:
        level = max(level, DiagnosticStatus.WARN)
    return convert.to_status(NAME, level, "; ".join(filter(None, parts)), values)


def recorder_status(recorder: FlightRecorder) -> DiagnosticStatus:
    """An error once the recording has ended, a warning where records are missing in it."""
    lost = f"{recorder.dropped} records dropped" if recorder.dropped else ""
    level = DiagnosticStatus.WARN if lost else DiagnosticStatus.OK
    if recorder.error:
        level = DiagnosticStatus.ERROR
    message = ", ".join(filter(None, (recorder.error or "recording", lost)))
    values = {"dropped": str(recorder.dropped), "written [MB]": f"{1e-6 * recorder.written:.3f}"}
    return convert.to_status("safety_monitor: recorder", level, message, values)
