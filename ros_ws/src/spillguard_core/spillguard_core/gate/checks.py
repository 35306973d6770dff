"""Input faults of one decision, and the mode that follows from them.

Every check states the condition for valid, so NaN counts as a fault. Ages use the monitor's steady clock.
"""

import math

from spillguard_core.gate import reasons
from spillguard_core.gate.cycle import ON_TIME, Cycle
from spillguard_core.gate.decision import (
    GateConfig,
    Mode,
    Request,
    Suspension,
    SuspensionRequest,
)
from spillguard_core.gate.proposals import is_action, proposal_fault
from spillguard_core.gate.reasons import Reason
from spillguard_core.gate.stillness import unrest
from spillguard_core.gate.task import Task, sensors_fault
from spillguard_core.robot.arm import Vec

Finding = tuple[Reason, str]
"""A reason and the numbers behind it."""
FINE: Finding = (reasons.OK, "")


DEEPEST = 0.01  # [m] allowed penetration of a sensed body into the arm's model, which encloses the arm
JUST_NOW = 0.05  # [s]; a request is carried out by the next decision, a few milliseconds after it was granted
LONGEST_REASON = 200  # maximum length of the reason for suspending the critic


def mode_and_finding(cycle: Cycle) -> tuple[Mode, Finding]:
    """The mode after all requests and faults, and the reason; the strictest wins."""
    if cycle.config.shadow:
        # Somebody else moves the arm, so who commands it and how it follows is not ours to judge; and nothing
        # latches, for nothing moves that a reset would have to let go.
        return Mode.SHADOW, state_fault(cycle)
    requests, mode = cycle.inputs.requests, _mode_asked_for(cycle)
    if mode is Mode.STOPPED:
        return mode, (cycle.last.reason, cycle.last.detail)
    if Request.STOP in requests:
        return Mode.STOPPED, (reasons.OPERATOR_STOP, "")
    if not all(isinstance(request, Request) for request in requests):
        return Mode.STOPPED, (reasons.REQUEST_UNKNOWN, f"got {requests}")
    fault = state_fault(cycle)
    if fault[0] is reasons.OK:
        fault = authority_fault(cycle)
    if fault[0] is reasons.OK and cycle.last.mode is not Mode.STOPPED:
        fault = obedience_fault(cycle)
    if fault[0] is not reasons.OK:
        return Mode.STOPPED, fault
    if mode is Mode.HELD or Request.HOLD in requests:
        return Mode.HELD, _held_because(cycle)
    return _driver(cycle, mode)


def _held_because(cycle: Cycle) -> Finding:
    """Why the arm is held: the operator's hold, or the silence of who drove."""
    last = cycle.last
    if (
        last.reason in (reasons.TELEOP_SILENT, reasons.POLICY_SILENT)
        and Request.HOLD not in cycle.inputs.requests
    ):
        return last.reason, last.detail
    return reasons.OPERATOR_HOLD, "waits for resume"


def _driver(cycle: Cycle, mode: Mode) -> tuple[Mode, Finding]:
    """Who drives while motion is allowed.

    An active teleoperator replaces the policy. When it falls silent, control does not return to the policy:
    the arm holds until a resume. So it does for a policy that is silent for long: it may be another one that
    speaks then, and whoever went there meanwhile expects no motion. An invalid time counts as silence.
    """
    teleop, allowed = cycle.inputs.teleop, cycle.config.teleop_timeout
    age = math.inf if teleop is None else cycle.inputs.now - teleop.received
    if 0.0 <= age <= allowed:
        return Mode.TELEOP, FINE
    if mode is Mode.FOLLOWING and age > allowed:
        silence = policy_silence(cycle)
        return (
            (Mode.HELD, (reasons.POLICY_SILENT, f"{silence}; waits for resume")) if silence else (mode, FINE)
        )
    return Mode.HELD, (reasons.TELEOP_SILENT, f"for {age:.3f} s, allowed {allowed} s; waits for resume")


