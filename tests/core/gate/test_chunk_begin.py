"""How a chunk begins: before its first position is due, and what its times may be."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.arms import still
from sim.reaching.guarded import GuardedArm
from spillguard_core.gate import chunk as chunks
from spillguard_core.gate.decision import Chunk, ChunkClock, Proposal
from spillguard_core.robot.arm import load_robot

ARMS = ("gen3", "ur5e", "fr3")


class Begin:
    """An arm at rest, and a chunk of positions that moves its last joint."""

    def __init__(self, name: str, away: list[float], ends: list[float], speed: float = 1.0) -> None:
        """`away` (H,) [rad] from the arm's rest, in the last joint; `ends` (H,) [s]."""
        robot = load_robot(name)
        self.arm = GuardedArm(still(name, "joint_positions"), robot.rest, speed=speed, longest_chunk=5.0)
        self.arm.open(robot.rest)
        actions = robot.rest + np.outer(away, np.eye(len(robot.rest))[-1])
        now = self.arm.now
        self.asked = Proposal(actions[0], now, now, Chunk(actions, np.array(ends)))

    def follow(self, seconds: float) -> np.ndarray:
        """[rad] of the last joint from its rest, of each command."""
        found = []
        for _ in range(round(seconds / self.arm.config.period)):
            self.arm.period(self.asked)
            found.append(self.arm.decision.q[-1] - self.arm.bundle.robot.rest[-1])
        return np.array(found)


@pytest.mark.parametrize("name", ARMS)
@pytest.mark.parametrize(
    ("away", "ends"),
    [
        ([0.3, 0.35, 0.35], [0.6, 0.65, 1.2]),  # unevenly spaced
        ([0.0, 0.2, 0.4], [0.4, 0.8, 1.2]),  # rests first
        ([0.3, 0.0, 0.0], [0.5, 1.0, 1.5]),  # turns back
        ([0.2], [0.5]),
    ],
)
def test_on_the_way_to_the_first_position_the_arm_goes_straight_there(
    name: str, away: list[float], ends: list[float]
) -> None:
    """Neither away from it nor beyond it; and not before it is due."""
    begin = Begin(name, away, ends)
    seen = begin.follow(ends[0])
    assert seen.min() >= -1e-9
    assert seen.max() <= away[0] + 0.01
    assert seen[-1] == pytest.approx(away[0], abs=0.05)
    half = seen[len(seen) // 2]
    assert half <= 0.5 * away[0] + 0.01  # [rad] the clock of the chunk is not hurried


@pytest.mark.parametrize("speed", [1.0, 0.5, 0.1])
def test_a_slower_arm_goes_to_the_first_position_at_its_share(speed: float) -> None:
    seen = Begin("ur5e", [0.2, 0.2], [1.0, 1.5], speed).follow(0.8)
    assert seen[-1] == pytest.approx(0.8 * speed * 0.2, abs=0.01)


def test_one_position_is_reached_at_its_time_and_at_rest() -> None:
    begin = Begin("ur5e", [0.3], [1.0])
    assert begin.follow(1.0).max() <= 0.3 + 1e-6
    decision = begin.arm.decision
    assert decision.q[-1] - begin.arm.bundle.robot.rest[-1] == pytest.approx(0.3, abs=0.02)
    assert abs(decision.qd[-1]) < 0.25
    assert begin.follow(0.04).max() <= 0.3 + 1e-6


def test_the_arm_is_not_brought_back_where_a_chunk_begins_at_rest() -> None:
    """Said ten times a second from rest on, of positions a fifth of a second apart."""
    begin, period = Begin("ur5e", [0.0], [0.2]), 0.2
    rest = begin.arm.bundle.robot.rest
    start, lowest = begin.arm.now, 0.0
    for _ in range(8):
        times = begin.arm.now - start + period * np.arange(1.0, 6.0)
        actions = rest + np.outer(0.1 * times**2, np.eye(6)[-1])
        now = begin.arm.now
        begin.asked = Proposal(actions[0], now, now, Chunk(actions, period * np.arange(1.0, 6.0)))
        lowest = min(lowest, float(np.diff(begin.follow(0.1), prepend=np.nan)[1:].min()))
    assert lowest >= -1e-9  # [rad] of a decision: it never goes back
    gone = begin.arm.decision.q[-1] - rest[-1]
    assert gone == pytest.approx(0.1 * (begin.arm.now - start) ** 2, abs=0.01)


def test_the_age_of_a_chunk_counts_from_when_its_state_was_measured() -> None:
    """With the time since the newest state came, too."""
    begin = Begin("ur5e", [0.0, 0.0], [0.5, 1.0])
    now = begin.arm.now
    inputs = begin.arm.inputs(replace(begin.asked, stamp=now - 0.1))
    begin.arm.decide(replace(inputs, state_stamp=now - 0.03, state_received=now - 0.03))
    clock = begin.arm.decision.clock
    assert clock is not None and clock.seconds == pytest.approx(0.1, abs=1e-9)


def test_the_shortest_time_between_two_actions_is_allowed() -> None:
    """However its multiples are rounded: a bundle may say it, so its chunks are followed."""
    begin = Begin("ur5e", [0.0] * 128, list(0.001 * np.arange(1.0, 129.0)))
    begin.follow(0.05)
    assert begin.arm.decision.reason.name == "OK"
    assert begin.asked.chunk is not None
    closer = replace(begin.asked.chunk, ends=0.00099 * np.arange(1.0, 129.0))
    begin.asked = replace(begin.asked, chunk=closer)
    begin.follow(0.02)
    assert begin.arm.decision.reason.name == "PROPOSAL_INVALID"


def test_what_is_lacking_in_the_last_moment_asks_for_little_more_speed() -> None:
    """0.02 rad in a millisecond would be 20 rad/s: they are made up for in a tenth of a second."""
    robot = load_robot("ur5e")
    one = np.eye(6)[-1]
    actions = robot.rest + np.outer([0.1, 0.2], one)
    asked = Chunk(actions, np.array([0.05, 0.1]))
    seconds, velocity = chunks.along(asked, 0.0, 0.049, actions[0] - 0.02 * one, 0.4 * one, robot.limits)
    assert seconds == 0.049
    assert velocity == pytest.approx((0.4 + (0.02 - 0.001 * 0.4) / 0.1) * one, abs=1e-9)


def test_what_a_chunk_asked_for_is_told_by_its_own_clock() -> None:
    actions = np.arange(12.0).reshape(2, 6)
    said = Proposal(actions[0], 0.0, 1.0, Chunk(actions, np.array([0.1, 0.2])))
    assert chunks.asked(said, ChunkClock(1.0, 0.15, 1.0)) is not said.twist
    np.testing.assert_array_equal(chunks.asked(said, ChunkClock(1.0, 0.15, 1.0)), actions[1])
    for other in (None, ChunkClock(2.0, 0.15, 1.0)):  # that of another chunk says nothing
        np.testing.assert_array_equal(chunks.asked(said, other), actions[0])
