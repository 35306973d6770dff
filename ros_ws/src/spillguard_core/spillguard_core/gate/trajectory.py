"""Commands that end at rest, so that silence stops the arm by construction.

Shapes: P points, J joints. Times in seconds from the moment of the decision.
"""

from dataclasses import dataclass

import numpy as np

from spillguard_core.gate.decision import Decision, GateConfig
from spillguard_core.robot.arm import Vec


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Points for a joint trajectory controller; the last one is at rest."""

    times: Vec  # (P,) [s], increasing, > 0
    positions: Vec  # (P, J) [rad]
    velocities: Vec  # (P, J) [rad/s]


SHORTEST = 1e-9  # [s] of braking; shorter counts as rest, or two points would share one time


def braking_time(qd: Vec, acceleration: Vec) -> float:
    """Time [s] to bring velocities (J,) [rad/s] to rest along a straight line in joint space."""
    return float(max((np.abs(qd) / acceleration).tolist()))  # faster than numpy's maximum for so few values


def stop_position(q: Vec, qd: Vec, acceleration: Vec, coast: float) -> Vec:
    """Rest position (J,) [rad] after `coast` [s] at qd and braking in a straight line."""
    return q + (coast + 0.5 * braking_time(qd, acceleration)) * qd


def braking_trajectory(decision: Decision, config: GateConfig) -> Trajectory:
    """Continue as decided until the coast is over, then brake to rest.

    All joints brake in the same time, each at or below its limit, so the path is straight. The points are few
    and at least `coast_time` beyond the period away: messages arrive with milliseconds of jitter, and the
    closer the next point, the harder the arm would have to accelerate to reach it in time.
    """
    q, qd, coast = decision.q, decision.qd, decision.coast
    brake = braking_time(qd, config.limits.acceleration)
    rest = stop_position(q, qd, config.limits.acceleration, coast)[None]
    if (coast > 0.0 or config.coast_time == 0.0) and brake > SHORTEST:
        times = np.array([coast, coast + brake]) + config.period
        return Trajectory(times, np.vstack([q + coast * qd, rest]), np.vstack([qd, np.zeros_like(qd)]))
    return Trajectory(np.array([config.period + max(brake, config.coast_time)]), rest, np.zeros_like(rest))


def state_at(decision: Decision, t: float, coast: float, config: GateConfig) -> tuple[Vec, Vec]:
    """Point on a decision's path, q and qd each (J,), `t` [s] after the decision was made.

    `coast` [s] replaces the decision's own: with a shorter one the arm brakes earlier on the same path.
    """
    q, qd = decision.q, decision.qd
    late = t - config.period
    if late < 0.0:
        return _hermite(max(t, 0.0), config.period, (decision.start_q, decision.start_qd), (q, qd))
    brake = braking_time(qd, config.limits.acceleration)
    if late - coast >= brake - SHORTEST:  # exactly at rest, or a rounding error would keep it moving for ever
        return stop_position(q, qd, config.limits.acceleration, coast), np.zeros_like(qd)
    braking = max(late - coast, 0.0)
    left = 1.0 - braking / brake if brake > SHORTEST else 1.0  # fraction of the speed
    way = min(late, coast) + 0.5 * (1.0 + left) * braking  # [s] equivalent time at the decided speed
    return q + way * qd, left * qd


def sample(trajectory: Trajectory, t: float, q: Vec, qd: Vec) -> tuple[Vec, Vec]:
    """Position and velocity, each (J,), at time t [s] for an arm at q, qd at t = 0.

    Cubic interpolation as in the joint trajectory controller; holds the last point.
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
    """Cubic between two (position, velocity) at 0 and `span`; position and velocity at t."""
    (q0, v0), (q1, v1) = start, end
    mean = (q1 - q0) / span
    second = (3.0 * mean - 2.0 * v0 - v1) / span
    third = (v0 + v1 - 2.0 * mean) / span**2
    return q0 + t * (v0 + t * (second + t * third)), v0 + t * (2.0 * second + 3.0 * t * third)
