"""Persistent evolution strategies see what a truncated gradient does not."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from policy_training.meta_learning.evolution import EachItsOwn, Persistent, estimate
from policy_training.meta_learning.tasks import TASKS
from policy_training.meta_learning.units import Agents, agents_of
from policy_training.optimizers.registry import LEARNED
from tests.training.small_runs import SMALL_META as SMALL

RULE = LEARNED["optim4rl"]


def test_the_estimate_counts_what_earlier_meta_parameters_did() -> None:
    # The loss of window t is the sum over windows s <= t of slope . phi_s: its gradient is t slope, of which
    # one that is cut at the window sees slope alone.
    slope, std, units = torch.tensor([1.0, -2.0, 0.0]), 0.1, 200_000
    rng = torch.Generator().manual_seed(1)
    drift, total = torch.zeros(units, 3), torch.zeros(units)
    for window in (1, 2, 3, 4):
        noise = std * torch.randn(units, 3, generator=rng)
        drift += noise
        total += noise @ slope
        found = estimate(drift, total, -total, std)
        assert torch.allclose(found, window * slope, atol=0.02 * window), window


def test_rows_of_one_rule_do_what_the_rule_does_and_other_rows_do_not() -> None:
    phi = RULE.initial(torch.Generator().manual_seed(1))
    plain, rows, other = (
        agents_of(SMALL, TASKS["small_dense_short"], rule, seed=3)
        for rule in (RULE, EachItsOwn(RULE), EachItsOwn(RULE))
    )
    changed = phi.repeat(SMALL.units, 1)
    changed[1] += 0.5
    for _ in range(3):
        plain.update(phi, plain.rollout())
        rows.update(phi.repeat(SMALL.units, 1), rows.rollout())
        other.update(changed, other.rollout())
    torch.testing.assert_close(rows.theta, plain.theta, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(other.theta[[0, 2]], plain.theta[[0, 2]], rtol=1e-5, atol=1e-6)
    assert not torch.allclose(other.theta[1], plain.theta[1], atol=1e-4)


def test_the_gradient_is_the_estimate_of_all_noise_since_a_unit_s_start(monkeypatch: Any) -> None:
    herd = Persistent(replace(SMALL, std=0.2), TASKS["small_dense_long"], RULE, seed=2)
    phi, seen, slope = torch.zeros(RULE.size), list[Tensor](), torch.linspace(-1.0, 1.0, RULE.size)

    def reward(_: Agents, given: Tensor) -> Tensor:
        seen.append(given)
        return given @ slope

    monkeypatch.setattr(herd, "_reward", reward)
    drift = torch.zeros(SMALL.units, RULE.size)
    for window in range(3):
        if window == 2:
            herd.restart(np.array([1]))
            drift[1] = 0.0
        found, _ = herd.gradient(phi)
        plus, minus = seen[-2:]
        torch.testing.assert_close(plus, -minus)
        drift += plus
        want = -(drift * (2.0 * plus @ slope)[:, None]).mean(dim=0) / (2.0 * 0.2**2)
        torch.testing.assert_close(found, want)


def test_more_games_of_a_unit_are_played_at_once() -> None:
    few, many = (agents_of(replace(SMALL, unit_games=n), TASKS["catch"], RULE, seed=1) for n in (1, 4))
    assert [a.rollout().reward.shape for a in (few, many)] == [(5, 3, 1), (5, 3, 4)]


def test_both_sides_begin_alike_and_a_restart_forgets_the_noise_of_its_units_alone() -> None:
    herd = Persistent(replace(SMALL, std=0.2), TASKS["small_dense_long"], RULE, seed=2)
    phi = RULE.initial(torch.Generator().manual_seed(1))
    one, two = (agents.theta for agents in herd.sides)
    assert torch.equal(one, two)
    for _ in range(2):
        herd.gradient(phi)
    one, two = (agents.theta for agents in herd.sides)
    assert not torch.equal(one, two)
    herd.restart(np.array([1]))
    one, two = (agents.theta for agents in herd.sides)
    assert torch.equal(one[1], two[1]) and not torch.equal(one[0], two[0])
    assert herd.drift[1].abs().sum() == 0.0 and herd.drift[[0, 2]].abs().min() > 0.0
