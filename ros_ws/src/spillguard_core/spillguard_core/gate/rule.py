"""A hard limit as a value: its name, its margin along a path to rest, and alternatives to a rejected motion.

A rule judges a whole path: a motion for one period, its coast, and straight-line braking. Its margin consists
of separate parts (both ends of each joint, each pair that may touch), so that a broken part does not mask
another. Everything that shows margins iterates over the rules; there is no other list of them.

Shapes: J joints, A entries of an action, P parts of a margin.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from spillguard_core.gate.decision import GateConfig, Measurement
from spillguard_core.gate.reasons import Reason, Verdict
from spillguard_core.gate.trajectory import stop_position
from spillguard_core.robot.arm import Vec
from spillguard_core.robot.ways import Lead, straight
from spillguard_core.robot.world import Near, World

SHARES: tuple[float, ...] = (1.0, 0.75, 0.5, 0.25)  # of a velocity, tried in this order before braking
STRAYED = 5e-4  # [rad] off command; below it all joints together move no part of an arm by 2.5 mm


class Pose(Protocol):
    """Pose of a task's tool."""

    @property
    def position(self) -> Vec:
        """(3,) [m], base frame; checked against the workspace."""


class Tool(Protocol):
    """The tool that a task moves, built from the world model. Not thread-safe: one scratch state."""

    def pose(self, q: Vec) -> Any:
        """A `Pose` at q (J,) [rad]."""

    def state(self, q: Vec, qd: Vec) -> Any:
        """A `Pose` with velocities, at q (J,) [rad] and qd (J,) [rad/s]."""

    def joint_velocity(self, q: Vec, action: Vec) -> Vec:
        """Joint velocities (J,) [rad/s] that an action (A,) asks for at q (J,) [rad]."""


class Motion(NamedTuple):
    """A commanded state at the end of the period, after which the arm coasts and brakes."""

    q: Vec  # (J,) [rad]
    qd: Vec  # (J,) [rad/s]
    coast: float  # [s]


class Surroundings(NamedTuple):
    """What a rule needs besides the path."""

    config: GateConfig
    tool: Tool
    world: World | None  # None: no obstacles are known
    measurement: Measurement
    places: tuple[Vec, ...]  # each (3,) [m], sensed positions of the movable bodies of the world


class Way:
    """A motion's path to rest: as commanded, and again offset to the measured position."""

    def __init__(
        self, motion: Motion, strayed: Vec, around: Surroundings, begin: tuple[Vec, Vec] | None = None
    ) -> None:
        """`strayed` (J,) [rad]: measured minus commanded, beyond the normal tracking lag. `begin`: position
        and velocity (J,) from which the motion takes one period; None where it is under way already."""
        self.motion, self.around = motion, around
        rest = stop_position(motion.q, motion.qd, around.config.limits.acceleration, motion.coast)
        self.postures = straight(motion.q, rest)
        """(J,) [rad] each, from the end of the period to rest, the last one of each path at rest."""
        self.offsets = [np.zeros_like(strayed)]
        """(J,) [rad] offset of each path from the command."""
        if not max(map(abs, strayed.tolist())) <= STRAYED:
            self.postures = [*self.postures, *(q + strayed for q in self.postures)]
            self.offsets.append(strayed)
        lead = None if begin is None else Lead(*begin, motion.q, motion.qd, around.config.period)
        self.leads = [None if lead is None else lead.moved(by) for by in self.offsets]
        """How the arm comes to each path; None where it is on it already."""
        self.poses: list[Any] = [around.tool.pose(q) for q in self.postures]
        """The tool's pose at each posture."""


class RuleMargin(Protocol):
    """Margin of a rule along a path."""

    @property
    def least(self) -> float:
        """The smallest part; negative beyond the limit, NaN if any part is NaN."""

    def kept(self, now: Any) -> bool:
        """Whether no part is broken or, given the margin `now` of resting in place, none gets worse."""

    @property
    def by_part(self) -> Mapping[Any, float]:
        """Margin of each part that is not far away, by a key that is the same on every path."""


