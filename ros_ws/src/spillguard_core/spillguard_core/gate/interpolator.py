"""Positions at a fixed rate from verified trajectories, for a controller that takes positions as they are.

Two stages, each simple enough that its bound can be read off:

    1  The *reference* follows the newest trajectory, `delay` after its stamps. A trajectory that is there
       before its beginning is due continues the one before without a seam, since every decision begins on the
       path of the last one. One that comes later, or after others were lost, is joined by a cubic: it takes
       the difference in position and velocity to zero, within `JOINING` of the acceleration limit and `HURRY`
       of the speed limit. So position and velocity of the reference are continuous, and its acceleration is
       at most `MOST` times the limit a: `PEAK` a of the path, which may cross the corner between coast and
       braking in one cubic, and `JOINING` a.
    2  What is sent is the *mean* of the last N samples of the reference, which take W = N / rate. Its third
       difference is the difference of two second ones over N, so the jerk is at most 2 MOST a / W, and W
       follows from the robot's limit. After N samples at rest it is at rest, in the same place.

How far that is from what was verified: the mean lies between the last N samples. It trails the reference by
W / 2, which with `delay` is part of the gate's `tracking_lag`; beside that it leaves it by at most
MOST a W^2 / 24, for the Gen3 0.17 mrad, a third of what counts as off the command at all (`rule.STRAYED`).
While it joins a late trajectory the reference is up to `max_deviation` off the path. To the gate that is
tracking error: margins count from where the arm is measured, too, and above `max_tracking_error` it stops.

The sequence of samples has these bounds whatever comes when: messages late, lost, twice, out of order or from
the future, and a process that was kept waiting. What was missed in a short pause comes all at once; after a
longer one the path goes on from where it stood, and the next trajectory is joined as if it were late. What
cannot be joined within `max_deviation` is refused: the trajectory before it ends at rest. Joints without end
stops are joined the short way round.

Shapes: P points, J joints, N samples. Times in seconds on the caller's steady clock.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from spillguard_core.gate.trajectory import Trajectory, sample
from spillguard_core.robot.arm import TWO_PI, ArmLimits, Vec, all_finite

PEAK = 4.0 / 3.0  # of the acceleration limit, that a verified path reaches
JOINING = 0.6  # of the acceleration limit, for joining
HURRY = 0.1  # of the speed limit, for catching up; bundles keep to nine tenths of it
MOST = 2.0  # of the acceleration limit, that the reference reaches; more than PEAK + JOINING, for rounding
AHEAD = 0.05  # [s] by which a trajectory may begin in the future
CATCH_UP = (
    0.008  # [s] of samples that are made up for at once: less than servos trail, so they only slow down
)
EARLY = 0.1  # periods by which a sample may be made too early
ROUNDED = 2e-8  # [rad]; times of messages are whole nanoseconds, which a short part of a path feels
EXACT = 1e-6  # relative


@dataclass(frozen=True, eq=False)
class _Join:
    """A cubic from a difference to none."""

    begun: float  # [s]
    length: float  # [s]
    q: Vec  # (J,) [rad]
    qd: Vec  # (J,) [rad/s]

    def at(self, t: float) -> tuple[Vec, Vec]:
        """Difference in position and velocity, each (J,)."""
        if not t < self.begun + self.length:
            return np.zeros_like(self.q), np.zeros_like(self.qd)
        x = (t - self.begun) / self.length
        q = self.q * (1.0 - 3.0 * x**2 + 2.0 * x**3) + self.qd * self.length * x * (1.0 - x) ** 2
        qd = self.q * 6.0 * x * (x - 1.0) / self.length + self.qd * (1.0 - x) * (1.0 - 3.0 * x)
        return q, qd

    @property
    def widest(self) -> float:
        """Bound [rad] of the difference: what it begins with, and how far its velocity carries it."""
        return float((np.abs(self.q) + 4.0 / 27.0 * self.length * np.abs(self.qd)).max())


def _join(begun: float, q: Vec, qd: Vec, limits: ArmLimits) -> _Join:
    """The shortest one for all joints, from a difference of q [rad] and qd [rad/s], each (J,)."""
    gap, speed, most = np.abs(q), np.abs(qd), JOINING * limits.acceleration
    # The acceleration of the cubic is largest at one of its ends: 6 gap / T^2 + 4 speed / T.
    length = (2.0 * speed + np.sqrt(4.0 * speed**2 + 6.0 * most * gap)) / most
    return _Join(begun, float(np.maximum(length, 1.5 * gap / (HURRY * limits.velocity)).max()), q, qd)


@dataclass(frozen=True, eq=False)
class _Part:
    """Of the reference: a trajectory, from a time on."""

    begun: float  # [s]
    start: float  # [s] at which the trajectory's time begins
    trajectory: Trajectory
    join: _Join

    def state(self, t: float) -> tuple[Vec, Vec]:
        """Position and velocity, each (J,)."""
        q, qd = sample(self.trajectory, t - self.start, self.trajectory.positions[0], self.join.qd)
        more_q, more_qd = self.join.at(t)
        return q + more_q, qd + more_qd

    def over(self, t: float) -> bool:
        """Whether it is at rest from `t` on."""
        return t >= max(self.start + float(self.trajectory.times[-1]), self.join.begun + self.join.length)

    def later(self, wait: float) -> "_Part":
        """The same after `wait` [s]."""
        join = replace(self.join, begun=self.join.begun + wait)
        return _Part(self.begun + wait, self.start + wait, self.trajectory, join)


def window(limits: ArmLimits, rate: float) -> int:
    """Number N of samples, `rate` of them a second, whose mean keeps the jerk limit.

    ValueError for an arm that has none.
    """
    if limits.jerk is None:
        raise ValueError("the robot has no jerk limit; positions cannot be streamed without one")
    seconds = float((2.0 * MOST * limits.acceleration / limits.jerk).max())
    return max(1, math.ceil(seconds * rate - EXACT))


class PositionInterpolator:
    """Streams from the posture in which the arm is. Not thread-safe."""

    def __init__(
        self, q: Vec, now: float, limits: ArmLimits, rate: float, delay: float, max_deviation: float
    ) -> None:
        """At rest at the measured q (J,) [rad], for `rate` samples a second from `now` on.

        `delay` [s]: for how long a trajectory may be under way without being late. `max_deviation` [rad]: how
        far the reference may leave the path while it joins it. ValueError for a posture that is none, and for
        an arm without a jerk limit.
        """
        if q.shape != limits.velocity.shape or not all_finite(q):
            raise ValueError(f"the measured posture has to be {limits.velocity.size} numbers, got {q}")
        self._limits, self._period, self._delay = limits, 1.0 / rate, delay
        self._max_deviation = max_deviation
        self._turns = np.array([bool(turn) for turn in limits.turn])
        still = np.zeros_like(q)
        rest = Trajectory(np.zeros(1), q[None].copy(), still[None])
        self._parts = [_Part(-math.inf, now - delay, rest, _Join(now - delay, 0.0, still, still))]
        self._newest = -math.inf  # [s] start of the newest trajectory that was accepted
        self._samples = np.tile(q, (window(limits, rate), 1))
        self._time, self._begun = now, False  # [s] of the last sample; whether there was one
        self.pauses = 0
        """How often the stream was kept waiting for too long."""

    def accept(self, trajectory: Trajectory, start: float, now: float) -> None:
        """Follow `trajectory`, whose time begins at `start`. ValueError says why it is refused."""
        fault = trajectory_fault(trajectory, self._limits)
        if fault:
            raise ValueError(fault)
        played = self._time - self._delay
        if not start > self._newest:
            raise ValueError(f"it begins {self._newest - start:.3f} s before one that was here already")
        if not start <= now + AHEAD:
            raise ValueError(f"it begins {start - now:.3f} s from now: is there one clock for both sides?")
        if not start + float(trajectory.times[-1]) >= now - self._delay:
            raise ValueError(f"it ended {now - start - float(trajectory.times[-1]):.3f} s ago")
        begun = max(start, played)
        parts = [part for part in self._parts if part.begun <= begun]
        q, qd = parts[-1].state(begun)
        turned = self._turned(trajectory, q)
        onto_q, onto_qd = sample(turned, begun - start, turned.positions[0], turned.velocities[0])
        join = _join(begun, q - onto_q, qd - onto_qd, self._limits)
        if not join.widest <= self._max_deviation:
            raise ValueError(
                f"it is up to {join.widest:.4f} rad from what is streamed, allowed {self._max_deviation} rad"
            )
        self._parts, self._newest = [*parts, _Part(begun, start, turned, join)], start

    def advance(self, now: float) -> list[Vec]:
        """The samples that are due, each (J,) [rad]; to be called once a period. As a rule it is one."""
        if not self._begun:  # the grid of the samples is the caller's
            self._time, self._begun = min(self._time, now - self._period), True
        due = math.floor((now - self._time) / self._period + EARLY)
        if due > 1 and due * self._period > CATCH_UP:
            wait, self.pauses = now - self._time - self._period, self.pauses + 1
            self._parts = [part.later(wait) for part in self._parts]
            self._time, due = self._time + wait, 1
        return [self._sample() for _ in range(due)]

    def _sample(self) -> Vec:
        self._time += self._period
        played = self._time - self._delay
        while len(self._parts) > 1 and self._parts[1].begun <= played:
            del self._parts[0]
        q, _ = self._parts[0].state(played)
        self._samples = np.concatenate([self._samples[1:], q[None]])
        # Differences, so that the mean of equal samples is equal to the bit.
        sent: Vec = q + (self._samples - q).mean(axis=0)
        return sent

    @property
    def at_rest(self) -> bool:
        """Whether the last sample was the posture in which everything accepted so far ends."""
        newest = self._parts[-1]
        rests = newest.over(self._time - self._delay) and newest is self._parts[0]
        return rests and bool((self._samples == newest.trajectory.positions[-1]).all())

    def _turned(self, trajectory: Trajectory, q: Vec) -> Trajectory:
        """The trajectory with continuous joints in the turn that is closest to q (J,) [rad]."""
        turns = np.where(self._turns, np.round((q - trajectory.positions[0]) / TWO_PI), 0.0)
        if not turns.any():
            return trajectory
        return replace(trajectory, positions=trajectory.positions + TWO_PI * turns)


def trajectory_fault(trajectory: Trajectory, limits: ArmLimits) -> str:
    """Why no gate with these limits sends such a trajectory; empty if it may."""
    times, q, qd = trajectory.times, trajectory.positions, trajectory.velocities
    points, joints = len(times), limits.velocity.size
    if not (points and times.shape == (points,) and q.shape == qd.shape == (points, joints)):
        return f"a trajectory needs points of {joints} joints, got {times.shape}, {q.shape} and {qd.shape}"
    if not all(map(all_finite, (times, q.ravel(), qd.ravel()))):
        return "times, positions and velocities must be finite"
    span = np.diff(times)
    if times[0] != 0.0 or not (span > 0.0).all():
        return f"times have to begin at 0 and to increase, got {times.tolist()} s"
    if qd[-1].any():
        return f"the last point must be at rest, got {qd[-1].tolist()} rad/s"
    if not ((q >= limits.position_min - EXACT) & (q <= limits.position_max + EXACT)).all():
        return "it leaves the position limits"
    if not (np.abs(qd) <= (1.0 + EXACT) * limits.velocity).all():
        return "it is faster than the velocity limits"
    if points > 1 and not _accelerates_within(span[:, None], q, qd, limits.acceleration):
        return "it accelerates beyond the limits"
    return ""


def _accelerates_within(span: Vec, q: Vec, qd: Vec, acceleration: Vec) -> bool:
    """Whether the cubics between points do; `span` (P - 1, 1) [s]. It is largest at their ends."""
    mean, change = np.diff(q, axis=0) / span, np.diff(qd, axis=0)
    bend = 6.0 * np.abs(mean - 0.5 * (qd[1:] + qd[:-1]))
    most = (np.abs(change) + bend) / span
    return bool((most <= (1.0 + EXACT) * PEAK * acceleration + ROUNDED / span**2).all())
