"""Arms between the gate's decisions and the cell: one that follows at once, and one as a driver moves it."""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from sim.pouring import cell_model as geometry
from sim.pouring.cell import PourCell
from sim.pouring.controller import PERIOD, JointTrajectoryController, PositionServo
from sim.pouring.gen3 import GEN3_LIMITS
from spillguard_core.gate.decision import Decision, GateConfig
from spillguard_core.gate.trajectory import Trajectory, braking_trajectory
from spillguard_core.robot.arm import Vec

CONTINUOUS = np.isinf(GEN3_LIMITS.position_max)
UPDATES = round(geometry.TIMESTEP / PERIOD)  # of the controller in a physics step
SOONEST = 1e-9  # [s] a stamp of 0 would mean none


class Arm(Protocol):
    """Moves a cell's arm."""

    def reset(self, q: Vec, seed: int) -> None:
        """At rest at q (7,) [rad]; `seed` of what is random."""

    def follow(self, cell: PourCell, decision: Decision, config: GateConfig) -> None:
        """One period of the gate after this decision."""


class IdealArm:
    """Is where it is told to be, as far as its position loops let it."""

    def reset(self, q: Vec, seed: int) -> None:
        """See `Arm`."""
        del seed
        self._q = q

    def follow(self, cell: PourCell, decision: Decision, config: GateConfig) -> None:
        """See `Arm`."""
        del config
        self._q, qd = (decision.q, decision.qd) if decision.send else (self._q, np.zeros(7))
        cell.advance(self._q[None], qd[None])


@dataclass
class DrivenArm:
    """Told by messages, which a trajectory controller turns into positions for servos that trail.

    In the monitor's form a message begins at time 0 and is stamped. With `stamped` off it is as it was sent
    before: without stamp and past, so that the controller has to join it.
    """

    lag: float = 0.02  # [s] of the servos
    delay: tuple[float, float] = (0.001, 0.005)  # [s] of a message, from and to
    stamped: bool = True
    from_desired: bool = True  # the controller's interpolate_from_desired_state
    _under_way: list[tuple[float, float, Trajectory]] = field(default_factory=list)

    def reset(self, q: Vec, seed: int) -> None:
        """See `Arm`."""
        self._now, self._rng = 0.0, np.random.default_rng(seed)
        self._controller = JointTrajectoryController(q, CONTINUOUS, from_desired=self.from_desired)
        self._servo = PositionServo(q, self.lag)
        self._under_way.clear()

    def follow(self, cell: PourCell, decision: Decision, config: GateConfig) -> None:
        """See `Arm`."""
        if decision.send:
            path, stamp = braking_trajectory(decision, config), max(self._now, SOONEST)
            if not self.stamped:
                path, stamp = without_past(path), 0.0
            self._under_way.append((self._now + float(self._rng.uniform(*self.delay)), stamp, path))
        targets = []
        for update in range(round(config.period / PERIOD)):
            now = self._now + update * PERIOD
            while self._under_way and self._under_way[0][0] <= now:
                _, stamp, path = self._under_way.pop(0)
                self._controller.accept(path, stamp, now)
            self._servo.update(self._controller.update(now, self._servo.q, self._servo.qd))
            if (update + 1) % UPDATES == 0:
                targets.append((self._servo.q, self._servo.qd))
        q, qd = (np.array(part) for part in zip(*targets, strict=True))
        cell.follow(q, qd)
        self._now += config.period


def without_past(path: Trajectory) -> Trajectory:
    """Only where the coast ends, if there is one, and where the arm rests: what has to be joined."""
    first = len(path.times) - (2 if len(path.times) > 3 else 1)
    return Trajectory(path.times[first:], path.positions[first:], path.velocities[first:])
