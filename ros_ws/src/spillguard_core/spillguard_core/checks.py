"""What may be wrong with the inputs of one decision, and what that makes of the mode.

Every check is written as what is fine, so NaN counts as a fault. Ages are on the monitor's steady clock.
"""

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from spillguard_core.arm import Vec
from spillguard_core.decision import (
    Decision,
    GateConfig,
    Inputs,
    Mode,
    Proposal,
    Reason,
    Request,
    Suspension,
    SuspensionRequest,
)
from spillguard_core.kinematics import joint_differences
from spillguard_core.observation import Measurement
from spillguard_core.trajectory import after

Finding = tuple[Reason, str]
"""A reason and the figures behind it."""
FINE: Finding = (Reason.OK, "")


ON_TIME = 1e-6  # [s]; a joint moves 2e-6 rad in it at most
LONGEST_REASON = 200  # characters of a reason for suspending the critic


class Cycle(NamedTuple):
    """One decision's inputs with what follows from them and the decision before."""

    inputs: Inputs
    last: Decision
    config: GateConfig
    stamp: float  # [s] newest stamp of the joint state
    advanced: float  # [s] steady time at which it was first seen
    tracking_error: float  # [rad]; NaN where there is no command or no usable state
    off_track: int  # decisions in a row with too large a tracking error
    wanted: Proposal | None  # the policy's, or the teleoperator's while it drives
    suspension: Suspension | None  # of the critic


def all_finite(values: Vec) -> bool:
    """True for finite values (N,). For a handful of them plain Python is the fastest."""
    return all(map(math.isfinite, values.tolist()))


def carried(last: Decision, now: float, config: GateConfig) -> Decision:
    """`last` with its command where its own trajectory stands by now.

    Decisions are never made at exact intervals. One that came late and went on from the end of the period
    would pull the arm back to where it no longer is.
    """
    late = now - last.decided - config.period
    if not (last.anchored and math.isfinite(late) and abs(late) > ON_TIME):
        return last
    q, qd = after(last, max(late, -config.period), config)
    return replace(last, q=q, qd=qd)


def begin(inputs: Inputs, last: Decision, config: GateConfig) -> Cycle:
    """Bring the clocks and counters up to this decision."""
    last = carried(last, inputs.now, config)
    stamp, advanced = last.state_stamp, last.state_advanced
    # A stamp that stands still or goes back is no news. While stopped any change is, so that a driver
    # whose clock was set back can be used again after a reset.
    stopped = last.mode is Mode.STOPPED
    if math.isfinite(inputs.state_stamp) and (
        inputs.state_stamp != stamp if stopped else inputs.state_stamp > stamp
    ):
        stamp, advanced = inputs.state_stamp, inputs.now
    error = tracking_error(inputs, last, config)
    fine = stopped or error <= config.max_tracking_error
    off_track = 0 if fine else last.off_track + 1
    return Cycle(inputs, last, config, stamp, advanced, error, off_track, inputs.proposal, None)


def tracking_error(inputs: Inputs, last: Decision, config: GateConfig) -> float:
    """Largest distance [rad] of a joint from where it should be, continuous joints on the circle.

    A healthy arm trails its command by up to `tracking_lag` seconds, so that stretch is not an error.
    """
    measurement = inputs.measurement
    if measurement is None or not last.anchored:
        return math.nan
    if measurement.joint_position.shape != last.q.shape or not all_finite(measurement.joint_position):
        return math.nan
    # The stretch from 0 to the trail is fine: distance to its middle less half its length.
    half, worst = 0.5 * config.tracking_lag, 0.0
    ahead = joint_differences(last.q, measurement.joint_position)
    for difference, speed in zip(ahead, last.qd.tolist(), strict=True):
        beyond: float = abs(difference - half * speed) - abs(half * speed)
        if not beyond <= worst:
            if math.isnan(beyond):
                return beyond
            worst = beyond
    return worst


def mode_and_finding(cycle: Cycle) -> tuple[Mode, Finding]:
    """The mode after all requests and faults, and why; the strictest wins."""
    requests, mode = cycle.inputs.requests, _mode_asked_for(cycle)
    if mode is Mode.STOPPED:
        return mode, (cycle.last.reason, cycle.last.detail)
    if Request.STOP in requests:
        return Mode.STOPPED, (Reason.OPERATOR_STOP, "")
    if not all(isinstance(request, Request) for request in requests):
        return Mode.STOPPED, (Reason.REQUEST_UNKNOWN, f"got {requests}")
    fault = state_fault(cycle)
    if fault[0] is Reason.OK:
        fault = authority_fault(cycle)
    if fault[0] is Reason.OK and cycle.last.mode is not Mode.STOPPED:
        fault = obedience_fault(cycle)
    if fault[0] is not Reason.OK:
        return Mode.STOPPED, fault
    if mode is Mode.HELD or Request.HOLD in requests:
        return Mode.HELD, _held_because(cycle)
    return _driver(cycle, mode)


