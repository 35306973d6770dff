"""The safety gate: one pure function from what is known to what is sent.

Nothing here reads a clock, a file or a topic: time and data are arguments, the previous decision is the
only memory, and equal arguments give equal decisions. The order of the checks is the order of severity:

    1  joint state missing, stale, invalid, outside its limits    STOP
    2  operator stop, another node commanding the arm,
       arm off its command, arm not settling                      STOP, latched until a reset
    3  operator hold                                              HOLD until a resume
    4  sensors or proposal missing, stale, invalid                HOLD, ends by itself
    5  safety critic above its threshold                          closest accepted candidate, or recovery
    6  position, velocity, acceleration, workspace, clearance     closest motion that can brake inside

The hard limits come last because they have the last word: they may take away from what the critic chose,
never add to it. A hold or a stop brakes at the acceleration limit and keeps the pose it comes to rest in.
Every STOP latches. A reset leads to HOLD at the measured pose and moves nothing; a resume then lets the
proposals through.
"""

import math
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from spillguard_core.arm import ACTION_SCALE, Vec
from spillguard_core.checks import Cycle, Finding, begin, input_fault, mode_and_finding, reset_refusal
from spillguard_core.decision import Decision, GateConfig, Inputs, Margins, Mode, Reason, Request, Verdict
from spillguard_core.fallback import Choice, Critic, screened
from spillguard_core.kinematics import ArmKinematics
from spillguard_core.limits import Motion, brake, feasible
from spillguard_core.observation import Measurement, observe_from
from spillguard_core.world import World

VERDICTS = {
    Reason.OK: Verdict.PASS,
    Reason.TWIST_LIMIT: Verdict.LIMIT,
    Reason.VELOCITY_LIMIT: Verdict.LIMIT,
    Reason.POSITION_LIMIT: Verdict.LIMIT,
    Reason.WORKSPACE_LIMIT: Verdict.LIMIT,
    Reason.COLLISION: Verdict.LIMIT,
    Reason.CRITIC: Verdict.LIMIT,
    Reason.CRITIC_RECOVERY: Verdict.RECOVER,
    Reason.PROPOSAL_MISSING: Verdict.HOLD,
    Reason.PROPOSAL_STALE: Verdict.HOLD,
    Reason.PROPOSAL_INVALID: Verdict.HOLD,
    Reason.SENSOR_STALE: Verdict.HOLD,
    Reason.SENSOR_INVALID: Verdict.HOLD,
    Reason.CRITIC_INVALID: Verdict.HOLD,
    Reason.OPERATOR_HOLD: Verdict.HOLD,
}
"""Every other reason, also one that is added later, means STOP."""


@dataclass(frozen=True, eq=False)
class Models:
    """What the gate computes with; none of it remembers anything between decisions."""

    kinematics: ArmKinematics
    critic: Critic
    terms: tuple[str, ...]  # of the critic's observation, in order
    world: World | None  # None: no braking check against obstacles


def initial_decision() -> Decision:
    """Closed: nothing is sent until the operator resets."""
    return Decision(
        cycle=0, decided=math.nan, verdict=Verdict.STOP, reason=Reason.NOT_RESET, detail="",
        mode=Mode.STOPPED, send=False, twist_sent=np.zeros(4), q=np.zeros(7), qd=np.zeros(7),
        q_c=math.nan, margins=Margins(),
        anchored=False, off_track=0, state_stamp=-math.inf, state_advanced=-math.inf, held_since=math.nan,
    )  # fmt: skip


def decide(inputs: Inputs, previous: Decision, config: GateConfig, models: Models) -> Decision:
    """One control cycle. What is sent is finite, inside the limits and continuous with `previous`."""
    cycle = begin(inputs, previous, config)
    mode, finding = mode_and_finding(cycle)
    cycle = _anchored(cycle, mode)
    if mode is not Mode.FOLLOWING:
        return _braked(cycle, mode, finding)
    fault = input_fault(cycle)
    return _braked(cycle, mode, fault) if fault[0] is not Reason.OK else _followed(cycle, models)


def refusal(request: Request, inputs: Inputs, previous: Decision, config: GateConfig) -> str:
    """Why `request` would be refused now; empty if it would be granted.

    `inputs.requests` are those that already wait for the next decision.
    """
    cycle = begin(inputs, previous, config)
    mode, _ = mode_and_finding(cycle)
    if request is Request.RESUME and mode is Mode.STOPPED:
        return "stopped: reset first"
    if request is Request.RESET and mode is Mode.STOPPED:
        return reset_refusal(cycle)
    return ""


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


