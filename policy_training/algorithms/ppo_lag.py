"""PPO-Lag: proximal policy optimisation on the Lagrangian, one multiplier for each named cost.

Schulman, Wolski, Dhariwal, Radford, Klimov 2017, arXiv:1707.06347;
Ray, Achiam, Amodei 2019 (the multipliers).

    (1)  lambda_k <- [ lambda_k + Adam(J_k - d_k) ]_+          before the policy moves
    (2)  A = (A_r - sum_k lambda_k A_k) / (1 + sum_k lambda_k) each A standardised over the iteration
    (3)  max E[ min(rho A, clip(rho, 1 - c, 1 + c) A) ]        rho = pi(a|s) / pi_old(a|s)
    (4)  no further pass once E KL(pi_old || pi) > d_KL

Symbols: J_k mean undiscounted episode cost, d_k its limit, lambda_k multiplier [-], c clip [-], d_KL [nat].

Differs from the papers: several costs; the value functions have passes of their own and do not stop with (4).
"""

from dataclasses import dataclass

import torch

from policy_training.advantages import Rollout
from policy_training.checkpoint import State
from policy_training.gaussian import GaussianActor, kl_divergence
from policy_training.multipliers import Multipliers
from policy_training.networks import Spaces
from policy_training.on_policy import Judge, OnPolicyConfig
from policy_training.optimizers.flat import flat_optimizer
from policy_training.values import minibatches


@dataclass(frozen=True)
class PpoLagConfig(OnPolicyConfig):
    """Clipped policy steps on reward minus priced costs."""

    policy_lr: float = 3e-4
    "Adam's rate for the policy; falls to zero over the run."
    policy_epochs: int = 40
    "Most passes over an iteration's steps for the policy."
    policy_batch: int = 64
    "Steps per update of the policy."
    clip: float = 0.2
    "c in (3)."
    target_kl: float = 0.02
    "d_KL in (4) [nat]."
    max_grad_norm: float = 40.0
    "Longer gradients are cut to this length."
    entropy_weight: float = 0.0
    "Reward [-] per nat of entropy."
    initial_nu: float = 0.001
    "Every multiplier at the start."
    nu_lr: float = 0.035
    "Adam's rate for the multipliers."


class PpoLag:
    """Networks, optimisers and the update."""

    def __init__(self, spaces: Spaces, config: PpoLagConfig, seed: int) -> None:
        torch.manual_seed(seed)
        self.config = config
        self.actor = GaussianActor(spaces, config.hidden, config.initial_std)
        self.judge = Judge(spaces, config, seed)
        vectors = (self.actor.mlp.flat, self.actor.log_std)
        self.adam = flat_optimizer(config.optimizer, vectors, config.policy_lr)
        self.multipliers = Multipliers(config.cost_limits, config.initial_nu, config.nu_lr)

    def update(self, rollout: Rollout, progress: float) -> dict[str, float]:
        """(1) to (4), then the value functions."""
        cfg, actor, rng = self.config, self.actor, self.judge.rng
        self.multipliers.update(rollout.episode_costs)  # (1)
        advantage = self.multipliers.mixed(rollout.advantage)  # (2)
        with torch.no_grad():
            inputs = actor.inputs(rollout.obs)
            old_mean, old_log_std = actor.mean_of(inputs), actor.log_std.detach().clone()
            old_log_prob = actor.log_prob(old_mean, rollout.action)
        epochs = 0
        while epochs < cfg.policy_epochs:
            epochs += 1
            for rows in minibatches(len(advantage), cfg.policy_batch, rng):
                log_prob = actor.log_prob(actor.mean_of(inputs[rows]), rollout.action[rows])
                ratio, weight = torch.exp(log_prob - old_log_prob[rows]), advantage[rows]
                gain = torch.minimum(
                    ratio * weight, ratio.clamp(1.0 - cfg.clip, 1.0 + cfg.clip) * weight
                )  # (3)
                loss = -gain.mean() - cfg.entropy_weight * actor.log_std.sum()
                self.adam.descend(actor.gradient(loss), cfg.max_grad_norm, 1.0 - progress)
            with torch.no_grad():
                kl = float(kl_divergence(old_mean, old_log_std, actor.mean_of(inputs), actor.log_std))
            if not kl <= cfg.target_kl:  # (4)
                break
        loss_v = self.judge.learn(rollout)
        return self.multipliers.figures() | {
            "kl": kl, "epochs": float(epochs), "entropy": actor.entropy(), "loss_v": loss_v,
        }  # fmt: skip

    def samples(self, base: int) -> int:
        """The same in every iteration."""
        return base

    def state_dict(self) -> State:
        """Everything that an exact continuation needs."""
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
