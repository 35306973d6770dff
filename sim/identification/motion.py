"""A recorded motion of an arm, the part of it that is fitted, and what its commands told the servos.

Shapes: K commands, T states, N grid points, J = 7 joints. Times [s] on the one clock of driver and monitor.
"""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sim.pouring.arms import CONTINUOUS
from sim.pouring.controller import PERIOD
from sim.pouring.domain import JOINTS, NOMINAL
from spillguard_core.gate.trajectory import Trajectory
from spillguard_core.robot.arm import Vec

MOVED = 0.01  # [rad] a joint has to go before its readings count: by then it has forgotten how it stood
FEWEST = 500  # states, five seconds at the rate of the monitor
SHORTEST = 5.0  # [s]
LONGEST = 90.0  # [s] of a recording that is used, from where the arm first moves
AROUND = 1.0  # [s] used before and after the motion
LOST = 0.5  # [s] without a state, or [rad] of a jump between two: the recording is cut there
JUMP = 0.1  # [rad]
OLDEST = 4  # messages of which the newest one that has arrived may be any


class IdentificationError(ValueError):
    """A recording that says too little. The message says what is missing and what to do."""


@dataclass(frozen=True, eq=False)
class ArmMotion:
    """Commands and states of one arm."""

    stamps: Vec  # (K,) when each command's time begins, increasing
    paths: tuple[Trajectory, ...]  # K
    times: Vec  # (T,) stamps of the states, increasing
    q: Vec  # (T, J) [rad] measured
    qd: Vec  # (T, J) [rad/s] measured
    effort: Vec | None  # (T, J) [N m] of the motors, gravity compensation included; None: not reported
    latencies: Vec  # (P,) from a measurement to the arrival of the proposal that answers it


class Commands:
    """What the controller tells the servos at times `at` (N,), for any delay of the messages.

    As `JointTrajectoryController` does with stamped messages: it is on the path of the newest one that has
    arrived. A message takes `delay` [s] and up to `jitter` [s] more, uniformly, and overtakes none; what is
    told here is the mean over that.
    """

    def __init__(self, motion: ArmMotion, at: Vec) -> None:
        newest = np.searchsorted(motion.stamps, at, side="right") - 1
        which = [np.clip(newest - age, 0, None) for age in range(OLDEST)]
        self._paths = [_sampled(motion, numbers, at) for numbers in which]
        self._ages = [at - PERIOD - motion.stamps[numbers] for numbers in which]

    def mean(self, delay: float, jitter: float) -> Vec:
        """(N, J) [rad]"""
        # The controller looks once a period: with less jitter than that, half a period either way stands in
        # for the unknown phase, and gives derivatives.
        width = max(jitter, PERIOD)
        arrived = [np.clip((age - delay - 0.5 * jitter) / width + 0.5, 0.0, 1.0) for age in self._ages]
        known = [np.prod(arrived[age:], axis=0) for age in range(OLDEST - 1)] + [np.ones(len(self._ages[0]))]
        told = np.zeros_like(self._paths[0])
        for age, path in enumerate(self._paths):
            share = known[age] - (known[age - 1] if age else 0.0)
            told += share[:, None] * path
        return told


def _sampled(motion: ArmMotion, which: NDArray[np.intp], at: Vec) -> Vec:
    """Positions (N, J) on the paths `which` (N,) at times `at` (N,): cubic, held at the end."""
    found = np.empty((len(at), JOINTS))
    starts = np.flatnonzero(np.diff(which, prepend=-1))
    for first, last in zip(starts, [*starts[1:], len(at)], strict=True):
        number = int(which[first])
        path, t = motion.paths[number], at[first:last] - motion.stamps[number]
        t = np.clip(t, path.times[0], path.times[-1])
        after = np.clip(np.searchsorted(path.times, t, side="right"), 1, len(path.times) - 1)
        before = after - 1
        span = (path.times[after] - path.times[before])[:, None]
        s = (t - path.times[before])[:, None] / span
        q0, q1 = path.positions[before], path.positions[after]
        v0, v1 = path.velocities[before] * span, path.velocities[after] * span
        found[first:last] = q0 + s * (
            v0 + s * (3.0 * (q1 - q0) - 2.0 * v0 - v1 + s * (2.0 * (q0 - q1) + v0 + v1))
        )
    return found


