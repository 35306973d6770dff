"""The safety gate: one pure function from inputs to decision.

Nothing here reads a clock, a file or a topic: time and data are arguments, the previous decision is the
only memory, and equal arguments give equal decisions. The order of the checks is the order of severity:

    1  joint state missing, stale, invalid, outside its limits    STOP
        2  operator stop, another node commanding the arm,
           driver fault, arm off its command, not settling            STOP, latched until a reset
    3  operator hold, teleoperator that fell silent,
       policy that is silent for long                             HOLD until a resume
    4  sensors or proposal missing, stale, invalid                HOLD, ends by itself
       any of the checks from here on ends with an error          STOP, latched until a reset
    5  safety critic above its threshold                          closest candidate that passes 5 and 6
    6  position, velocity, acceleration, workspace, clearance,
       and the rules of the task                                  closest motion that can brake inside

The hard limits come last so that they have the final say: they may reduce what the critic chose, never add
to it. A hold or a stop brakes at the acceleration limit along the path that was verified last, and keeps the
pose in which it comes to rest. Why decisions may come at any time: `limits.py`.
Every STOP latches. A reset leads to HOLD at the measured pose and moves nothing; a resume then lets the
proposals through.

In shadow somebody else moves the arm. Each decision begins where the arm is measured to be, checks 3 to 6 are
made of the proposal as if the gate took over at that moment, nothing latches and nothing is ever sent.
`speed_scale` slows what is asked for, along the same path; braking keeps its full acceleration (`slow.py`).

A teleoperator's twist replaces the proposal and passes the same checks. An operator may suspend the critic
for a limited time: it is still evaluated, but check 5 passes. No other check can be suspended.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np

from spillguard_core.gate import chunk, reasons
from spillguard_core.gate.arm_rules import ARM_RULES
from spillguard_core.gate.checks import (
    FINE,
    Finding,
    input_fault,
    mode_and_finding,
    place_fault,
    suspension,
)
from spillguard_core.gate.cycle import Cycle, begin
from spillguard_core.gate.decision import (
    MARGINS,
    ChunkClock,
    Decision,
    GateConfig,
    Inputs,
    Measurement,
    Mode,
    Stillness,
)
from spillguard_core.gate.limits import Feasible, Hard, Margins, Start, feasible, whole
from spillguard_core.gate.reasons import Verdict
from spillguard_core.gate.rule import Motion, Rule, Surroundings, Tool, units
from spillguard_core.gate.screening import Choice, Critic, Scene, Screen, evaluated, screened
from spillguard_core.gate.slow import SlowTool
from spillguard_core.gate.task import Task, observe_from
from spillguard_core.gate.trajectory import state_at
from spillguard_core.robot.arm import Vec
from spillguard_core.robot.motion import step
from spillguard_core.robot.world import World

MOST_TRIED = 3  # critic choices tried in place of the proposal


@dataclass(frozen=True, eq=False)
class Models:
    """What the gate computes with; nothing in it carries over from one decision to the next."""

    task: Task
    tool: Tool
    critic: Critic | None  # None: the hard limits alone
    terms: tuple[str, ...]  # of the critic's observation, in order
    scale: Vec  # (A,) largest action that is followed, and physical units at an action of 1 for the critic
    world: World | None  # None: no braking check against obstacles
    more_rules: tuple[Rule, ...] = ()  # in addition to the arm's and the task's
    screen: Screen = screened  # turns the critic's values into choices

    @cached_property
    def rules(self) -> tuple[Rule, ...]:
        """The hard limits in order of priority: the first one broken gives the reason."""
        return (*ARM_RULES, *self.task.rules, *self.more_rules)

    @property
    def margin_units(self) -> dict[str, str]:
        """Unit of every margin of a decision, in order."""
        return units(self.rules, MARGINS)


def initial_decision(joints: int, entries: int) -> Decision:
    """Closed: nothing is sent until the operator resets. For an arm with `joints` joints and an action with
    `entries` entries."""
    return Decision(
        cycle=0, decided=math.nan, verdict=Verdict.STOP, reason=reasons.NOT_RESET, detail="",
        mode=Mode.STOPPED, send=False, twist_sent=np.zeros(entries), candidate=0,
        start_q=np.zeros(joints), start_qd=np.zeros(joints), q=np.zeros(joints), qd=np.zeros(joints),
        coast=0.0, q_c=math.nan, margins={},
        anchored=False, off_track=0, state_stamp=-math.inf, state_advanced=-math.inf,
        spoken=math.nan, held_since=math.nan,
        suspension=None, stillness=Stillness(np.zeros(0), np.zeros(0), math.nan, math.nan),
    )  # fmt: skip


def decide(inputs: Inputs, previous: Decision, config: GateConfig, models: Models) -> Decision:
    """One control cycle. The command sent is finite, within the limits and continuous with `previous`."""
    cycle = begin(inputs, previous, config)
    mode, finding = mode_and_finding(cycle)
    wanted = inputs.teleop if mode is Mode.TELEOP else inputs.proposal
    cycle = _anchored(cycle, mode)._replace(wanted=wanted, suspension=suspension(cycle, mode))
    if mode not in (Mode.FOLLOWING, Mode.TELEOP, Mode.SHADOW) or finding[0] is not reasons.OK:
        return _braked(cycle, mode, finding, models)
    try:
        fault = input_fault(cycle, mode, models.task)
        if fault[0] is reasons.OK:
            fault = _place_fault(cycle, models)
        if fault[0] is reasons.OK:
            return _followed(cycle, mode, models)
    except (Exception, SystemExit) as error:  # a task's, a lab's or the critic's, who did not say their piece
        fault = reasons.CHECK_FAILED, reasons.error_words(error)
    return _braked(cycle, mode, fault, models)


def _anchored(cycle: Cycle, mode: Mode) -> Cycle:
    """After a reset, set the command to the measured pose.

    Nothing else does so: if the two have diverged, either the arm is elsewhere or its sensors are wrong.
    """
    measurement, limits = cycle.inputs.measurement, cycle.config.limits
    if measurement is None or cycle.last.mode is not Mode.STOPPED or mode is Mode.STOPPED:
        return cycle
    q = np.clip(measurement.joint_position, limits.position_min, limits.position_max)
    still = np.zeros_like(q)
    last = replace(cycle.last, start_q=q, start_qd=still, q=q, qd=still, coast=0.0, anchored=True,
                   held_since=math.nan)  # fmt: skip
    return cycle._replace(last=last, q=q, qd=still, strayed=still, off_track=0)


def _followed(cycle: Cycle, mode: Mode, models: Models) -> Decision:
    """The wanted action, as far as critic and hard limits allow it. All inputs are known to be valid."""
    measurement, proposal = cycle.inputs.measurement, cycle.wanted
    assert measurement is not None and proposal is not None
    asked, wanted, clock = chunk.wanted(proposal, cycle, models.task)
    excess = max((np.abs(wanted) / models.scale).tolist())
    twist = wanted if excess <= 1.0 else wanted / excess
    speed = cycle.config.speed_scale
    if speed < 1.0:
        twist = speed * twist
    scene = _scene(twist, measurement, cycle, models)
    choices = _screened(scene, cycle, models)
    if choices[0].reason is reasons.CRITIC_INVALID:
        return _braked(cycle, mode, (reasons.CRITIC_INVALID, ""), models)
    places = models.task.places(measurement)
    tool = models.tool if speed == 1.0 else SlowTool(models.tool, speed)
    around = Surroundings(cycle.config, tool, models.world, measurement, places)
    hard = Hard(
        models.rules, models.task, around, speed * models.scale,
        partial(_no_worse, scene, choices[0], cycle, models),
    )  # fmt: skip
    choice, result = _within_limits(choices, cycle, hard)
    clipped = reasons.OK if excess <= 1.0 else reasons.TWIST_LIMIT
    # On equal severity the hard limit gives the reason.
    reason = max(result.reason, choice.reason, clipped, key=lambda reason: reason.verdict)
    detail = "" if reason is reasons.OK else _asked(asked, choice.q_c)
    if reason.verdict >= Verdict.HOLD:
        return _braked(cycle, mode, (reason, detail), models)
    sent = choice._replace(twist=result.twist)
    clock = chunk.sent(clock, wanted, result.twist, models.scale)
    return _decision(cycle, mode, (reason, detail), result.motion, sent, models, result.margins, clock)


def _place_fault(cycle: Cycle, models: Models) -> Finding:
    """Fault of bodies placed where they are sensed. The inputs are known to be finite."""
    measurement = cycle.inputs.measurement
    assert measurement is not None
    places = models.task.places(measurement)
    if not places:
        return FINE
    depth = 0.0 if models.world is None else models.world.depth(measurement.joint_position, places)
    faults = [place_fault(place, depth, cycle.config) for place in places]
    return next((fault for fault in faults if fault[0] is not reasons.OK), FINE)


def _within_limits(choices: list[Choice], cycle: Cycle, hard: Hard) -> tuple[Choice, Feasible]:
    """The first of the critic's choices that the hard limits pass unchanged, else the best one, limited.

    Only a few choices are tried in place of the proposal, to bound the cycle time.
    """
    start = Start(cycle.q, cycle.qd, cycle.strayed, _rest(cycle))
    for choice in choices[:MOST_TRIED] if len(choices) > 1 else ():
        result = whole(start, choice.twist, hard)
        if result is not None:
            return choice, result
    return choices[0], feasible(start, choices[0].twist, hard)


def _asked(twist: Vec, q_c: float) -> str:
    """Text for people. Avoids numpy's formatting, which takes as long as the whole decision."""
    return f"asked ({', '.join(f'{value:.4f}' for value in twist.tolist())}), Q_c {q_c:.4f}"


