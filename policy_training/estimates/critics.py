"""Twin reward critics and twin safety critics: what the constrained algorithms learn in the same way.

    (1)  y_r = r + gamma (1 - d) [ min_i Q_r,i(s', a') - alpha log pi(a'|s') ],   a' ~ pi(.|s')
    (2)  y_c = c + (1 - c)(1 - d) gamma_c Q_c(s', a'),   c in {0, 1}, for every cost with its own limit

Q_c is a sigmoid of the network's output, trained by cross-entropy on a mix of all and of violating
transitions: it cannot leave [0, 1], small probabilities keep their resolution, and the gradient does not
vanish where it is certain and wrong. The mix would bias it towards the share of violations that is sampled,
and a threshold tuned on Q_c would inherit the bias; `pos_weight` natural reweights the rows to their shares
in the replay.
"""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from policy_training.checkpoint import State
from policy_training.estimates.targets import (
    SafetyRows,
    cost_targets,
    cross_entropy,
    natural_weights,
    reward_targets,
    safety_rows,
    squared_error,
)  # fmt: skip
from policy_training.experience.replay import Batch
from policy_training.experience.spaces import Spaces
from policy_training.networks.squashed import EnsembleCritic, aggregate
from policy_training.optimizers.adam import copy_into, follow, slow_copy
from policy_training.optimizers.flat import trained_network
from policy_training.optimizers.smoothing import Smoothed

KEPT = 0.99  # by the running share of violating transitions in the replay, at each batch


class CriticConfig(Protocol):
    """The fields of an algorithm's configuration that its critics read."""

    @property
    def hidden(self) -> tuple[int, ...]: ...
    @property
    def layer_norm(self) -> bool: ...
    @property
    def gamma(self) -> float: ...
    @property
    def gamma_c(self) -> float: ...
    @property
    def tau(self) -> float: ...
    @property
    def critic_lr(self) -> float: ...
    @property
    def critic_members(self) -> int: ...
    @property
    def optimizer(self) -> str: ...
    @property
    def risk_agg(self) -> str: ...
    @property
    def pos_weight(self) -> str: ...


class Values(NamedTuple):
    """The critics' values of a batch of actions."""

    q_r: Tensor  # (B,) the smaller of the twins
    q_c: Tensor  # (B,) the aggregated violation probability, in [0, 1]


class SafetyPair:
    """Twin critics of one cost, by its column in the batch, with target networks and optimizer."""

    def __init__(self, spaces: Spaces, config: CriticConfig, column: int = 0) -> None:
        self.config, self.column = config, column
        self.q_c = EnsembleCritic(spaces, config.hidden, config.critic_members, config.layer_norm)
        self.slow = slow_copy(self.q_c)
        self.trained = trained_network(self.q_c, config.critic_lr, config.optimizer)
        self.violations = Smoothed(KEPT)  # the share that violate

    def judge(self, obs: Tensor, action: Tensor) -> Tensor:
        """Aggregated violation probability (B,), differentiable in the action alone."""
        return aggregate(torch.sigmoid(self.q_c.fused(obs, action, frozen=True)), self.config.risk_agg)

    def learn(self, batch: Batch, violations: Batch, next_action: Tensor) -> Tensor:
        """One step towards (2); the loss."""
        rows, weight = self.problem(batch, violations, next_action)
        loss = cross_entropy(self.q_c.fused(rows.obs, rows.action), rows.target, weight)
        self.trained.descend(loss)
        return loss.detach()

    def problem(
        self, batch: Batch, violations: Batch, next_action: Tensor
    ) -> tuple[SafetyRows, Tensor | None]:
        """The training rows from both batches with their targets (2) and weights (B,)."""
        cfg, cost = self.config, batch.costs[:, self.column]
        with torch.no_grad():
            q_next = torch.sigmoid(self.slow.fused(batch.next_obs, next_action))
            y_c = cost_targets(cost, batch.terminated, aggregate(q_next, cfg.risk_agg), cfg.gamma_c)
        mine = violations.costs[:, self.column] > 0.0
        rows = safety_rows(batch, cost, y_c, violations.obs[mine], violations.action[mine])
        rate = self.violations.take(float((cost > 0.0).float().mean()))
        weight = natural_weights(rows.violated, rate) if cfg.pos_weight == "natural" else None
        return rows, weight

    def follow(self) -> None:
        """Update the target network."""
        follow(self.slow, self.q_c, self.config.tau)

    def state_dict(self) -> State:
        """Everything that an exact resume needs."""
        return {
            "cost": self.trained.state_dict(), "violation_rate": self.violations.state_dict(),
            "q_c_slow": self.slow.mlp.flat.clone(),
        }  # fmt: skip

    def load_state_dict(self, state: State) -> None:
        """Inverse of `state_dict`."""
        self.trained.load_state_dict(state["cost"])
        self.violations.load_state_dict(state["violation_rate"])
        copy_into(self.slow.mlp.flat, state["q_c_slow"])


class Critics:
    """Twin reward critics and the pair of the scalar cost."""

    def __init__(self, spaces: Spaces, config: CriticConfig) -> None:
        self.config = config
        self.q_r = EnsembleCritic(spaces, config.hidden, config.critic_members, config.layer_norm)
        self.safety = SafetyPair(spaces, config)
        self.q_r_slow = slow_copy(self.q_r)
        self.reward = trained_network(self.q_r, config.critic_lr, config.optimizer)

    @property
    def q_c(self) -> EnsembleCritic:
        """The safety pair's network."""
        return self.safety.q_c

    def judge(self, obs: Tensor, action: Tensor) -> Values:
        """Differentiable in the action alone."""
        q_r = aggregate(self.q_r.fused(obs, action, frozen=True), "min")
        return Values(q_r, self.safety.judge(obs, action))

    def learn(
        self, batch: Batch, violations: Batch, next_action: Tensor, next_log_prob: Tensor, alpha: float
    ) -> tuple[Tensor, Tensor]:
        """One step of both pairs towards (1) and (2); their losses."""
        cfg = self.config
        with torch.no_grad():
            q_r_next = aggregate(self.q_r_slow.fused(batch.next_obs, next_action), "min")
            y_r = reward_targets(batch, q_r_next, next_log_prob, alpha, cfg.gamma)
        loss_r = squared_error(self.q_r.fused(batch.obs, batch.action), y_r)
        self.reward.descend(loss_r)
        return loss_r.detach(), self.safety.learn(batch, violations, next_action)

    def figures(self) -> dict[str, float]:
        """Further figures for the log."""
        return {}

    def follow(self) -> None:
        """Update the target networks."""
        follow(self.q_r_slow, self.q_r, self.config.tau)
        self.safety.follow()

    def state_dict(self) -> State:
        """Everything that an exact resume needs."""
        return {
            "reward": self.reward.state_dict(), "q_r_slow": self.q_r_slow.mlp.flat.clone(),
            **self.safety.state_dict(),
        }  # fmt: skip

    def load_state_dict(self, state: State) -> None:
        """Inverse of `state_dict`."""
        self.reward.load_state_dict(state["reward"])
        copy_into(self.q_r_slow.mlp.flat, state["q_r_slow"])
        self.safety.load_state_dict(state)
