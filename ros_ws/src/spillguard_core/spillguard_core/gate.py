"""The safety gate: one pure function from what is known to what is sent.

Nothing here reads a clock, a file or a topic: time and data are arguments, the previous decision is the
only memory, and equal arguments give equal decisions. The order of the checks is the order of severity:

    1  joint state missing, stale, invalid, outside its limits    STOP
    2  operator stop, another node commanding the arm,
       driver not in order, arm off its command, not settling     STOP, latched until a reset
    3  operator hold, teleoperator that fell silent               HOLD until a resume
    4  sensors or proposal missing, stale, invalid                HOLD, ends by itself
    5  safety critic above its threshold                          closest candidate that passes 5 and 6
    6  position, velocity, acceleration, workspace, clearance,
       tilt beside the target                                     closest motion that can brake inside

The hard limits come last because they have the last word: they may take away from what the critic chose,
never add to it. A hold or a stop brakes at the acceleration limit and keeps the pose it comes to rest in.
Every STOP latches. A reset leads to HOLD at the measured pose and moves nothing; a resume then lets the
proposals through.

A teleoperator's twist takes the place of the proposal and passes the same checks. An operator may suspend
the critic for a while: it is evaluated as ever, and 5 lets pass. Nothing suspends any of the others.
"""

import math
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from spillguard_core.arm import ACTION_SCALE, Vec
from spillguard_core.checks import (
    Cycle,
    Finding,
    begin,
    input_fault,
    mode_and_finding,
    reset_refusal,
    senseless_suspension,
    suspension,
)
from spillguard_core.decision import (
    Decision,
    GateConfig,
    Inputs,
    Margins,
    Mode,
    Reason,
    Request,
    SuspensionRequest,
    Verdict,
)
from spillguard_core.fallback import Choice, Critic, Scene, Screen, screened
from spillguard_core.kinematics import ArmKinematics
from spillguard_core.limits import Around, Feasible, Motion, brake, feasible, whole
from spillguard_core.observation import Measurement, observe_from
from spillguard_core.world import World

VERDICTS = {
    Reason.OK: Verdict.PASS,
    Reason.TWIST_LIMIT: Verdict.LIMIT,
    Reason.VELOCITY_LIMIT: Verdict.LIMIT,
    Reason.POSITION_LIMIT: Verdict.LIMIT,
    Reason.WORKSPACE_LIMIT: Verdict.LIMIT,
    Reason.COLLISION: Verdict.LIMIT,
    Reason.TILT_LIMIT: Verdict.LIMIT,
    Reason.CRITIC: Verdict.LIMIT,
    Reason.CRITIC_RECOVERY: Verdict.RECOVER,
    Reason.PROPOSAL_MISSING: Verdict.HOLD,
    Reason.PROPOSAL_STALE: Verdict.HOLD,
    Reason.PROPOSAL_INVALID: Verdict.HOLD,
    Reason.SENSOR_STALE: Verdict.HOLD,
    Reason.SENSOR_INVALID: Verdict.HOLD,
    Reason.CRITIC_INVALID: Verdict.HOLD,
    Reason.OPERATOR_HOLD: Verdict.HOLD,
    Reason.TELEOP_INVALID: Verdict.HOLD,
    Reason.TELEOP_SILENT: Verdict.HOLD,
}
"""Every other reason, also one that is added later, means STOP."""
MOST_TRIED = 3  # of the critic's choices in the proposal's place


@dataclass(frozen=True, eq=False)
class Models:
    """What the gate computes with; none of it remembers anything between decisions."""

    kinematics: ArmKinematics
    critic: Critic
    terms: tuple[str, ...]  # of the critic's observation, in order
    world: World | None  # None: no braking check against obstacles
    screen: Screen = screened  # how the critic's verdict becomes a choice


def initial_decision() -> Decision:
    """Closed: nothing is sent until the operator resets."""
    return Decision(
        cycle=0, decided=math.nan, verdict=Verdict.STOP, reason=Reason.NOT_RESET, detail="",
        mode=Mode.STOPPED, send=False, twist_sent=np.zeros(4), candidate=0, q=np.zeros(7),
        qd=np.zeros(7), q_c=math.nan, margins=Margins(),
        anchored=False, off_track=0, state_stamp=-math.inf, state_advanced=-math.inf, held_since=math.nan,
        suspension=None,
    )  # fmt: skip


