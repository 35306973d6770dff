"""Arms between the gate's decisions and the cell: one that follows at once, and one as a driver moves it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sim.pouring import cell_model as geometry
from sim.pouring.cell import PourCell
from sim.pouring.controller import PERIOD, JointTrajectoryController, PositionServo, bounded
from sim.pouring.gen3 import GEN3_LIMITS
from spillguard_core.gate.decision import Decision, GateConfig
from spillguard_core.gate.trajectory import Trajectory, braking_trajectory
from spillguard_core.robot.arm import Vec

CONTINUOUS = np.isinf(GEN3_LIMITS.position_max)
UPDATES = round(geometry.TIMESTEP / PERIOD)  # of the controller in a physics step
SOONEST = 1e-9  # [s] a stamp of 0 would mean none


class ArmController(Protocol):
    """What the driver runs, once every `PERIOD`."""

    command: Vec  # (7,) [rad]
    velocity: Vec  # (7,) [rad/s] of the command

    def update(self, now: float, q: Vec, qd: Vec) -> Vec:
        """The command (7,) [rad] from `now` [s] on, at the measured state q, qd (7,) [rad, rad/s]."""


class Drive:
    """A controller and the position servos that it tells, at their own rate."""

    def __init__(self, controller: ArmController, q: Vec, lag: float, *, bounds: Vec | None = None) -> None:
        """At rest at q (7,) [rad]; `lag` [s] of the servos; `bounds` (7,) [rad/s] for what they are told."""
        self.controller, self.servo = controller, PositionServo(q, lag)
        self.told = q
        """(7,) [rad] position that the servos were last told."""
        self._bounds = bounds

    def advance(
        self, start: float, period: float, timestep: float, arrive: Callable[[float], None] = lambda now: None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Where the servos are, (N, 7) [rad] and [rad/s], at the end of each physics step of `timestep` [s].

        `start`, `period` [s]: when the controller's updates begin, and for how long. `arrive` is called with
        the time of each update before it.
        """
        states = [(self.servo.q, self.servo.qd)]
        for update in range(round(period / PERIOD)):
            now = start + update * PERIOD
            arrive(now)
            command = self.controller.update(now, self.servo.q, self.servo.qd)
            if self._bounds is not None:
                command = bounded(command, self.told, self._bounds)
            self.servo.update(command)
            self.told = command
            states.append((self.servo.q, self.servo.qd))
        # A step may end between two updates.
        at = timestep / PERIOD * np.arange(1, round(period / timestep) + 1)
        before = np.minimum((at + 1e-9).astype(int), len(states) - 1)
        after, share = np.minimum(before + 1, len(states) - 1), np.maximum(at - before, 0.0)[:, None]
        q, qd = (np.array(part) for part in zip(*states, strict=True))
        return q[before] + share * (q[after] - q[before]), qd[before] + share * (qd[after] - qd[before])


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
        self._now, self._rng = 0.0, np.random.default_rng([seed, 4])  # the cell's own stream is that of seed
        self._controller = JointTrajectoryController(q, CONTINUOUS, from_desired=self.from_desired)
        self._drive = Drive(self._controller, q, self.lag)
        self._under_way.clear()

    def follow(self, cell: PourCell, decision: Decision, config: GateConfig) -> None:
        """See `Arm`."""
        if decision.send:
            path, stamp = braking_trajectory(decision, config), max(self._now, SOONEST)
            if not self.stamped:
                path, stamp = without_past(path), 0.0
            self._under_way.append((self._now + float(self._rng.uniform(*self.delay)), stamp, path))
        cell.follow(*self._drive.advance(self._now, config.period, cell.domain.timestep, self._arrive))
        self._now += config.period

    def _arrive(self, now: float) -> None:
        while self._under_way and self._under_way[0][0] <= now:
            _, stamp, path = self._under_way.pop(0)
            self._controller.accept(path, stamp, now)


def without_past(path: Trajectory) -> Trajectory:
    """Only where the coast ends, if there is one, and where the arm rests: what has to be joined."""
    first = len(path.times) - (2 if len(path.times) > 3 else 1)
    return Trajectory(path.times[first:], path.positions[first:], path.velocities[first:])
