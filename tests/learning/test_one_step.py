"""Every algorithm on a one-step problem whose constrained optimum is known.

One state, one action a in [-1, 1], reward -(a - 0.8)^2, a violation with probability p(a) = (1 + a) / 2.
Without a constraint the best action is 0.8. With p(a) <= eps it is 2 eps - 1, and the multiplier there
follows from d reward / d a = nu dp / da: nu = 4 (0.8 - a).
"""

import csv
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from policy_training.algorithms import CONFIGS, OFF_POLICY
from policy_training.experience.replay import Memory, MemoryConfig
from policy_training.experience.spaces import Spaces
from policy_training.loops.off_policy import train
from policy_training.runs.folder import create_run
from policy_training.runs.presets import ONE_STEP, preset

PEAK, EPS = 0.8, 0.3
BEST = 2.0 * EPS - 1.0
STATE = torch.zeros(1, 1)
COMMON: dict[str, Any] = {
    "hidden": (32, 32), "batch_size": 128, "policy_lr": 2e-3, "critic_lr": 3e-3,
    "tau": 0.05, "initial_alpha": 0.005, "alpha_lr": 0.0,
}  # fmt: skip
LAGRANGE: dict[str, Any] = {"initial_nu": 2.0, "nu_lr": 0.2, "pos_fraction": 0.5}
CASES: dict[str, tuple[dict[str, Any], float]] = {
    "sac": ({}, PEAK),
    "sac_lag": (LAGRANGE | {"eps": EPS}, BEST),
    "meta_sac_lag": (LAGRANGE | {"initial_eps": EPS, "eps_lr": 0.0}, BEST),
    "rcpo": (LAGRANGE | {"eps": EPS}, BEST),
    "sqrl": (LAGRANGE | {"eps": EPS}, BEST),
}


def experience() -> Memory:
    """Random actions and what came of them."""
    rng, n = np.random.default_rng(0), 20_000
    memory = Memory(1, 1, seed=0, config=MemoryConfig(capacity=n, violation_capacity=n))
    action = rng.uniform(-1.0, 1.0, (n, 1))
    cost = (rng.random(n) < (1.0 + action[:, 0]) / 2.0).astype(float)
    zeros = np.zeros((n, 1))
    memory.add(zeros, action, zeros, -((action[:, 0] - PEAK) ** 2), cost, np.ones(n))
    memory.add_initial(zeros[:10])
    return memory


def trained(name: str, updates: int, **changes: Any) -> Any:
    """The algorithm after that many updates."""
    algorithm = OFF_POLICY[name](Spaces.unscaled(1, 1), replace(CONFIGS[name](**COMMON), **changes), seed=1)
    memory = experience()
    for _ in range(updates):
        algorithm.update(memory)
    return algorithm


@cache
def solved(name: str) -> Any:
    """Trained for its case, once for all tests."""
    return trained(name, 2000, **CASES[name][0])


def _x(algorithm: Any) -> float:
    """The variable behind its first multiplier."""
    return float(algorithm.constraints[0].x if hasattr(algorithm, "constraints") else algorithm.x)


def action_of(algorithm: Any) -> float:
    """Its deterministic action."""
    return float(algorithm.actor.mode(STATE).detach())


@pytest.mark.parametrize("name", OFF_POLICY)
def test_the_known_optimum_is_found(name: str) -> None:
    assert name in CASES, f"{name} has no case here: add its settings and its optimum"
    assert action_of(solved(name)) == pytest.approx(CASES[name][1], abs=0.12)


@pytest.mark.parametrize("name", ["sac_lag", "meta_sac_lag", "rcpo", "sqrl"])
def test_the_multiplier_is_the_price_of_the_constraint(name: str) -> None:
    algorithm = solved(name)
    nu = float(np.log1p(np.exp(_x(algorithm))))
    assert nu == pytest.approx(4.0 * (PEAK - BEST), rel=0.3)


@pytest.mark.parametrize("name", ["sac_lag", "meta_sac_lag", "rcpo", "sqrl"])
def test_the_safety_critic_is_calibrated_although_half_its_batch_violates(name: str) -> None:
    critic = solved(name).safety_critic()
    actions = torch.linspace(-0.9, 0.9, 10).unsqueeze(1)
    q_c = critic(STATE.expand(10, 1), actions)
    torch.testing.assert_close(q_c, (1.0 + actions[:, 0]) / 2.0, atol=0.08, rtol=0.0)


def test_oversampled_violations_bias_the_safety_critic_without_the_weights() -> None:
    critic = trained("sac_lag", 600, **LAGRANGE, pos_weight="none").safety_critic()
    assert critic(STATE, torch.zeros(1, 1)) > 0.6  # p(0) = 0.5, but half the rows were drawn for violating


def test_a_learned_threshold_stays_where_the_policy_sits_on_it() -> None:
    # At the constrained optimum Q_c' = eps, so variant B has nothing to move.
    settings = LAGRANGE | {"initial_nu": 4.0 * (PEAK - BEST), "initial_eps": EPS, "eps_lr": 1e-3}
    algorithm = trained("meta_sac_lag", 2000, **settings)
    assert algorithm.eps == pytest.approx(EPS, abs=0.06)
    assert action_of(algorithm) == pytest.approx(BEST, abs=0.2)


def test_direct_path_drives_the_threshold_up_for_ever() -> None:
    # Variant A: d J_eps / d eps holds -nu, so eps climbs to its cap while nu > 0.
    algorithm = trained(
        "meta_sac_lag", 600, **LAGRANGE, initial_eps=0.1, eps_lr=1e-2, eps_paths="A", meta_interval=2
    )
    assert algorithm.eps > 0.6


@pytest.mark.parametrize("start", [0.02, 0.6])
def test_a_measured_threshold_meets_what_was_asked_from_any_start(start: float, tmp_path: Path) -> None:
    """At most 3 of 10 episodes: the action ends where fixed eps = 0.3 leads to."""
    base = preset("meta_sac_lag", ONE_STEP, seed=1)
    config = replace(
        base, loop=replace(base.loop, steps=2000, log_every=500, eval_every=10_000, progress=False),
        algorithm=replace(base.algorithm, initial_eps=start, violations=EPS, eps_lr=0.0),
    )  # fmt: skip
    run = create_run(config, tmp_path)
    train(config, run)
    rows = list(csv.DictReader((run / "progress.csv").open()))[-2:]
    episodes, violations = (float(rows[1][n]) - float(rows[0][n]) for n in ("episodes", "violations"))
    assert violations / episodes == pytest.approx(EPS, abs=0.08)
