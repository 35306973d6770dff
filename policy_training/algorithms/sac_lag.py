"""SAC-Lag: soft actor-critic with a Lagrange multiplier on the predicted probability of a violation.

The Lagrangian relaxation of Ha et al. 2020, arXiv:2002.08550, with the safety critic of Srinivasan et al.
2020, arXiv:2010.14603. eps [-] is the allowed discounted probability of a violation.

    (1)  y_r = r + gamma (1 - d) [ min_i Q_r,i(s', a') - alpha log pi(a'|s') ],   a' ~ pi(.|s')
    (2)  y_c = c + (1 - c)(1 - d) gamma_c Q_c(s', a'),   c in {0, 1}
    (3)  nu' = nu(x'),   x' = x + b_nu E[ Q_c(s, a) - eps ],   nu = softplus or exp
    (4)  L_pi = E[ alpha log pi(a|s) - min_i Q_r,i(s, a) + nu' (Q_c(s, a) - eps) ]
    (5)  L_alpha = -log alpha E[ log pi(a|s) + H ],   H the target entropy [nat]

(1), (2) are in `critics`. With several named costs each has its own (2), (3) and term of (4).

Differs from the papers: several costs; twin safety critics, the larger one counts (both choices are switches'
defaults); the multiplier steps in x by the violation itself, without the slope of nu(x), which would stall it
near zero; x and log alpha are bounded, against windup. With another `layout` than separate both pairs are
stepped by one optimizer layout, and may share their trunk over (s, a):
`policy_training/estimates/layout_critics.py`.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from policy_training.checkpoint import State
from policy_training.estimates.critics import Critics, SafetyPair
from policy_training.estimates.layout_critics import LayoutCritics
from policy_training.estimates.off_policy import ConstrainedSettings
from policy_training.experience.costs import check_limits
from policy_training.experience.replay import Memory
from policy_training.experience.spaces import Spaces
from policy_training.networks.squashed import Actor, SafetyCritic
from policy_training.optimizers.flat import trained_network
from policy_training.optimizers.settings import LayoutSettings
from policy_training.ranges import POSITIVE, check_ranges
from policy_training.steps.imitation import lesson, pretrain
from policy_training.steps.lagrangian import ascended, multiplier, multiplier_inverse, multiplier_range
from policy_training.steps.scalar_adam import ScalarAdam, alpha_ends


@dataclass(frozen=True)
class SacLagConfig(LayoutSettings, ConstrainedSettings):
    """Soft actor-critic at one fixed threshold on the predicted violation probability."""

    eps_limits: tuple[tuple[str, float], ...] = ()
    "The same for named costs, NAME EPS each, with a multiplier each; they replace eps."
    popart_rate: float = 1e-3
    "Share of the newest targets in their running mean and deviation, in (0, 1]."
    max_grad_norm: float = math.inf
    "The critics' gradients are clipped to this norm, in any layout but separate."

    def __post_init__(self) -> None:
        check_ranges(self, initial_nu=POSITIVE)
        multiplier_range(self.nu_min, self.initial_nu, self.nu_max, self.nu_form)
        self.check_layout()
        if self.layout != "separate" and self.optimizer != "adam":
            raise ValueError(f"layouts step by Adam, got optimizer {self.optimizer!r}; say --layout separate")
        if self.layout != "separate" and self.eps_limits:
            raise ValueError(
                "layouts support the scalar cost alone; say --layout separate or leave eps_limits out"
            )
        if self.eps_limits:
            check_limits(self.eps_limits)


@dataclass
class Constraint:
    """One safety pair, its limit, and the variable behind its multiplier."""

    name: str
    pair: SafetyPair
    eps: float
    x: float

    def nu(self, config: SacLagConfig) -> float:
        """The multiplier [reward]."""
        return multiplier(self.x, config.nu_form)

    def price(self, q_c: Tensor, config: SacLagConfig, ends: tuple[float, float]) -> Tensor:
        """(3), then this constraint's part of (4). q_c (B,) -> (B,)."""
        self.x = ascended(self.x, float(q_c.detach().mean()) - self.eps, config.nu_lr, ends)
        return self.nu(config) * (q_c - self.eps)


