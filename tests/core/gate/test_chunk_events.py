"""Whatever arrives, in whatever order: chunks and single actions, old, new, again, and senseless ones, with
operators, a teleoperator and clocks that jump in between. On every arm, with every kind of action."""

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.arms import ARMS, KINDS, still
from sim.reaching.guarded import GuardedArm
from spillguard_core.bundle.bundle import Bundle
from spillguard_core.gate.decision import Chunk, Decision, Inputs, Mode, Proposal, Request
from spillguard_core.gate.proposals import MOST_ACTIONS
from spillguard_core.gate.trajectory import braking_trajectory
from spillguard_core.tasks.reach import GOAL

LONGEST = 5.0  # [s]
DECISIONS = 50
SPACINGS = (0.001, 0.008, 0.02, 0.039, 0.5)  # [s] between two actions
SIZES = (0.0, 1e-12, 0.001, 0.02, 0.5, 1e5)  # of an action, in its own units
AGES = (0.0, 0.01, 0.1, 0.5, 3.0, -0.02, -1.0, math.nan)  # [s] of the state that is answered
SLACK = 1e-9


@cache
def bundle(arm: str, task: str) -> Bundle:
    """Made once."""
    return still(arm, task)


class Stage:
    """One arm, and everything that was said so far."""

    def __init__(self, arm: str, task: str, seed: int, speed: float) -> None:
        made = bundle(arm, task)
        self.rng, self.positions = np.random.default_rng(seed), task == "joint_positions"
        self.said = list[Proposal]()
        sensed = {GOAL: np.array([0.4, 0.1, 0.3])} if task == "reach" else {}
        self.arm = GuardedArm(made, made.robot.rest, sensed, speed=speed, longest_chunk=LONGEST)
        self.entries = len(made.scale)
        self.nothing = made.robot.rest if self.positions else np.zeros(self.entries)
        self.arm.open(self.nothing)
        self.ahead = 0.0  # [s] of the driver's clock

    def proposal(self) -> Proposal:
        """A new one."""
        rng, now = self.rng, self.arm.now
        count = int(rng.choice([1, 2, 3, 10, 40, MOST_ACTIONS]))
        ends = rng.choice(SPACINGS) * np.arange(1.0, count + 1.0)
        if rng.random() < 0.3:
            ends = np.cumsum(rng.exponential(0.02, count) + 0.001) + rng.choice([0.0, 0.7])
        told = rng.choice(SIZES) * rng.normal(size=(count, self.entries))
        actions = self.arm.position + np.cumsum(told, axis=0) if self.positions else told
        for values in (actions, ends):
            if rng.random() < 0.05:
                values[rng.integers(count)] = rng.choice([math.nan, math.inf, -1.0, 0.0, 1e300])
        age = float(rng.choice(AGES)) if rng.random() < 0.4 else 0.0
        chunk = Chunk(actions, ends) if rng.random() < 0.85 else None
        self.said.append(Proposal(actions[0], now, now - age, chunk))
        return self.said[-1]

    def inputs(self, wished: Proposal) -> Inputs:
        """Of the next decision."""
        rng, mode, requests = self.rng, self.arm.decision.mode, tuple[Request, ...]()
        if rng.random() < 0.04:
            requests = (list(Request)[rng.integers(len(Request))],)
        elif mode in (Mode.STOPPED, Mode.HELD) and rng.random() < 0.5:
            requests = (Request.RESET if mode is Mode.STOPPED else Request.RESUME,)
        inputs = self.arm.inputs(wished, *requests)
        if rng.random() < 0.004:
            self.ahead += float(rng.choice([-1.0, 1.0, -0.05, 0.01]))
        inputs = replace(inputs, state_stamp=inputs.state_stamp + self.ahead)
        if rng.random() < 0.004:
            inputs = replace(inputs, now=inputs.now + float(rng.choice([-1.0, -0.01, 1.0, math.nan])))
        if rng.random() < 0.02:
            spoken = None if rng.random() < 0.8 else Chunk(np.stack([self.nothing] * 2), np.array([0.1, 0.2]))
            inputs = replace(inputs, teleop=Proposal(self.nothing, inputs.now, math.nan, spoken))
        return inputs


def check(stage: Stage, inputs: Inputs, before: Decision) -> None:
    """What holds of every decision."""
    decision, config = stage.arm.decision, stage.arm.config
    limits = config.limits
    assert decision.reason.name != "CHECK_FAILED", decision.detail
    assert np.isfinite([*decision.q, *decision.qd]).all()
    assert (np.abs(decision.qd) <= limits.velocity + SLACK).all()
    if decision.send and before.anchored:
        path = braking_trajectory(decision, config)
        assert not path.velocities[-1].any()
        inside = (limits.position_min - SLACK <= path.positions) & (
            path.positions <= limits.position_max + SLACK
        )
        assert inside.all()
    clock, last = decision.clock, before.clock
    if clock is None:
        return
    assert 0.0 <= clock.pace <= 1.0 and 0.0 <= clock.seconds <= LONGEST
    if last is not None and last.stamp == clock.stamp and math.isfinite(inputs.now):
        gap = inputs.now - before.decided
        gap = gap if gap >= 0.0 else config.period
        assert last.seconds - SLACK <= clock.seconds <= last.seconds + gap + 1e-6  # never back, never ahead


@pytest.mark.parametrize("task", KINDS)
@pytest.mark.parametrize("arm", ARMS)
@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 100_000), speed=st.sampled_from([1.0, 0.5, 0.1, 0.01]), late=st.floats(0.0, 0.1),
    shadow=st.sampled_from([False, False, False, True]),
)  # fmt: skip
def test_whatever_arrives_the_arm_stays_on_a_path_to_rest(
    arm: str, task: str, seed: int, speed: float, late: float, shadow: bool
) -> None:
    stage = Stage(arm, task, seed, speed)
    stage.arm.config = replace(stage.arm.config, shadow=shadow)
    rng, wished = stage.rng, stage.proposal()
    for _ in range(DECISIONS):
        luck = rng.random()
        if luck < 0.12:
            wished = stage.proposal()
        elif luck < 0.24:
            wished = stage.said[rng.integers(len(stage.said))]
        elif luck < 0.28:
            wished = replace(wished, received=stage.arm.now)
        inputs, before = stage.inputs(wished), stage.arm.decision
        with np.errstate(invalid="raise", divide="raise"):
            stage.arm.decide(inputs)
        if not shadow:
            check(stage, inputs, before)
        if rng.random() < 0.02:
            stage.arm.now += late