def _held_because(cycle: Cycle) -> Finding:
    """A hold of the operator, unless it is the teleoperator's silence that still lasts."""
    last = cycle.last
    if last.reason is Reason.TELEOP_SILENT and Request.HOLD not in cycle.inputs.requests:
        return last.reason, last.detail
    return Reason.OPERATOR_HOLD, "waits for resume"


def _driver(cycle: Cycle, mode: Mode) -> tuple[Mode, Finding]:
    """Who drives while motion is allowed.

    A teleoperator that speaks takes the policy's place. One that falls silent does not give it back: the
    arm holds until a resume. What was received at no sensible time is no silence that is over, so it holds.
    """
    teleop, allowed = cycle.inputs.teleop, cycle.config.teleop_timeout
    age = math.inf if teleop is None else cycle.inputs.now - teleop.received
    if 0.0 <= age <= allowed:
        return Mode.TELEOP, FINE
    if mode is Mode.FOLLOWING and age > allowed:
        return mode, FINE
    return Mode.HELD, (Reason.TELEOP_SILENT, f"for {age:.3f} s, allowed {allowed} s; waits for resume")


def _mode_asked_for(cycle: Cycle) -> Mode:
    """The mode after resets and resumes, in the order in which they came."""
    mode = cycle.last.mode
    for request in cycle.inputs.requests:
        if request is Request.RESET and mode is Mode.STOPPED and not reset_refusal(cycle):
            mode = Mode.HELD
        elif request is Request.RESUME and mode is Mode.HELD:
            mode = Mode.FOLLOWING
    return mode


def suspension(cycle: Cycle, mode: Mode) -> Suspension | None:
    """What holds of a suspension of the critic in this decision; a restore beats a wish for another."""
    inputs, running = cycle.inputs, cycle.last.suspension
    if mode is Mode.STOPPED or Request.RESTORE_CRITIC in inputs.requests:
        return None
    if inputs.suspend is not None and not senseless_suspension(inputs.suspend, cycle.config):
        return Suspension(inputs.suspend.reason, inputs.now + inputs.suspend.seconds)
    if running is None:
        return None
    left = running.until - inputs.now
    return running if 0.0 < left <= cycle.config.max_suspension + ON_TIME else None


def senseless_suspension(asked: SuspensionRequest, config: GateConfig) -> str:
    """What is wrong with the wish itself; empty if nothing."""
    reason, longest = asked.reason, config.max_suspension
    if not (reason.strip() and reason.isprintable()):
        return f"a reason of one line is needed, got {reason!r}"
    if not len(reason) <= LONGEST_REASON:
        return f"the reason has {len(reason)} characters, allowed are {LONGEST_REASON}"
    if not 0.0 < asked.seconds <= longest:
        return f"seconds is {asked.seconds}, it has to be above 0 and at most {longest}"
    return ""


def reset_refusal(cycle: Cycle) -> str:
    """Why a reset is refused; empty if nothing speaks against it."""
    measurement = cycle.inputs.measurement
    if Request.STOP in cycle.inputs.requests:
        return "a stop was asked for at the same time"
    reason, detail = state_fault(cycle)
    if reason is Reason.OK:
        reason, detail = authority_fault(cycle)
    if reason is not Reason.OK or measurement is None:
        return f"{reason.value}: {detail}" if detail else reason.value
    speed = float(np.abs(measurement.joint_velocity).max())
    return "" if speed <= cycle.config.still_speed else f"the arm still moves at {speed:.3f} rad/s"


def state_fault(cycle: Cycle) -> Finding:
    """What is wrong with the joint state itself."""
    inputs, config = cycle.inputs, cycle.config
    if inputs.measurement is None:
        return Reason.STATE_MISSING, ""
    # Without a decision nothing was looked at, however fresh it is by now. There is none before the first.
    blind = inputs.now - cycle.last.decided
    if cycle.last.cycle and not blind <= config.state_timeout:
        return Reason.STATE_STALE, f"not looked at for {blind:.3f} s, allowed {config.state_timeout} s"
    age = inputs.now - inputs.state_received
    if not 0.0 <= age <= config.state_timeout:
        return Reason.STATE_STALE, f"received {age:.3f} s ago, allowed {config.state_timeout} s"
    unchanged = inputs.now - cycle.advanced
    if not 0.0 <= unchanged <= config.state_timeout:
        return Reason.STATE_STALE, f"its stamp has not advanced for {unchanged:.3f} s"
    return _posture_fault(inputs.measurement.joint_position, inputs.measurement.joint_velocity, config)


