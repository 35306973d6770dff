"""Chunks of actions: followed along their own path, as fast as the gate lets them, and no longer than they
last."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.arms import still
from sim.reaching.guarded import GuardedArm
from spillguard_core.gate import chunk as chunks
from spillguard_core.gate.decision import Chunk, ChunkClock, Mode, Proposal, Request
from spillguard_core.gate.proposals import MOST_ACTIONS
from spillguard_core.gate.reasons import Verdict
from spillguard_core.robot.arm import Vec, load_robot

ARM = load_robot("ur5e")
PERIOD = 0.05  # [s] between two actions
LONGEST = 2.0  # [s]
AWAY = np.array([0.2, 0.1, 0.1, 0.1, 0.1, 0.1])  # [rad]


def there(seconds: Vec) -> np.ndarray:
    """The path that the chunks ask for: out and back in 2 s."""
    return ARM.rest + 0.5 * np.outer(1.0 - np.cos(np.pi * seconds), AWAY)


PATH = there(np.linspace(0.0, 2.0, 4001))


def beside(q: Vec) -> float:
    """[rad] of the worst joint from the nearest point of the path."""
    return float(np.abs(PATH - q).max(axis=1).min())


class Stage:
    """An arm at rest at the begin of the path, and chunks that ask for it."""

    def __init__(self, task: str, speed: float = 1.0) -> None:
        self.positions = task == "joint_positions"
        self.arm = GuardedArm(still("ur5e", task), ARM.rest, speed=speed, longest_chunk=LONGEST)
        self.arm.open(ARM.rest if self.positions else np.zeros(6))

    def chunk(self, begin: float = 0.0, count: int = 40) -> Proposal:
        """The next actions from `begin` [s] of the path on."""
        ends = PERIOD * np.arange(1.0, count + 1.0)
        after, before = there(begin + ends), there(begin + ends - PERIOD)
        actions = after if self.positions else (after - before) / PERIOD
        return Proposal(actions[0], self.arm.now, self.arm.now, Chunk(actions, ends))

    def follow(self, proposal: Proposal, seconds: float, *requests: Request) -> list[float]:
        """[rad] of every command beside the path."""
        found = []
        for number in range(round(seconds / self.arm.config.period)):
            self.arm.period(proposal, *(requests if number == 0 else ()))
            found.append(beside(self.arm.decision.q))
        return found


TASKS = ("joint_positions", "joint_velocities")


@pytest.fixture(params=TASKS)
def stage(request: pytest.FixtureRequest) -> Stage:
    return Stage(request.param)


def test_one_chunk_leads_the_arm_all_the_way(stage: Stage) -> None:
    """At a speed that the arm can keep it is where the chunk says, a little late where it has to speed up."""
    off = stage.follow(stage.chunk(), 1.0)
    assert stage.arm.decision.verdict is Verdict.PASS
    assert max(off) < 0.005  # [rad], of 0.2
    assert stage.arm.decision.q == pytest.approx(there(np.ones(1))[0], abs=0.02)
    off = stage.follow(replace(stage.chunk(1.0)), 1.0)
    assert max(off) < 0.005
    assert stage.arm.decision.q == pytest.approx(ARM.rest, abs=0.02)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("speed", [0.5, 0.25, 0.1])
def test_a_slower_arm_goes_the_same_way(task: str, speed: float) -> None:
    """In the chunk's time it does its share of it, and nothing of it is skipped."""
    stage = Stage(task, speed)
    assert max(stage.follow(stage.chunk(), 1.9)) < 0.005
    clock = stage.arm.decision.clock
    assert clock is not None and clock.seconds == pytest.approx(1.9 * speed, abs=0.02)
    assert stage.arm.decision.q == pytest.approx(there(np.array([1.9 * speed]))[0], abs=0.02)


def test_a_limit_slows_a_chunk_and_skips_nothing_of_it() -> None:
    """Velocities above the arm's: the chunk's clock goes on at the share that is sent."""
    stage = Stage("joint_velocities")
    most = stage.arm.config.limits.velocity
    actions = np.tile(np.eye(6)[0] * 2.0 * most[0], (10, 1)) * np.r_[np.ones(5), -np.ones(5)][:, None]
    start = stage.arm.now
    asked = Proposal(actions[0], start, start, Chunk(actions, PERIOD * np.arange(1.0, 11.0)))
    seen = []
    for _ in range(40):
        stage.arm.period(asked)
        clock = stage.arm.decision.clock
        assert clock is not None
        seen.append(clock.seconds)
    assert np.diff(seen)[:20] == pytest.approx(0.5 * stage.arm.config.period, abs=1e-6)  # half as fast
    assert seen[-1] < 0.25


def test_a_hold_stops_the_chunks_clock(stage: Stage) -> None:
    asked = stage.chunk()
    stage.follow(asked, 0.5)
    before = stage.arm.decision.clock
    stage.follow(asked, 0.3, Request.HOLD)
    held = stage.arm.decision
    assert held.verdict is Verdict.HOLD and before is not None and held.clock is not None
    assert held.clock.seconds <= before.seconds + stage.arm.config.period and held.clock.pace == 0.0
    off = stage.follow(asked, 0.5, Request.RESUME)
    assert stage.arm.decision.verdict is Verdict.PASS and max(off) < 0.01


