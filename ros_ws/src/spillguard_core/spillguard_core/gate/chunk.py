"""Action chunks: several future actions in one proposal, and how far the gate has carried one out.

Policies that plan ahead (ACT: Zhao et al. 2023, "Learning fine-grained bimanual manipulation with low-cost
hardware"; diffusion policies: Chi et al. 2023; vision-language-action models) say where to go for the next
second or so, more seldom than the arm is commanded. A chunk has a clock of its own, in seconds since the
state that it answers. That clock runs with the monitor's while the arm does what the chunk asks for, and
slower where the gate slows the arm: so the arm goes on along the chunk's own path, and skips nothing of it.

    velocities   the clock advances by the share of the asked velocity that was sent
    positions    the clock is where on the chunk's path the commanded arm is

Neither runs ahead of the monitor's clock, and a chunk is of no use any more once its time is over by that one
(`proposals.py`): a policy that died moves the arm for no longer than it had said.

Shapes: J joints, A entries of an action, H actions of a chunk.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from spillguard_core.gate.cycle import Cycle
from spillguard_core.gate.decision import Chunk, ChunkClock, Proposal
from spillguard_core.gate.task import Carrier, Task
from spillguard_core.robot.arm import ArmLimits, Vec, joint_differences
from spillguard_core.robot.tool import towards, within

BRAKING = 0.85  # of the pace from which the arm could just rest at the end: it is decided period by period
OFF_PATH = 0.1  # [rad] beside the path, from where the arm first returns to it
SAME = 1e-9  # [rad] by which two distances to the path may differ and count as equal
STILL = 1e-9  # largest action, in units of the scale, that asks for rest


class Due(NamedTuple):
    """What a proposal asks for in this decision."""

    asked: Vec  # (A,) as the policy put it: of a chunk, the action that is due
    followed: Vec  # (A,) the velocity, of the tool or of the joints, that is followed in its place
    clock: ChunkClock | None  # of its chunk


def wanted(proposal: Proposal, cycle: Cycle, task: Task) -> Due:
    """What is due now. The proposal is known to be valid."""
    chunk, limits = proposal.chunk, cycle.config.limits
    if chunk is None:
        asked, clock = proposal.twist, None
    else:
        earliest, latest = _window(proposal, chunk, cycle)
        if task.carrier is Carrier.POSITIONS:
            seconds, velocity = along(chunk, earliest, latest, cycle.q, limits)
            clock = ChunkClock(proposal.stamp, seconds, cycle.config.speed_scale)
            return Due(chunk.due(seconds), velocity, clock)
        asked = chunk.due(latest) if latest < chunk.lasts else np.zeros_like(proposal.twist)
        clock = ChunkClock(proposal.stamp, latest, 0.0)
    return Due(asked, asked if task.aim is None else task.aim(asked, cycle.q, limits), clock)


def asked(proposal: Proposal, clock: ChunkClock | None) -> Vec:
    """(A,) what a proposal asked for in a decision that has been made, as the policy put it."""
    if proposal.chunk is None or clock is None or clock.stamp != proposal.stamp:
        return proposal.twist
    return proposal.chunk.due(clock.seconds)


def _window(proposal: Proposal, chunk: Chunk, cycle: Cycle) -> tuple[float, float]:
    """[s] between which the chunk's clock may stand now: as it stood at the last decision, and as it stands
    if nothing slowed the arm since."""
    inputs, last, speed = cycle.inputs, cycle.last.clock, cycle.config.speed_scale
    # In shadow somebody else moves the arm, so nothing is known of what was slowed.
    if last is not None and last.stamp == proposal.stamp and not cycle.config.shadow:
        return last.seconds, min(last.seconds + last.pace * cycle.elapsed, chunk.lasts)
    age = inputs.state_stamp - proposal.stamp + inputs.now - inputs.state_received
    return 0.0, min(max(age, 0.0) * speed, chunk.lasts)


def along(chunk: Chunk, earliest: float, latest: float, q: Vec, limits: ArmLimits) -> tuple[float, Vec]:
    """Where on the path of its positions a chunk has been carried out to, by the nearest point to q (J,)
    [rad]: seconds, between the two given; and the velocity (J,) [rad/s] that goes on along it from there.

    The path is straight between the actions. It ends at rest, and an arm beside it first returns to it.
    """
    turn = limits.turn
    nearest, seconds, error = np.inf, earliest, np.zeros_like(q)
    for number in range(chunk.index(earliest), chunk.index(latest) + 1):
        begin, length, start, way = _segment(chunk, number, turn)
        here, square = np.array(joint_differences(q, start, turn)), float(way.dot(way))
        share = float(here.dot(way)) / square if square > 0.0 else 1.0  # where it stands, time passes
        low, high = (earliest - begin) / length, (latest - begin) / length
        share = min(max(share, low, 0.0), high, 1.0)
        beside = share * way - here
        distance = float(np.sqrt(beside.dot(beside)))
        if distance <= nearest + SAME:
            nearest, seconds, error = distance, begin + share * length, beside
    back = towards(q + error, q, limits)
    left = chunk.lasts - seconds
    if left <= 0.0:
        return seconds, back
    _, length, _, way = _segment(chunk, chunk.index(seconds), turn)
    on = way / length
    stopping = max((np.abs(on) / limits.acceleration).tolist())  # [s]
    pace = min(1.0, BRAKING * (2.0 * left / max(stopping, SAME)) ** 0.5)
    pace *= max(0.0, 1.0 - max(map(abs, error.tolist())) / OFF_PATH)
    return seconds, within(pace * on + back, limits.velocity)


def _segment(chunk: Chunk, number: int, turn: list[float]) -> tuple[float, float, Vec, Vec]:
    """Of the way to the action `number`: its begin and its length [s], start (J,) and way (J,) [rad].

    Where the arm was when a chunk's state was measured is not in it: its first way is like its second one.
    """
    ends, actions = chunk.ends, chunk.actions
    if number > 0:
        begin, start = float(ends[number - 1]), actions[number - 1]
        return begin, float(ends[number]) - begin, start, _way(actions[number], start, turn)
    length = float(ends[0])
    way = np.zeros_like(actions[0])
    if len(ends) > 1:
        way = length / float(ends[1] - ends[0]) * _way(actions[1], actions[0], turn)
    return 0.0, length, actions[0] - way, way


def _way(target: Vec, start: Vec, turn: list[float]) -> Vec:
    return np.array(joint_differences(target, start, turn))


def sent(clock: ChunkClock | None, asked: Vec, sent_twist: Vec, scale: Vec) -> ChunkClock | None:
    """How fast a chunk of velocities goes on: by the share of the asked action (A,) that was sent (A,)."""
    if clock is None or clock.pace > 0.0:
        return clock
    wish, done = asked / scale, sent_twist / scale
    size = float(wish.dot(wish))
    share = 1.0 if size <= STILL**2 else float(done.dot(wish)) / size
    return replace(clock, pace=min(max(share, 0.0), 1.0))


def paused(clock: ChunkClock | None) -> ChunkClock | None:
    """While the arm brakes or is held a chunk's clock stands."""
    return None if clock is None else replace(clock, pace=0.0)
