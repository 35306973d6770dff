"""The monitor's world model: how close the arm comes to its surroundings and to itself.

The geometry is that of ``guard.xml``; a site given by the lab replaces its fixtures. Contact classes in the
file define which pairs count. Bodies that the task names are placed where they were sensed.
"""

import copy
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from typing import NamedTuple

import mujoco
import numpy as np

from spillguard_core.robot.arm import Vec, compact
from spillguard_core.robot.boxes import Boxes
from spillguard_core.robot.swept import Swept, joint_ids
from spillguard_core.robot.ways import Lead, Look, along

BEYOND = 0.01  # [m] measured beyond the required clearance; pairs farther apart are ignored
THIN = 0.03  # [m] no part of an arm gets under a body that is raised by no more
STOREY = 0.05  # [m] the lowest body that is placed where it is sensed; taller ones are stacked of its like

SIDES = 8  # on which a body may stand beside where it is sensed; 8 % of the tolerance lie between two of them
SKIP = 4  # only every so many postures are looked at for each side
Pair = tuple[int, int]
"""Two geoms of the model, lower id first."""
Beside = Mapping[tuple[int, Pair], float]
"""[m] smallest distance of each pair that is closer than the clearance, were a body to stand beside where it
is sensed: by the number of the place and the pair."""


class Tolerance(NamedTuple):
    """How far from where it is sensed a body may stand."""

    beside: float  # [m] horizontally, in any direction
    above: float  # [m] vertically, up or down


SURE = Tolerance(0.0, 0.0)


class Near(NamedTuple):
    """Smallest distances found."""

    least: float  # [m] smallest distance over all pairs, negative in penetration; capped at the sensing range
    close: Mapping[Pair, float]  # [m] smallest distance of each pair that is closer than the clearance
    beside: Callable[[], Beside] | None = None  # None: no body may stand too close within its tolerance


UNKNOWN = Near(-math.inf, {(-1, -1): math.nan})
"""For a posture that is not finite: NaN and -inf make every clearance check fail."""