def _posture_fault(q: Vec, qd: Vec, config: GateConfig) -> Finding:
    limits, slack = config.limits, config.position_tolerance
    if not (q.shape == qd.shape == limits.velocity.shape):
        return Reason.STATE_INVALID, f"shapes {q.shape} and {qd.shape}, need {limits.velocity.shape}"
    if not (all_finite(q) and all_finite(qd)):
        return Reason.STATE_INVALID, f"positions {q}, velocities {qd}"
    span = zip(limits.position_min.tolist(), q.tolist(), limits.position_max.tolist(), strict=True)
    for joint, (lowest, value, highest) in enumerate(span, start=1):
        if not lowest - slack <= value <= highest + slack:
            return Reason.STATE_OUT_OF_LIMITS, f"joint {joint} at {value:.4f} rad"
    return FINE


def authority_fault(cycle: Cycle) -> Finding:
    """Whether the arm hears this monitor, and it alone: what another node sends it passed no gate."""
    writers = cycle.inputs.command_writers
    if writers != 1:
        return Reason.FOREIGN_WRITER, f"{writers} publishers, allowed is this monitor alone"
    fault = cycle.inputs.driver_fault
    return (Reason.DRIVER_FAULT, fault) if fault else FINE


def obedience_fault(cycle: Cycle) -> Finding:
    """What is wrong with how the arm follows its commands; the joint state is known to be good."""
    inputs, config, measurement = cycle.inputs, cycle.config, cycle.inputs.measurement
    if cycle.off_track >= config.tracking_cycles:
        return Reason.TRACKING_ERROR, f"{cycle.tracking_error:.4f} rad, allowed {config.max_tracking_error}"
    if measurement is not None and inputs.now - cycle.last.held_since > config.settle_time:
        speed = float(np.abs(measurement.joint_velocity).max())
        if not speed <= config.still_speed:
            return Reason.NOT_SETTLING, f"{speed:.3f} rad/s after {config.settle_time} s of holding"
    return FINE


def input_fault(cycle: Cycle, mode: Mode) -> Finding:
    """What is wrong with the task's sensors or with what is wanted."""
    inputs, config = cycle.inputs, cycle.config
    age = inputs.now - inputs.sensors_received
    if not 0.0 <= age <= config.sensor_timeout:
        return Reason.SENSOR_STALE, f"received {age:.3f} s ago, allowed {config.sensor_timeout} s"
    if inputs.measurement is None or not _sensors_finite(inputs.measurement):
        return Reason.SENSOR_INVALID, ""
    return _teleop_fault(cycle) if mode is Mode.TELEOP else _proposal_fault(cycle)


def _teleop_fault(cycle: Cycle) -> Finding:
    """Its age has made the mode already, and it answers no state whose age could be checked."""
    wanted = cycle.wanted
    if wanted is not None and _is_twist(wanted.twist):
        return FINE
    return Reason.TELEOP_INVALID, "" if wanted is None else f"got {wanted.twist}"


def _proposal_fault(cycle: Cycle) -> Finding:
    inputs, config, proposal = cycle.inputs, cycle.config, cycle.wanted
    if proposal is None:
        return Reason.PROPOSAL_MISSING, ""
    if not _is_twist(proposal.twist):
        return Reason.PROPOSAL_INVALID, f"got {proposal.twist}"
    age = inputs.now - proposal.received
    if not 0.0 <= age <= config.command_timeout:
        return Reason.PROPOSAL_STALE, f"received {age:.3f} s ago, allowed {config.command_timeout} s"
    behind = inputs.state_stamp - proposal.stamp
    if not abs(behind) <= config.command_timeout:
        return Reason.PROPOSAL_STALE, f"its state is {behind:.3f} s old, allowed {config.command_timeout} s"
    return FINE


def _is_twist(twist: Vec) -> bool:
    return twist.shape == (4,) and all_finite(twist)


def _sensors_finite(measurement: Measurement) -> bool:
    target, masses = measurement.target_position, measurement.poured_mass + measurement.remaining_mass
    return target.shape == (3,) and all_finite(target) and math.isfinite(masses)
