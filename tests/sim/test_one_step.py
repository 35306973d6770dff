"""The problem of one step: what it pays and what it risks."""

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import sim.registration
from sim.tasks.one_step import OneStepEnv


def test_it_passes_the_environment_checker() -> None:
    sim.registration.ensure_registered()
    check_env(gymnasium.make("spillguard/OneStep-v0").unwrapped, skip_render_check=True)


@pytest.mark.parametrize(
    ("action", "reward", "risk"), [(0.8, 0.0, 0.9), (-0.8, -2.56, 0.1), (-1.0, -3.24, 0.0)]
)
def test_more_reward_costs_more_violations(action: float, reward: float, risk: float) -> None:
    env, costs = OneStepEnv(), []
    for seed in range(2000):
        env.reset(seed=seed)
        _, got, ended, truncated, info = env.step(np.array([action], dtype=np.float32))
        assert got == pytest.approx(reward, abs=1e-6) and ended and not truncated and info["success"]
        costs.append(info["cost"])
    assert np.mean(costs) == pytest.approx(risk, abs=0.03)


def test_what_is_not_finite_is_refused() -> None:
    env = OneStepEnv()
    env.reset(seed=0)
    with pytest.raises(ValueError, match="must be finite"):
        env.step(np.array([np.nan], dtype=np.float32))