class Parts(NamedTuple):
    """A margin with a fixed set of parts."""

    each: Vec  # (P,)

    @property
    def least(self) -> float:
        """See `RuleMargin`."""
        return float(self.each.min())

    def kept(self, now: "Parts | None") -> bool:
        """See `RuleMargin`. NaN is not kept, nor is minus infinity, which nothing can be worse than."""
        least = 0.0 if now is None else np.minimum(0.0, now.each)
        return bool(((self.each >= least) & (self.each > -np.inf)).all())

    @property
    def by_part(self) -> Mapping[Any, float]:
        """See `RuleMargin`."""
        return dict(enumerate(self.each.tolist()))


class Pairs(NamedTuple):
    """A margin of distances, one per nearby pair of geoms."""

    near: Near
    clearance: float  # [m] required

    @property
    def least(self) -> float:
        """See `RuleMargin`; capped, because distances are measured only slightly beyond the clearance."""
        return self.near.least - self.clearance

    def kept(self, now: "Pairs | None") -> bool:
        """See `RuleMargin`. NaN is not kept."""
        before, asked = {} if now is None else now.near.close, self.clearance
        if not all(gap >= min(asked, before.get(pair, asked)) for pair, gap in self.near.close.items()):
            return False
        if now is None or now.near.beside is None or self.near.beside is None:
            return True
        # A sensed body may be too close already. No further away from where it is sensed is not enough: round
        # that place the arm could slide towards where it stands.
        stood = now.near.beside()
        return all(gap >= min(asked, stood.get(part, asked)) for part, gap in self.near.beside().items())

    @property
    def by_part(self) -> Mapping[Any, float]:
        """See `RuleMargin`."""
        return {pair: gap - self.clearance for pair, gap in self.near.close.items()}


class Refused(NamedTuple):
    """A motion that breaks a rule."""

    action: Vec  # (A,) wanted, without the components that lead further out of the workspace
    pose: Any  # of the tool where the motion would come to rest
    kept_now: bool  # whether the rule is kept at the present position


Ways = list[tuple[Vec, tuple[float, ...]]]
"""Actions (A,), each with the fractions of its velocity to try, in order."""


def along(refused: Refused) -> Ways:
    """The same action, sliding along the workspace boundary, at decreasing speed."""
    return [(refused.action, SHARES)]


@dataclass(frozen=True)
class Setting:
    """A rule's number that must be set by whoever starts the monitor: one of its parameters."""

    name: str
    text: str  # with its unit
    low: float
    high: float
    stricter: int  # 1: larger is stricter, -1: smaller is stricter


@dataclass(frozen=True)
class Rule:
    """A hard limit of the gate."""

    name: str  # name of its margin in status, recordings and plots
    unit: str
    reason: Reason
    margin: Callable[[Way], RuleMargin]
    ways: Callable[[Refused], Ways] = along  # alternatives to a motion that breaks it
    setting: Setting | None = None


def checked(rules: tuple[Rule, ...], taken: Iterable[str]) -> tuple[Rule, ...]:
    """The rules, if they get along with one another; `taken` are names of other margins. ValueError."""
    names, settings = {*taken}, dict[str, Setting]()
    for rule in rules:
        if rule.name in names:
            raise ValueError(f"two margins have the name {rule.name!r}; each rule needs its own")
        if rule.reason.verdict is Verdict.PASS:
            raise ValueError(f"the rule {rule.name!r} has the reason {rule.reason.name}, which lets pass")
        names.add(rule.name)
        setting = rule.setting
        if setting and (not setting.name.isidentifier() or setting.name in GateConfig.__dataclass_fields__):
            raise ValueError(f"the rule {rule.name!r} cannot have a setting {setting.name!r}")
        if setting and settings.setdefault(setting.name, setting) != setting:
            raise ValueError(f"two rules have a setting {setting.name!r} and mean different things by it")
    return rules


def least(values: list[float]) -> float:
    """Smallest of a few values, NaN if any is NaN. Faster than numpy's reduction."""
    return math.nan if math.isnan(sum(values)) else min(values)


def units(rules: tuple[Rule, ...], others: Mapping[str, str]) -> dict[str, str]:
    """Unit of every margin of a decision, in order."""
    return {rule.name: rule.unit for rule in rules} | dict(others)
