"""Policy, safety monitor and arm in one process in simulated time: the real graph without timing jitter.

The policy runs every `POLICY_PERIOD`, its proposals arrive some monitor periods later, and the gate decides
every period on the cell's sensor readings. Without the gate the proposal goes to the arm directly, limited
only in acceleration. For campaigns of many episodes; the real graph is `spillguard_ros`.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.pouring.arms import Arm, IdealArm
from sim.pouring.cell import PourCell
from sim.pouring.channel import Channel
from sim.pouring.gen3 import GEN3_LIMITS
from sim.pouring.scenario import Scenario
from spillguard_core.gate.decision import Decision, GateConfig, Inputs, Measurement, Mode, Proposal, Request
from spillguard_core.gate.gate import Models, decide, initial_decision
from spillguard_core.gate.reasons import OPERATOR_HOLD, Reason, Verdict
from spillguard_core.gate.task import observe
from spillguard_core.robot.arm import Vec
from spillguard_core.robot.motion import step
from spillguard_core.tasks.pouring.action import ACTION_SCALE

TIME_LIMIT = 10.0  # [s]

Rule = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""obs (O,) -> action (A,) in [-1, 1], every `POLICY_PERIOD`."""


@dataclass(frozen=True)
class Pour:
    """One episode. Shares are of the cycles in which the arm was allowed to move."""

    success: bool
    spill: bool
    contact: bool
    limit: bool
    seconds: float
    replaced: float  # share in which one of the critic's choices replaced the proposal
    limited: float  # share in which a hard limit reduced the action
    held: float  # share in which the arm was braked or held
    chatter: float  # [1/s] rate of changes between the proposal and something else
    jerk: float  # [rad/s^3] root mean square of the commanded jerk over joints and time
    reasons: Counter[Reason]
    q_c: Vec  # (T,) of the action sent in every cycle; NaN if the critic was not evaluated

    @property
    def violated(self) -> bool:
        """Whether a rule was broken."""
        return self.spill or self.contact or self.limit


class Stack:
    """One policy, gate and cell for a series of episodes. Not thread-safe."""

    def __init__(
        self, models: Models, config: GateConfig, guarded: bool = True, delay: int = 0,
        arm: Arm | None = None, cell: PourCell | None = None,
    ) -> None:  # fmt: skip
        """`delay` [monitor periods] is added to the scenario's own between measurement and arrival.
        `arm` is the one behind the gate; None: an ideal one. `cell`: None for one with granules.
        """
        self._models, self._config, self._guarded, self._delay = models, config, guarded, delay
        self._arm: Arm = IdealArm() if arm is None else arm
        self.cell, self.decision = PourCell() if cell is None else cell, initial_decision(7, 4)

    def pour(self, rule: Rule, scenario: Scenario, *, time_limit: float = TIME_LIMIT) -> Pour:
        """Run until success, a broken rule, or the time limit [s]. `decision` is the gate's last one at any
        time: a rule may look at it and at the cell."""
        cell, models, config = self.cell, self._models, self._config
        cell.reset(scenario)
        decision, proposal = initial_decision(7, 4), None
        q, qd = cell.read_position, np.zeros(7)
        self._arm.reset(q, scenario.seed)
        speeds, judged, verdicts, candidates = [qd], [], [], []
        reasons: Counter[Reason] = Counter()
        channel, steps = Channel[tuple[Vec, float]](scenario.domain, scenario.seed), 0
        outcome = cell.outcome()
        if self._guarded:
            decision = self.decision = seen_at_rest(cell.measure(), config, models)
        for tick in range(round(time_limit / config.period)):
            now, seen = tick * config.period, cell.measure()
            if tick == round(steps / scenario.domain.policy_rate / config.period):
                action = rule(observe(models.task, models.terms, seen, cell.kinematics))
                twist = np.asarray(action, dtype=np.float64) * ACTION_SCALE
                channel.send(tick + self._delay, (twist, now))
                steps += 1
            for due, (twist, measured) in channel.arrived(tick + 1):
                proposal = Proposal(twist, due * config.period, measured)
            if self._guarded:
                asked = asked_for(tick, proposal, decision)
                inputs = Inputs(now, seen, now, now, now, proposal, asked)
                decision = self.decision = decide(inputs, decision, config, models)
                qd = decision.qd if decision.send else np.zeros(7)
                reasons[decision.reason] += 1
                if decision.mode is Mode.FOLLOWING:
                    verdicts.append(decision.verdict)
                    candidates.append(decision.candidate)
                judged.append(decision.q_c)
                if _stuck(decision, tick):
                    break
            else:
                goal = np.zeros(7) if proposal is None else cell.kinematics.joint_velocity(q, proposal.twist)
                q, qd = step(q, qd, goal, GEN3_LIMITS.acceleration, config.period)
                judged.append(np.nan)
            speeds.append(qd)
            if self._guarded:
                self._arm.follow(cell, decision, config)
            else:
                cell.advance(q[None], qd[None])
            outcome = cell.outcome()
            if outcome.violated or outcome.success:
                break
        self.decision = decision
        verdict, taken = np.array(verdicts or [Verdict.HOLD]), np.array(candidates or [0])
        critic = (verdict > Verdict.PASS) & (verdict < Verdict.HOLD) & (taken > 0)
        changes = np.abs(np.diff(taken > 0)).sum()
        return Pour(
            success=outcome.success, spill=outcome.spilled > 0, contact=outcome.contact,
            limit=outcome.limit_broken, seconds=len(speeds) * config.period,
            replaced=float(critic.mean()),
            limited=float(((verdict == Verdict.LIMIT) & ~critic).mean()),
            held=float((verdict >= Verdict.HOLD).mean()),
            chatter=float(changes / (len(taken) * config.period)),
            jerk=float(np.sqrt(np.mean((np.diff(speeds, 2, axis=0) / config.period**2) ** 2)))
            if len(speeds) > 2 else 0.0,
            reasons=reasons, q_c=np.array(judged),
        )  # fmt: skip


def asked_for(tick: int, proposal: Proposal | None, decision: Decision) -> tuple[Request, ...]:
    """What the operator asks for: a reset, and a resume as soon as the policy speaks."""
    if tick == 0:
        return (Request.RESET,)
    return () if proposal is None or decision.reason is not OPERATOR_HOLD else (Request.RESUME,)


def seen_at_rest(measured: Measurement, config: GateConfig, models: Models, now: float = 0.0) -> Decision:
    """Last decision of a closed gate before `now` [s], after it has seen the arm at rest for long enough."""
    decision = initial_decision(measured.joint_position.size, len(models.task.action))
    for period in range(-round(config.still_time / config.period) - 1, 0):
        then = now + period * config.period
        decision = decide(Inputs(then, measured, then, then, then, None), decision, config, models)
    return decision


def _stuck(decision: Decision, tick: int) -> bool:
    """Stopped permanently: only an operator could continue."""
    return decision.mode is Mode.STOPPED and not decision.send and tick > 1
