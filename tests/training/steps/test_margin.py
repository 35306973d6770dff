"""Margins below a limit: none unless asked for, learnt from the excess, never more than the limit."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from policy_training.algorithms import CONFIGS, ON_POLICY
from policy_training.estimates.advantages import Rollout
from policy_training.experience.spaces import Spaces
from policy_training.steps.trust_region import Margin

LENGTH, STEPS = 20.0, 60
ONE_LIMIT = ("cpo", "pcpo")


def rollout(cost: float) -> Rollout:
    """Steps where cost comes with reward, of episodes with a mean cost."""
    rng = torch.Generator().manual_seed(1)
    obs, action = torch.randn(STEPS, 3, generator=rng), torch.randn(STEPS, 2, generator=rng)
    advantage = torch.randn(2, STEPS, generator=rng)
    advantage[1] += advantage[0]
    return Rollout(obs, action, advantage, advantage, 0.0, (cost,), 3, LENGTH)


@given(st.lists(st.floats(0.0, 100.0), min_size=1, max_size=20))
def test_without_a_rate_the_excess_is_that_of_the_cost(costs: list[float]) -> None:
    margin = Margin(0.0)
    for cost in costs:
        assert margin.excess(rollout(cost), 25.0) == (cost - 25.0) / LENGTH
    assert margin.value == 0.0


@given(st.lists(st.floats(0.0, 100.0), min_size=1, max_size=20), st.floats(0.0, 1.0))
def test_a_margin_only_tightens_and_by_no_more_than_the_limit(costs: list[float], rate: float) -> None:
    margin = Margin(rate)
    for cost in costs:
        before = margin.value
        excess = margin.excess(rollout(cost), 25.0)
        assert 0.0 <= margin.value <= 25.0
        assert (margin.value >= before) if cost >= 25.0 else (margin.value <= before)
        assert excess == pytest.approx((cost - 25.0 + margin.value) / LENGTH)


@given(st.integers(1, 300), st.floats(0.01, 1.0), st.floats(0.0, 24.0))
def test_the_way_back_of_a_margin_is_as_long_as_its_range(bad: int, rate: float, cost: float) -> None:
    margin = Margin(rate)
    for _ in range(bad):
        margin.excess(rollout(1000.0), 25.0)
    for _ in range(math.ceil(25.0 / (rate * (25.0 - cost)))):
        margin.excess(rollout(cost), 25.0)
    assert margin.value == pytest.approx(0.0, abs=1e-9)


def test_a_steady_overshoot_is_taken_back() -> None:
    """Each step takes back what exceeds the plan, and then the cost grows by 5 of itself."""
    for rate, end in ((0.0, 30.0), (0.1, 25.0)):
        margin, cost = Margin(rate), 25.0
        for _ in range(200):
            cost += 5.0 - LENGTH * margin.excess(rollout(cost), 25.0)
        assert cost == pytest.approx(end)


@pytest.mark.parametrize("name", ONE_LIMIT)
@settings(max_examples=5, deadline=None)
@given(st.floats(0.1, 1.0))
def test_an_algorithm_plans_with_its_margin(name: str, rate: float) -> None:
    """Two updates at a cost of 1.2 with a limit of 1 are those of a cost that is higher by the margin."""
    config = CONFIGS[name](cost_limits=(("cost", 1.0),), hidden=(8,), critic_epochs=1, margin_rate=rate)
    asked, told = (ON_POLICY[name](Spaces.unscaled(3, 2), c, seed=1) for c in (config, without(config)))
    assert asked.update(rollout(1.2), 0.0)["margin"] == pytest.approx(0.2 * rate)
    assert told.update(rollout(1.2 + 0.2 * rate), 0.0)["step_size"] > 0.0
    torch.testing.assert_close(asked.actor.vector(), told.actor.vector())


def without(config: Any) -> Any:
    """The same settings without a margin."""
    return type(config)(cost_limits=config.cost_limits, hidden=config.hidden, critic_epochs=1)


@pytest.mark.parametrize("name", ONE_LIMIT)
@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_a_rate_outside_0_to_1_is_refused(name: str, rate: float) -> None:
    with pytest.raises(ValueError, match="margin_rate"):
        CONFIGS[name](margin_rate=rate)


@pytest.mark.parametrize("name", ONE_LIMIT)
def test_a_margin_goes_on_from_a_checkpoint_and_older_ones_have_none(name: str) -> None:
    config = CONFIGS[name](cost_limits=(("cost", 1.0),), hidden=(8,), critic_epochs=1, margin_rate=0.5)
    first, second = (ON_POLICY[name](Spaces.unscaled(3, 2), config, seed=seed) for seed in (1, 2))
    first.update(rollout(1.2), 0.0)
    second.load_state_dict(first.state_dict())
    figures = [each.update(rollout(1.2), 0.0) for each in (first, second)]
    assert figures[0] == figures[1]
    assert figures[0]["margin"] == pytest.approx(0.2)
    older = first.state_dict()
    del older["margin"]
    second.load_state_dict(older)
    assert second.state_dict()["margin"] == 0.0