def _usable(path: Trajectory) -> bool:
    """Whether it says where the arm has to be at any time."""
    finite = np.isfinite(path.positions).all() and np.isfinite(path.velocities).all()
    return len(path.times) >= 2 and bool((np.diff(path.times) > 0.0).all() and finite)


def used(motion: ArmMotion) -> ArmMotion:
    """The part that is fitted: the longest one without a gap, from shortly before the arm moves.

    IdentificationError if it is too short.
    """
    if not len(motion.stamps):
        raise IdentificationError(
            "the recording holds no command to the arm; record while a policy or `spillguard excite` drives"
        )
    if not all(map(_usable, motion.paths)):
        raise IdentificationError(
            "a command has fewer than two points, times that do not increase, or numbers that are not "
            "finite; leave it out"
        )
    if len(motion.times) < 2:
        raise IdentificationError("the recording holds no joint states; needed are those of the same arm")
    cuts = (np.diff(motion.times) > LOST) | (np.abs(np.diff(motion.q, axis=0)) > JUMP).any(axis=1)
    edges = [0, *(np.flatnonzero(cuts) + 1).tolist(), len(motion.times)]
    first, last = max(
        pairwise(edges),
        key=lambda part: motion.times[part[1] - 1] - motion.times[part[0]],
    )
    stamps = motion.stamps
    begin = max(float(stamps[0]), float(motion.times[first]))
    chosen = slice(first, last)
    states = (motion.times[chosen] > begin) & (motion.times[chosen] <= float(stamps[-1]) + LOST)
    moving = np.flatnonzero(states & (np.abs(motion.q[chosen] - motion.q[first]) > 0.5 * MOVED).any(axis=1))
    if len(moving):  # what lies before and behind the motion takes time and tells nothing
        rest = motion.q[chosen][np.flatnonzero(states)[-1]]
        away = np.flatnonzero(states & (np.abs(motion.q[chosen] - rest) > 0.5 * MOVED).any(axis=1))
        begin = max(begin, float(motion.times[chosen][moving[0]]) - AROUND)
        end = float(motion.times[chosen][away[-1] if len(away) else moving[-1]]) + AROUND
        states &= (motion.times[chosen] > begin) & (motion.times[chosen] < min(end, begin + LONGEST))
    times = motion.times[chosen][states]
    if len(times) < FEWEST or times[-1] - times[0] < SHORTEST:
        lasted = float(times[-1] - times[0]) if len(times) else 0.0
        raise IdentificationError(
            f"commands and states overlap for {lasted:.1f} s with {len(times)} states; needed are "
            f"{SHORTEST:g} s and {FEWEST} states: record a longer one, `spillguard excite`"
        )
    kept = (
        max(int(np.searchsorted(stamps, begin, side="right")) - 1, 0),
        int(np.searchsorted(stamps, times[-1])),
    )
    part = slice(kept[0], max(kept[1], kept[0] + 1))
    cut = replace(
        motion, stamps=stamps[part], paths=motion.paths[part], times=times, q=motion.q[chosen][states],
        qd=motion.qd[chosen][states],
        effort=None if motion.effort is None else motion.effort[chosen][states],
    )  # fmt: skip
    # A continuous joint may be reported in another turn than it is told to be in.
    told = Commands(cut, times).mean(NOMINAL.command_delay, NOMINAL.command_jitter)
    turns = np.where(CONTINUOUS, np.round((told - cut.q) / (2.0 * np.pi)), 0.0)
    return replace(cut, q=cut.q + 2.0 * np.pi * turns)
