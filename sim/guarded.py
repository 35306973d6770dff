"""Policy, safety monitor and arm in one process and in simulated time: the real graph without its jitter.

The policy speaks every `POLICY_PERIOD`, what it says arrives some periods of the monitor later, and the gate
decides every period on what the cell's sensors read. Without the gate the proposal goes to the arm as it is,
ramped at the acceleration limit only. For campaigns of many episodes; the real graph is `spillguard_ros`.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.cell import PourCell
from sim.scenario import Scenario
from spillguard_core.arm import ACTION_SCALE, GEN3_LIMITS, MONITOR_PERIOD, POLICY_PERIOD, Vec
from spillguard_core.decision import Decision, GateConfig, Inputs, Mode, Proposal, Reason, Request, Verdict
from spillguard_core.gate import Models, decide, initial_decision
from spillguard_core.motion import step
from spillguard_core.observation import observe

TICKS = round(POLICY_PERIOD / MONITOR_PERIOD)
TIME_LIMIT = 10.0  # [s]
OPENING = {0: (Request.RESET,), 1: (Request.RESUME,)}  # what the operator asks for, by cycle

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
    replaced: float  # share in which the critic's choice was sent in the proposal's place
    limited: float  # share in which a hard limit took something away
    held: float  # share in which the arm was braked or held
    chatter: float  # [1/s] changes between the proposal and something else
    jerk: float  # [rad/s^3] root mean square over joints and time of what the arm was told
    reasons: Counter[Reason]
    q_c: Vec  # (T,) of what the gate sent at every cycle; NaN where the critic was not asked

    @property
    def violated(self) -> bool:
        """A rule was broken."""
        return self.spill or self.contact or self.limit


class Stack:
    """The same policy, gate and cell, one episode after the other. Not thread-safe."""

    def __init__(self, models: Models, config: GateConfig, guarded: bool = True, delay: int = 0) -> None:
        """`delay` [monitor periods] comes on top of the scenario's own between sensing and hearing."""
        self._models, self._config, self._guarded, self._delay = models, config, guarded, delay
        self.cell, self.decision = PourCell(), initial_decision()

    def pour(self, rule: Rule, scenario: Scenario, *, time_limit: float = TIME_LIMIT) -> Pour:
        """Until success, a broken rule, or the end of time [s]. `decision` is then the gate's last one."""
        cell, models, config = self.cell, self._models, self._config
        cell.reset(scenario)
        decision, proposal = initial_decision(), None
        q, qd = cell.data.qpos[:7].copy(), np.zeros(7)
        speeds, judged, verdicts, candidates = [qd], [], [], []
        reasons: Counter[Reason] = Counter()
        under_way: list[tuple[int, Proposal]] = []
        outcome = cell.outcome()
        for tick in range(round(time_limit / config.period)):
            now, seen = tick * config.period, cell.measure()
            if tick % TICKS == 0:
                action = rule(observe(models.terms, seen, cell.kinematics))
                due = tick + scenario.delay_ticks + self._delay
                twist = np.asarray(action, dtype=np.float64) * ACTION_SCALE
                under_way.append((due, Proposal(twist, due * config.period, now)))
            while under_way and under_way[0][0] <= tick:
                proposal = under_way.pop(0)[1]
            if self._guarded:
                asked = OPENING.get(tick, ())
                inputs = Inputs(now, seen, now, now, now, proposal, asked)
                decision = decide(inputs, decision, config, models)
                q, qd = (decision.q, decision.qd) if decision.send else (q, np.zeros(7))
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


def _stuck(decision: Decision, tick: int) -> bool:
    """Stopped for good: only an operator could go on."""
    return decision.mode is Mode.STOPPED and not decision.send and tick > max(OPENING)