def decide(inputs: Inputs, previous: Decision, config: GateConfig, models: Models) -> Decision:
    """One control cycle. What is sent is finite, inside the limits and continuous with `previous`."""
    cycle = begin(inputs, previous, config)
    mode, finding = mode_and_finding(cycle)
    wanted = inputs.teleop if mode is Mode.TELEOP else inputs.proposal
    cycle = _anchored(cycle, mode)._replace(wanted=wanted, suspension=suspension(cycle, mode))
    if mode not in (Mode.FOLLOWING, Mode.TELEOP):
        return _braked(cycle, mode, finding)
    fault = input_fault(cycle, mode)
    return _braked(cycle, mode, fault) if fault[0] is not Reason.OK else _followed(cycle, mode, models)


def refusal(
    request: Request | SuspensionRequest, inputs: Inputs, previous: Decision, config: GateConfig
) -> str:
    """Why `request` would be refused now; empty if it would be granted.

    `inputs.requests` are those that already wait for the next decision.
    """
    cycle = begin(inputs, previous, config)
    mode, _ = mode_and_finding(cycle)
    if isinstance(request, SuspensionRequest):
        return _suspension_refusal(request, inputs, mode, config)
    if not isinstance(request, Request):
        return f"unknown request {request!r}, known are {', '.join(known.value for known in Request)}"
    if request is Request.RESUME:
        return _resume_refusal(inputs, previous.mode, mode)
    if request is Request.RESET and mode is Mode.STOPPED:
        return reset_refusal(cycle)
    return ""


def _resume_refusal(inputs: Inputs, before: Mode, mode: Mode) -> str:
    """`before` and `mode`: without and with what already waits."""
    if mode is Mode.STOPPED:
        return "stopped: reset first"
    if Request.HOLD in inputs.requests:
        return "a hold was asked for at the same time"
    if before is Mode.TELEOP:
        return "the teleoperator drives: when it is silent the arm holds, then resume"
    return ""


def _suspension_refusal(asked: SuspensionRequest, inputs: Inputs, mode: Mode, config: GateConfig) -> str:
    if mode is Mode.STOPPED:
        return "stopped: reset first"
    if Request.RESTORE_CRITIC in inputs.requests:
        return "to restore the critic was asked for at the same time"
    return senseless_suspension(asked, config)


def _anchored(cycle: Cycle, mode: Mode) -> Cycle:
    """After a reset, the command is where the arm is.

    Nothing else moves it there: when arm and command have parted, the arm may be elsewhere, or only say so.
    """
    measurement, limits = cycle.inputs.measurement, cycle.config.limits
    if measurement is None or cycle.last.mode is not Mode.STOPPED or mode is Mode.STOPPED:
        return cycle
    q = np.clip(measurement.joint_position, limits.position_min, limits.position_max)
    last = replace(cycle.last, q=q, qd=np.zeros_like(q), anchored=True, held_since=math.nan)
    return cycle._replace(last=last, off_track=0)


def _followed(cycle: Cycle, mode: Mode, models: Models) -> Decision:
    """What is wanted, as far as critic and hard limits let it through. All inputs are known to be good."""
    measurement, proposal = cycle.inputs.measurement, cycle.wanted
    assert measurement is not None and proposal is not None
    excess = max((np.abs(proposal.twist) / ACTION_SCALE).tolist())
    twist = proposal.twist if excess <= 1.0 else proposal.twist / excess
    choices = _screened(twist, measurement, cycle, models)
    if choices[0].reason is Reason.CRITIC_INVALID:
        return _braked(cycle, mode, (Reason.CRITIC_INVALID, ""))
    world, target = models.world, measurement.target_position
    around = Around(None if world is None else partial(world.clearance, target=target), target)
    choice, result = _within_limits(choices, cycle, models, around)
    clipped = Reason.OK if excess <= 1.0 else Reason.TWIST_LIMIT
    # Among equals the hard limit speaks.
    reason = max(result.reason, choice.reason, clipped, key=VERDICTS.__getitem__)
    detail = "" if reason is Reason.OK else _asked(proposal.twist, choice.q_c)
    sent = choice._replace(twist=result.twist)
    return _decision(cycle, mode, (reason, detail), result.motion, sent)


