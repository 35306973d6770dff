"""Commands end at rest; sampling them matches the joint trajectory controller."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from sim.pouring.gen3 import GEN3_LIMITS
from spillguard_core.gate.gate import initial_decision
from spillguard_core.gate.reasons import Verdict
from spillguard_core.gate.trajectory import Trajectory, braking_trajectory, sample, state_at
from spillguard_ros.node.convert import duration_of

SPEED = st.lists(st.floats(-1.0, 1.0), min_size=7, max_size=7).map(
    lambda v: np.array(v) * GEN3_LIMITS.velocity
)
QUICK = settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def command(rig, qd, coast=0.02):
    """A command at a steady speed qd; the arm is at zero at the end of the period."""
    config = replace(rig.config, coast_time=coast)
    steady = {"start_q": -config.period * qd, "start_qd": qd, "q": np.zeros(7), "qd": qd}
    return braking_trajectory(replace(initial_decision(7, 4), **steady, coast=coast), config)


def test_resting_command_stays_and_lasts_long_enough_to_arrive(rig):
    """A controller refuses a message that is over when it arrives."""
    trajectory = command(rig, np.zeros(7))
    np.testing.assert_allclose(trajectory.times, [0.0, 0.01, 0.03])
    np.testing.assert_array_equal(trajectory.positions, np.zeros((3, 7)))
    np.testing.assert_array_equal(trajectory.velocities, np.zeros((3, 7)))


def test_braking_by_hand(rig):
    trajectory = command(rig, np.array([1.0, 0, 0, 0, 0, 0, 0.5]))
    np.testing.assert_allclose(trajectory.times, [0.0, 0.01, 0.03, 0.23])  # 1 rad/s at 5 rad/s^2: 0.2 s
    np.testing.assert_allclose(trajectory.positions[:, 0], [-0.01, 0.0, 0.02, 0.12])  # 0.02 + 1 * 0.2 / 2
    np.testing.assert_allclose(trajectory.positions[:, 6], [-0.005, 0.0, 0.01, 0.06])
    np.testing.assert_allclose(trajectory.velocities[:, 6], [0.5, 0.5, 0.5, 0.0])


@pytest.mark.parametrize("verdict", Verdict)
def test_braking_arm_does_not_coast(rig, verdict):
    qd = np.array([1.0, 0, 0, 0, 0, 0, 0.5])
    decision = replace(initial_decision(7, 4), verdict=verdict, q=np.zeros(7), qd=qd, coast=0.0)
    trajectory = braking_trajectory(decision, rig.config)
    np.testing.assert_allclose(trajectory.times, [0.0, 0.01, 0.21])
    np.testing.assert_allclose(trajectory.positions[-1, [0, 6]], [0.1, 0.05])


@given(SPEED, SPEED, st.sampled_from([0.0, 1e-12, 0.02, 0.1]), st.floats(-0.1, 1.0))
@QUICK
def test_the_command_is_the_decided_path_from_its_first_moment_on(rig, before, change, coast, t):
    """What the gate believes of the arm between two decisions is what a controller makes of the message."""
    qd = np.clip(before + 0.03 * change, -GEN3_LIMITS.velocity, GEN3_LIMITS.velocity)
    start = {"start_q": np.linspace(-1.0, 1.0, 7), "start_qd": before}
    decision = replace(
        initial_decision(7, 4), **start, q=start["start_q"] + 0.005 * (before + qd), qd=qd, coast=coast
    )
    trajectory = braking_trajectory(decision, rig.config)
    assert trajectory.times[0] == 0.0 and (np.diff(trajectory.times) > 1e-9).all()
    expected = state_at(decision, t, coast, rig.config)
    nothing = np.full(7, np.nan)  # where the arm is measured to be makes no difference
    got = sample(trajectory, t, nothing, nothing)
    np.testing.assert_allclose(got[0], expected[0], atol=1e-9)
    np.testing.assert_allclose(got[1], expected[1], atol=1e-7)


@given(SPEED, st.sampled_from([0.0, 0.02, 0.1]), st.booleans())
@QUICK
def test_where_a_late_decision_begins_is_on_the_trajectory(rig, qd, coast, braking):
    config = replace(rig.config, coast_time=coast)
    coast = 0.0 if braking else coast
    decision = replace(initial_decision(7, 4), q=np.zeros(7), qd=qd, coast=coast)
    trajectory = braking_trajectory(decision, config)
    assume(float(np.max(np.abs(qd) / GEN3_LIMITS.acceleration)) > coast)  # slower ones get more time
    # A braking arm was faster by one period of braking at the start of that period; others were not.
    brake = float(np.max(np.abs(qd) / GEN3_LIMITS.acceleration))
    before = qd * (1.0 + 0.01 / brake) if braking else qd
    begin = -0.005 * (before + qd)
    for late in (0.0, 0.5 * coast, coast, coast + 0.02, 1.0):
        expected_q, expected_qd = sample(trajectory, 0.01 + late, begin, before)
        got_q, got_qd = state_at(decision, 0.01 + late, coast, config)
        np.testing.assert_allclose(got_q, expected_q, atol=1e-9)
        np.testing.assert_allclose(got_qd, expected_qd, atol=1e-9)


@given(SPEED, SPEED, st.sampled_from([0.0, 0.02, 0.1]), st.floats(0.0, 0.5))
@QUICK
def test_a_path_is_continuous_and_its_early_braking_stays_on_it(rig, before, change, coast, t):
    qd = np.clip(before + 0.03 * change, -GEN3_LIMITS.velocity, GEN3_LIMITS.velocity)
    path = replace(
        initial_decision(7, 4),
        start_q=-0.005 * (before + qd),
        start_qd=before,
        q=np.zeros(7),
        qd=qd,
        coast=coast,
    )
    for at in (0.0, t, 0.01):
        (q0, _), (q1, _) = (state_at(path, at + step, coast, rig.config) for step in (-1e-7, 1e-7))
        np.testing.assert_allclose(q0, q1, atol=1e-6)
    np.testing.assert_allclose(state_at(path, 0.0, coast, rig.config), (path.start_q, before), atol=1e-12)
    cut, _ = state_at(path, 0.01 + t, 0.5 * coast, rig.config)
    rest, _ = state_at(path, 2.0, coast, rig.config)
    across = cut * np.linalg.norm(rest) - rest * np.linalg.norm(cut)  # from 0, where the coast begins
    np.testing.assert_allclose(across, 0.0, atol=1e-9)
    assert (np.abs(cut) <= np.abs(rest) + 1e-12).all()


@pytest.mark.parametrize("periods", range(1, 12))
@pytest.mark.parametrize("coast", [0.04, 1e-12, 4e-10, 2e-6, 0.0])
def test_no_two_points_share_a_nanosecond(rig, periods, coast):
    """Speeds are often multiples of acceleration times period, so that braking and coast end together."""
    config = replace(rig.config, coast_time=0.04)
    qd = 0.01 * periods * GEN3_LIMITS.acceleration * np.eye(7)[0]
    decision = replace(initial_decision(7, 4), q=np.zeros(7), qd=qd, coast=coast)
    sent = [duration_of(time) for time in braking_trajectory(decision, config).times.tolist()]
    whole = [stamp.sec * 1_000_000_000 + stamp.nanosec for stamp in sent]
    assert whole[0] == 0 and (np.diff(whole) > 0).all(), whole


@given(SPEED, st.sampled_from([0.0, 0.02, 0.1]))
@QUICK
def test_sampled_command_keeps_its_acceleration_and_ends_at_rest(rig, qd, coast):
    trajectory = command(rig, qd, coast)
    step = 1e-3
    times = np.arange(0.01, trajectory.times[-1] + 0.05, step)
    states = [sample(trajectory, float(t), -0.01 * qd, qd) for t in times]
    positions, velocities = (np.array(part) for part in zip(*states, strict=True))
    assert (np.abs(np.diff(velocities, axis=0)) <= GEN3_LIMITS.acceleration * step * 1.001 + 1e-9).all()
    trapezoid = 0.5 * step * (velocities[1:] + velocities[:-1])
    np.testing.assert_allclose(np.diff(positions, axis=0), trapezoid, atol=5.0 * step**2)
    assert not velocities[-1].any()
    np.testing.assert_array_equal(positions[-1], trajectory.positions[-1])


@given(SPEED, st.floats(0.0, 1.0))
@QUICK
def test_braking_goes_straight(rig, qd, share):
    trajectory = command(rig, qd)
    _, velocity = sample(trajectory, share * float(trajectory.times[-1]), np.zeros(7), qd)
    across = velocity * np.linalg.norm(qd) - qd * np.linalg.norm(velocity)
    np.testing.assert_allclose(across, 0.0, atol=1e-9)


@pytest.mark.parametrize("t", [-1.0, 0.0])
def test_before_its_start_the_arm_is_where_it_was(t):
    trajectory = Trajectory(np.array([1.0]), np.ones((1, 7)), np.zeros((1, 7)))
    q, qd = sample(trajectory, t, np.zeros(7), np.full(7, 0.2))
    np.testing.assert_array_equal(q, np.zeros(7))
    np.testing.assert_array_equal(qd, np.full(7, 0.2))


def test_cubic_between_two_points_by_hand():
    # From rest at 0 to rest at 1 in 1 s: 3 t^2 - 2 t^3, half way at t = 0.5 with speed 1.5.
    trajectory = Trajectory(np.array([1.0]), np.ones((1, 1)), np.zeros((1, 1)))
    q, qd = sample(trajectory, 0.5, np.zeros(1), np.zeros(1))
    np.testing.assert_allclose((q[0], qd[0]), (0.5, 1.5))
