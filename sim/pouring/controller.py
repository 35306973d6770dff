"""The controllers between the command topics and the arm's servos: ros2_control's joint_trajectory_controller
and forward_command_controller. The second only hands on.

The first samples as the C++ class was measured to (release 5.17, Kilted; recorded in
tests/data/jtc_reference.npz): a new message replaces the old one whole and is
joined to where the arm is measured to be, or to the last command where
`interpolate_from_desired_state` is set. A message whose first point lies at time 0 is joined to nothing: from
its stamp on, the command is on its path.

Shapes: J joints. Times in seconds on the caller's clock.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spillguard_core.gate.trajectory import Trajectory, sample
from spillguard_core.robot.arm import Vec

PERIOD = 0.001  # [s] at which ros2_kortex runs it


class _Joined(NamedTuple):
    """A trajectory with the state before its first point."""

    trajectory: Trajectory
    start: float  # of the trajectory's time
    before: float  # time of the state before
    q: Vec  # (J,) [rad]
    qd: Vec  # (J,) [rad/s]


class JointTrajectoryController:
    """Position commands, once every `PERIOD`."""

    def __init__(
        self, q: Vec, continuous: NDArray[np.bool_] | None = None, *, from_desired: bool = True
    ) -> None:
        """Hold q (J,) [rad] until told otherwise. `continuous` (J,): joints that are joined the short way
        round. `from_desired`: the parameter interpolate_from_desired_state."""
        self.command = q.copy()
        """(J,) [rad] for the position servos."""
        self.velocity = np.zeros_like(q)
        """(J,) [rad/s] of the command; no servo is told."""
        self._continuous = np.zeros(len(q), dtype=bool) if continuous is None else continuous
        self._from_desired = from_desired
        self._new: tuple[Trajectory, float] | None = None
        self._joined: _Joined | None = None
        self._last = math.nan  # time of the last update

    def accept(self, trajectory: Trajectory, stamp: float, now: float) -> None:
        """Follow `trajectory` from the next update on. `stamp`: when its time begins; 0: with that update.

        ValueError if it is over already: the old one is kept.
        """
        if stamp != 0.0 and stamp + float(trajectory.times[-1]) < now:
            over = now - stamp - float(trajectory.times[-1])
            raise ValueError(f"the trajectory ended {over:.3f} s ago: is there one clock for both sides?")
        self._new = trajectory, stamp

    def update(self, now: float, q: Vec, qd: Vec) -> Vec:
        """The command (J,) [rad] from `now` on, for the time one period later.

        q, qd (J,): the measured state.
        """
        if self._new is not None:
            (trajectory, stamp), self._new = self._new, None
            start = stamp if stamp != 0.0 else now
            if self._from_desired and not math.isnan(self._last):
                last = min(self._last, now)  # the clock may have been set back
                self._joined = _Joined(trajectory, start, last, self.command, self.velocity)
            else:
                self._joined = _Joined(trajectory, start, now, self._near(q, trajectory), qd)
        if self._joined is not None:
            self.command, self.velocity = self._sampled(now + PERIOD, self._joined)
            self._last = now
        return self.command

    def _near(self, q: Vec, trajectory: Trajectory) -> Vec:
        """q (J,), continuous joints in the turn that is closest to the first point."""
        turns = np.round((trajectory.positions[0] - q) / (2.0 * np.pi))
        return q + 2.0 * np.pi * np.where(self._continuous, turns, 0.0)

    @staticmethod
    def _sampled(at: float, joined: _Joined) -> tuple[Vec, Vec]:
        trajectory, start, before, q, qd = joined
        if at - start >= trajectory.times[0]:
            return sample(trajectory, at - start, q, qd)
        begin = trajectory.times[:1] + (start - before)  # of the first point, from the state before
        first = Trajectory(begin, trajectory.positions[:1], trajectory.velocities[:1])
        return sample(first, at - before, q, qd)


class ForwardController:
    """ros2_control's forward_command_controller: the newest command, and the last one for ever."""

    def __init__(self, q: Vec) -> None:
        """Hold q (J,) [rad] until told otherwise."""
        self.command = q.copy()
        """(J,) [rad] for the position servos."""
        self.velocity = np.zeros_like(q)
        """(J,) [rad/s] by the last two commands; no servo is told."""
        self._waiting: list[tuple[float, Vec]] = []

    def accept(self, positions: Vec, now: float) -> None:
        """Take positions (J,) [rad] that came at `now`. ValueError for others; the ones before are kept."""
        if positions.shape != self.command.shape or not np.isfinite(positions).all():
            raise ValueError(f"{self.command.size} finite positions are needed, got {positions.tolist()}")
        self._waiting.append((now, positions.copy()))

    def update(self, now: float, q: Vec, qd: Vec) -> Vec:
        """As `JointTrajectoryController.update`; the state makes no difference."""
        del q, qd
        before = self.command
        while self._waiting and self._waiting[0][0] <= now:
            _, self.command = self._waiting.pop(0)
        self.velocity = (self.command - before) / PERIOD
        return self.command


class PositionServo:
    """Position loops of an arm that is told positions alone: a first-order lag, without feed-forward."""

    def __init__(self, q: Vec, lag: float) -> None:
        """At rest at q (J,) [rad]; `lag` [s], 0 follows at once."""
        self.q, self.qd = q.copy(), np.zeros_like(q)
        self._share = 1.0 - math.exp(-PERIOD / lag) if lag > 0.0 else 1.0

    def update(self, command: Vec) -> None:
        """One `PERIOD` with this command (J,) [rad]."""
        step = self._share * (command - self.q)
        self.q, self.qd = self.q + step, step / PERIOD


def bounded(command: Vec, before: Vec, velocity: Vec) -> Vec:
    """The command (J,) [rad], no further from the one `before` than the speeds (J,) [rad/s] allow in a
    period: `enforce_command_limits` of ros2_control. What is left over is made up in later periods.
    """
    reach = velocity * PERIOD
    kept: Vec = np.where(
        np.abs(command - before) > reach, before + np.clip(command - before, -reach, reach), command
    )
    return kept
