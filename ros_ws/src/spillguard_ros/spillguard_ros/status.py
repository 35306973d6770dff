"""What the monitor says about a decision, as every ROS tool can show it."""

from diagnostic_msgs.msg import DiagnosticStatus

from spillguard_core.decision import Decision, Verdict
from spillguard_ros import convert
from spillguard_ros.recorder import FlightRecorder

NAME = "safety_monitor: gate"
LEVELS = {
    Verdict.PASS: DiagnosticStatus.OK,
    Verdict.LIMIT: DiagnosticStatus.WARN,
    Verdict.RECOVER: DiagnosticStatus.WARN,
    Verdict.HOLD: DiagnosticStatus.WARN,
}
"""Everything else is an error."""


def decision_status(decision: Decision, extra: dict[str, str]) -> DiagnosticStatus:
    """One status; `extra` follows the decision's own figures."""
    margins = decision.margins
    values = {
        "verdict": decision.verdict.name,
        "reason": decision.reason.name,
        "detail": decision.detail,
        "mode": decision.mode.value,
        "cycle": str(decision.cycle),
        "sent": str(decision.send).lower(),
        "twist_sent": " ".join(f"{x:.4f}" for x in decision.twist_sent),
        "q_c": f"{decision.q_c:.4f}",
        "margin_critic": f"{margins.critic:.4f}",
        "margin_position [rad]": f"{margins.position:.4f}",
        "margin_workspace [m]": f"{margins.workspace:.4f}",
        "margin_clearance [m]": f"{margins.clearance:.4f}",
        "margin_tracking [rad]": f"{margins.tracking:.4f}",
        "state_age [s]": f"{margins.state_age:.4f}",
        "command_age [s]": f"{margins.command_age:.4f}",
        **extra,
    }
    message = f"{decision.verdict.name}: {decision.reason.value}"
    return convert.to_status(NAME, LEVELS.get(decision.verdict, DiagnosticStatus.ERROR), message, values)


def recorder_status(recorder: FlightRecorder) -> DiagnosticStatus:
    """An error once the recording has ended, a warning where records are missing in it."""
    lost = f"{recorder.dropped} records dropped" if recorder.dropped else ""
    level = DiagnosticStatus.WARN if lost else DiagnosticStatus.OK
    if recorder.error:
        level = DiagnosticStatus.ERROR
    message = ", ".join(filter(None, (recorder.error or "recording", lost)))
    values = {"dropped": str(recorder.dropped), "written [MB]": f"{1e-6 * recorder.written:.3f}"}
    return convert.to_status("safety_monitor: recorder", level, message, values)
