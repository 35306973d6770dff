"""Decisions that come early or late: the arm's path stays smooth and matches the elapsed time."""

import numpy as np
import pytest

from sim.pouring.gen3 import GEN3_LIMITS
from spillguard_core.gate import reasons
from spillguard_core.gate.decision import Mode
from spillguard_core.gate.trajectory import sample

SIDEWAYS = np.array([0.0, 0.06, 0.0, 0.0])  # [m/s]
STEP = 1e-3  # [s]


def path(rig, intervals, twist):
    """Joint positions (T, 7) [rad] every millisecond while decisions come at these intervals [s]."""
    rows = []
    for interval in intervals:
        start, told, (since, q, qd) = rig.now, rig.told, rig.told_at
        times = np.arange(start, start + interval - 0.5 * STEP, STEP)
        rows += [sample(told, t - since, q, qd)[0] for t in times]
        rig.now += interval - rig.config.period  # `tick` adds one period
        rig.tick(twist)
        assert rig.decision.reason is reasons.OK
    return np.array(rows)


def accelerations(rows):
    """Second differences (T - 2, 7) [rad/s^2]."""
    return np.diff(rows, n=2, axis=0) / STEP**2


@pytest.mark.parametrize(
    "intervals",
    [
        [0.010] * 60,
        [0.010, 0.030] * 20,  # within the coast time
        [0.012, 0.008] * 30,  # jitter
        [0.020] * 30,  # a machine at half speed
    ],
    ids=["exact", "coasting", "jitter", "slow"],
)
def test_path_is_smooth_and_as_long_as_the_time_that_passed(rig, intervals):
    rig.follow(30, SIDEWAYS)
    begun = rig.models.tool.pose(rig.q).position
    rows = path(rig, intervals, SIDEWAYS)
    covered = rig.models.tool.pose(rig.q).position - begun
    assert covered[1] == pytest.approx(SIDEWAYS[1] * sum(intervals), rel=0.03)
    assert (np.abs(accelerations(rows)) <= 1.1 * GEN3_LIMITS.acceleration).all()


def test_arm_never_goes_back_after_a_very_late_decision(rig):
    rig.follow(30, SIDEWAYS)
    rows = path(rig, [0.010] * 5 + [0.048] + [0.010] * 20, SIDEWAYS)
    y = np.array([rig.models.tool.pose(q).position[1] for q in rows])
    assert (np.diff(y) > -1e-6).all()  # it slows down in between, then continues
    assert (np.abs(accelerations(rows)) <= 1.5 * GEN3_LIMITS.acceleration).all()


def test_late_hold_brakes_on_from_where_the_arm_is(rig):
    rig.follow(30, SIDEWAYS)
    rig.tick(None)
    rig.now += 0.025
    braking = rig.told
    rig.tick(None)
    expected, _ = sample(braking, 0.035, *rig.told_at[1:])
    np.testing.assert_allclose(rig.q, expected, atol=1e-9)
    assert (np.abs(rig.decision.qd) <= 0.5 * GEN3_LIMITS.velocity).all()


def test_early_decision_begins_where_the_arm_stands_within_the_period(rig):
    """While it accelerates evenly: 4 ms after the last decision it has made 40 % of that period's change."""
    rig.follow(3, 4.0 * SIDEWAYS)
    before = rig.decision
    rig.now -= 0.006
    decision = rig.tick(4.0 * SIDEWAYS)
    change = before.qd - before.start_qd
    assert np.abs(change).max() > 0.04
    np.testing.assert_allclose(decision.start_qd, before.start_qd + 0.4 * change, atol=1e-9)
    way = 0.004 * (before.start_qd + 0.2 * change)
    np.testing.assert_allclose(decision.start_q, before.start_q + way, atol=1e-9)


def test_late_hold_in_the_coast_begins_to_brake_then_and_no_sooner(rig):
    """15 ms of the coast have passed: the next period is the first of the braking."""
    rig.follow(30, SIDEWAYS)
    before = rig.decision
    rig.now += 0.015
    decision = rig.tick(None)
    brake = np.max(np.abs(before.qd) / GEN3_LIMITS.acceleration)
    np.testing.assert_allclose(decision.start_q, before.q + 0.015 * before.qd, atol=1e-12)
    np.testing.assert_allclose(decision.qd, (1.0 - 0.01 / brake) * before.qd, atol=1e-9)
    way = 0.01 * (1.0 - 0.005 / brake)
    np.testing.assert_allclose(decision.q, decision.start_q + way * before.qd, atol=1e-9)


def test_a_gate_that_was_not_asked_for_too_long_stops(rig):
    rig.follow(30, SIDEWAYS)
    rig.now += rig.config.state_timeout + 0.01
    assert rig.tick(SIDEWAYS).reason is reasons.STATE_STALE  # although the state is fresh again
    assert rig.run(40, SIDEWAYS).mode is Mode.STOPPED
    assert not rig.qd.any()
    rig.follow(30, SIDEWAYS)
    assert rig.decision.reason is reasons.OK
