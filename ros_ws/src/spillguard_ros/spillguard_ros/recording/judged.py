"""What a recorded gate made of a policy's proposals: counts, causes, moments. Pure, of a `Flight`.

It holds of a recording in shadow, where nothing was sent, and of a guarded one. Only the policy is judged:
cycles before it has spoken, or in which an operator or a teleoperator had the arm, do not count.

Shapes: N cycles in which the policy was judged, P proposals, A entries of an action, J joints.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spillguard_core.gate import chunk
from spillguard_core.gate.decision import Measurement, Mode
from spillguard_core.gate.proposals import is_action
from spillguard_core.gate.reasons import Reason, Verdict
from spillguard_core.gate.rule import Tool
from spillguard_core.gate.task import Carrier, Task
from spillguard_core.robot.arm import Vec, all_finite
from spillguard_ros.recording.recording import OPERATORS, Flight

SILENT = ("PROPOSAL_STALE", "PROPOSAL_MISSING", "POLICY_SILENT")
"""Reasons that may come after a proposal has been followed for as long as it may be."""
STEP = 1e-4  # [s] over which the tool's velocity is differentiated, to either side
ANGULAR = {"angular.x": (2, 1), "angular.y": (0, 2), "angular.z": (1, 0)}
"""Entry of a small rotation's matrix that is the angle about an axis."""


@dataclass(frozen=True)
class Cause:
    """One reason for which the gate changes proposals. Times [s] since the first cycle of the recording."""

    reason: str  # its name in recordings
    text: str  # for people
    verdict: str
    stretches: int  # uninterrupted runs of cycles
    proposals: int  # that it changed
    share: float  # of the time in which the policy was judged
    longest: float  # [s]
    first: float
    longest_at: float  # where the longest stretch begins


@dataclass(frozen=True, eq=False)
class Judged:
    """The cycles in which the policy was judged."""

    index: NDArray[np.intp]  # (N,) in the recording
    lasts: Vec  # (N,) [s] of each
    standing: float  # [s] before it spoke, or in which the arm was another's, stopped or held
    answers: tuple[NDArray[np.intp], ...]  # P of them: the cycles that had the same proposal, in `index`

    @property
    def seconds(self) -> float:
        """[s] in which the policy was judged."""
        return float(self.lasts.sum())


def _lasts(recorded: Flight) -> Vec:
    """(T,) [s] of each cycle, up to the next one; a period where that is missing."""
    period, elapsed = recorded.config.period, recorded.elapsed
    lasts = np.append(np.diff(elapsed), period)
    numbers = np.array([cycle.decision.cycle for cycle in recorded.cycles])
    lasts[np.append(np.diff(numbers) != 1, True)] = period
    return lasts


def judged(recorded: Flight) -> Judged:
    """Select them. ValueError if there are none, or if the gate's configuration is lost."""
    lasts, kept = _lasts(recorded), [False] * len(recorded.cycles)
    before = Mode.STOPPED
    for number, cycle in enumerate(recorded.cycles):
        decision = cycle.decision
        mine = decision.mode in (Mode.SHADOW, Mode.FOLLOWING)
        # The cycle in which the gate stops the arm, or holds it for good, is its verdict on the policy, too.
        ended = before is Mode.FOLLOWING and decision.reason.name not in OPERATORS
        spoken = cycle.inputs.proposal is not None and cycle.inputs.measurement is not None
        kept[number] = spoken and (mine or (ended and decision.mode is not Mode.TELEOP))
        before = decision.mode
    index = np.flatnonzero(kept)
    if not index.size:
        raise ValueError(
            f"the policy was never judged: in all of the {recorded.elapsed[-1]:.1f} s it said nothing or the "
            "arm was stopped, held or a teleoperator's"
        )
    inside = np.isin(np.arange(len(kept)), index)
    return Judged(index, lasts[index], float(lasts[~inside].sum()), tuple(_answers(recorded, index)))


