"""Does any arm stay inside its limits, whatever is proposed and whenever decisions come?

Sequences of constant and changing proposals, single actions and chunks, from a random posture. Decisions
come 1 to 200 ms apart, evenly or at random, and each sequence ends in silence. The arm is ideal and follows
its path exactly, or it is a joint trajectory controller that receives each message late. The whole path,
silence included, is checked every few milliseconds. No physics: only what the gate allows is checked. For the
pouring arm, its cup and its tilt `sim/pouring/spacing.py` does the same.

Shapes: J joints, A entries of the action.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from sim.pouring.controller import PERIOD, JointTrajectoryController
from sim.pouring.deployed_config import deployed_config
from sim.pouring.guarded import seen_at_rest
from spillguard_core.bundle.bundle import LONGEST_CHUNK, Bundle
from spillguard_core.gate.decision import Chunk, Inputs, Measurement, Proposal, Request
from spillguard_core.gate.gate import decide
from spillguard_core.gate.task import Carrier
from spillguard_core.gate.trajectory import Trajectory, braking_trajectory, state_at
from spillguard_core.robot.arm import Vec

KINDS = ("stubborn", "bang-bang", "uniform", "down")
SPACINGS = (0.002, 0.005, 0.010, 0.020, 0.030, 0.050, 0.100, 0.200)  # [s] longest one of a sequence
SHORTEST = 0.001  # [s]
APPROACH, DECISIONS = 25, 20  # at the nominal rate, then at the drawn spacing
SILENCE = 1.5  # [s]
LOOK = 0.005  # [s] between two checks of the arm
STATE_TIMEOUT = 1.0  # [s] longer than deployed, so that late decisions do not just stop
LATEST = 0.004  # [s] longest delay of a message to the controller
STILL = 1e-6  # [rad/s]
SLACK = 1e-3  # [m, rad] between two postures that the gate samples
NUDGE = 1e-5  # [rad]
SOONEST = 1e-9  # [s] a stamp of 0 would mean none
AWAY = 0.01  # [m, rad] from every limit at the start
ROOM = 2.0  # [m] half width of a workspace box too wide to have an effect
MOST_DRAWS = 100_000
CHUNKED = 0.3  # share of the sequences whose proposals are chunks
MOST_ACTIONS = 30  # of a chunk
PERIODS = (0.005, 0.1)  # [s] between two actions of a chunk
MOST_AGE = 0.04  # [s] of the state that a chunk answers
STEP = 0.2  # [rad] of a joint between two positions of a tame chunk


@dataclass(frozen=True)
class Sequence:
    """The smallest margins on the path of one sequence, negative beyond a limit."""

    kind: str  # of the proposals
    spacing: float  # [s] longest between two decisions
    exact: bool  # the arm was exactly on its path
    joint: float  # [rad]
    speed: float  # [rad/s] of the arm's own limits; a bundle keeps to less, because messages come late
    workspace: float  # [m] of the tool
    clearance: float  # [m] beyond the required clearance
    moved: float  # [rad] of a joint, at most
    chunked: bool
    at_rest: bool

    @property
    def safe(self) -> bool:
        """At rest, and no limit broken by more than can happen between two postures that the gate samples. A
        controller that gets messages late joins the verified path in its own way."""
        slack = SLACK if self.exact else 2.0 * SLACK
        return self.at_rest and min(self.joint, self.speed, self.workspace, self.clearance) >= -slack


class Sequences:
    """A gate for one bundle, and its arm."""

    def __init__(self, bundle: Bundle, seed: int) -> None:
        self._robot, self._task = bundle.robot, bundle.task
        self._deployed = replace(
            deployed_config(bundle, None), state_timeout=STATE_TIMEOUT, longest_chunk=LONGEST_CHUNK
        )
        self._models, self._rng = bundle.models(self._deployed), np.random.default_rng(seed)

    def sequence(self) -> Sequence:
        """The next one."""
        rng = self._rng
        kind, spacing, exact = str(rng.choice(KINDS)), float(rng.choice(SPACINGS)), bool(rng.random() < 0.7)
        self._begin(wide=bool(rng.random() < 0.5), exact=exact)
        chunked = bool(rng.random() < CHUNKED)
        even, start = bool(rng.random() < 0.5), self._q
        says = self._chunks(self._proposals(kind)) if chunked else self._single(self._proposals(kind))
        for number in range(APPROACH + DECISIONS):
            self._decide(next(says), {0: (Request.RESET,), 1: (Request.RESUME,)}.get(number, ()))
            late = spacing if even else float(rng.uniform(SHORTEST, spacing))
            self._pass_time(self._config.period if number < APPROACH else late)
        self._pass_time(SILENCE)
        joint, speed, workspace, clearance = np.min(self._margins, axis=0).tolist()
        still = bool((np.abs(self._qd) < STILL).all())
        moved = float(np.abs(self._q - start).max())
        return Sequence(kind, spacing, exact, joint, speed, workspace, clearance, moved, chunked, still)

    def _begin(self, *, wide: bool, exact: bool) -> None:
        limits = self._deployed.limits
        if wide:
            limits = replace(limits, workspace_min=np.full(3, -ROOM), workspace_max=np.full(3, ROOM))
        self._config = replace(self._deployed, limits=limits)
        self._q, self._qd, self._now, self._exact = self._posture(), np.zeros(self._joints), 0.0, exact
        turns = np.array(limits.turn) > 0.0
        self._controller = JointTrajectoryController(self._q, turns)
        self._margins: list[list[float]] = []
        self._under_way: list[tuple[float, float, Trajectory]] = []  # arrival, stamp, message
        self._decision = seen_at_rest(self._measured(), self._config, self._models)

    @property
    def _joints(self) -> int:
        return len(self._robot.joint_names)

    def _posture(self) -> Vec:
        """A random one, away from every limit."""
        limits = self._config.limits
        low, high = (np.where(np.isinf(end), sign * np.pi, end) for end, sign in
                     ((limits.position_min, -1.0), (limits.position_max, 1.0)))  # fmt: skip
        for _ in range(MOST_DRAWS):
            q = self._rng.uniform(
                np.maximum(low, self._robot.rest - 1.5), np.minimum(high, self._robot.rest + 1.5)
            )
            if min(self._of_joints(q), self._of_tool(q)) >= AWAY and self._of_world(q) >= AWAY:
                return q
        raise ValueError(f"{self._robot.name} has no posture inside its limits around its rest posture")

    def _measured(self) -> Measurement:
        sensed = {sensor.name: np.zeros(sensor.kind.width) for sensor in self._task.sensors}
        return Measurement(self._q, self._qd, sensed)

    def _decide(self, proposal: Proposal, requests: tuple[Request, ...]) -> None:
        now = self._now
        inputs = Inputs(now, self._measured(), now, now, now, proposal, requests)
        self._decision = decide(inputs, self._decision, self._config, self._models)
        if self._decision.send and not self._exact:
            path, late = (
                braking_trajectory(self._decision, self._config),
                float(self._rng.uniform(0.0, LATEST)),
            )
            self._under_way.append((now + late, max(now, SOONEST), path))

    def _pass_time(self, duration: float) -> None:
        end = self._now + duration
        while self._now < end - 1e-9:
            step = min(LOOK if self._exact else PERIOD, end - self._now)
            if self._exact:
                self._now += step
                if self._decision.anchored:
                    since = self._now - self._decision.decided
                    self._q, self._qd = state_at(self._decision, since, self._decision.coast, self._config)
            else:
                while self._under_way and self._under_way[0][0] <= self._now:
                    _, stamp, path = self._under_way.pop(0)
                    self._controller.accept(path, stamp, self._now)
                before = self._q
                self._q = self._controller.update(self._now, self._q, self._qd)
                self._qd = (self._q - before) / PERIOD
                self._now += step
            self._look()

    def _look(self) -> None:
        speed = float((self._robot.limits.velocity - np.abs(self._qd)).min())
        self._margins.append([
            self._of_joints(self._q), speed, self._of_tool(self._q),
            self._of_world(self._q) - self._config.clearance,
        ])  # fmt: skip

    def _of_joints(self, q: Vec) -> float:
        limits = self._config.limits
        return float(min((q - limits.position_min).min(), (limits.position_max - q).min()))

    def _of_tool(self, q: Vec) -> float:
        limits, tool = self._config.limits, self._models.tool.pose(q).position
        return float(min((tool - limits.workspace_min).min(), (limits.workspace_max - tool).min()))

    def _of_world(self, q: Vec) -> float:
        """[m] to the nearest thing. MuJoCo's distance of two shapes may be wrong at one posture in millions
        and right beside it: what is broken is broken there, too."""
        world = self._models.world
        assert world is not None
        least = world.near([q], []).least
        if least < self._config.clearance - SLACK:
            least = max(least, *(world.near([q + by], []).least for by in (-NUDGE, NUDGE)))
        return least

    def _single(self, actions: Iterator[Vec]) -> Iterator[Proposal]:
        for action in actions:
            yield Proposal(action, self._now, self._now)

    def _chunks(self, actions: Iterator[Vec]) -> Iterator[Proposal]:
        """Each for some decisions, in answer to a state that was measured a little earlier."""
        rng, positions = self._rng, self._task.carrier is Carrier.POSITIONS
        while True:
            count, period = int(rng.integers(1, MOST_ACTIONS + 1)), float(rng.uniform(*PERIODS))
            if positions and rng.random() < 0.7:
                told = self._q + np.cumsum(rng.uniform(-STEP, STEP, (count, self._joints)), axis=0)
            else:
                told = np.array([next(actions) for _ in range(count)])
            chunk = Chunk(told, period * np.arange(1.0, count + 1.0))
            now, age = self._now, float(rng.uniform(0.0, MOST_AGE))
            for _ in range(int(rng.integers(1, DECISIONS))):
                yield Proposal(told[0], now, now - age, chunk)

    def _proposals(self, kind: str) -> Iterator[Vec]:
        rng, scale = self._rng, self._models.scale if self._task.aim is None else self._task.scale
        entries = len(scale)
        corner, down = rng.choice([-1.0, 1.0], entries), np.zeros(entries)
        for entry, axis in zip(*self._task.linear, strict=True):
            down[entry] = -1.0 if axis == 2 else 0.3 * corner[entry]
        while True:
            if kind == "stubborn":
                yield corner * scale
            elif kind == "bang-bang":
                yield rng.choice([-1.0, 1.0], entries) * scale
            elif kind == "down" and down.any():
                yield down * scale
            else:
                yield rng.uniform(-1.0, 1.0, entries) * scale


def run(bundle: Bundle, sequences: int, seed: int) -> Iterator[Sequence]:
    """So many of them from one seed."""
    bench = Sequences(bundle, seed)
    for _ in range(sequences):
        yield bench.sequence()
