"""Multipliers: what they price, how they move, and that they are back soon after any time without work."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from policy_training.algorithms import CONFIGS, OFF_POLICY, ON_POLICY
from policy_training.estimates.advantages import Rollout
from policy_training.estimates.critics import Values
from policy_training.experience.replay import Memory, MemoryConfig
from policy_training.experience.spaces import Spaces
from policy_training.optimizers.smoothing import Smoothed
from policy_training.steps.lagrangian import multiplier, multiplier_inverse
from policy_training.steps.multipliers import Multipliers, MultiplierSettings
from policy_training.steps.scalar_adam import Knob

LIMIT = 25.0
LAGRANGIAN = ("ppo_lag", "trpo_lag")


def one(**settings: Any) -> Multipliers:
    """The multiplier of one cost."""
    return Multipliers((("cost", LIMIT),), MultiplierSettings(**settings))


def rollout(cost: float) -> Rollout:
    """Random steps of episodes with a mean cost."""
    rng = torch.Generator().manual_seed(1)
    obs, action = torch.randn(60, 3, generator=rng), torch.randn(60, 2, generator=rng)
    return Rollout(obs, action, torch.randn(2, 60, generator=rng), torch.zeros(2, 60), 0.0, (cost,), 3, 20.0)


def test_a_multiplier_is_a_price_per_unit_of_its_cost() -> None:
    """A cost in a tenth of the unit has ten times the advantages, and a tenth of the price does the same."""
    advantage = torch.randn(2, 200, generator=torch.Generator().manual_seed(0))
    dear, cheap = one(initial_nu=2.0), one(initial_nu=0.2)
    fine = torch.stack((advantage[0], 10.0 * advantage[1] + 4.0))
    torch.testing.assert_close(dear.mixed(advantage) * 3.0, cheap.mixed(fine) * 1.2)


@pytest.mark.parametrize("safe", [1, 100, 10_000])
def test_a_multiplier_answers_at_once_after_any_time_below_its_limit(safe: int) -> None:
    multipliers = one()
    for _ in range(safe):
        multipliers.update((0.0,))
    assert multipliers.values == [0.0]
    multipliers.update((LIMIT + 1.0,))
    assert multipliers.values[0] > 0.0


@pytest.mark.parametrize("above", [10, 1000])
@pytest.mark.parametrize("rule", ["adam", "pid"])
def test_a_capped_multiplier_comes_down_at_once_after_any_time_above_its_limit(rule: str, above: int) -> None:
    multipliers = one(nu_rule=rule, nu_max=2.0, nu_lr=0.5, pid_smoothing=0.0)
    for _ in range(above):
        multipliers.update((10.0 * LIMIT,))
    assert multipliers.values == [2.0]
    multipliers.update((0.0,))
    assert multipliers.values[0] < 2.0


def test_pid_by_hand() -> None:
    multipliers = one(
        nu_rule="pid", initial_nu=0.0, pid_kp=0.1, pid_ki=0.01, pid_kd=0.02, pid_smoothing=0.5, pid_delay=1
    )
    found = []
    for cost in (35.0, 45.0, 20.0, 0.0):
        multipliers.update((cost,))
        found.append(multipliers.values[0])
    # Excess 10, 20, -5, -25; means of it, whose weights halve: 10, 50/3, 30/7, -170/15; of the cost 25 more.
    # I: 0.1, 0.3, 0.25, 0. Rise of the mean cost: none before the second, 20/3, then it falls.
    by_hand = [1.0 + 0.1, 5.0 / 3.0 + 0.3 + 0.02 * 20.0 / 3.0, 3.0 / 7.0 + 0.25, 0.0]
    assert found == pytest.approx(by_hand)


def test_the_derivative_looks_back_over_its_delay_or_as_far_as_it_can() -> None:
    multipliers = one(nu_rule="pid", pid_kp=0.0, pid_ki=0.0, pid_kd=1.0, initial_nu=0.0, pid_smoothing=0.0,
                      pid_delay=2)  # fmt: skip
    found = []
    for cost in (5.0, 6.0, 8.0, 11.0, 11.0, 11.0):
        multipliers.update((cost,))
        found.append(multipliers.values[0])
    assert found == pytest.approx([0.0, 1.0, 3.0, 5.0, 3.0, 0.0])


def costs_under(multipliers: Multipliers, iterations: int = 300) -> np.ndarray:
    """Costs that grow while the price of two iterations ago is below 1, and fall while it is above."""
    cost, prices, seen = 0.0, [0.0, 0.0], []
    for _ in range(iterations):
        cost = max(cost + 3.0 * (1.0 - prices[-2]), 0.0)
        multipliers.update((cost,))
        prices.append(multipliers.values[0])
        seen.append(cost)
    return np.array(seen)


def test_proportional_and_derivative_control_damp_what_the_integral_alone_keeps_swinging() -> None:
    gains: dict[str, Any] = {"nu_rule": "pid", "initial_nu": 0.0, "pid_ki": 0.01, "pid_smoothing": 0.5,
                             "pid_delay": 2}  # fmt: skip
    integral = costs_under(one(**gains, pid_kp=0.0, pid_kd=0.0))
    proportional = costs_under(one(**gains, pid_kp=0.1, pid_kd=0.0))
    whole = costs_under(one(**gains, pid_kp=0.1, pid_kd=0.05))
    over = [np.maximum(costs - LIMIT, 0.0).sum() for costs in (integral, proportional, whole)]
    assert integral[-100:].max() > LIMIT + 10.0  # never settles
    assert np.abs(whole[-100:] - LIMIT).max() < 0.5
    assert over[0] > 10.0 * over[1]
    assert whole.max() < proportional.max() < integral.max()


def test_a_smoothed_value_counts_its_first_values_in_full() -> None:
    mean = Smoothed(0.9)
    assert mean.mean == 0.0
    assert [mean.take(4.0) for _ in range(5)] == pytest.approx([4.0] * 5)
    assert mean.take(0.0) == pytest.approx(4.0 * 0.9 * (1.0 - 0.9**5) / (1.0 - 0.9**6))


@pytest.mark.parametrize("keep", [-0.1, 1.0, math.nan])
def test_a_smoothed_value_that_forgets_nothing_or_more_than_all_is_refused(keep: float) -> None:
    with pytest.raises(ValueError, match="must lie in"):
        Smoothed(keep)


@pytest.mark.parametrize("name", LAGRANGIAN)
@pytest.mark.parametrize("rule", ["adam", "pid"])
def test_multipliers_go_on_from_a_checkpoint(name: str, rule: str) -> None:
    config = CONFIGS[name](hidden=(8,), critic_epochs=1, nu_rule=rule, pid_delay=2)
    first, second = (ON_POLICY[name](Spaces.unscaled(3, 2), config, seed=seed) for seed in (1, 2))
    for cost in (20.0, 30.0, 40.0):
        first.update(rollout(cost), 0.0)
    second.load_state_dict(first.state_dict())
    figures = [each.update(rollout(35.0), 0.0) for each in (first, second)]
    assert figures[0] == figures[1]


def older(state: dict[str, Any]) -> dict[str, Any]:
    """What was saved when every multiplier was a price of a cost of deviation 1."""
    saved = dict(state["multipliers"])
    del saved["per"]
    saved["adams"] = saved.pop("rules")
    return state | {"multipliers": saved}


@pytest.mark.parametrize("name", LAGRANGIAN)
def test_a_checkpoint_whose_multipliers_mean_something_else_is_refused(name: str) -> None:
    config = CONFIGS[name](hidden=(8,), critic_epochs=1)
    algorithm = ON_POLICY[name](Spaces.unscaled(3, 2), config, seed=1)
    algorithm.update(rollout(30.0), 0.0)
    with pytest.raises(ValueError, match=r"per deviation of the cost advantages.*start a new run"):
        algorithm.load_state_dict(older(algorithm.state_dict()))


def test_an_older_checkpoint_of_cup_goes_on() -> None:
    config = CONFIGS["cup"](hidden=(8,), critic_epochs=1, policy_epochs=1)
    first, second = (ON_POLICY["cup"](Spaces.unscaled(3, 2), config, seed=seed) for seed in (1, 2))
    first.update(rollout(30.0), 0.0)
    second.load_state_dict(older(first.state_dict()))
    figures = [each.update(rollout(35.0), 0.0) for each in (first, second)]
    assert figures[0] == figures[1]


@pytest.mark.parametrize("name", LAGRANGIAN)
@pytest.mark.parametrize(
    "settings",
    [{"initial_nu": -1.0}, {"nu_max": 0.0}, {"initial_nu": 3.0, "nu_max": 2.0}, {"nu_max": math.nan},
     {"pid_kp": -0.1}, {"pid_ki": math.inf}, {"pid_smoothing": 1.0}, {"pid_delay": 0}, {"nu_rule": "sgd"}],
)  # fmt: skip
def test_senseless_settings_are_refused_by_name(name: str, settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        CONFIGS[name](**settings)


def memory() -> Memory:
    """A few steps without cost."""
    found = Memory(1, 1, seed=0, config=MemoryConfig(capacity=32, violation_capacity=32))
    zeros = np.zeros((32, 1))
    found.add(zeros, zeros, zeros, np.zeros(32), np.zeros(32), np.ones(32))
    found.add_initial(zeros[:4])
    return found


def off_policy(name: str, **settings: Any) -> Any:
    """A small agent whose safety critic says what its `told` says."""
    config = replace(CONFIGS[name](hidden=(8,), batch_size=8), **settings)
    agent = OFF_POLICY[name](Spaces.unscaled(1, 1), config, seed=1)
    if hasattr(agent, "critics"):
        judge: Callable[..., Values] = agent.critics.judge

        def judged(obs: torch.Tensor, action: torch.Tensor) -> Values:
            own = judge(obs, action)
            return Values(own.q_r, 0.0 * own.q_c + agent.told)

        agent.critics.judge = judged
    return agent


def x_of(agent: Any) -> float:
    """What is behind its multiplier."""
    return float(agent.constraints[0].x if hasattr(agent, "constraints") else agent.x)


EPS: dict[str, dict[str, Any]] = {
    "sac_lag": {"eps": 0.1}, "meta_sac_lag": {"initial_eps": 0.1, "eps_lr": 0.0, "alpha_lr": 0.0}
}  # fmt: skip


@pytest.mark.parametrize("safe", [30, 150])  # as far as 9,000 and 45,000 at the default rate
@pytest.mark.parametrize("form", ["softplus", "exp"])
@pytest.mark.parametrize("name", EPS)
def test_the_way_back_of_a_multiplier_is_as_long_as_its_range(name: str, form: str, safe: int) -> None:
    agent, rows = (
        off_policy(name, **EPS[name], nu_form=form, nu_lr=3.0, nu_min=0.01, initial_nu=1.0),
        memory(),
    )
    agent.told = 0.0
    for _ in range(safe):
        agent.update(rows)
    assert multiplier(x_of(agent), form) == pytest.approx(0.01)
    way = multiplier_inverse(1.0, form) - multiplier_inverse(0.01, form)
    agent.told = 1.0
    for _ in range(math.ceil(way / (3.0 * 0.9))):
        agent.update(rows)
    assert multiplier(x_of(agent), form) >= 1.0


@pytest.mark.parametrize("name", EPS)
def test_a_multiplier_that_was_saved_far_below_its_range_is_in_it_again_after_an_update(name: str) -> None:
    agent, rows = off_policy(name, **EPS[name]), memory()
    agent.told = 0.0
    if name == "sac_lag":
        agent.constraints[0].x = -1000.0
    else:
        agent.x = -1000.0
    agent.update(rows)
    assert multiplier(x_of(agent), "softplus") == pytest.approx(0.01)


def test_a_multiplier_at_the_end_of_its_range_passes_no_gradient_to_the_threshold() -> None:
    agent, rows = off_policy("meta_sac_lag", meta_interval=1, nu_lr=3.0), memory()
    agent.told = 0.0
    slopes = [agent.update(rows)["d_eps"] for _ in range(30)]
    assert slopes[0] != 0.0
    assert slopes[-1] == 0.0


@pytest.mark.parametrize("name", ["sac", "sac_lag"])
@pytest.mark.parametrize("entropy", [-1e3, 1e3])
def test_the_way_back_of_a_temperature_is_as_long_as_its_range(name: str, entropy: float) -> None:
    agent, rows = off_policy(name, alpha_lr=1.0), memory()
    agent.told, agent.target_entropy, start = 0.0, entropy, agent.log_alpha
    for _ in range(20):
        agent.update(rows)
    assert abs(agent.log_alpha - start) == pytest.approx(math.log(1000.0))
    agent.target_entropy = -entropy
    way = 0
    while (agent.log_alpha - start) * entropy > 0.0 and way < 50:
        agent.update(rows)
        way += 1
    assert way <= 7 + 10  # of length 1, the first are shorter


@pytest.mark.parametrize("form", ["sigmoid", "exp", "clamp"])
@pytest.mark.parametrize("side", [1.0, -1.0])
@pytest.mark.parametrize("steps", [2_000, 20_000])
def test_the_way_back_of_a_knob_is_as_long_as_its_range(form: str, side: float, steps: int) -> None:
    knob, lr = Knob(form, 0.1, 0.2, 0.01), 0.01
    for _ in range(steps):
        knob.descend(side)
    way = 0
    while (knob.value - 0.1) * side < 0.0 and way < 10_000:
        knob.descend(-side)
        way += 1
    assert way <= 15.0 / lr