def _answers(recorded: Flight, index: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
    groups: dict[tuple[float, float], list[int]] = {}
    for number in index.tolist():
        proposal = recorded.cycles[number].inputs.proposal
        if proposal is not None:
            groups.setdefault((proposal.received, proposal.stamp), []).append(number)
    yield from (np.array(group) for group in groups.values())


def against(recorded: Flight, answer: NDArray[np.intp]) -> set[Reason]:
    """For which reasons a proposal was not followed as it was; empty if it was."""
    decisions = [recorded.cycles[number].decision for number in answer.tolist()]
    found = {decision.reason for decision in decisions if decision.verdict is not Verdict.PASS}
    passed = len(found) == 0 or any(decision.verdict is Verdict.PASS for decision in decisions)
    return {reason for reason in found if reason.name not in SILENT} if passed else found


def causes(recorded: Flight, seen: Judged) -> list[Cause]:
    """Every reason that changed something, the one with the largest share of the time first."""
    elapsed, total = recorded.elapsed, seen.seconds
    runs: dict[Reason, list[tuple[float, float]]] = {}  # begin, length
    spent: dict[Reason, float] = {}
    last: tuple[Reason | None, int] = None, -2
    for number, lasted in zip(seen.index.tolist(), seen.lasts.tolist(), strict=True):
        decision = recorded.cycles[number].decision
        reason = None if decision.verdict is Verdict.PASS else decision.reason
        if reason is not None:
            own = runs.setdefault(reason, [])
            if last == (reason, number - 1):
                begun, length = own.pop()
                own.append((begun, length + lasted))
            else:
                own.append((float(elapsed[number]), lasted))
            spent[reason] = spent.get(reason, 0.0) + lasted
        last = reason, number
    changed = [against(recorded, answer) for answer in seen.answers]
    made = []
    for reason, own in runs.items():
        begun, longest = max(own, key=lambda run: run[1])
        count = sum(reason in reasons for reasons in changed)
        made.append(Cause(reason.name, reason.value, reason.verdict.name, len(own), count,
                          spent[reason] / total, longest, own[0][0], begun))  # fmt: skip
    return sorted(made, key=lambda cause: -cause.share)


def changed(recorded: Flight, seen: Judged) -> int:
    """How many of the proposals were not followed as they were."""
    return sum(bool(against(recorded, answer)) for answer in seen.answers)


def arm_action(measurement: Measurement, task: Task, tool: Tool) -> Vec:
    """What the arm did, as an action (A,) in the task's units; NaN where the tool does not say."""
    q, qd = measurement.joint_position, measurement.joint_velocity
    before, after = (tool.state(q + side * STEP * qd, qd) for side in (-1.0, 1.0))
    moved = (after.position - before.position) / (2.0 * STEP)
    done = np.full(len(task.action), np.nan)
    entries, axes = task.linear
    done[entries] = moved[axes]
    if hasattr(before, "rotation"):
        turned = (after.rotation @ before.rotation.T) / (2.0 * STEP)
        for number, axis in enumerate(task.action):
            if axis.part in ANGULAR:
                row, column = ANGULAR[axis.part]
                done[number] = 0.5 * (turned[row, column] - turned[column, row])
    return done


@dataclass(frozen=True, eq=False)
class Compared:
    """Proposals, at the speed that was set, beside what the arm did when each was first looked at."""

    index: NDArray[np.intp]  # (P,) in the recording
    asked: NDArray[np.float64]  # (P, A)
    done: NDArray[np.float64]  # (P, A)
    joints: NDArray[np.float64]  # (P, J) [rad/s] asked for, less what was done


def compared(recorded: Flight, seen: Judged, task: Task, tool: Tool) -> Compared:
    """Every proposal and measurement of use, once."""
    speed, entries = recorded.config.speed_scale, len(task.action)
    rows: list[tuple[int, Vec, Vec, Vec]] = []
    for answer in seen.answers:
        number = int(answer[0])
        measurement, proposal = (
            recorded.cycles[number].inputs.measurement,
            recorded.cycles[number].inputs.proposal,
        )
        if measurement is None or proposal is None or not is_action(proposal.twist, entries):
            continue
        q, qd = measurement.joint_position, measurement.joint_velocity
        said = chunk.asked(proposal, recorded.cycles[number].decision.clock)
        if q.shape == qd.shape and all_finite(q) and all_finite(qd) and is_action(said, entries):
            followed = said if task.aim is None else task.aim(said, q, recorded.config.limits)
            joints = speed * tool.joint_velocity(q, followed) - qd
            wish = said if task.carrier is Carrier.POSITIONS else speed * said  # a place has no speed
            rows.append((number, wish, arm_action(measurement, task, tool), joints))
    if not rows:
        nothing = np.zeros((0, entries))
        return Compared(np.zeros(0, dtype=np.intp), nothing, nothing, np.zeros((0, 1)))
    numbers, wishes, done, away = zip(*rows, strict=True)
    return Compared(np.array(numbers), np.array(wishes), np.array(done), np.array(away))
