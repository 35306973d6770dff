"""Decisions that come early or late: the arm's path stays smooth, and is as long as the time that passed."""

import numpy as np
import pytest

from spillguard_core.arm import GEN3_LIMITS
from spillguard_core.decision import Mode, Reason
from spillguard_core.trajectory import sample

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
        assert rig.decision.reason is Reason.OK
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
        [0.020] * 30,  # a machine of half the speed
    ],
    ids=["exact", "coasting", "jitter", "slow"],
)
def test_path_is_smooth_and_as_long_as_the_time_that_passed(rig, intervals):
    rig.follow(30, SIDEWAYS)
    begun = rig.models.kinematics.lip_position(rig.q)
    rows = path(rig, intervals, SIDEWAYS)
    covered = rig.models.kinematics.lip_position(rig.q) - begun
    assert covered[1] == pytest.approx(SIDEWAYS[1] * sum(intervals), rel=0.03)
    assert (np.abs(accelerations(rows)) <= 1.1 * GEN3_LIMITS.acceleration).all()


def test_arm_never_goes_back_after_a_very_late_decision(rig):
    rig.follow(30, SIDEWAYS)
    rows = path(rig, [0.010] * 5 + [0.048] + [0.010] * 20, SIDEWAYS)
    y = np.array([rig.models.kinematics.lip_position(q)[1] for q in rows])
    assert (np.diff(y) > -1e-6).all()  # it slows down meanwhile, and goes on
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


def test_a_gate_that_was_not_asked_for_too_long_stops(rig):
    rig.follow(30, SIDEWAYS)
    rig.now += rig.config.state_timeout + 0.01
    assert rig.tick(SIDEWAYS).reason is Reason.STATE_STALE  # although the state is fresh again
    assert rig.run(40, SIDEWAYS).mode is Mode.STOPPED
    assert not rig.qd.any()
    rig.follow(30, SIDEWAYS)
    assert rig.decision.reason is Reason.OK