class SacLag:
    """Networks, optimizers and the update."""

    def __init__(self, spaces: Spaces, config: SacLagConfig, seed: int) -> None:
        torch.manual_seed(seed)
        self.config, self.spaces = config, spaces
        self.rng = torch.Generator().manual_seed(seed)
        self.actor = Actor(spaces, config.hidden)
        self.policy = trained_network(self.actor, config.policy_lr, config.optimizer)
        self.critics = (Critics if config.layout == "separate" else LayoutCritics)(spaces, config)
        self.x_ends = multiplier_range(config.nu_min, config.initial_nu, config.nu_max, config.nu_form)
        start = multiplier_inverse(config.initial_nu, config.nu_form)
        # The pair of the scalar cost is trained in any case: the robot's monitor uses it.
        self.named = [
            Constraint(name, SafetyPair(spaces, config, column), eps, start)
            for column, (name, eps) in enumerate(config.eps_limits, start=1)
        ]
        self.constraints = self.named or [Constraint("cost", self.critics.safety, config.eps, start)]
        self.log_alpha = math.log(config.initial_alpha)
        self.alpha_adam = ScalarAdam(config.alpha_lr)
        wish = config.target_entropy
        self.target_entropy = -float(spaces.action_size) if wish is None else wish

    def update(self, memory: Memory, lr_scale: float = 1.0) -> dict[str, Tensor | float]:
        """One gradient step of everything."""
        cfg, alpha = self.config, math.exp(self.log_alpha)
        batch = memory.batch(cfg.batch_size)
        violations = memory.violations(round(cfg.pos_fraction * cfg.batch_size))
        noise = torch.randn((2, cfg.batch_size, self.spaces.action_size), generator=self.rng)

        with torch.no_grad():
            next_action, next_log_prob = self.actor.fused(batch.next_obs, noise[0])
        loss_r, loss_c = self.critics.learn(batch, violations, next_action, next_log_prob, alpha)  # (1), (2)

        action, log_prob = self.actor.fused(batch.obs, noise[1])
        own = self.critics.judge(batch.obs, action)
        for constraint in self.named:
            constraint.pair.learn(batch, violations, next_action)
        risks = [c.pair.judge(batch.obs, action) for c in self.named] or [own.q_c]
        loss = alpha * log_prob - own.q_r
        for constraint, q_c in zip(self.constraints, risks, strict=True):
            loss = loss + constraint.price(q_c, cfg, self.x_ends)  # (3)
        loss_pi = loss.mean()  # (4)
        dearest = max(c.nu(cfg) for c in self.constraints)
        taught = lesson(batch, own, self.critics, dearest, cfg.imitation * lr_scale)
        self.policy.descend(loss_pi + taught.penalty(action), lr_scale)

        entropy = -float(log_prob.detach().mean())
        self.log_alpha = self.alpha_adam.moved(  # (5)
            self.log_alpha, entropy - self.target_entropy, *alpha_ends(cfg.initial_alpha)
        )
        self.critics.follow()
        for constraint in self.named:
            constraint.pair.follow()
        return {
            "loss_q_r": loss_r, "loss_q_c": loss_c, "loss_pi": loss_pi.detach(),
            "q_r": own.q_r.detach().mean(), "q_c": own.q_c.detach().mean(), "entropy": entropy,
            "alpha": alpha, "eps": self.constraints[0].eps, "nu": self.constraints[0].nu(cfg),
            **{f"nu/{c.name}": c.nu(cfg) for c in self.named}, **self.critics.figures(),
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
            "policy": self.policy.state_dict(), "critics": self.critics.state_dict(),
            "x": [c.x for c in self.constraints], "named": [c.pair.state_dict() for c in self.named],
            "log_alpha": self.log_alpha, "alpha_adam": self.alpha_adam.state_dict(),
            "rng": self.rng.get_state(),
        }  # fmt: skip

    def load_state_dict(self, state: State) -> None:
        """Inverse of `state_dict`."""
        self.policy.load_state_dict(state["policy"])
        self.critics.load_state_dict(state["critics"])
        self.log_alpha = state["log_alpha"]
        for constraint, x in zip(self.constraints, state["x"], strict=True):
            constraint.x = x
        for constraint, pair in zip(self.named, state["named"], strict=True):
            constraint.pair.load_state_dict(pair)
        self.alpha_adam.load_state_dict(state["alpha_adam"])
        self.rng.set_state(state["rng"])
