"""SAC: soft actor-critic with twin critics and a learned temperature. It ignores the cost.

Haarnoja et al. 2018, arXiv:1812.05905.

    (1)  y_r = r + gamma (1 - d) [ min_i Q_r,i(s', a') - alpha log pi(a'|s') ],   a' ~ pi(.|s')
    (2)  L_Q = sum_i E[ (Q_r,i(s, a) - y_r)^2 ]
    (3)  L_pi = E[ alpha log pi(a|s) - min_i Q_r,i(s, a) ]
    (4)  L_alpha = -log alpha E[ log pi(a|s) + H ],   H the target entropy [nat]

Differs from the paper: (4) uses log alpha in place of alpha, as its authors' code does, and alpha stays
within a thousandth and a thousand times of its start, against windup.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from policy_training.checkpoint import State
from policy_training.estimates.targets import reward_targets, squared_error
from policy_training.experience.replay import Memory
from policy_training.experience.spaces import Spaces
from policy_training.networks.squashed import Actor, EnsembleCritic, SafetyCritic, aggregate
from policy_training.optimizers.adam import copy_into, follow, slow_copy
from policy_training.optimizers.flat import trained_network
from policy_training.ranges import check_ranges
from policy_training.steps.scalar_adam import ScalarAdam, alpha_ends


@dataclass(frozen=True)
class SacConfig:
    """Soft actor-critic, no constraint."""

    hidden: tuple[int, ...] = (256, 256)
    "Widths of the hidden layers of every network."
    layer_norm: bool = False
    "Layer normalisation in the critics."
    batch_size: int = 256
    "Transitions per update."
    gamma: float = 0.99
    "Discount of the reward per step."
    tau: float = 0.005
    "Polyak step of the target critics per update."
    policy_lr: float = 3e-4
    "Adam's rate for the policy."
    critic_lr: float = 3e-4
    "Adam's rate for the critics."
    alpha_lr: float = 3e-4
    "Adam's rate for log alpha; 0 keeps alpha fixed."
    initial_alpha: float = 0.2
    "Temperature at the start [reward per nat]."
    target_entropy: float | None = None
    "Entropy that the temperature holds [nat]; none means minus the number of actions."
    optimizer: str = "adam"
    "Optimizer: adam, rmsprop, sign, or optim4rl:PATH of a learned one."

    def __post_init__(self) -> None:
        check_ranges(self)


class Sac:
    """Networks, optimizers and the update."""

    def __init__(self, spaces: Spaces, config: SacConfig, seed: int) -> None:
        torch.manual_seed(seed)
        self.config, self.spaces = config, spaces
        self.rng = torch.Generator().manual_seed(seed)
        self.actor = Actor(spaces, config.hidden)
        self.q_r = EnsembleCritic(spaces, config.hidden, layer_norm=config.layer_norm)
        self.q_r_target = slow_copy(self.q_r)
        self.policy = trained_network(self.actor, config.policy_lr, config.optimizer)
        self.critic = trained_network(self.q_r, config.critic_lr, config.optimizer)
        self.log_alpha = math.log(config.initial_alpha)
        self.alpha_adam = ScalarAdam(config.alpha_lr)
        wish = config.target_entropy
        self.target_entropy = -float(spaces.action_size) if wish is None else wish

    def update(self, memory: Memory, lr_scale: float = 1.0) -> dict[str, Tensor | float]:
        """One gradient step of everything."""
        cfg, alpha = self.config, math.exp(self.log_alpha)
        batch = memory.batch(cfg.batch_size)
        noise = torch.randn((2, cfg.batch_size, self.spaces.action_size), generator=self.rng)

        with torch.no_grad():
            next_action, next_log_prob = self.actor.fused(batch.next_obs, noise[0])
            q_next = aggregate(self.q_r_target.fused(batch.next_obs, next_action), "min")
            y_r = reward_targets(batch, q_next, next_log_prob, alpha, cfg.gamma)  # (1)
        loss_q = squared_error(self.q_r.fused(batch.obs, batch.action), y_r)  # (2)
        self.critic.descend(loss_q)

        action, log_prob = self.actor.fused(batch.obs, noise[1])
        loss_pi = (
            alpha * log_prob - aggregate(self.q_r.fused(batch.obs, action, frozen=True), "min")
        ).mean()  # (3)
        self.policy.descend(loss_pi, lr_scale)

        entropy = -float(log_prob.detach().mean())
        self.log_alpha = self.alpha_adam.moved(  # (4)
            self.log_alpha, entropy - self.target_entropy, *alpha_ends(cfg.initial_alpha)
        )
        follow(self.q_r_target, self.q_r, cfg.tau)
        return {"loss_q_r": loss_q.detach(), "loss_pi": loss_pi.detach(), "entropy": entropy, "alpha": alpha}

    def safety_critic(self) -> SafetyCritic | None:
        """SAC has none."""
        return None

    def state_dict(self) -> State:
        """Everything that an exact resume needs."""
        return {
            "policy": self.policy.state_dict(),
            "critic": self.critic.state_dict(),
            "q_r_target": self.q_r_target.mlp.flat.detach(),
            "log_alpha": self.log_alpha,
            "alpha_adam": self.alpha_adam.state_dict(),
            "rng": self.rng.get_state(),
        }

    def load_state_dict(self, state: State) -> None:
        """Inverse of `state_dict`."""
        self.policy.load_state_dict(state["policy"])
        self.critic.load_state_dict(state["critic"])
        copy_into(self.q_r_target.mlp.flat, state["q_r_target"])
        self.log_alpha = state["log_alpha"]
        self.alpha_adam.load_state_dict(state["alpha_adam"])
        self.rng.set_state(state["rng"])
