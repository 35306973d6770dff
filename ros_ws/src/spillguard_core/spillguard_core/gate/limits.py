"""Hard limits: the closest joint velocity from which the arm can still come to rest within them.

A motion is one period towards a velocity, a coast at it, and straight-line braking (`trajectory.py`). It is
*verified* if the whole path to rest keeps every limit, both from the commanded and from the measured position
of the arm.

Why the arm stays inside, for any spacing of the decisions and any silence after them:

    1  What is sent is a verified motion, or the rest of the last one with its remaining coast cut off. The
       second needs no new check: it is part of a path that was verified.
    2  A decision starts at the present point of the last path (`trajectory.state_at`), early or late.
    3  Without a new decision the path is followed to its end, which is at rest.

By induction the arm is always on a verified path to rest, independent of when decisions come. Where a limit
is already broken (a target was moved, a different clearance was set), a motion is verified if it makes no
violation worse: rule by rule, and part by part of each (`rule.py`), so that a broken part does not mask
another.

The limits are checked at postures up to 0.02 rad apart (`ways.PATH_STEP`), 5 mrad where something is close,
and as much closer as it takes so that a new path keeps half the clearance everywhere, from the present point
on: no part of the arm can move further in between (`ways.py`, `swept.py`). The largest excess between two in
20,000 sequences (`benchmarks/results/spacing.json`, of a gate without the finer steps and without eased
actions): 0.2 mrad of a joint, 0.03 mm of a wall, 5 mrad of tilt, where the allowed tilt jumps.

Shapes: J joints, A entries of an action.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from spillguard_core.gate import reasons
from spillguard_core.gate.decision import GateConfig
from spillguard_core.gate.easing import TRIES, Slope, eased, slopes
from spillguard_core.gate.reasons import Reason
from spillguard_core.gate.rule import Motion, Refused, Rule, RuleMargin, Surroundings, Way
from spillguard_core.gate.slow import within
from spillguard_core.gate.task import Task
from spillguard_core.gate.trajectory import stop_position
from spillguard_core.robot.arm import Vec
from spillguard_core.robot.motion import step

ROUNDING = 1e-9


class Start(NamedTuple):
    """State of the arm when a decision is made."""

    q: Vec  # (J,) [rad] commanded
    qd: Vec  # (J,) [rad/s] commanded
    strayed: Vec  # (J,) [rad] measured minus commanded, beyond the normal tracking lag
    rest: Motion  # remainder of the last verified motion, with its coast cut short


class Hard(NamedTuple):
    """The constraints on a motion."""

    rules: tuple[Rule, ...]
    task: Task
    around: Surroundings
    scale: Vec  # (A,) largest action, at the speed that is set
    accepted: Callable[
        [Vec], bool
    ]  # whether nothing else speaks against an action (A,) that nobody asked for


Margins = tuple[RuleMargin, ...]
"""One per rule, in their order."""


class Feasible(NamedTuple):
    """The closest feasible motion, its margins and the reason for any reduction."""

    motion: Motion
    margins: Margins
    twist: Vec  # (A,) part of the wanted action that is kept
    reason: Reason  # OK if all of it is kept


def towards(q: Vec, qd: Vec, goal: Vec, config: GateConfig) -> Motion:
    """One period towards the velocity `goal` (J,) [rad/s] at the acceleration limit."""
    return Motion(*step(q, qd, goal, config.limits.acceleration, config.period), config.coast_time)


def margins_of(motion: Motion, strayed: Vec, hard: Hard, begin: tuple[Vec, Vec] | None = None) -> Margins:
    """Margin of each rule along a motion's path to rest, and on the way to it from `begin`."""
    way = Way(motion, strayed, hard.around, begin)
    return tuple([rule.margin(way) for rule in hard.rules])


def _of_new(motion: Motion, start: Start, hard: Hard) -> Margins:
    """Margins of a motion that would begin now."""
    return margins_of(motion, start.strayed, hard, (start.q, start.qd))


def broken(got: Margins, now: Margins | None, rules: tuple[Rule, ...]) -> int | None:
    """Index of the first rule that is broken; None if none is.

    `now` holds the margins of resting in place: a part that is broken there counts only if it gets worse.
    Without it no part of any margin may be broken.
    """
    for number in range(len(rules)):
        if not got[number].kept(None if now is None else now[number]):
            return number
    return None


def slid(action: Vec, tool: Vec, task: Task, config: GateConfig) -> Vec:
    """The action (A,) without the components that move the tool (3,) [m] further out of the workspace."""
    entries, axes = task.linear
    speeds, place = action[entries], tool[axes]
    low, high = config.limits.workspace_min[axes], config.limits.workspace_max[axes]
    kept = action.copy()
    kept[entries] = np.where(
        ((place < low) & (speeds < 0.0)) | ((place > high) & (speeds > 0.0)), 0.0, speeds
    )
    return kept