def policy_silence(cycle: Cycle) -> str:
    """For how long the policy has said nothing of use, if that is too long; empty if not.

    To whoever stands beside the arm it makes no difference whether it is silent or senseless, nor what else
    held the arm meanwhile.
    """
    inputs, allowed = cycle.inputs, cycle.config.policy_timeout
    spoke = inputs.proposal
    age = 0.0 if spoke is None else inputs.now - spoke.received - spoke.lasts
    quiet = inputs.now - cycle.spoken
    if quiet <= allowed and age <= allowed:  # an unknown time is too long
        return ""
    _, why = proposal_fault(inputs, len(cycle.last.twist_sent), cycle.config)
    said = f"; what it says is of no use: {why}" if why and age <= cycle.config.command_timeout else ""
    sensors = inputs.now - inputs.sensors_received
    heard = sensors <= cycle.config.sensor_timeout
    deaf = "" if heard else f"; a sensor of the task is silent for {sensors:.1f} s"
    return f"for {max(quiet, age):.3f} s, allowed {allowed} s{said}{deaf}"


def nobody_drives(cycle: Cycle) -> str:
    """Why a resume would hand the arm to nobody, or to another than who spoke when it was asked for; empty if
    it would not.

    A teleoperator who has just fallen silent may have been whom the resume was for: the policy waits.
    """
    inputs, config = cycle.inputs, cycle.config
    age = math.inf if inputs.teleop is None else inputs.now - inputs.teleop.received
    if 0.0 <= age <= config.teleop_timeout:
        return ""
    if age <= config.teleop_timeout + JUST_NOW:
        return "the teleoperator has just fallen silent: resume again for the policy"
    if inputs.proposal is None:
        return "nobody drives yet: start the policy or a teleoperator first"
    silence = policy_silence(cycle)
    return f"the policy is silent {silence}: let it speak first" if silence else ""


def _mode_asked_for(cycle: Cycle) -> Mode:
    """The mode after resets and resumes, applied in the order received."""
    mode = cycle.last.mode
    for request in cycle.inputs.requests:
        if request is Request.RESET and mode is Mode.STOPPED and not reset_refusal(cycle):
            mode = Mode.HELD
        elif request is Request.RESUME and mode is Mode.HELD and not nobody_drives(cycle):
            mode = Mode.FOLLOWING
    return mode


def suspension(cycle: Cycle, mode: Mode) -> Suspension | None:
    """The suspension of the critic in force for this decision; a restore overrides a new suspension."""
    inputs, running = cycle.inputs, cycle.last.suspension
    if mode in (Mode.STOPPED, Mode.SHADOW) or Request.RESTORE_CRITIC in inputs.requests:
        return None
    if inputs.suspend is not None and not suspension_fault(inputs.suspend, cycle.config):
        return Suspension(inputs.suspend.reason, inputs.now + inputs.suspend.seconds)
    if running is None:
        return None
    left = running.until - inputs.now
    return running if 0.0 < left <= cycle.config.max_suspension + ON_TIME else None


def suspension_fault(asked: SuspensionRequest, config: GateConfig) -> str:
    """Why the suspension request itself is invalid; empty if it is valid."""
    reason, longest = asked.reason, config.max_suspension
    if not (reason.strip() and reason.isprintable()):
        return f"a reason of one line is needed, got {reason!r}"
    if not len(reason) <= LONGEST_REASON:
        return f"the reason has {len(reason)} characters, allowed are {LONGEST_REASON}"
    if not 0.0 < asked.seconds <= longest:
        return f"seconds is {asked.seconds}, it has to be above 0 and at most {longest}"
    return ""


def reset_refusal(cycle: Cycle) -> str:
    """Why a reset is refused; empty if it is allowed."""
    measurement = cycle.inputs.measurement
    if Request.STOP in cycle.inputs.requests:
        return "a stop was asked for at the same time"
    reason, detail = state_fault(cycle)
    if reason is reasons.OK:
        reason, detail = authority_fault(cycle)
    if reason is not reasons.OK or measurement is None:
        return f"{reason.value}: {detail}" if detail else reason.value
    return unrest(cycle.stillness, cycle.inputs.now, cycle.config)