def test_a_policy_that_died_moves_the_arm_for_as_long_as_it_had_said(stage: Stage) -> None:
    asked, config = stage.chunk(count=10), stage.arm.config
    stage.follow(asked, 10 * PERIOD + config.command_timeout)
    assert stage.arm.decision.verdict is Verdict.PASS
    stage.follow(asked, 3.0 * config.period)
    assert stage.arm.decision.reason.name == "PROPOSAL_STALE"
    stage.follow(asked, 0.5)
    assert not stage.arm.decision.qd.any()
    stage.follow(asked, config.policy_timeout + 0.5)
    assert stage.arm.decision.reason.name == "POLICY_SILENT" and stage.arm.decision.mode is Mode.HELD


def test_a_chunk_of_positions_ends_at_rest_where_it_says() -> None:
    stage = Stage("joint_positions")
    asked = stage.chunk(count=12)  # ends at full speed
    stage.follow(asked, 12 * PERIOD + stage.arm.config.command_timeout - 0.01)
    assert np.abs(stage.arm.decision.q - there(np.array([12 * PERIOD]))[0]).max() < 0.02
    assert (stage.arm.decision.q <= there(np.array([12 * PERIOD]))[0] + 0.005)[0]  # not beyond


def test_chunks_that_overlap_are_one_motion(stage: Stage) -> None:
    """A policy that speaks every fifth of a second, of the next second."""
    for turn in range(5):
        begin = 0.2 * turn
        assert max(stage.follow(stage.chunk(begin, count=20), 0.2)) < 0.01
        assert stage.arm.decision.verdict is Verdict.PASS
    assert stage.arm.decision.q == pytest.approx(there(np.ones(1))[0], abs=0.03)


@pytest.mark.parametrize("speed", [1.0, 0.5])
def test_the_first_actions_of_a_late_chunk_are_over(speed: float) -> None:
    """As much of them as the arm can have done meanwhile."""
    stage = Stage("joint_velocities", speed)
    asked = stage.chunk()
    late = replace(asked, stamp=asked.stamp - 0.12)
    stage.arm.period(late)
    clock = stage.arm.decision.clock
    assert clock is not None and clock.seconds == pytest.approx(0.12 * speed, abs=1e-9)


def test_after_the_last_velocity_comes_rest() -> None:
    """Before the chunk is stale, too."""
    stage = Stage("joint_velocities")
    asked = stage.chunk(count=10)
    stage.follow(asked, 10 * PERIOD + 3.0 * stage.arm.config.period)
    decision = stage.arm.decision
    assert decision.reason.name == "OK" and not decision.twist_sent.any()


def test_in_shadow_the_chunks_clock_is_the_monitors() -> None:
    """What the gate would have slowed is not slower for who moves the arm."""
    stage = Stage("joint_velocities")
    stage.arm.config = replace(stage.arm.config, shadow=True)
    chunk = Chunk(np.full((10, 6), 100.0), PERIOD * np.arange(1.0, 11.0))
    asked = Proposal(chunk.actions[0], stage.arm.now, stage.arm.now, chunk)
    stage.follow(asked, 0.2)
    clock = stage.arm.decision.clock
    assert stage.arm.decision.verdict is Verdict.LIMIT
    assert clock is not None and clock.seconds == pytest.approx(0.2 - stage.arm.config.period, abs=1e-9)


def test_an_arm_beside_the_path_first_returns_to_it() -> None:
    """At 0.15 rad beside it nothing goes on along it."""
    asked, limits = Stage("joint_positions").chunk().chunk, ARM.limits
    assert asked is not None
    side = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.15])
    seconds, velocity = chunks.along(asked, 0.45, 0.5, there(np.array([0.5]))[0] + side, limits)
    assert 0.45 <= seconds <= 0.5
    assert velocity[5] < -0.5 and np.abs(velocity[:5]).max() < 0.05


def test_joints_without_end_stops_take_the_shorter_way() -> None:
    limits = load_robot("gen3").limits
    assert limits.turn[0] > 0.0
    ends = PERIOD * np.arange(1.0, 5.0)
    actions = np.zeros((4, 7))
    actions[:, 0] = [3.12, -3.14, -3.12, -3.10]  # across the half turn
    q = np.zeros(7)
    q[0] = 3.13
    seconds, velocity = chunks.along(Chunk(actions, ends), 0.0, 0.1, q, limits)
    assert PERIOD < seconds < 2.0 * PERIOD
    assert velocity[0] == pytest.approx((-3.14 + 2.0 * np.pi - 3.12) / PERIOD, rel=1e-6)


def test_where_a_chunk_stands_still_time_passes() -> None:
    limits, ends = ARM.limits, PERIOD * np.arange(1.0, 5.0)
    actions = np.tile(ARM.rest, (4, 1))
    seconds, velocity = chunks.along(Chunk(actions, ends), 0.07, 0.13, ARM.rest, limits)
    assert seconds == pytest.approx(0.13) and not velocity.any()


