"""Early and late commands: the simulated arm catches up within its speed limit."""

import numpy as np
import pytest

from sim.pouring.cell import PourCell
from sim.pouring.gen3 import GEN3_LIMITS
from sim.pouring.scenario import sample_scenario
from spillguard_core.gate.trajectory import Trajectory
from spillguard_core.robot.arm import MONITOR_PERIOD, Vec
from spillguard_sim.follower import TrajectoryFollower, within_speed

SPEED = 0.9 * GEN3_LIMITS.velocity * np.eye(7)[0]  # (7,) [rad/s] highest speed of commands
COAST = 0.04  # [s] that commands reach ahead
RAMP = SPEED[0] / GEN3_LIMITS.acceleration[0]  # [s] to reach that speed


def command(start: Vec, end: float) -> Trajectory:
    """The command for the period that ends `end` [s] after the start: accelerate, then stay at full speed."""
    q = start + (0.5 * min(end, RAMP) ** 2 / RAMP + max(end - RAMP, 0.0)) * SPEED
    qd = min(end / RAMP, 1.0) * SPEED
    brake = qd[0] / GEN3_LIMITS.acceleration[0]
    points = np.stack([q + COAST * qd, q + (COAST + 0.5 * brake) * qd])
    times = MONITOR_PERIOD + np.array([COAST, COAST + brake])
    return Trajectory(times, points, np.stack([qd, np.zeros(7)]))


def pushed(latest: float, bounded: bool) -> tuple[float, float]:
    """0.6 s of commands up to `latest` [s] late: highest speed of setpoint and arm, over the limit."""
    cell, rng = PourCell(), np.random.default_rng(0)
    cell.reset(sample_scenario(rng))
    start = cell.data.qpos[:7].copy()
    follower, before, under_way = TrajectoryFollower(start), start, []
    told, measured = [], []
    for tick in range(60):
        now, end = tick * MONITOR_PERIOD, (tick + 1) * MONITOR_PERIOD
        under_way.append((now + rng.uniform(0.0, latest), command(start, end)))
        for when, sent in sorted((entry for entry in under_way if entry[0] <= end), key=lambda e: e[0]):
            follower.accept(sent, when)
        under_way = [entry for entry in under_way if entry[0] > end]
        q, qd = follower.desired(end)
        if bounded:
            q, qd = within_speed(q, qd, before, GEN3_LIMITS.velocity, MONITOR_PERIOD)
        cell.advance(q[None], qd[None])
        told += [np.abs(q - before) / MONITOR_PERIOD, np.abs(qd)]
        measured.append(np.abs(cell.data.qvel[:7]))
        before = q
    assert not cell.contact
    return tuple(float((np.array(seen) / GEN3_LIMITS.velocity).max()) for seen in (told, measured))  # type: ignore[return-value]


@pytest.mark.parametrize(("latest", "overshoot"), [(0.0, 1.0), (0.02, 1.05), (COAST, 1.1)])
def test_catching_up_the_arm_is_never_told_to_exceed_its_speed(latest: float, overshoot: float) -> None:
    told, measured = pushed(latest, bounded=True)
    assert told <= 1.0 + 1e-9
    assert measured <= overshoot  # of the servo's response to a step in speed


@pytest.mark.parametrize(("latest", "excess"), [(0.02, 1.06), (COAST, 1.2)])
def test_without_the_bound_the_same_commands_exceed_it(latest: float, excess: float) -> None:
    told, measured = pushed(latest, bounded=False)
    assert min(told, measured) > excess


def test_what_is_within_the_limit_passes_bit_for_bit() -> None:
    rng = np.random.default_rng(1)
    for _ in range(100):
        before, qd = rng.uniform(-1.0, 1.0, 7), rng.uniform(-1.0, 1.0, 7)
        q = before + 0.99 * MONITOR_PERIOD * rng.uniform(-1.0, 1.0, 7) * GEN3_LIMITS.velocity
        kept = within_speed(q, qd, before, GEN3_LIMITS.velocity, MONITOR_PERIOD)
        np.testing.assert_array_equal(kept, (q, qd))


def test_a_leap_is_made_at_full_speed() -> None:
    far, still = np.full(7, 1.0), np.zeros(7)
    q, qd = within_speed(far, still, still, GEN3_LIMITS.velocity, MONITOR_PERIOD)
    np.testing.assert_allclose(q, MONITOR_PERIOD * GEN3_LIMITS.velocity)
    np.testing.assert_array_equal(qd, GEN3_LIMITS.velocity)
