"""Does the arm come to rest without breaking a limit, for any proposals and whenever they stop?

Sequences of random and adversarial proposals pass the gate and move the arm of the simulated cell, without
granules, through the arm's controller and servos that trail their command. Each ends in silence at a random
moment: the arm follows its last command, which ends at rest. The next sequence starts where the arm rests, so
that most of them start at the edge of the allowed set.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import mujoco
import numpy as np

from sim.pouring import cell_model as geometry
from sim.pouring.arms import SOONEST, UPDATES
from sim.pouring.cell import FASTEST, POSITION_TOLERANCE, SPEEDS, TOUCHED
from sim.pouring.controller import PERIOD, JointTrajectoryController, PositionServo
from sim.pouring.gen3 import NOMINAL_POSTURE
from sim.pouring.guarded import seen_at_rest
from sim.pouring.scenario import sample_scenario
from spillguard_core.gate.decision import Decision, GateConfig, Inputs, Measurement, Mode, Proposal, Request
from spillguard_core.gate.gate import Models, decide, initial_decision
from spillguard_core.gate.trajectory import braking_trajectory
from spillguard_core.robot.arm import Vec
from spillguard_core.tasks.pouring.action import ACTION_SCALE
from spillguard_core.tasks.pouring.observation import measured

SILENCE = 0.6  # [s] after the last command, within which the arm must have come to rest
STILL = 0.02  # [rad/s]
FRESH_START = 0.02  # share of sequences that start in a new cell
AWAY = 0.005  # [m] beyond the clearance, at a new start
SERVO_LAG = 0.02  # [s]
OPEN = 2.0  # [m] half width of a workspace box too wide to have an effect

EDGES = ("position", "workspace", "clearance")  # margins that the proposals try to violate


@dataclass(frozen=True)
class Ending:
    """Result of one sequence."""

    kind: str  # of the proposals
    edge: float  # [m, rad] smallest margin to a limit that the gate computed during the sequence
    contact: bool
    beyond: bool  # a joint or the lip outside its limits by more than the cell's tolerance
    too_fast: bool
    at_rest: bool

    @property
    def safe(self) -> bool:
        """No limit broken, and the arm at rest."""
        return self.at_rest and not (self.contact or self.beyond or self.too_fast)


class BrakingCell:
    """An arm between table, machine and receiving cup, behind the gate."""

    def __init__(self, models: Models, config: GateConfig, seed: int, wide: bool) -> None:
        """`wide`: the workspace box has no effect, so that joints reach end stops and the arm the table."""
        limits = config.limits
        if wide:
            limits = replace(limits, workspace_min=np.full(3, -OPEN), workspace_max=np.full(3, OPEN))
        self._models, self._config, self._wide = models, replace(config, limits=limits), wide
        self._rng = np.random.default_rng(seed)
        self._model = mujoco.MjModel.from_xml_string(geometry.cell_model_xml(0))
        self._data = mujoco.MjData(self._model)
        self._lead = -self._model.actuator_biasprm[:, 2] / self._model.actuator_gainprm[:, 0]
        self._now = 0.0
        self._start()

    def _start(self) -> None:
        """A new place for the cup, and the arm at the nominal posture, clear of it."""
        world, needed = self._models.world, self._config.clearance + AWAY
        while True:
            receiver = sample_scenario(self._rng).receiver_position
            self._target = np.array([*receiver, geometry.RIM_HEIGHT])
            if world is None or world.near([NOMINAL_POSTURE], [self._target]).least >= needed:
                break
        self._model.body("receiver").pos[:2] = receiver
        mujoco.mj_resetData(self._model, self._data)
        self._data.qpos[:7] = NOMINAL_POSTURE
        mujoco.mj_forward(self._model, self._data)
        self._decision = initial_decision(7, 4)
        self._controller = JointTrajectoryController(NOMINAL_POSTURE)
        self._servo = PositionServo(NOMINAL_POSTURE, SERVO_LAG)

    def _measured(self) -> Measurement:
        q, qd = self._data.qpos[:7].copy(), self._data.qvel[:7].copy()
        return measured(q, qd, 0.0, 0.1, self._target)

    def _move(self) -> None:
        """One monitor period: the controller follows its trajectory, and all limits are checked."""
        for update in range(round(self._config.period / PERIOD)):
            now = self._now + update * PERIOD
            self._servo.update(self._controller.update(now, self._servo.q, self._servo.qd))
            if (update + 1) % UPDATES:
                continue
            self._data.ctrl[:7] = self._servo.q + self._lead * self._servo.qd
            mujoco.mj_step(self._model, self._data)
            sensed = self._data.sensordata
            self._contact |= bool(sensed[TOUCHED].any())
            self._too_fast |= not (np.abs(sensed[SPEEDS]) <= FASTEST).all()
        self._now += self._config.period
        limits, measured = self._config.limits, self._data.qpos[:7]
        inside = (measured >= limits.position_min - POSITION_TOLERANCE) & (
            measured <= limits.position_max + POSITION_TOLERANCE
        )
        lip = self._data.site("lip").xpos
        boxed = (lip >= limits.workspace_min - POSITION_TOLERANCE) & (
            lip <= limits.workspace_max + POSITION_TOLERANCE
        )
        self._beyond |= not (inside.all() and boxed.all())

    def _decide(self, proposal: Proposal | None, *requests: Request) -> Decision:
        now = self._now
        inputs = Inputs(now, self._measured(), now, now, now, proposal, requests)
        self._decision = decide(inputs, self._decision, self._config, self._models)
        if self._decision.send:
            path = braking_trajectory(self._decision, self._config)
            self._controller.accept(path, max(now, SOONEST), now)
        return self._decision

    def _proposals(self) -> tuple[str, Iterator[Vec]]:
        """A kind of adversary and its proposals, one every five periods."""
        rng = self._rng
        kind = str(rng.choice(["bang-bang", "stubborn", "uniform", "towards the cup"]))
        corner = rng.choice([-1.0, 1.0], 4)
        down = rng.uniform(0.0, 1.0)

        def say() -> Iterator[Vec]:
            while True:
                if kind == "bang-bang":
                    yield rng.choice([-1.0, 1.0], 4) * ACTION_SCALE
                elif kind == "stubborn":
                    yield corner * ACTION_SCALE
                elif kind == "uniform":
                    yield rng.uniform(-1.0, 1.0, 4) * ACTION_SCALE
                else:
                    goal = np.add(self._target, [0.0, 0.0, -0.06 * down])
                    way = goal - self._data.site("lip").xpos
                    speed = np.append(way / max(float(np.abs(way).max()), 1e-6), corner[3])
                    yield speed * ACTION_SCALE

        return kind, say()

    def sequence(self) -> Ending:
        """Proposals for a while, then silence."""
        if self._decision.mode is Mode.STOPPED or self._rng.random() < FRESH_START:
            self._start()
        self._contact = self._beyond = self._too_fast = False
        kind, says = self._proposals()
        self._decision = seen_at_rest(self._measured(), self._config, self._models, self._now)
        self._decide(None, Request.RESET)
        self._move()
        edge, proposal = np.inf, None
        for tick in range(int(self._rng.integers(5, 45))):
            if tick % 5 == 0:
                proposal = Proposal(next(says), self._now, self._now)
            decision = self._decide(proposal, *((Request.RESUME,) if tick == 0 else ()))
            seen = decision.margins
            edge = min(edge, *(m for m in (seen[name] for name in EDGES) if m == m), np.inf)
            self._move()
        for _ in range(round(SILENCE / self._config.period)):
            self._move()
        still = bool((np.abs(self._data.qvel[:7]) < STILL).all())
        return Ending(kind, float(edge), self._contact, self._beyond, self._too_fast, still)


def run(models: Models, config: GateConfig, sequences: int, seed: int) -> Iterator[Ending]:
    """Run `sequences` of them, half in the cell's own workspace and half in a wide one."""
    cells = [BrakingCell(models, config, seed + wide, wide=bool(wide)) for wide in (0, 1)]
    for number in range(sequences):
        yield cells[number % 2].sequence()
