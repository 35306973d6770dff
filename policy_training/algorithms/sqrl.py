"""SQRL: SAC-Lag whose every action has to pass the safety critic before it is taken.

Safety Q-functions for reinforcement learning of Srinivasan et al. 2020, arXiv:2010.14603. eps [-] is the
allowed discounted probability of a violation.

    (1)  pi- = pi masked: draw from pi until Q_c(s, a) <= eps; where nothing passes, the least risky draw
    (2)  y_r = r + gamma (1 - d) [ min_i Q_r,i(s', a') - alpha log pi(a'|s') ],   a' ~ pi-(.|s')
    (3)  y_c = c + (1 - c)(1 - d) gamma_c Q_c(s', a')
    (4)  nu' = nu(x'),   x' = x + b_nu E[ Q_c(s, a) - eps ],   a ~ pi(.|s)
    (5)  L_pi = E[ alpha log pi(a|s) - min_i Q_r,i(s, a) + nu' (Q_c(s, a) - eps) ]
    (6)  L_alpha = -log alpha E[ log pi(a|s) + H ],   H the target entropy [nat]

(1) is `policy_training.networks.filtered`, from a bounded number of draws; it acts in training, in validation
and in what is exported. (2), (3) are in `critics`.

Differs from the paper: critic and policy start untrained, or from prior episodes of the same task, not from
another task in which violations are harmless; twin safety critics, the larger one counts; x is bounded,
against windup.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from policy_training.checkpoint import State
from policy_training.estimates.critics import Critics
from policy_training.estimates.off_policy import ConstrainedSettings
from policy_training.experience.replay import Memory
from policy_training.experience.spaces import Spaces
from policy_training.networks.filtered import FilteredActor
from policy_training.networks.squashed import Actor, SafetyCritic
from policy_training.optimizers.flat import trained_network
from policy_training.ranges import POSITIVE, check_ranges
from policy_training.steps.imitation import lesson, pretrain
from policy_training.steps.lagrangian import (
    ascended,
    lagrangian,
    multiplier,
    multiplier_inverse,
    multiplier_range,
)
from policy_training.steps.scalar_adam import ScalarAdam, alpha_ends


@dataclass(frozen=True)
class SqrlConfig(ConstrainedSettings):
    """Soft actor-critic with a multiplier, and a filter in front of every action."""

    candidates: int = 32
    "Actions of the policy among which the filter looks for one that the safety critic allows."

    def __post_init__(self) -> None:
        check_ranges(self, initial_nu=POSITIVE)
        multiplier_range(self.nu_min, self.initial_nu, self.nu_max, self.nu_form)


class Sqrl:
    """Networks, optimizers and the update."""

    def __init__(self, spaces: Spaces, config: SqrlConfig, seed: int) -> None:
        torch.manual_seed(seed)
        self.config, self.spaces = config, spaces
        self.rng = torch.Generator().manual_seed(seed)
        self.actor = Actor(spaces, config.hidden)
        self.policy = trained_network(self.actor, config.policy_lr, config.optimizer)
        self.critics = Critics(spaces, config)
        critic = SafetyCritic(self.critics.q_c, config.risk_agg)
        self.behaviour = FilteredActor(self.actor, critic, config.eps, config.candidates, self.rng)
        self.x = multiplier_inverse(config.initial_nu, config.nu_form)
        self.x_ends = multiplier_range(config.nu_min, config.initial_nu, config.nu_max, config.nu_form)
        self.log_alpha = math.log(config.initial_alpha)
        self.alpha_adam = ScalarAdam(config.alpha_lr)
        wish = config.target_entropy
        self.target_entropy = -float(spaces.action_size) if wish is None else wish

    @property
    def nu(self) -> float:
        """The multiplier [reward]."""
        return multiplier(self.x, self.config.nu_form)

    def update(self, memory: Memory, lr_scale: float = 1.0) -> dict[str, Tensor | float]:
        """One gradient step of everything."""
        cfg, alpha = self.config, math.exp(self.log_alpha)
        batch = memory.batch(cfg.batch_size)
        violations = memory.violations(round(cfg.pos_fraction * cfg.batch_size))
        noise = torch.randn((2, cfg.batch_size, self.spaces.action_size), generator=self.rng)

        next_action, next_log_prob = self.behaviour.fused(batch.next_obs, noise[0])  # (1)
        loss_r, loss_c = self.critics.learn(batch, violations, next_action, next_log_prob, alpha)  # (2), (3)

        action, log_prob = self.actor.fused(batch.obs, noise[1])
        own = self.critics.judge(batch.obs, action)
        excess = float(own.q_c.detach().mean()) - cfg.eps
        self.x = ascended(self.x, excess, cfg.nu_lr, self.x_ends)  # (4)
        loss_pi = lagrangian(log_prob, own.q_r, own.q_c - cfg.eps, alpha, self.nu)  # (5)
        taught = lesson(batch, own, self.critics, self.nu, cfg.imitation * lr_scale)
        self.policy.descend(loss_pi + taught.penalty(action), lr_scale)

        entropy = -float(log_prob.detach().mean())
        self.log_alpha = self.alpha_adam.moved(  # (6)
            self.log_alpha, entropy - self.target_entropy, *alpha_ends(cfg.initial_alpha)
        )
        self.critics.follow()
        return {
            "loss_q_r": loss_r, "loss_q_c": loss_c, "loss_pi": loss_pi.detach(),
            "q_r": own.q_r.detach().mean(), "q_c": own.q_c.detach().mean(), "entropy": entropy,
            "alpha": alpha, "eps": cfg.eps, "nu": self.nu,
        }  # fmt: skip

    def pretrain(self, memory: Memory) -> dict[str, Tensor | float]:
        """One update on prior episodes alone."""
        alpha = math.exp(self.log_alpha)
        return pretrain(self.actor, self.critics, memory, self.config, alpha, self.rng, self.policy.descend)

    def safety_critic(self) -> SafetyCritic | None:
        """The aggregated safety critic, sharing its weights with this object."""
        return SafetyCritic(self.critics.q_c, self.config.risk_agg)

    def state_dict(self) -> State:
        """Everything that an exact resume needs."""
        return {
            "policy": self.policy.state_dict(), "critics": self.critics.state_dict(), "x": self.x,
            "log_alpha": self.log_alpha, "alpha_adam": self.alpha_adam.state_dict(),
            "rng": self.rng.get_state(),
        }  # fmt: skip

    def load_state_dict(self, state: State) -> None:
        """Inverse of `state_dict`."""
        self.policy.load_state_dict(state["policy"])
        self.critics.load_state_dict(state["critics"])
        self.x, self.log_alpha = state["x"], state["log_alpha"]
        self.alpha_adam.load_state_dict(state["alpha_adam"])
        self.rng.set_state(state["rng"])
