"""The gate in front of the simulated cell, driven by a good policy and by bad ones."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import mujoco
import numpy as np
import pytest

from sim.cell import PourCell
from sim.cell_model import guard_model_xml
from sim.scenario import sample_scenario
from sim.scripted import CONTROLLERS
from spillguard_core.arm import ACTION_SCALE, Vec
from spillguard_core.decision import Inputs, Mode, Proposal, Reason, Request
from spillguard_core.gate import decide, initial_decision
from spillguard_core.observation import POUR_TERMS, Measurement, observe
from spillguard_core.world import World

Policy = Callable[[Measurement], Vec]
TICKS_PER_PROPOSAL = 5


class Guarded:
    """A cell whose arm hears the gate only."""

    def __init__(self, rig, seed: int) -> None:
        self.config, self.models = rig.config, rig.models
        self.cell = PourCell()
        self.cell.reset(sample_scenario(np.random.default_rng(seed)))
        self.decision, self.reasons = initial_decision(), Counter[Reason]()

    def run(self, policy: Policy, seconds: float) -> None:
        """Until the time is over, the task is done, or a rule is broken."""
        proposal, last = None, self.cell.measure().joint_position
        for tick in range(int(seconds / self.config.period)):
            now, seen = tick * self.config.period, self.cell.measure()
            if tick % TICKS_PER_PROPOSAL == 0:
                proposal = Proposal(policy(seen), now, now)
            asked = () if self.decision.mode is Mode.FOLLOWING else (Request.RESET, Request.RESUME)
            inputs = Inputs(now, seen, now, now, now, proposal, asked)
            self.decision = decide(inputs, self.decision, self.config, self.models)
            self.reasons[self.decision.reason] += 1
            last = self.decision.q if self.decision.send else last
            speed = self.decision.qd if self.decision.send else np.zeros(7)
            self.cell.advance(last[None], speed[None])
            outcome = self.cell.outcome()
            if outcome.violated or outcome.success:
                return


@pytest.fixture
def guarded(rig):
    model = mujoco.MjModel.from_xml_string(guard_model_xml())
    rig.models = replace(rig.models, world=World(model, rig.config.clearance))
    return lambda seed: Guarded(rig, seed)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_good_policy_pours_through_the_gate_untouched(guarded, rig, seed):
    controller = CONTROLLERS["spillguard/PourCoffee-v0"]
    pour = guarded(seed)
    pour.run(lambda m: controller(observe(POUR_TERMS, m, rig.models.kinematics)) * ACTION_SCALE, 10.0)
    assert pour.cell.outcome().success
    assert set(pour.reasons) <= {Reason.OK, Reason.NOT_RESET}


def bang_bang(rng: np.random.Generator) -> Policy:
    """Full speed in another random direction at every call."""
    return lambda _: rng.choice([-1.0, 1.0], 4) * ACTION_SCALE


def stubborn(rng: np.random.Generator) -> Policy:
    """Full speed in one random direction for about a second, cup upright."""
    held = [np.zeros(4)]

    def push(_: Measurement) -> Vec:
        if rng.random() < 0.05 or not held[0].any():
            held[0] = np.array([*rng.choice([-1.0, 1.0], 3), 0.0]) * ACTION_SCALE
        return held[0]

    return push


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("policy", [bang_bang, stubborn])
def test_bad_policy_breaks_no_limit_and_touches_nothing(guarded, policy, seed):
    pour = guarded(seed)
    pour.run(policy(np.random.default_rng(seed)), 6.0)
    assert not pour.cell.outcome().contact
    assert not pour.cell.outcome().limit_broken
    assert pour.decision.mode is Mode.FOLLOWING