class World:
    """Distances in a MuJoCo model. Not thread-safe: every call reuses one scratch state."""

    def __init__(
        self, model: mujoco.MjModel, clearance: float, joint_names: Sequence[str], placed: Iterable[str] = (),
        tolerance: Tolerance = SURE,
    ) -> None:  # fmt: skip
        """`clearance` [m] is the distance required of the arm; distances are told up to slightly more.

        `placed` are bodies placed where they are sensed; those that the model does not have are ignored. They
        may stand anywhere within `tolerance` of there: distances to them are reported smaller by as much as
        that may bring them closer, so that in the direction of the shortest connection they leave no less.
        """
        if not all(0.0 <= way < math.inf for way in tolerance):
            raise ValueError(f"a tolerance must be finite and at least 0 m, got {tolerance}")
        self._clearance, self._sight = clearance, clearance + BEYOND
        self._model = copy.deepcopy(model)  # its margins are changed below
        # A geom pair is detected within the sum of both margins; the broad phase of bodies uses body_margin.
        self._model.geom_margin[:] = 0.5 * self._sight
        self._model.body_margin[:] = 0.5 * self._sight
        self._data = mujoco.MjData(self._model)
        joints = joint_ids(model, joint_names)
        self._swept = Swept(self._model, joints)
        self._qpos = compact(model.jnt_qposadr[joints])
        self._all_qpos = self._data.qpos  # a view, as below: creating one costs as much as a small sum
        bodies = [mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, name) for name in placed]
        mujoco.mj_kinematics(self._model, self._data)
        self._placed = [
            (at, self._model.body_pos[body], self._top(body), self._model.body_pos[body, 2])
            for at, body in enumerate(bodies)
            if body >= 0
        ]
        placed_geoms = np.isin(model.geom_bodyid, bodies)
        self._placed_geoms = set(np.flatnonzero(placed_geoms).tolist())
        self._tolerance = tolerance
        furthest = math.hypot(*tolerance)
        self._boxes = Boxes(self._model, self._sight + furthest)
        self._model.geom_margin[:] += furthest * placed_geoms
        self._model.body_margin[[body for body in bodies if body >= 0]] += furthest

    def near(
        self, postures: Iterable[Vec], places: Sequence[Vec], leads: Sequence[Lead | None] = (None,)
    ) -> Near:  # fmt: skip
        """The smallest distances over the postures (J,) [rad] of a straight path, and wherever else on it the
        arm might come closer than at those by more than a share of the clearance (`ways.py`).

        `places` (3,) [m] each, base frame: sensed positions at which the `placed` bodies are set. The
        postures are as many paths of equal length as there are `leads`: what leads to each, None if nothing.
        """
        least, close = self._sight, dict[Pair, float]()
        seen, postures = [places[at] for at, *_ in self._placed], list(postures)
        if not all(math.isfinite(sum(vec.tolist())) for vec in (*postures, *seen)):
            return UNKNOWN
        size = len(postures) // len(leads)
        paths = [postures[first : first + size] for first in range(0, len(postures), size)]
        look = Look(
            self._clearance, partial(self._gap, close=close), self._look, self._swept.anywhere, self._speed
        )
        for share in self._shares(seen):
            self._place(seen, share)
            for path, lead in zip(paths, leads, strict=True):
                least = min(least, along(path, lead, look))
        unsure = (
            [pair for pair in close if not self._placed_geoms.isdisjoint(pair)]
            if any(self._tolerance)
            else []
        )
        return Near(least, close, cache(partial(self._beside, postures, seen, unsure)) if unsure else None)

    def _speed(self, q: Vec, step: Vec) -> tuple[float, float]:
        """See `Swept.speed`, at posture q (J,) [rad]."""
        self._all_qpos[self._qpos] = q
        mujoco.mj_kinematics(self._model, self._data)
        return self._swept.speed(self._data, step)

    def _beside(self, postures: Sequence[Vec], seen: Sequence[Vec], pairs: Sequence[Pair]) -> Beside:
        """Distances of these pairs, were the bodies to stand a tolerance beside and above where they were
        `seen` (3,) [m], one side after the other. Other pairs are too far apart to be close on any side."""
        beside, above = self._tolerance
        turns = [2.0 * math.pi * side / SIDES for side in range(SIDES)]
        sides = [(beside * math.cos(turn), beside * math.sin(turn), above) for turn in turns]
        sides.append((0.0, 0.0, above))
        model, data, found = self._model, self._data, dict[tuple[int, Pair], float]()
        for number, side in enumerate(sides):
            self._place([vec + np.array(side) for vec in seen], 1.0)
            for q in (*postures[:-1:SKIP], postures[-1]):
                self._all_qpos[self._qpos] = q
                mujoco.mj_kinematics(model, data)
                for pair in pairs:
                    gap = mujoco.mj_geomDistance(model, data, *pair, self._sight, None)
                    found[number, pair] = min(gap, found.get((number, pair), math.inf))
        return {part: gap for part, gap in found.items() if gap < self._clearance}

    def _place(self, seen: Sequence[Vec], share: float) -> None:
        """Put the placed bodies where they are seen, at a share of their rise."""
        for (_, place, top, stands), (x, y, height) in zip(self._placed, seen, strict=True):
            place[:] = x, y, stands + share * max(0.0, height - top)

    def _shares(self, seen: Sequence[Vec]) -> list[float]:
        """Shares of their rise at which the placed bodies are looked at.

        A body that is sensed higher than it is modelled may be a taller one that stands there: then it
        reaches from where it stands up to where it is sensed.
        """
        risen = max(
            (place[2] - top for (_, _, top, _), place in zip(self._placed, seen, strict=True)), default=0.0
        )
        if risen <= THIN:
            return [1.0]
        count = math.ceil(risen / STOREY)
        return [number / count for number in range(count + 1)]

    def _top(self, body: int) -> float:
        """Height [m] of the highest point of a body's geoms, in the model's own pose."""
        model, data = self._model, self._data
        first = int(model.body_geomadr[body])
        geoms = range(first, first + int(model.body_geomnum[body]))
        up = [data.geom_xmat[geom].reshape(3, 3)[2] for geom in geoms]
        centre = [float(axis @ model.geom_aabb[geom, :3]) for axis, geom in zip(up, geoms, strict=True)]
        half = [float(np.abs(axis) @ model.geom_aabb[geom, 3:]) for axis, geom in zip(up, geoms, strict=True)]
        heights = [data.geom_xpos[g, 2] + c + h for g, c, h in zip(geoms, centre, half, strict=True)]
        return max(map(float, heights), default=math.inf)

    def depth(self, q: Vec, places: Sequence[Vec]) -> float:
        """Deepest penetration [m] of a placed body into the arm at posture q (J,) [rad]; 0 if none."""
        seen = [places[at] for at, *_ in self._placed]
        if not all(math.isfinite(sum(vec.tolist())) for vec in (q, *seen)):
            return math.inf
        deepest = 0.0
        for share in self._shares(seen):
            self._place(seen, share)
            self._look(q)
            told = self._boxes.told(self._data)
            deepest = max(
                [deepest, *(-gap for pair, gap, _ in told if self._placed_geoms.intersection(pair))]
            )
        return deepest

    def name(self, pair: Pair) -> str:
        """Names of both geoms, for messages."""
        names = (self._model.geom(geom).name or f"geom {geom}" for geom in pair if geom >= 0)
        return " and ".join(names) or "unknown"

    def _look(self, q: Vec) -> float:
        """Smallest distance [m] at this posture; the contact pairs are then in the scratch state."""
        self._all_qpos[self._qpos] = q
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_collision(self._model, self._data)
        gaps = self._gaps() if self._data.ncon or self._boxes else []
        return min(self._sight, min(gaps)) if gaps else self._sight

    def _gaps(self) -> list[float]:
        """Distances (N,) [m] of the pairs in the scratch state."""
        if not (self._boxes or any(self._tolerance)):
            plain: list[float] = self._data.contact.dist.tolist()
            return plain
        return [self._surely(*told) for told in self._boxes.told(self._data)]

    def _surely(self, pair: Pair, gap: float, up: float) -> float:
        """A distance [m] less what the placed ones of the pair may stand closer, in a direction that is
        vertical to a share `up`."""
        # Convex bodies: along the shortest connection each leaves the other a half-space, and a body that is
        # moved comes into it by no more than its way in that direction.
        if self._placed_geoms.isdisjoint(pair):
            return gap
        beside, above = self._tolerance
        for _ in self._placed_geoms.intersection(pair):
            gap -= beside * math.sqrt(max(0.0, 1.0 - up * up)) + above * abs(up)
        return gap

    def _gap(self, q: Vec, close: dict[Pair, float]) -> float:
        """Smallest distance [m] at this posture; pairs that are too close are noted."""
        gap = self._look(q)
        if gap < self._clearance:
            self._note(close)
        return gap

    def _note(self, close: dict[Pair, float]) -> None:
        for (pair, *_), gap in zip(self._boxes.told(self._data), self._gaps(), strict=True):
            if gap < self._clearance:
                close[pair] = min(gap, close.get(pair, math.inf))
