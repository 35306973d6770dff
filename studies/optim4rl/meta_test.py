"""Meta-testing: agents that learn a small task from scratch under one rule, many rates and seeds at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from policy_training.meta_learning.tasks import SmallTask
from policy_training.meta_learning.units import Agents
from policy_training.optimizers.learned import Learned
from policy_training.optimizers.registry import RULES

LAST = 0.1  # share of the updates that a score is the mean over
POINTS = 40  # of a curve
ALPHAS = (3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4)  # the paper's sweep


@dataclass(frozen=True)
class MetaTestBudget:
    """The budget of every agent of a meta-test."""

    updates: int
    games: int  # that share one agent
    rollout: int = 20  # [steps] between updates

    def __str__(self) -> str:
        return f"{self.updates} updates of {self.games} games x {self.rollout} steps"


@dataclass(frozen=True)
class AgentScores:
    """Scores and curves of U agents."""

    scores: NDArray[np.float64]  # (U,) reward per step over the last updates; NaN where the agent diverged
    curves: NDArray[np.float64]  # (U, T) reward per step, means over equal stretches of updates


def play(
    task: SmallTask, learned: Learned, alphas: Sequence[float], seed: int, budget: MetaTestBudget
) -> AgentScores:
    """One agent for each alpha (U,), rewards unscaled. All use the random stream of one seed."""
    agents = Agents(
        task, RULES[learned.rule], len(alphas), games=budget.games, steps=budget.rollout,
        alpha=torch.tensor(alphas), scale=1.0, seed=seed, lifetime=budget.updates,
    )  # fmt: skip
    rewards = np.empty((budget.updates, len(alphas)))
    for number in range(budget.updates):
        rollout = agents.rollout()
        agents.update(learned.phi, rollout)
        rewards[number] = rollout.reward.mean(dim=(0, 2)).numpy()
    rewards[:, ~torch.isfinite(agents.theta).all(dim=1).numpy()] = np.nan
    last = max(1, round(LAST * budget.updates))
    stretches = np.array_split(rewards, min(POINTS, budget.updates))
    return AgentScores(
        rewards[-last:].mean(axis=0), np.stack([part.mean(axis=0) for part in stretches], axis=1)
    )


def best_alpha(alphas: Sequence[float], scores: Sequence[float]) -> float:
    """The rate of the highest mean score over its trials; one that diverged once is excluded."""
    pairs = list(zip(alphas, scores, strict=True))
    means = {alpha: np.mean([score for a, score in pairs if a == alpha]) for alpha in alphas}
    finite = {alpha: float(value) for alpha, value in means.items() if np.isfinite(value)}
    if not finite:
        raise ValueError(f"every rate of {', '.join(map(str, means))} diverged; add lower ones")
    return max(finite, key=lambda alpha: finite[alpha])