def _scene(twist: Vec, measurement: Measurement, cycle: Cycle, models: Models) -> Scene:
    """What the critic sees of the twist at the measured state."""
    task, scale = models.task, models.scale
    state = models.tool.state(measurement.joint_position, measurement.joint_velocity)
    obs = observe_from(task, models.terms, measurement, state)
    candidates = partial(task.candidates, twist, measurement, state, cycle.config.speed_scale * scale)
    return Scene(obs, twist, scale, candidates, cycle.last.candidate)


def _threshold(cycle: Cycle) -> float | None:
    # While suspended it is still evaluated. A non-finite Q_c is a fault, not an estimate, so it still holds.
    return None if cycle.suspension else cycle.config.critic_threshold


def _screened(scene: Scene, cycle: Cycle, models: Models) -> list[Choice]:
    """The critic's choices; without a critic the action itself."""
    if models.critic is None:
        return [Choice(scene.twist, math.nan, reasons.OK, 0)]
    threshold = _threshold(cycle)
    release = math.nan if threshold is None else cycle.config.critic_release * threshold
    return models.screen(models.critic, scene, threshold, release)


def _no_worse(scene: Scene, choice: Choice, cycle: Cycle, models: Models, action: Vec) -> bool:
    """Whether the critic, if it acts, accepts an action (A,) or ranks it no worse than its own choice."""
    if models.critic is None:
        return True
    threshold = _threshold(cycle)
    q_c = evaluated(models.critic, scene, action[None])
    return q_c is not None and (threshold is None or bool(q_c[0] <= max(threshold, choice.q_c)))


