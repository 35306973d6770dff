"""Branches of the running cell: they change nothing, and the physics answers the question of the gate."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sim.pouring.branch import Moment, breaks_a_rule
from sim.pouring.deployed_config import deployed_config
from sim.pouring.guard import accepts_all
from sim.pouring.guarded import Stack
from sim.pouring.scenario import sample_scenario
from spillguard_core.bundle.bundle import load_bundle
from spillguard_core.gate.decision import GateConfig
from spillguard_core.gate.gate import Models
from spillguard_core.tasks.pouring.action import ACTION_SCALE

TILT, BACK = np.array([0.0, 0.0, 0.0, 1.0]), np.array([0.0, 0.0, 0.0, -1.0])
Gate = tuple[Models, GateConfig]


@pytest.fixture(scope="module")
def gate() -> Gate:
    """As deployed, without critic and tilt rule."""
    bundle = load_bundle(Path("artifacts/pour_coffee"))
    config = deployed_config(bundle, None)
    config = replace(config, settings={"free_tilt": math.pi})
    return replace(bundle.models(config), critic=accepts_all), config


def tilted(gate: Gate, look: Callable[[Moment, float], None], seconds: float = 1.3) -> Stack:
    """The cup is tilted where it starts, beside the other one; `look` sees each step and the tilt [rad]."""
    models, config = gate
    stack = Stack(models, config)

    def rule(obs: np.ndarray) -> np.ndarray:
        look(Moment(stack.cell, stack.decision, models, config), math.atan2(obs[6], obs[7]))
        return TILT.astype(np.float32)

    stack.pour(rule, sample_scenario(np.random.default_rng(3)), time_limit=seconds)
    return stack


def test_a_branch_leaves_the_cell_as_it_was(gate: Gate) -> None:
    def branching(moment: Moment, tilt: float) -> None:
        if 0.3 < tilt < 0.5:
            breaks_a_rule(moment, TILT * ACTION_SCALE, 0.2, np.random.default_rng(0))

    plain, branched = tilted(gate, lambda moment, tilt: None, 0.9), tilted(gate, branching, 0.9)
    assert np.array_equal(plain.cell.data.qpos, branched.cell.data.qpos)
    assert np.array_equal(plain.decision.q, branched.decision.q)
    one, other = plain.cell.measure(), branched.cell.measure()
    assert all(np.array_equal(one.sensed[name], other.sensed[name]) for name in one.sensed)


def test_the_physics_says_what_comes_of_an_action(gate: Gate) -> None:
    found: dict[str, list[bool]] = {"tilt, held": [], "back": [], "early": []}
    rng = np.random.default_rng(0)

    def look(moment: Moment, tilt: float) -> None:
        if 0.6 < tilt < 0.75:
            found["early"].append(breaks_a_rule(moment, TILT * ACTION_SCALE, 0.05, rng))
        if 1.0 < tilt < 1.15:
            found["tilt, held"].append(breaks_a_rule(moment, TILT * ACTION_SCALE, 0.6, rng))
            found["back"].append(breaks_a_rule(moment, BACK * ACTION_SCALE, 0.2, rng))

    tilted(gate, look)
    assert found["early"] and not any(found["early"])
    assert found["tilt, held"] and all(found["tilt, held"])  # beside the other cup it spills
    assert not any(found["back"])


def test_a_hold_of_nothing_is_the_fallback_at_once(gate: Gate) -> None:
    answers: list[tuple[bool, bool]] = []

    def look(moment: Moment, tilt: float) -> None:
        if 0.9 < tilt < 1.05:
            rngs = [np.random.default_rng(0) for _ in range(2)]
            answers.append((
                breaks_a_rule(moment, TILT * ACTION_SCALE, 0.0, rngs[0]),
                breaks_a_rule(moment, -TILT * ACTION_SCALE, 0.0, rngs[1]),
            ))  # fmt: skip

    tilted(gate, look)
    assert answers and all(one == other for one, other in answers)
