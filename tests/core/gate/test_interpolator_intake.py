"""What a stream of positions takes, joins and refuses, one message at a time."""

from dataclasses import replace

import numpy as np
import pytest

from sim.pouring.gen3 import GEN3_LIMITS, NOMINAL_POSTURE
from spillguard_core.gate.interpolator import (
    AHEAD,
    HURRY,
    PositionInterpolator,
    trajectory_fault,
)
from spillguard_core.gate.trajectory import Trajectory
from spillguard_core.robot.arm import Vec

DELAY, DEVIATION = 0.006, 0.02
STILL = np.zeros(7)


def resting(q: Vec = NOMINAL_POSTURE) -> Trajectory:
    return Trajectory(np.array([0.0, 0.05]), np.stack([q, q]), np.zeros((2, 7)))


def stream_of(q: Vec = NOMINAL_POSTURE, now: float = 10.0, rate: float = 500.0) -> PositionInterpolator:
    return PositionInterpolator(q, now, GEN3_LIMITS, rate, DELAY, DEVIATION)


def moving() -> Trajectory:
    """From rest to 0.1 rad/s, and to rest again."""
    qd = 0.1 * np.ones(7)
    q = NOMINAL_POSTURE + np.outer([0.0, 0.005, 0.01], np.ones(7))
    return Trajectory(np.array([0.0, 0.1, 0.2]), q, np.stack([STILL, qd, STILL]))


def test_catching_up_takes_its_time():
    stream = stream_of(NOMINAL_POSTURE + 0.019)
    stream.accept(resting(), 10.0, 10.0)
    samples = np.concatenate([stream.advance(10.0 + 0.002 * (number + 1)) for number in range(400)])
    assert (np.abs(np.diff(samples, axis=0)) * 500.0 <= HURRY * GEN3_LIMITS.velocity + 1e-9).all()
    assert stream.at_rest
    np.testing.assert_array_equal(samples[-1], NOMINAL_POSTURE)


def test_a_trajectory_that_begins_elsewhere_is_refused_and_the_one_before_kept():
    stream = stream_of()
    stream.accept(resting(), 10.0, 10.0)
    with pytest.raises(ValueError, match=r"0\.0300 rad from what is streamed, allowed 0\.02 rad"):
        stream.accept(resting(NOMINAL_POSTURE + 0.03), 10.01, 10.01)
    for number in range(100):
        np.testing.assert_array_equal(stream.advance(10.0 + 0.002 * (number + 1)), [NOMINAL_POSTURE])
    assert stream.at_rest


def test_a_continuous_joint_is_joined_the_short_way_round_and_others_are_not():
    turn = 2.0 * np.pi * np.isinf(GEN3_LIMITS.position_max)
    stream = stream_of()
    stream.accept(resting(NOMINAL_POSTURE - 2.0 * turn), 10.0, 10.0)
    for number in range(50):
        (sent,) = stream.advance(10.0 + 0.002 * (number + 1))
        np.testing.assert_allclose(sent, NOMINAL_POSTURE, atol=1e-12)
    with pytest.raises(ValueError, match="position limits"):
        stream.accept(resting(NOMINAL_POSTURE - 2.0 * np.pi), 10.1, 10.1)


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (10.0, "before one that was here already"),
        (9.9, "before one that was here already"),
        (10.2 + AHEAD, "is there one clock for both sides"),
        (3600.0, "is there one clock for both sides"),
        (float("nan"), "begins"),
        (float("inf"), "begins"),
    ],
)
def test_times_that_cannot_be_are_refused(start, words):
    stream = stream_of()
    stream.accept(moving(), 10.0, 10.0)
    with pytest.raises(ValueError, match=words):
        stream.accept(resting(), start, 10.1)


def test_a_trajectory_that_is_over_is_refused():
    with pytest.raises(ValueError, match=r"it ended 0\.950 s ago"):
        stream_of().accept(resting(), 9.0, 10.0)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda t: replace(t, positions=np.where(np.eye(3, 7) > 0, np.nan, t.positions)), "finite"),
        (lambda t: replace(t, velocities=np.full((3, 7), np.inf)), "finite"),
        (lambda t: replace(t, times=np.array([0.0, np.nan, 0.2])), "finite"),
        (lambda t: replace(t, times=np.array([0.0, 0.2, 0.1])), "increase"),
        (lambda t: replace(t, times=t.times + 0.01), "begin at 0"),
        (lambda t: replace(t, positions=t.positions[:, :6]), "points of 7 joints"),
        (lambda t: replace(t, velocities=t.velocities[:2]), "points of 7 joints"),
        (lambda t: Trajectory(np.zeros(0), np.zeros((0, 7)), np.zeros((0, 7))), "points of 7 joints"),
        (lambda t: replace(t, velocities=0.1 * np.ones((3, 7))), "at rest"),
        (lambda t: replace(t, velocities=20.0 * t.velocities), "faster"),
        (lambda t: replace(t, times=0.1 * t.times), "accelerates"),
        (lambda t: replace(t, positions=t.positions + np.outer([0.0, 0.1, 0.1], np.ones(7))), "accelerates"),
    ],
)
def test_what_no_gate_sends_is_refused(damage, words):
    assert trajectory_fault(moving(), GEN3_LIMITS) == ""
    assert words in trajectory_fault(damage(moving()), GEN3_LIMITS)
    with pytest.raises(ValueError, match=words):
        stream_of().accept(damage(moving()), 10.0, 10.0)


@pytest.mark.parametrize("q", [np.full(7, np.nan), np.zeros(6)])
def test_without_a_measured_posture_there_is_no_stream(q):
    with pytest.raises(ValueError, match="measured posture"):
        stream_of(q)