def _rest(cycle: Cycle) -> Motion:
    """The last path with its coast cut short now: the only path already verified to be free."""
    last, config = cycle.last, cycle.config
    if config.shadow:
        return Motion(
            *step(cycle.q, cycle.qd, np.zeros_like(cycle.qd), config.limits.acceleration, config.period), 0.0
        )
    if not last.anchored:
        return Motion(last.q, last.qd, 0.0)
    coast = min(max(cycle.elapsed - config.period, 0.0), last.coast)
    return Motion(*state_at(last, cycle.elapsed + config.period, coast, config), 0.0)


def _braked(cycle: Cycle, mode: Mode, finding: Finding, models: Models) -> Decision:
    """Brake to rest, then stay there."""
    choice = Choice(np.zeros(len(models.task.action)), math.nan, reasons.OK, 0)
    clock = chunk.paused(cycle.last.clock)
    return _decision(cycle, mode, finding, _rest(cycle), choice, models, None, clock)


def _decision(
    cycle: Cycle, mode: Mode, finding: Finding, motion: Motion, choice: Choice, models: Models,
    margins: Margins | None, clock: ChunkClock | None,
) -> Decision:  # fmt: skip
    reason, detail = finding
    verdict = reason.verdict
    mode = Mode.STOPPED if verdict is Verdict.STOP and mode is not Mode.SHADOW else mode
    moving = verdict < Verdict.HOLD
    since = cycle.inputs.now if math.isnan(cycle.last.held_since) else cycle.last.held_since
    return Decision(
        cycle=cycle.last.cycle + 1, decided=cycle.inputs.now, verdict=verdict, reason=reason, detail=detail,
        mode=mode, send=cycle.last.anchored, twist_sent=choice.twist, candidate=choice.candidate,
        start_q=cycle.q, start_qd=cycle.qd, q=motion.q, qd=motion.qd, coast=motion.coast,
        q_c=choice.q_c, margins=_margins(cycle, models.rules, margins, choice.q_c),
        # A stopped arm that has come to rest gets no more commands: somebody may move it by hand.
        anchored=cycle.last.anchored and (mode is not Mode.STOPPED or bool(motion.qd.any())),
        off_track=cycle.off_track, state_stamp=cycle.stamp, state_advanced=cycle.advanced,
        spoken=cycle.spoken, held_since=math.nan if moving else since, stillness=cycle.stillness,
        suspension=None if mode is Mode.STOPPED else cycle.suspension, clock=clock,
    )  # fmt: skip


def _margins(cycle: Cycle, rules: tuple[Rule, ...], found: Margins | None, q_c: float) -> dict[str, float]:
    inputs, wanted, threshold = cycle.inputs, cycle.wanted, cycle.config.critic_threshold
    left = [math.nan] * len(rules) if found is None else [margin.least for margin in found]
    return {rule.name: value for rule, value in zip(rules, left, strict=True)} | {
        "tracking": cycle.config.max_tracking_error - cycle.tracking_error,
        "critic": math.nan if threshold is None else threshold - q_c,
        "state_age": inputs.now - inputs.state_received,
        "command_age": math.nan if wanted is None else inputs.now - wanted.received,
    }
