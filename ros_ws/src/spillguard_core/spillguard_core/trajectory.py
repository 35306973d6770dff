"""Commands that end at rest, so that silence stops the arm by construction.

Shapes: P points, J joints. Times in seconds from the moment of the decision.
"""

from dataclasses import dataclass

import numpy as np

from spillguard_core.arm import Vec
from spillguard_core.decision import Decision, GateConfig, Verdict


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Points for a joint trajectory controller; the last one is at rest."""

    times: Vec  # (P,) [s], increasing, > 0
    positions: Vec  # (P, J) [rad]
    velocities: Vec  # (P, J) [rad/s]


SHORTEST = 1e-9  # [s] of braking; less than this is rest, or two points would share one time


def braking_time(qd: Vec, acceleration: Vec) -> float:
    """Time [s] to bring velocities (J,) [rad/s] to rest along a straight line in joint space."""
    return float(max((np.abs(qd) / acceleration).tolist()))  # of so few values faster than numpy's


def stop_position(q: Vec, qd: Vec, acceleration: Vec, coast: float) -> Vec:
    """Where the arm rests (J,) [rad] after `coast` [s] at qd and then braking in a straight line."""
    return q + (coast + 0.5 * braking_time(qd, acceleration)) * qd


def coast_time(decision: Decision, config: GateConfig) -> float:
    """Time [s] for which the arm goes on when no other decision comes: none when it is braking already."""
    return config.coast_time if decision.verdict < Verdict.HOLD else 0.0


def braking_trajectory(decision: Decision, config: GateConfig) -> Trajectory:
    """Go on as decided until the coast time is over, then brake to rest.

    All joints brake in the same time, each at or below its limit, so the path is straight. The points are
    few and at least `coast_time` beyond the period away: messages come early or late by milliseconds, and
    the closer the next point, the harder the arm would have to catch up with it.
    """
    q, qd = decision.q, decision.qd
    coast, brake = coast_time(decision, config), braking_time(qd, config.limits.acceleration)
    rest = stop_position(q, qd, config.limits.acceleration, coast)[None]
    if decision.verdict < Verdict.HOLD and brake > SHORTEST:
        times = np.array([coast, coast + brake]) + config.period
        return Trajectory(times, np.vstack([q + coast * qd, rest]), np.vstack([qd, np.zeros_like(qd)]))
    return Trajectory(np.array([config.period + max(brake, config.coast_time)]), rest, np.zeros_like(rest))


def after(decision: Decision, late: float, config: GateConfig) -> tuple[Vec, Vec]:
    """Where its trajectory stands, q and qd each (J,), `late` [s] after the end of the decision's period."""
    coast, brake = coast_time(decision, config), braking_time(decision.qd, config.limits.acceleration)
    braking = min(max(late - coast, 0.0), brake)
    left = 1.0 - braking / brake if brake > SHORTEST else 1.0  # of the speed
    way = min(late, coast) + 0.5 * (1.0 + left) * braking  # [s] at the decided speed
    return decision.q + way * decision.qd, left * decision.qd


def sample(trajectory: Trajectory, t: float, q: Vec, qd: Vec) -> tuple[Vec, Vec]:
    """Position and velocity, each (J,), at time t [s] for an arm that was at q, qd at t = 0.

    Cubic through the points, as the joint trajectory controller interpolates; holds the last point.
    """
    if t >= trajectory.times[-1]:
        return trajectory.positions[-1].copy(), np.zeros_like(q)
    after = int(np.searchsorted(trajectory.times, t, side="right"))
    end, q1, qd1 = trajectory.times[after], trajectory.positions[after], trajectory.velocities[after]
    start, q0, qd0 = 0.0, q, qd
    if after > 0:
        start = trajectory.times[after - 1]
        q0, qd0 = trajectory.positions[after - 1], trajectory.velocities[after - 1]
    return _hermite(max(t, 0.0) - start, end - start, (q0, qd0), (q1, qd1))


def _hermite(t: float, span: float, start: tuple[Vec, Vec], end: tuple[Vec, Vec]) -> tuple[Vec, Vec]:
    """Cubic with given ends (position, velocity) at 0 and `span`; position and velocity at t."""
    (q0, v0), (q1, v1) = start, end
    mean = (q1 - q0) / span
    second = (3.0 * mean - 2.0 * v0 - v1) / span
    third = (v0 + v1 - 2.0 * mean) / span**2
    return q0 + t * (v0 + t * (second + t * third)), v0 + t * (2.0 * second + 3.0 * t * third)
