"""Streamed positions keep their jerk, stay by the verified path and end on it, whatever messages do."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim.pouring.gen3 import GEN3_LIMITS
from spillguard_core.gate.decision import Request
from spillguard_core.gate.interpolator import (
    HURRY,
    MOST,
    PositionInterpolator,
    window,
)
from spillguard_core.gate.trajectory import Trajectory, braking_trajectory, sample
from spillguard_core.robot.arm import Vec

DELAY, DEVIATION = 0.006, 0.02
JERK, STILL = GEN3_LIMITS.jerk, np.zeros(7)
LAST = 0.7  # [s] of silence after which everything is at rest
FEW = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])

Twist = tuple[float, float, float, float]
TWISTS = st.lists(
    st.tuples(
        *(st.sampled_from([-0.25, -0.1, 0.0, 0.1, 0.25]) for _ in range(3)), st.sampled_from([-1.0, 0.0, 1.0])
    ),
    min_size=2,
    max_size=8,
)


@dataclass
class Sent:
    """What a gate sends in a flight: one trajectory a decision, with the time of its beginning."""

    starts: list[float] = field(default_factory=list)
    paths: list[Trajectory] = field(default_factory=list)

    def at(self, t: float) -> Vec:
        """Where the newest trajectory that has begun is at `t` [s]: (7,) [rad]."""
        t = max(t, self.starts[0])
        newest = int(np.searchsorted(self.starts, t, side="right")) - 1
        return sample(self.paths[newest], t - self.starts[newest], STILL, STILL)[0]


def flown(rig, twists: list[Twist], periods: list[float] | None = None, each: int = 6) -> Sent:
    """A flight that follows each twist for some decisions, which come after `periods` [s] in turn."""
    sent = Sent()

    def note() -> None:
        if rig.decision.send:
            sent.starts.append(rig.now)
            sent.paths.append(braking_trajectory(rig.decision, rig.config))

    rig.tick(None, Request.RESET)
    note()
    rig.tick(np.zeros(4), Request.RESUME)
    note()
    for number in range(each * len(twists)):
        rig.now += 0.0 if periods is None else periods[number % len(periods)] - rig.config.period
        rig.tick(np.array(twists[number // each]))
        note()
    return sent


def streamed(
    sent: Sent,
    rate: float = 500.0,
    latency: Callable[[int], float | None] = lambda number: 0.003,
    pause: Callable[[int], float] = lambda number: 0.0,
    offset: float = 0.0,
) -> tuple[np.ndarray, list[str], PositionInterpolator]:
    """Samples (T, 7) [rad], refusals, and who made them.

    `latency` [s] of each message, None for a lost one; `pause` [s] before each sample; `offset` [rad] of the
    measured arm from the first command.
    """
    begin = sent.starts[0]
    q = sent.paths[0].positions[0] + offset
    stream = PositionInterpolator(q, begin, GEN3_LIMITS, rate, DELAY, DEVIATION)
    arrivals = sorted(
        (start + late, number)
        for number, start in enumerate(sent.starts)
        if (late := latency(number)) is not None
    )
    samples, refused, now, number = [q], [], begin, 0
    while now < sent.starts[-1] + LAST or not stream.at_rest:
        now += 1.0 / rate + pause(number)
        while arrivals and arrivals[0][0] <= now:
            when, which = arrivals.pop(0)
            try:
                stream.accept(sent.paths[which], sent.starts[which], when)
            except ValueError as error:
                refused.append(str(error))
        samples += stream.advance(now)
        number += 1
    return np.array(samples), refused, stream


def jerk(samples: np.ndarray, rate: float) -> np.ndarray:
    """Largest third difference (7,) [rad/s^3], the arm at rest before the first sample."""
    before = np.tile(samples[0], (3, 1))
    return np.abs(np.diff(np.vstack([before, samples]), n=3, axis=0)).max(axis=0) * rate**3


def within_jerk(samples: np.ndarray, rate: float = 500.0) -> bool:
    return bool((jerk(samples, rate) <= JERK * (1.0 + 1e-6) + 1e-14 * rate**3).all())


def test_the_window_follows_from_the_limits():
    assert window(GEN3_LIMITS, 500.0) == 10  # 4 * 5 / 1000 = 0.02 s
    assert window(replace(GEN3_LIMITS, jerk=10.0 * JERK), 100.0) == 1
    with pytest.raises(ValueError, match="has no jerk limit"):
        window(replace(GEN3_LIMITS, jerk=None), 500.0)


@pytest.mark.parametrize("rate", [100.0, 250.0, 500.0, 1000.0])
def test_punctual_messages_make_the_verified_path_smooth(rig, rate):
    """The path itself, half a window and the delay later, but for what a mean of it has to cut off."""
    sent = flown(
        rig, [(0.0, 0.0, 0.25, 0.0), (0.25, 0.1, 0.0, 0.5), (-0.25, -0.1, 0.0, -0.5), (0.0, 0.0, 0.0, 0.0)]
    )
    samples, refused, stream = streamed(sent, rate)
    assert not refused and within_jerk(samples, rate)
    assert stream.at_rest and np.ptp(samples, axis=0).max() > 0.02
    np.testing.assert_array_equal(samples[-1], sent.paths[-1].positions[-1])
    width = window(GEN3_LIMITS, rate) / rate
    lag = DELAY + 0.5 * (width - 1.0 / rate)
    ideal = np.array([sent.at(sent.starts[0] + number / rate - lag) for number in range(len(samples))])
    most = MOST * GEN3_LIMITS.acceleration * width**2 / 24.0
    assert (np.abs(samples - ideal) <= most + 1e-7).all()
    assert most.max() < 2e-4  # [rad]


@given(
    TWISTS,
    st.lists(st.floats(0.0, 0.012), min_size=3, max_size=7),
    st.sets(st.integers(2, 40), max_size=8),
    st.sampled_from([100.0, 250.0, 500.0, 1000.0]),
)
@FEW
def test_no_late_lost_or_reordered_message_makes_a_jump(make_rig, twists, delays, lost, rate):
    sent = flown(make_rig(), [*twists, (0.0, 0.0, 0.0, 0.0)])
    samples, _, stream = streamed(
        sent, rate, lambda number: None if number in lost else delays[number % len(delays)]
    )
    assert within_jerk(samples, rate)
    assert stream.at_rest
    # At rest where a verified path ends: the newest that was near enough to be joined.
    heard = [path for number, path in enumerate(sent.paths) if number not in lost]
    assert any(np.array_equal(samples[-1], path.positions[-1]) for path in heard)


@given(
    TWISTS, st.dictionaries(st.integers(0, 200), st.floats(0.0, 0.3), max_size=4), st.floats(-0.015, 0.015)
)
@FEW
def test_a_pause_of_the_process_makes_no_jump(make_rig, twists, pauses, offset):
    """Nor an arm that is not quite where the first command is."""
    sent = flown(make_rig(), [*twists, (0.0, 0.0, 0.0, 0.0)])
    samples, refused, stream = streamed(sent, pause=lambda number: pauses.get(number, 0.0), offset=offset)
    assert within_jerk(samples)
    np.testing.assert_array_equal(samples[0], sent.paths[0].positions[0] + offset)
    assert stream.at_rest
    ends = [path.positions[-1] for path in sent.paths]
    assert any((samples[-1] == end).all() for end in ends)
    assert not refused or pauses


@pytest.mark.parametrize("rate", [100.0, 250.0, 500.0, 1000.0])
def test_uneven_ticks_and_short_pauses_change_nothing(rig, rate):
    """A timer that wakes up late, or misses a few periods: what is due comes, in order and on time."""
    sent = flown(rig, [(0.0, 0.0, 0.25, 0.0), (0.25, 0.1, 0.0, 0.5), (0.0, 0.0, 0.0, 0.0)])
    even, _, _ = streamed(sent, rate)
    begin, rng = sent.starts[0], np.random.default_rng(0)
    stream = PositionInterpolator(sent.paths[0].positions[0], begin, GEN3_LIMITS, rate, DELAY, DEVIATION)
    samples, told, missed = [sent.paths[0].positions[0]], 0, 0
    for number in range(1, len(even)):
        while told < len(sent.starts) and sent.starts[told] + 0.003 <= begin + number / rate:
            stream.accept(sent.paths[told], sent.starts[told], sent.starts[told] + 0.003)
            told += 1
        if 1 < number < len(even) - 1 and missed < int(0.006 * rate) and rng.random() < 0.2:
            missed += 1
            continue
        missed, wakes = 0, number + (rng.uniform(0.0, 0.8) if number > 1 else 0.0)
        samples += stream.advance(begin + wakes / rate)
    assert stream.pauses == 0 and within_jerk(np.array(samples), rate)
    np.testing.assert_allclose(samples, even, atol=1e-12)


@given(TWISTS, st.lists(st.floats(0.002, 0.03), min_size=1, max_size=5))
@FEW
def test_the_gates_own_delays_make_none(make_rig, twists, periods):
    """A late decision crosses the corner between coast and braking, as one cubic."""
    sent = flown(make_rig(), twists, periods)
    samples, _, _ = streamed(sent)
    assert within_jerk(samples)


@given(TWISTS, st.integers(4, 40), st.floats(0.0, 0.01))
@FEW
def test_silence_ends_at_the_rest_of_the_last_trajectory_that_came(make_rig, twists, last, late):
    sent = flown(make_rig(), twists)
    last = min(last, len(sent.starts) - 1)
    samples, _, stream = streamed(sent, latency=lambda number: late if number <= last else None)
    assert within_jerk(samples) and stream.at_rest
    np.testing.assert_array_equal(samples[-1], sent.paths[last].positions[-1])


@given(TWISTS)
@FEW
def test_samples_stay_between_the_last_ones_of_the_path(make_rig, twists):
    sent = flown(make_rig(), twists)
    samples, _, _ = streamed(sent)
    count = window(GEN3_LIMITS, 500.0)
    for number in range(count, len(samples), 7):
        ago = [sent.starts[0] + (number - back) / 500.0 - DELAY for back in range(count)]
        path = np.array([sent.at(t) for t in ago])
        assert (path.min(axis=0) - 1e-7 <= samples[number]).all()
        assert (samples[number] <= path.max(axis=0) + 1e-7).all()


@given(TWISTS, st.sampled_from([0.0, 0.003, 0.009, 0.015]))
@FEW
def test_speed_and_acceleration_stay_bounded_too(make_rig, twists, late):
    sent = flown(make_rig(), twists)
    samples, _, _ = streamed(sent, latency=lambda number: late * (number % 3))
    speed, acceleration = (np.abs(np.diff(samples, n=n, axis=0)).max(axis=0) * 500.0**n for n in (1, 2))
    told = max(np.abs(path.velocities).max() for path in sent.paths)
    assert (acceleration <= MOST * GEN3_LIMITS.acceleration + 1e-6).all()
    assert speed.max() <= told + (HURRY + 0.02) * GEN3_LIMITS.velocity.max()
