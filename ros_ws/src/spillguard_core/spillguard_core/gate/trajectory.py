"""Commands that end at rest, so that silence stops the arm by construction.

Shapes: P points, J joints. Times in seconds from the moment of the decision.
"""

from dataclasses import dataclass

import numpy as np

from spillguard_core.gate.decision import Decision, GateConfig, Mode
from spillguard_core.robot.arm import Vec


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Points for a joint trajectory controller; the last one is at rest."""

    times: Vec  # (P,) [s], increasing, >= 0; a first point at 0 is where the arm is told to be now
    positions: Vec  # (P, J) [rad]
    velocities: Vec  # (P, J) [rad/s]


SHORTEST = 1e-9  # [s] of braking; shorter counts as rest, or two points would share one time
APART = 1e-6  # [s] between two points; messages count whole nanoseconds, and a controller refuses equal times


def braking_time(qd: Vec, acceleration: Vec) -> float:
    """Time [s] to bring velocities (J,) [rad/s] to rest along a straight line in joint space."""
    return float(max((np.abs(qd) / acceleration).tolist()))  # faster than numpy's maximum for so few values


def stop_position(q: Vec, qd: Vec, acceleration: Vec, coast: float) -> Vec:
    """Rest position (J,) [rad] after `coast` [s] at qd and braking in a straight line."""
    return q + (coast + 0.5 * braking_time(qd, acceleration)) * qd


def braking_trajectory(decision: Decision, config: GateConfig) -> Trajectory:
    """The path that was decided, from the moment of the decision to rest: `state_at` as a command.

    All joints brake in the same time, each at or below its limit, so that part is straight. The first point
    lies at time 0, where the decision began. A controller that has joined the message to where the arm is
    measured to be would pull the command back by the servo's lag with every message, and the arm would shake;
    with a first point in the past there is nothing to join. It also needs the time of the decision, as the
    message's stamp; then it makes no difference to the path how late a message arrives.

    ValueError for a gate in shadow: it has nothing to command.
    """
    if config.shadow or decision.mode is Mode.SHADOW:
        raise ValueError("a gate in shadow makes no commands")
    q, qd, coast, period = decision.q, decision.qd, decision.coast, config.period
    brake = braking_time(qd, config.limits.acceleration)
    rest, still = stop_position(q, qd, config.limits.acceleration, coast), np.zeros_like(qd)
    points = [(0.0, decision.start_q, decision.start_qd)]
    if brake > SHORTEST:
        points.append((period, q, qd))
        if coast > APART:
            points.append((period + coast, q + coast * qd, qd))
        points.append((period + coast + brake, rest, still))
    else:
        points.append((period, rest, still))
    # A controller refuses a message that is over when it arrives, and even one to stay may be late.
    if points[-1][0] < period + config.coast_time - APART:
        points.append((period + config.coast_time, rest, still))
    times, positions, velocities = zip(*points, strict=True)
    return Trajectory(np.array(times), np.array(positions), np.array(velocities))


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

    Cubic interpolation as in the joint trajectory controller; holds the last point. Where the first point
    lies at 0 the arm is there, and q and qd do not matter.
    """
    t = max(t, 0.0)
    if t >= trajectory.times[-1]:
        return trajectory.positions[-1].copy(), np.zeros_like(q)
    after = int(np.searchsorted(trajectory.times, t, side="right"))
    end, q1, qd1 = trajectory.times[after], trajectory.positions[after], trajectory.velocities[after]
    start, q0, qd0 = 0.0, q, qd
    if after > 0:
        start = trajectory.times[after - 1]
        q0, qd0 = trajectory.positions[after - 1], trajectory.velocities[after - 1]
    return _hermite(t - start, end - start, (q0, qd0), (q1, qd1))


def _hermite(t: float, span: float, start: tuple[Vec, Vec], end: tuple[Vec, Vec]) -> tuple[Vec, Vec]:
    """Cubic between two (position, velocity) at 0 and `span`; position and velocity at t."""
    (q0, v0), (q1, v1) = start, end
    mean = (q1 - q0) / span
    second = (3.0 * mean - 2.0 * v0 - v1) / span
    third = (v0 + v1 - 2.0 * mean) / span**2
    return q0 + t * (v0 + t * (second + t * third)), v0 + t * (2.0 * second + 3.0 * t * third)
