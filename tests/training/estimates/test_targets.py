"""Bootstrap targets and the safety critics' batch, by hand-computed numbers."""

import pytest
import torch

from policy_training.estimates.targets import (
    cost_targets,
    cross_entropy,
    natural_weights,
    reward_targets,
    safety_rows,
    squared_error,
)  # fmt: skip
from policy_training.experience.replay import Batch


def batch(reward: list[float], cost: list[float], terminated: list[float]) -> Batch:
    """Transitions whose observation is their number."""
    n = len(reward)
    rows = torch.arange(float(n)).unsqueeze(1)
    return Batch(
        rows, rows, rows, torch.tensor(reward), torch.tensor(cost).unsqueeze(1), torch.tensor(terminated)
    )


def test_a_terminal_state_stops_the_bootstrap_and_a_time_limit_does_not() -> None:
    # the second row was truncated: it arrives with terminated = 0 and keeps its future
    b = batch([1.0, 1.0], [0.0, 0.0], [1.0, 0.0])
    y_r = reward_targets(b, torch.tensor([10.0, 10.0]), torch.tensor([-2.0, -2.0]), alpha=0.5, gamma=0.9)
    assert y_r.tolist() == pytest.approx([1.0, 1.0 + 0.9 * (10.0 + 0.5 * 2.0)])
    y_c = cost_targets(b.cost, b.terminated, torch.tensor([0.4, 0.4]), gamma=0.5)
    assert y_c.tolist() == pytest.approx([0.0, 0.2])


def test_a_violation_is_certain_whatever_follows_it() -> None:
    b = batch([0.0] * 3, [1.0, 1.0, 7.0], [1.0, 0.0, 0.0])
    assert cost_targets(b.cost, b.terminated, torch.full((3,), 0.9), gamma=0.9).tolist() == [1.0, 1.0, 1.0]


def test_cost_targets_stay_in_the_unit_interval() -> None:
    rng = torch.Generator().manual_seed(0)
    flags = torch.randint(0, 2, (2, 1000), generator=rng).float().tolist()
    y = cost_targets(*torch.tensor(flags), torch.rand(1000, generator=rng), gamma=1.0)
    assert ((y >= 0.0) & (y <= 1.0)).all()


def test_cross_entropy_is_least_at_the_mean_target() -> None:
    target = torch.tensor([1.0, 0.0, 0.0, 0.2])
    logits = torch.linspace(-4.0, 4.0, 801)
    losses = torch.stack([cross_entropy(x.expand(1, 4), target) for x in logits])
    assert torch.sigmoid(logits[losses.argmin()]) == pytest.approx(0.3, abs=0.003)


def test_losses_sum_over_members() -> None:
    q, y = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([1.0, 1.0])
    assert squared_error(q, y) == pytest.approx((0.0 + 1.0 + 4.0 + 9.0) / 2.0)


def test_violations_take_the_place_of_evenly_spread_rows_and_have_target_one() -> None:
    b = batch([0.0] * 10, [0.0] * 10, [0.0] * 10)
    violating = torch.arange(5.0).unsqueeze(1)
    rows = safety_rows(b, b.cost, torch.full((10,), 0.1), violating, violating)
    assert rows.obs.shape == (10, 1)
    assert rows.obs[:5, 0].tolist() == [0.0, 2.0, 4.0, 6.0, 9.0]  # not the first five: those are prior rows
    assert rows.target[5:].tolist() == [1.0] * 5
    assert rows.violated.tolist() == [0.0] * 5 + [1.0] * 5


def test_without_violations_the_batch_stays_as_it_is() -> None:
    b = batch([0.0] * 3, [0.0] * 3, [0.0] * 3)
    assert safety_rows(b, b.cost, b.reward, torch.empty(0, 1), torch.empty(0, 1)).obs is b.obs


def test_weights_give_violations_back_their_natural_share() -> None:
    violated = torch.tensor([1.0] * 5 + [0.0] * 5)
    weight = natural_weights(violated, rate=0.01)
    assert weight.mean() == pytest.approx(1.0)
    assert (weight * violated).mean() == pytest.approx(0.01)
    assert natural_weights(torch.zeros(4), 0.5).tolist() == [1.0] * 4
