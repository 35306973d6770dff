"""Every optimizer layout finds the known constrained optimum of the one-step problems."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from policy_training.algorithms import PpoLag, PpoLagConfig
from policy_training.networks import Spaces
from tests.learning.test_one_step_on_policy import CLIPPED, COMMON, PRICED, STATE, share

LAYOUTS: list[dict[str, Any]] = [
    {"layout": "single"},
    {"layout": "grouped", "target_norm": "popart"},
    {"layout": "isolated", "clip_scope": "loss"},
    {"layout": "shared", "clip_scope": "loss", "cost_critic_lr": 1e-3},
]


@pytest.mark.parametrize("settings", LAYOUTS, ids=lambda s: s["layout"])
def test_ppo_lag_with_a_shared_trunk_finds_the_known_optimum(settings: dict[str, Any]) -> None:
    config = replace(PpoLagConfig(**COMMON), **CLIPPED, **PRICED, trunk="shared", **settings)
    algorithm = PpoLag(Spaces.unscaled(1, 3), config, seed=1)
    rng, seen, iterations = np.random.default_rng(0), [], 120
    for i in range(iterations):
        rollout = algorithm.judge.rollout([share(algorithm.actor, rng, 400)])
        algorithm.update(rollout, i / iterations)
        seen.append(algorithm.actor.mode(STATE).detach().numpy()[0, :2])
    np.testing.assert_allclose(np.array(seen)[-20:].mean(axis=0), (0.0, 1.0), atol=0.2)
