"""A limit and a multiplier for each named cost, on the point among obstacles."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from policy_training.algorithms import OFF_POLICY, ON_POLICY
from policy_training.checkpoint import load
from policy_training.experience.replay import Memory, MemoryConfig
from policy_training.experience.spaces import Spaces
from policy_training.loops.off_policy import Trainer, train
from policy_training.loops.on_policy import train_on_policy
from policy_training.runs.config import OnPolicyLoop, RunConfig
from policy_training.runs.folder import create_run
from policy_training.runs.presets import NAV2D, preset
from policy_training.steps.multipliers import Multipliers, MultiplierSettings
from tests.training.small_runs import equal, figures, small_off_policy

TWO = (("obstacle", 0.5), ("arena", 0.01))


def test_each_multiplier_follows_its_own_cost() -> None:
    multipliers = Multipliers((("a", 1.0), ("b", 1.0)), MultiplierSettings(initial_nu=0.5, nu_lr=0.1))
    for _ in range(20):
        multipliers.update((3.0, 0.0))
    over, under = multipliers.values
    assert over > 2.0
    assert under == 0.0
    assert multipliers.figures() == {"nu/a": over, "nu/b": under}


def test_a_mix_of_advantages_prices_each_cost() -> None:
    advantage = torch.randn(3, 500, generator=torch.Generator().manual_seed(0))
    advantage[2] = 5.0 * advantage[2] + 3.0
    multipliers = Multipliers((("a", 1.0), ("b", 1.0)), MultiplierSettings(initial_nu=0.0))
    multipliers.values = [0.0, 1.0]
    reward, _, cost = advantage - advantage.mean(dim=1, keepdim=True)
    torch.testing.assert_close(multipliers.mixed(advantage), (reward / reward.std() - cost) / 2.0)


@pytest.mark.parametrize("algo", [a for a in ("ppo_lag", "trpo_lag") if a in ON_POLICY])
def test_an_on_policy_run_keeps_several_limits_apart(algo: str, tmp_path: Path) -> None:
    # a limit that random motion breaks at once beside one that cannot be broken
    config = preset(algo, NAV2D)
    limits = (("obstacle", 1.0), ("arena", 0.0))
    settings = replace(config.algorithm, cost_limits=limits, initial_nu=0.001, nu_lr=0.035)
    loop = OnPolicyLoop(steps=2400, samples=400, envs=2, progress=False)
    config = RunConfig(algo, NAV2D, 1, loop, algorithm=settings)
    run = create_run(config, tmp_path)
    train_on_policy(config, run)
    head, *rows = (line.split(",") for line in figures(run))
    last = dict(zip(head, map(float, rows[-1]), strict=True))
    assert last["nu/arena"] > 0.05 > last["nu/obstacle"]
    assert last["cost/arena"] >= 0.0


def test_sac_lag_learns_a_critic_and_a_multiplier_for_each_cost(tmp_path: Path) -> None:
    base = small_off_policy("sac_lag", steps=600, warmup=300, prior_episodes=10)
    config = replace(base, algorithm=replace(base.algorithm, eps_limits=TWO, nu_lr=0.05))
    trainer = Trainer(config, create_run(config, tmp_path))
    assert trainer.memory.sizes[-1] == 3
    trainer.close()
    run = create_run(config, tmp_path)
    train(config, run)
    head, *rows = (line.split(",") for line in (run / "progress.csv").read_text().splitlines())
    last = {k: float(v) for k, v in zip(head, rows[-2], strict=True) if v}
    assert last["nu/obstacle"] != last["nu/arena"]


def test_a_run_with_several_limits_resumes_bit_equal(tmp_path: Path) -> None:
    base = small_off_policy("sac_lag")
    config = replace(base, algorithm=replace(base.algorithm, eps_limits=TWO))
    whole, halves = create_run(config, tmp_path), create_run(config, tmp_path)
    train(config, whole)
    train(config, halves, until=222)
    train(config, halves, resume=True)
    equal(load(whole / "checkpoint.pt"), load(halves / "checkpoint.pt"))


def test_each_pair_learns_its_own_cost() -> None:
    # obstacle is certain to be hit by a > 0, the arena left by a < 0
    rng, n = np.random.default_rng(0), 4000
    memory = Memory(1, 1, 0, MemoryConfig(capacity=n, violation_capacity=n), named_costs=2)
    action = rng.uniform(-1.0, 1.0, (n, 1))
    named = np.column_stack((action[:, 0] > 0.0, action[:, 0] < 0.0)).astype(float)
    zeros = np.zeros((n, 1))
    memory.add(zeros, action, zeros, np.zeros(n), np.column_stack((np.ones(n), named)), np.ones(n))
    config = preset("sac_lag", NAV2D).algorithm
    config = replace(config, hidden=(16, 16), batch_size=64, critic_lr=5e-3, eps_limits=TWO, pos_fraction=0.3)
    algorithm = OFF_POLICY["sac_lag"](Spaces.unscaled(1, 1), config, 0)
    for _ in range(400):
        algorithm.update(memory)
    right, left = torch.full((1, 1), 0.6), torch.full((1, 1), -0.6)
    obstacle, arena = (c.pair for c in algorithm.named)
    state = torch.zeros(1, 1)
    assert float(obstacle.judge(state, right)) > 0.8 > 0.2 > float(obstacle.judge(state, left))
    assert float(arena.judge(state, left)) > 0.8 > 0.2 > float(arena.judge(state, right))


@pytest.mark.parametrize("limits", [(("obstacle", 1.5),), (("obstacle", -0.1),), (("a", 0.1), ("a", 0.2))])
def test_impossible_limits_are_refused(limits: tuple[tuple[str, float], ...]) -> None:
    with pytest.raises(ValueError, match=r"must lie in|must be|one limit"):
        replace(preset("sac_lag", NAV2D).algorithm, eps_limits=limits)


def test_rollout_of_a_missing_named_cost_stops(tmp_path: Path) -> None:
    base = small_off_policy("sac_lag", prior_episodes=0)
    config = replace(base, algorithm=replace(base.algorithm, eps_limits=(("speed", 0.1),)))
    with pytest.raises(FloatingPointError, match="step 0: no cost 'speed'; the environment reports cost"):
        train(config, create_run(config, tmp_path))