def slowed(action: Vec, goal: Vec, config: GateConfig) -> tuple[Vec, Vec, Reason]:
    """Action (A,) and joint velocity (J,) scaled as a whole to fit the velocity limits."""
    excess = max((np.abs(goal) / (config.speed_scale * config.limits.velocity)).tolist())
    if excess <= 1.0 + ROUNDING:  # the tool may have scaled to the limits already
        return action, goal, reasons.OK
    return action / excess, goal / excess, reasons.VELOCITY_LIMIT


def whole(start: Start, action: Vec, hard: Hard) -> Feasible | None:
    """The motion towards `action` (A,) if it keeps every limit unchanged, else None."""
    config = hard.around.config
    _, goal, reason = slowed(action, hard.around.tool.joint_velocity(start.q, action), config)
    motion = towards(start.q, start.qd, goal, config)
    got = _of_new(motion, start, hard)
    if reason is not reasons.OK or broken(got, None, hard.rules) is not None:
        return None
    return Feasible(motion, got, action, reasons.OK)


def feasible(start: Start, action: Vec, hard: Hard) -> Feasible:
    """The closest motion to `action` (A,) that keeps every limit: all of it, an alternative, or rest."""
    config, rules = hard.around.config, hard.rules
    wanted, goal, reason = slowed(action, hard.around.tool.joint_velocity(start.q, action), config)
    motion = towards(start.q, start.qd, goal, config)
    got = _of_new(motion, start, hard)
    # Resting in place keeps every limit in almost every cycle, so `now` is computed only if needed.
    first = broken(got, None, rules)
    if first is None:
        return Feasible(motion, got, wanted, reason)
    now = margins_of(Motion(start.q, np.zeros_like(goal), 0.0), start.strayed, hard)
    kept_now = now[first].least >= 0.0
    # A limit that is still kept is slid along. Where one is broken already its own ways out come first: a cup
    # that leans too far is turned back.
    for offer in (_eased, _own_way) if kept_now else (_own_way, _eased):
        found = offer(start, wanted, motion, first, now, hard)
        if found is not None:
            return found
    left = margins_of(start.rest, start.strayed, hard)
    return Feasible(start.rest, left, np.zeros_like(action), rules[first].reason)


def _own_way(
    start: Start, action: Vec, motion: Motion, first: int, now: Margins, hard: Hard
) -> Feasible | None:
    """The first of the ways that the rule `first` offers, if one keeps every limit."""
    rules, kept_now = hard.rules, now[first].least >= 0.0
    for kept, goal in _ways(action, motion, rules[first], kept_now, start, hard):
        offered = towards(start.q, start.qd, goal, hard.around.config)
        got = _of_new(offered, start, hard)
        if broken(got, now, rules) is None:
            return Feasible(offered, got, kept, rules[first].reason)
    return None


def _eased(
    start: Start, action: Vec, motion: Motion, first: int, now: Margins, hard: Hard
) -> Feasible | None:
    """The closest action that eases off before the rule `first`, which this motion breaks, and before each
    one that this leads to. An arm that is told to stand stands."""
    if not action.any():
        return None
    config, rules, tool, scale = hard.around.config, hard.rules, hard.around.tool, hard.scale
    before: list[Slope] = []
    met, number = set[int](), first
    while number not in met:
        met.add(number)
        rest = stop_position(motion.q, motion.qd, config.limits.acceleration, motion.coast)
        margins = partial(_standing, rules[number], start, hard)
        before += slopes(margins, partial(tool.joint_velocity, rest), rest, scale, now[number].by_part)
        if not before:
            return None
        for share, lean in TRIES:
            wanted = share * eased(action, scale, hard.task.linear[0], before, lean)
            kept, goal, _ = slowed(wanted, tool.joint_velocity(start.q, wanted), config)
            motion = towards(start.q, start.qd, goal, config)
            got = _of_new(motion, start, hard)
            against = broken(got, now, rules)
            if against is None:
                accepted = hard.accepted(kept)
                return Feasible(motion, got, kept, rules[first].reason) if accepted else None
            number = against
    return None


def _standing(rule: Rule, start: Start, hard: Hard, q: Vec) -> Mapping[Any, float]:
    """Margins of a rule, by part, at rest at q (J,) [rad]."""
    return rule.margin(Way(Motion(q, np.zeros_like(q), 0.0), start.strayed, hard.around)).by_part


def _ways(
    action: Vec, motion: Motion, rule: Rule, kept_now: bool, start: Start, hard: Hard
) -> list[tuple[Vec, Vec]]:
    """Actions (A,) and joint velocities (J,) to try instead of a motion that breaks a rule, in order."""
    config, tool = hard.around.config, hard.around.tool
    rest = stop_position(motion.q, motion.qd, config.limits.acceleration, motion.coast)
    pose = tool.pose(rest)
    offered = []
    for wanted, shares in rule.ways(Refused(slid(action, pose.position, hard.task, config), pose, kept_now)):
        asked = wanted if config.speed_scale == 1.0 else within(wanted, hard.scale)
        kept, goal, _ = slowed(asked, tool.joint_velocity(start.q, asked), config)
        offered += [(share * kept, share * goal) for share in shares]
    return offered
