"""Every on-policy algorithm on a one-step problem whose constrained optimum is known.

One state, actions a in R^3, reward 2 a_2 - |(a_0, a_1) - (1, 1)|^2, cost max(0, 3 + a_0), 3 of it allowed.
The cost is linear wherever the policy goes, so the best mean is (0, 1), whatever the noise: without the limit
it would be (1, 1), and a policy that only heeds the limit has no reason to take its second component to 1.
a_2 pays without end and costs nothing. Where both advantages are standardised (CUP), reward and cost would
without it have slopes of one size at every mean once the noise is small, and a multiplier had no value to
settle on. Where the cost's are only centred, the multiplier that holds the optimum is 0.7 over the noise.
"""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from policy_training.algorithms import CONFIGS, ON_POLICY
from policy_training.experience.on_policy_sampling import Share
from policy_training.experience.spaces import Spaces

PEAK, OFFSET, SLOPE = np.array([1.0, 1.0]), 3.0, 2.0
STATE = torch.zeros(1, 1)
COMMON: dict[str, Any] = {
    "cost_limits": (("cost", OFFSET),), "hidden": (8,), "initial_std": 0.5, "critic_lr": 0.02,
    "critic_epochs": 4,
}  # fmt: skip
REGION: dict[str, Any] = {"target_kl": 0.05}
PRICED: dict[str, Any] = {"initial_nu": 1.2, "nu_lr": 0.05}
CLIPPED: dict[str, Any] = {"policy_lr": 3e-3, "policy_epochs": 5, "policy_batch": 100, "target_kl": 0.05}
SOFT: dict[str, Any] = REGION | {"slack_above": 0.05, "slack_below": -0.05}
# name: settings that suit the problem, iterations
CASES: dict[str, tuple[dict[str, Any], int]] = {
    "ppo_lag": (CLIPPED | PRICED, 120),
    "trpo_lag": (REGION | PRICED, 100),
    "cpo": (REGION, 80),
    "pcpo": (REGION, 80),
    "cup": (CLIPPED | {"initial_nu": 0.02, "nu_lr": 0.001}, 80),
    "crpo": (REGION, 120),
    "pcrpo": (SOFT, 120),
    "espo": (SOFT, 120),
}


def share(actor: Any, rng: np.random.Generator, steps: int) -> Share:
    """Episodes of one step each."""
    mean = actor.mode(STATE).detach().numpy()
    std = np.exp(actor.log_std.detach().numpy())
    action = (mean + std * rng.standard_normal((steps, 3))).astype(np.float32)
    reward = SLOPE * action[:, 2] - ((action[:, :2] - PEAK) ** 2).sum(axis=1)
    signals = np.stack((reward, np.maximum(0.0, OFFSET + action[:, 0])))
    zeros = np.zeros((steps, 1), dtype=np.float32)
    return Share(
        zeros, action, signals, np.arange(1, steps + 1), zeros, np.ones(steps, dtype=bool), signals,
        np.zeros(steps, dtype=bool),
    )  # fmt: skip


@cache
def mean_actions(name: str) -> np.ndarray:
    """Mean action after each iteration (N, 2)."""
    settings, iterations = CASES[name]
    config = replace(CONFIGS[name](**COMMON), **settings)
    algorithm = ON_POLICY[name](Spaces.unscaled(1, 3), config, seed=1)
    rng, seen = np.random.default_rng(0), []
    for i in range(iterations):
        rollout = algorithm.judge.rollout([share(algorithm.actor, rng, 400)])
        algorithm.update(rollout, i / iterations)
        seen.append(algorithm.actor.mode(STATE).detach().numpy()[0, :2])
    return np.array(seen)


@pytest.mark.parametrize("name", ON_POLICY)
def test_the_known_optimum_is_found(name: str) -> None:
    assert name in CASES, f"{name} has no case here: add its settings"
    last = mean_actions(name)[-20:].mean(axis=0)
    np.testing.assert_allclose(last, (0.0, 1.0), atol=0.2)
