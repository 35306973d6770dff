"""CUP: a clipped step on the reward, then a projection that trades the cost against the KL divergence.

Yang, Ji, Dai, Zhang, Zhou, Li, Yang, Pan 2022, arXiv:2209.07089.

    (1)  nu <- [ nu + Adam(J_c - d) ]_0^nu_max                 before the policy moves
    (2)  pi' from pi_old:  max E[ min(rho A_r, clip(rho, 1 - e, 1 + e) A_r) ],
         no further pass once E KL(pi_old || pi') > d_KL
    (3)  pi from pi':      min E[ KL(pi' || pi) + nu k rho A_c ],  k = (1 - gamma_c lambda_c) / (1 - gamma_c),
         no further pass once E KL(pi' || pi) > d_KL

Symbols: rho = pi(a|s) / pi_old(a|s), J_c mean undiscounted episode cost, d its limit, nu multiplier [-],
e clip [-], d_KL [nat].

Differs from the paper: written from public code, so that (2) is clipped as in PPO; A_c is standardised, as
its authors' code does (CUP-safe-rl, f461656, utils/data_generator.py), so that nu means the same for costs of
any unit; Adam moves nu, where theirs is a gradient step at a rate of 0.01; the value functions have passes of
their own. Differs from others: nu has no cap unless `nu_max` sets one. The authors and OmniSafe (read at
15603dd) cap it at 2; OmniSafe centres A_c only, and has KL(pi || pi') in (3). Where the cap is low, (3)
cannot outweigh (2) and the result is PPO.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from policy_training.checkpoint import State
from policy_training.estimates.advantages import Rollout, standardised
from policy_training.estimates.on_policy import Judge, OnPolicyConfig
from policy_training.estimates.values import minibatches
from policy_training.experience.costs import check_limits
from policy_training.experience.spaces import Spaces
from policy_training.networks.gaussian import GaussianActor, kl_divergence
from policy_training.optimizers.flat import flat_optimizer
from policy_training.ranges import BELOW_ONE, check_ranges
from policy_training.steps.multipliers import Multipliers, MultiplierSettings
from policy_training.steps.trust_region import OldPolicy


@dataclass(frozen=True)
class CupConfig(OnPolicyConfig):
    """Improve, then project."""

    policy_lr: float = 3e-4
    "Adam's rate for the policy; falls to zero over the run."
    policy_epochs: int = 40
    "Most passes over an iteration's steps, for the reward and for the projection each."
    policy_batch: int = 64
    "Steps per update of the policy."
    clip: float = 0.2
    "Clip range of the ratio pi / pi_old around 1."
    target_kl: float = 0.01
    "No further pass, for the reward or the projection, once the KL divergence is above this [nat]."
    max_grad_norm: float = 40.0
    "Gradients are clipped to this norm."
    initial_nu: float = 0.001
    "The multiplier at the start."
    nu_lr: float = 0.035
    "Adam's rate for the multiplier."
    nu_max: float = math.inf
    "Cap of the multiplier; inf is none."

    def __post_init__(self) -> None:
        super().__post_init__()
        check_limits(self.cost_limits, most=1)
        check_ranges(self, gamma_c=BELOW_ONE)
        self.nu_settings().check_multipliers()

    def nu_settings(self) -> MultiplierSettings:
        """How the multiplier moves."""
        return MultiplierSettings(initial_nu=self.initial_nu, nu_max=self.nu_max, nu_lr=self.nu_lr)


class Cup:
    """Networks, optimizers and the update."""

    def __init__(self, spaces: Spaces, config: CupConfig, seed: int) -> None:
        torch.manual_seed(seed)
        self.config = config
        self.actor = GaussianActor(spaces, config.hidden, config.initial_std)
        self.judge = Judge(spaces, config, seed)
        vectors = (self.actor.mlp.flat, self.actor.log_std)
        self.adam = flat_optimizer(config.optimizer, vectors, config.policy_lr)
        self.multipliers = Multipliers(config.cost_limits, config.nu_settings(), per="deviation")

    def update(self, rollout: Rollout, progress: float) -> dict[str, float]:
        """(1) to (3), then the value functions."""
        self.multipliers.update(rollout.episode_costs)  # (1)
        old = OldPolicy.of(self.actor, rollout.obs, rollout.action)
        reward, cost = (standardised(row) for row in rollout.advantage)
        improve_epochs = self._improve(old, reward, 1.0 - progress)
        project_epochs = self._project(old, cost, 1.0 - progress)
        with torch.no_grad():
            kl = float(old.compared(self.actor)[1])
        return self.multipliers.figures() | {
            "kl": kl, "epochs": improve_epochs, "project_epochs": project_epochs,
            "entropy": self.actor.entropy(), "loss_v": self.judge.learn(rollout),
        }  # fmt: skip

    def _improve(self, old: OldPolicy, advantage: Tensor, lr_scale: float) -> float:
        """(2). Returns the passes made."""
        cfg, actor = self.config, self.actor
        for epoch in range(1, cfg.policy_epochs + 1):
            for rows in minibatches(len(advantage), cfg.policy_batch, self.judge.rng):
                ratio, weight = self._ratio(old, rows, actor.mean_of(old.inputs[rows])), advantage[rows]
                gain = torch.minimum(ratio * weight, ratio.clamp(1.0 - cfg.clip, 1.0 + cfg.clip) * weight)
                self.adam.descend(actor.gradient(-gain.mean()), cfg.max_grad_norm, lr_scale)
            with torch.no_grad():
                kl = float(old.compared(actor)[1])
            if not kl <= cfg.target_kl:
                return float(epoch)
        return float(cfg.policy_epochs)

    def _project(self, old: OldPolicy, advantage: Tensor, lr_scale: float) -> float:
        """(3). Returns the passes made."""
        cfg, actor = self.config, self.actor
        with torch.no_grad():
            half_mean, half_log_std = actor.mean_of(old.inputs), actor.log_std.clone()
        price = self.multipliers.values[0] * (1.0 - cfg.gamma_c * cfg.lam_c) / (1.0 - cfg.gamma_c)
        for epoch in range(1, cfg.policy_epochs + 1):
            for rows in minibatches(len(advantage), cfg.policy_batch, self.judge.rng):
                mean = actor.mean_of(old.inputs[rows])
                away = kl_divergence(half_mean[rows], half_log_std, mean, actor.log_std)
                paid = (self._ratio(old, rows, mean) * advantage[rows]).mean()
                self.adam.descend(actor.gradient(away + price * paid), cfg.max_grad_norm, lr_scale)
            with torch.no_grad():
                mean = actor.mean_of(old.inputs)
                kl = float(kl_divergence(half_mean, half_log_std, mean, actor.log_std))
            if not kl <= cfg.target_kl:
                return float(epoch)
        return float(cfg.policy_epochs)

    def _ratio(self, old: OldPolicy, rows: Tensor, mean: Tensor) -> Tensor:
        return torch.exp(self.actor.log_prob(mean, old.action[rows]) - old.log_prob[rows])

    def samples(self, base: int) -> int:
        """The same in every iteration."""
        return base

    def state_dict(self) -> State:
        """Everything that an exact resume needs."""
        return {
            "actor": self.actor.vector(), "adam": self.adam.state_dict(), "judge": self.judge.state_dict(),
            "multipliers": self.multipliers.state_dict(),
        }  # fmt: skip

    def load_state_dict(self, state: State) -> None:
        """Inverse of `state_dict`."""
        self.actor.set_vector(state["actor"])
        self.adam.load_state_dict(state["adam"])
        self.judge.load_state_dict(state["judge"])
        self.multipliers.load_state_dict(state["multipliers"])