def _within_limits(
    choices: list[Choice], cycle: Cycle, models: Models, around: Around
) -> tuple[Choice, Feasible]:
    """The first of the critic's choices that the hard limits let pass whole, or what they leave of the best.

    Of choices in the proposal's place only a few are tried: danger must not make the cycle long.
    """
    q, qd, config = cycle.last.q, cycle.last.qd, cycle.config
    for choice in choices[:MOST_TRIED] if len(choices) > 1 else ():
        motion = whole(q, qd, choice.twist, config, models.kinematics, around)
        if motion is not None:
            return choice, Feasible(motion, choice.twist, Reason.OK)
    return choices[0], feasible(q, qd, choices[0].twist, config, models.kinematics, around)


def _asked(twist: Vec, q_c: float) -> str:
    """For a person. Without numpy's printer, which takes as long as the whole decision."""
    return f"asked ({', '.join(f'{value:.4f}' for value in twist.tolist())}), Q_c {q_c:.4f}"


def _screened(twist: Vec, measurement: Measurement, cycle: Cycle, models: Models) -> list[Choice]:
    """What the safety critic makes of the twist, seen from the measured state."""
    lip = models.kinematics.lip(measurement.joint_position, measurement.joint_velocity)
    obs = observe_from(models.terms, measurement, lip)
    away = lip.position - measurement.target_position
    scene = Scene(obs, twist, lip.tilt, away, cycle.last.candidate)
    # Suspended it is asked as ever. That it gives no number is a fault and not its opinion: that holds.
    threshold = None if cycle.suspension else cycle.config.critic_threshold
    release = math.nan if threshold is None else cycle.config.critic_release * threshold
    return models.screen(models.critic, scene, threshold, release)


def _braked(cycle: Cycle, mode: Mode, finding: Finding) -> Decision:
    """Slow down, then stay."""
    last = cycle.last
    motion = brake(last.q, last.qd, cycle.config) if last.anchored else Motion(last.q, last.qd)
    return _decision(cycle, mode, finding, motion, Choice(np.zeros(4), math.nan, Reason.OK, 0))


def _decision(cycle: Cycle, mode: Mode, finding: Finding, motion: Motion, choice: Choice) -> Decision:
    reason, detail = finding
    verdict = VERDICTS.get(reason, Verdict.STOP)
    moving = verdict < Verdict.HOLD
    since = cycle.inputs.now if math.isnan(cycle.last.held_since) else cycle.last.held_since
    return Decision(
        cycle=cycle.last.cycle + 1, decided=cycle.inputs.now, verdict=verdict, reason=reason, detail=detail,
        mode=mode, send=cycle.last.anchored, twist_sent=choice.twist, candidate=choice.candidate,
        q=motion.q, qd=motion.qd, q_c=choice.q_c, margins=_margins(cycle, motion, choice.q_c),
        # A stopped arm that has come to rest hears nothing more: somebody may move it by hand.
        anchored=cycle.last.anchored and (mode is not Mode.STOPPED or bool(motion.qd.any())),
        off_track=cycle.off_track, state_stamp=cycle.stamp, state_advanced=cycle.advanced,
        held_since=math.nan if moving else since, suspension=cycle.suspension,
    )  # fmt: skip


def _margins(cycle: Cycle, motion: Motion, q_c: float) -> Margins:
    inputs, wanted, threshold = cycle.inputs, cycle.wanted, cycle.config.critic_threshold
    return Margins(
        position=motion.position_margin, workspace=motion.workspace_margin, clearance=motion.clearance_margin,
        tilt=motion.tilt_margin,
        tracking=cycle.config.max_tracking_error - cycle.tracking_error,
        critic=math.nan if threshold is None else threshold - q_c,
        state_age=inputs.now - inputs.state_received,
        command_age=math.nan if wanted is None else inputs.now - wanted.received,
    )  # fmt: skip