FINE = Chunk(np.zeros((3, 6)), np.array([0.1, 0.2, 0.3]))
WRONG = {
    "not finite": replace(FINE, actions=np.full((3, 6), np.nan)),
    "times that are not finite": replace(FINE, ends=np.array([0.1, np.nan, 0.3])),
    "an end that is not finite": replace(FINE, ends=np.array([0.1, 0.2, np.inf])),
    "no actions": Chunk(np.zeros((0, 6)), np.zeros(0)),
    "other entries": Chunk(np.zeros((3, 7)), FINE.ends),
    "more times than actions": Chunk(np.zeros((2, 6)), FINE.ends),
    "times that go back": replace(FINE, ends=np.array([0.1, 0.3, 0.2])),
    "a time twice": replace(FINE, ends=np.array([0.1, 0.1, 0.2])),
    "huge": replace(FINE, actions=np.full((3, 6), 1e300)),
    "times too close": replace(FINE, ends=np.array([1e-300, 0.1, 0.2])),
    "a time before its state": replace(FINE, ends=np.array([0.0, 0.1, 0.2])),
    "longer than the bundle says": replace(FINE, ends=np.array([0.1, 0.2, LONGEST + 0.1])),
    "too many": Chunk(np.zeros((MOST_ACTIONS + 1, 6)), np.arange(1.0, MOST_ACTIONS + 2.0) / MOST_ACTIONS),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_chunk_that_makes_no_sense_holds_the_arm(stage: Stage, wrong: str) -> None:
    stage.follow(stage.chunk(), 0.3)
    asked = replace(stage.chunk(), chunk=WRONG[wrong])
    stage.follow(asked, 0.5)
    assert stage.arm.decision.reason.name == "PROPOSAL_INVALID" and not stage.arm.decision.qd.any()


def test_a_gate_of_single_actions_takes_no_chunk() -> None:
    stage = Stage("joint_velocities")
    stage.arm.config = replace(stage.arm.config, longest_chunk=0.0)
    stage.arm.period(stage.chunk())
    assert stage.arm.decision.reason.name == "PROPOSAL_INVALID"


def test_a_teleoperator_says_one_action() -> None:
    stage = Stage("joint_velocities")
    inputs = replace(
        stage.arm.inputs(stage.chunk()), teleop=replace(stage.chunk(), stamp=np.nan), requests=()
    )
    stage.arm.decide(inputs)
    assert stage.arm.decision.reason.name == "TELEOP_INVALID"


@settings(max_examples=150, deadline=None)
@given(
    task=st.sampled_from(TASKS), seed=st.integers(0, 10_000), count=st.integers(1, 12),
    period=st.floats(1e-4, 0.15), wild=st.floats(0.0, 1e7), age=st.floats(-0.05, 0.5),
)  # fmt: skip
def test_whatever_a_chunk_says_the_command_keeps_the_limits(
    task: str, seed: int, count: int, period: float, wild: float, age: float
) -> None:
    stage, rng = Stage(task), np.random.default_rng(seed)
    limits, config = stage.arm.config.limits, stage.arm.config
    actions = (ARM.rest if stage.positions else 0.0) + wild * rng.normal(size=(count, 6))
    ends = period * np.cumsum(rng.uniform(0.1, 1.0, count))
    asked = Proposal(actions[0], stage.arm.now, stage.arm.now - age, Chunk(actions, ends))
    for _ in range(25):
        before = stage.arm.decision.qd
        stage.arm.period(asked)
        decision = stage.arm.decision
        assert np.isfinite(decision.q).all()
        assert (np.abs(decision.qd) <= limits.velocity + 1e-9).all()
        assert (np.abs(decision.qd - before) <= limits.acceleration * config.period + 1e-9).all()
        assert ((limits.position_min <= decision.q) & (decision.q <= limits.position_max)).all()
        clock = decision.clock
        assert clock is None or (0.0 <= clock.seconds <= asked.lasts and 0.0 <= clock.pace <= 1.0)


@pytest.mark.parametrize(("done", "pace"), [(1.0, 1.0), (0.5, 0.5), (0.0, 0.0), (-1.0, 0.0), (3.0, 1.0)])
def test_a_chunks_clock_never_goes_back_and_never_ahead(done: float, pace: float) -> None:
    """Also where the arm is led back out of a limit, or faster than it was asked to go."""
    asked, scale = np.array([0.1, -0.2, 0.0]), np.array([1.0, 2.0, 3.0])
    found = chunks.sent(ChunkClock(1.0, 0.3, 0.0), asked, done * asked, scale)
    assert found is not None and (found.stamp, found.seconds) == (1.0, 0.3)
    assert found.pace == pytest.approx(pace)
    assert chunks.sent(None, asked, asked, scale) is None


def test_while_a_chunk_asks_for_rest_its_time_passes() -> None:
    found = chunks.sent(ChunkClock(1.0, 0.3, 0.0), np.zeros(3), np.zeros(3), np.ones(3))
    assert found is not None and found.pace == 1.0