def state_fault(cycle: Cycle) -> Finding:
    """Fault of the joint state itself."""
    inputs, config = cycle.inputs, cycle.config
    if inputs.measurement is None:
        return reasons.STATE_MISSING, ""
    # A gap between decisions counts as stale state, however fresh the state is now. The first decision has no
    # predecessor, nor has one after an invalid (NaN) time; in both cases the gate is closed.
    blind = inputs.now - cycle.last.decided
    if not math.isnan(cycle.last.decided) and not blind <= config.state_timeout:
        return reasons.STATE_STALE, f"not looked at for {blind:.3f} s, allowed {config.state_timeout} s"
    age = inputs.now - inputs.state_received
    if not 0.0 <= age <= config.state_timeout:
        return reasons.STATE_STALE, f"received {age:.3f} s ago, allowed {config.state_timeout} s"
    unchanged = inputs.now - cycle.advanced
    if not 0.0 <= unchanged <= config.state_timeout:
        return reasons.STATE_STALE, f"its stamp has not advanced for {unchanged:.3f} s"
    if cycle.doubt:
        return reasons.STATE_INVALID, cycle.doubt
    return _posture_fault(inputs.measurement.joint_position, config)


def _posture_fault(q: Vec, config: GateConfig) -> Finding:
    limits, slack = config.limits, config.position_tolerance
    span = zip(limits.position_min.tolist(), q.tolist(), limits.position_max.tolist(), strict=True)
    for joint, (lowest, value, highest) in enumerate(span, start=1):
        if not lowest - slack <= value <= highest + slack:
            return reasons.STATE_OUT_OF_LIMITS, f"joint {joint} at {value:.4f} rad"
    return FINE


def authority_fault(cycle: Cycle) -> Finding:
    """Whether this monitor alone commands the arm, since other commands pass no gate; fault of the driver."""
    writers = cycle.inputs.command_writers
    if writers != 1:
        return (
            reasons.FOREIGN_WRITER,
            f"{writers} publishers and action clients, allowed is this monitor alone",
        )
    fault = cycle.inputs.driver_fault
    return (reasons.DRIVER_FAULT, fault) if fault else FINE


def obedience_fault(cycle: Cycle) -> Finding:
    """Fault in how the arm tracks its commands; the joint state is known to be valid."""
    inputs, config = cycle.inputs, cycle.config
    if cycle.off_track >= config.tracking_cycles:
        return reasons.TRACKING_ERROR, f"{cycle.tracking_error:.4f} rad, allowed {config.max_tracking_error}"
    if inputs.now - cycle.last.held_since > config.settle_time and (
        moving := unrest(cycle.stillness, inputs.now, config)
    ):
        return reasons.NOT_SETTLING, f"after {config.settle_time} s of holding {moving}"
    return FINE


def input_fault(cycle: Cycle, mode: Mode, task: Task) -> Finding:
    """Fault of the task's sensors or of the proposal."""
    inputs, config = cycle.inputs, cycle.config
    age = inputs.now - inputs.sensors_received
    if not 0.0 <= age <= config.sensor_timeout:
        return reasons.SENSOR_STALE, f"received {age:.3f} s ago, allowed {config.sensor_timeout} s"
    doubt = "" if inputs.measurement is None else sensors_fault(task, inputs.measurement)
    if inputs.measurement is None or doubt:
        return reasons.SENSOR_INVALID, doubt
    entries = len(task.action)
    if mode is Mode.TELEOP:
        return _teleop_fault(cycle, entries)
    return proposal_fault(inputs, entries, config)


def _teleop_fault(cycle: Cycle, entries: int) -> Finding:
    """The mode already follows from its age, and it answers no joint state whose age could be checked."""
    wanted = cycle.wanted
    if wanted is not None and wanted.chunk is None and is_action(wanted.twist, entries):
        return FINE
    return reasons.TELEOP_INVALID, "" if wanted is None else f"got {wanted.twist}"


def place_fault(target: Vec, depth: float, config: GateConfig) -> Finding:
    """Whether a body can be at the sensed position (3,) [m]; `depth` [m] is its penetration into the arm."""
    low, high = (
        config.limits.workspace_min - config.target_reach,
        config.limits.workspace_max + config.target_reach,
    )
    possible = bool(((low <= target) & (target <= high)).all())
    if possible and depth <= DEEPEST:
        return FINE
    place = ", ".join(f"{value:.3f}" for value in target.tolist())
    if not possible:
        room = " x ".join(f"{a:.2f} to {b:.2f}" for a, b in zip(low.tolist(), high.tolist(), strict=True))
        return reasons.TARGET_IMPOSSIBLE, f"at ({place}) m, allowed is {room} m"
    return reasons.TARGET_IMPOSSIBLE, f"at ({place}) m it would be {depth:.3f} m deep in the arm"