def _followed(cycle: Cycle, models: Models) -> Decision:
    """The proposal, as far as critic and hard limits let it through. All inputs are known to be good."""
    measurement, proposal, config = cycle.inputs.measurement, cycle.inputs.proposal, cycle.config
    assert measurement is not None and proposal is not None
    excess = max((np.abs(proposal.twist) / ACTION_SCALE).tolist())
    twist = proposal.twist if excess <= 1.0 else proposal.twist / excess
    choice = _screened(twist, measurement, config, models)
    if choice.reason is Reason.CRITIC_INVALID:
        return _braked(cycle, Mode.FOLLOWING, (choice.reason, ""))
    world, target = models.world, measurement.target_position
    distance = None if world is None else partial(world.clearance, target=target)
    result = feasible(cycle.last.q, cycle.last.qd, choice.twist, config, models.kinematics, distance)
    clipped = Reason.OK if excess <= 1.0 else Reason.TWIST_LIMIT
    # Among equals the hard limit speaks.
    reason = max(result.reason, choice.reason, clipped, key=VERDICTS.__getitem__)
    detail = "" if reason is Reason.OK else _asked(proposal.twist, choice.q_c)
    sent = Choice(result.twist, choice.q_c, choice.reason)
    return _decision(cycle, Mode.FOLLOWING, (reason, detail), result.motion, sent)


def _asked(twist: Vec, q_c: float) -> str:
    """For a person. Without numpy's printer, which takes as long as the whole decision."""
    return f"asked ({', '.join(f'{value:.4f}' for value in twist.tolist())}), Q_c {q_c:.4f}"


def _screened(twist: Vec, measurement: Measurement, config: GateConfig, models: Models) -> Choice:
    """What the safety critic makes of the twist, seen from the measured state."""
    lip = models.kinematics.lip(measurement.joint_position, measurement.joint_velocity)
    obs = observe_from(models.terms, measurement, lip)
    away = lip.position - measurement.target_position
    return screened(models.critic, obs, twist, lip.tilt, away, config.critic_threshold)


def _braked(cycle: Cycle, mode: Mode, finding: Finding) -> Decision:
    """Slow down, then stay."""
    last = cycle.last
    motion = brake(last.q, last.qd, cycle.config) if last.anchored else Motion(last.q, last.qd)
    return _decision(cycle, mode, finding, motion, Choice(np.zeros(4), math.nan, Reason.OK))


def _decision(cycle: Cycle, mode: Mode, finding: Finding, motion: Motion, choice: Choice) -> Decision:
    reason, detail = finding
    verdict = VERDICTS.get(reason, Verdict.STOP)
    moving = verdict < Verdict.HOLD
    since = cycle.inputs.now if math.isnan(cycle.last.held_since) else cycle.last.held_since
    return Decision(
        cycle=cycle.last.cycle + 1, decided=cycle.inputs.now, verdict=verdict, reason=reason, detail=detail,
        mode=mode, send=cycle.last.anchored, twist_sent=choice.twist, q=motion.q, qd=motion.qd,
        q_c=choice.q_c, margins=_margins(cycle, motion, choice.q_c),
        # A stopped arm that has come to rest hears nothing more: somebody may move it by hand.
        anchored=cycle.last.anchored and (mode is not Mode.STOPPED or bool(motion.qd.any())),
        off_track=cycle.off_track, state_stamp=cycle.stamp, state_advanced=cycle.advanced,
        held_since=math.nan if moving else since,
    )  # fmt: skip


def _margins(cycle: Cycle, motion: Motion, q_c: float) -> Margins:
    inputs, threshold = cycle.inputs, cycle.config.critic_threshold
    return Margins(
        position=motion.position_margin, workspace=motion.workspace_margin, clearance=motion.clearance_margin,
        tracking=cycle.config.max_tracking_error - cycle.tracking_error,
        critic=math.nan if threshold is None else threshold - q_c,
        state_age=inputs.now - inputs.state_received,
        command_age=math.nan if inputs.proposal is None else inputs.now - inputs.proposal.received,
    )  # fmt: skip
