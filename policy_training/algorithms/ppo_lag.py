"""PPO-Lag: proximal policy optimisation on the Lagrangian, one multiplier for each named cost.

Schulman, Wolski, Dhariwal, Radford, Klimov 2017, arXiv:1707.06347;
the multipliers are in `multipliers`: Ray, Achiam, Amodei 2019, or PID control, Stooke, Achiam, Abbeel 2020.

    (1)  lambda_k <- [ lambda_k + Adam(J_k - d_k) ]_0^max, or PID, before the policy moves
    (2)  A = (A_r - sum_k lambda_k A_k) / (1 + sum_k lambda_k), A_r standardised, A_k centred
    (3)  max E[ min(rho A, clip(rho, 1 - c, 1 + c) A) ]        rho = pi(a|s) / pi_old(a|s)
    (4)  no further pass once E KL(pi_old || pi) > d_KL

Symbols: J_k mean undiscounted episode cost, d_k its limit, lambda_k multiplier [-], c clip [-], d_KL [nat].

Differs from the papers: several costs; the value functions have passes of their own and do not stop with (4).
With another `layout` than separate they share the policy's passes, batches and falling rate, and stop with
it; a common trunk is `policy_training/estimates/layout_actor_critic.py`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from policy_training.checkpoint import State
from policy_training.estimates.advantages import Rollout
from policy_training.estimates.layout_actor_critic import PolicyTerms, Together
from policy_training.estimates.on_policy import Judge, OnPolicyConfig
from policy_training.estimates.values import minibatches
from policy_training.experience.spaces import Spaces
from policy_training.networks.gaussian import GaussianActor, kl_divergence
from policy_training.optimizers.flat import flat_optimizer
from policy_training.optimizers.settings import LayoutSettings
from policy_training.steps.multipliers import Multipliers, MultiplierSettings


@dataclass(frozen=True)
class PpoLagConfig(LayoutSettings, MultiplierSettings, OnPolicyConfig):
    """Clipped policy steps on the Lagrangian."""

    policy_lr: float = 3e-4
    "Adam's rate for the policy, and for everything in layout single; falls to zero over the run."
    policy_epochs: int = 40
    "Most passes over an iteration's steps for the policy."
    policy_batch: int = 64
    "Steps per update of the policy."
    clip: float = 0.2
    "Clip range of the ratio pi / pi_old around 1."
    target_kl: float = 0.02
    "No further pass over the policy once the KL divergence is above this [nat]."
    max_grad_norm: float = 40.0
    "Gradients are clipped to this norm."
    entropy_weight: float = 0.0
    "Entropy bonus [-] per nat."
    critic_weight: float = 0.5
    "Weight of the value functions' losses beside the policy's, in any layout but separate."

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_layout()
        self.check_multipliers()
        if self.layout != "separate" and self.optimizer != "adam":
            raise ValueError(f"layouts step by Adam, got optimizer {self.optimizer!r}; say --layout separate")


class PpoLag:
    """Networks, optimizers and the update."""

    def __init__(self, spaces: Spaces, config: PpoLagConfig, seed: int) -> None:
        torch.manual_seed(seed)
        self.config = config
        self.actor = GaussianActor(spaces, config.hidden, config.initial_std)
        self.judge = Judge(spaces, config, seed)
        vectors = (self.actor.mlp.flat, self.actor.log_std)
        self.adam = flat_optimizer(config.optimizer, vectors, config.policy_lr)
        self.multipliers = Multipliers(config.cost_limits, config)
        self.together: Together | None = None
        if config.layout != "separate":
            self.together = Together(self.actor, spaces, len(config.cost_limits), config)
            self.judge.listen_to(self.together.net)

    def update(self, rollout: Rollout, progress: float) -> dict[str, float]:
        """(1) to (4), then the value functions."""
        cfg, actor, rng = self.config, self.actor, self.judge.rng
        self.multipliers.update(rollout.episode_costs)  # (1)
        advantage = self.multipliers.mixed(rollout.advantage)  # (2)
        with torch.no_grad():
            inputs = actor.inputs(rollout.obs)
            old_mean, old_log_std = actor.mean_of(inputs), actor.log_std.detach().clone()
            old_log_prob = actor.log_prob(old_mean, rollout.action)

        def loss(mean: Tensor, rows: Tensor) -> Tensor:
            ratio = torch.exp(actor.log_prob(mean, rollout.action[rows]) - old_log_prob[rows])
            weight = advantage[rows]
            gain = torch.minimum(ratio * weight, ratio.clamp(1.0 - cfg.clip, 1.0 + cfg.clip) * weight)  # (3)
            return -gain.mean() - cfg.entropy_weight * actor.log_std.sum()

        def kl_of(mean: Tensor) -> float:
            return float(kl_divergence(old_mean, old_log_std, mean, actor.log_std))

        if self.together is not None:
            figures = self.together.update(rollout, PolicyTerms(loss, kl_of), 1.0 - progress, rng)
            return self.multipliers.figures() | figures | {"entropy": actor.entropy()}
        epochs = 0
        while epochs < cfg.policy_epochs:
            epochs += 1
            for rows in minibatches(len(advantage), cfg.policy_batch, rng):
                gradient = actor.gradient(loss(actor.mean_of(inputs[rows]), rows))
                self.adam.descend(gradient, cfg.max_grad_norm, 1.0 - progress)
            with torch.no_grad():
                kl = kl_of(actor.mean_of(inputs))
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
        """Everything that an exact resume needs."""
        return {
            "actor": self.actor.vector(), "adam": self.adam.state_dict(), "judge": self.judge.state_dict(),
            "multipliers": self.multipliers.state_dict(),
            **({"together": self.together.state_dict()} if self.together is not None else {}),
        }  # fmt: skip

    def load_state_dict(self, state: State) -> None:
        """Inverse of `state_dict`."""
        self.actor.set_vector(state["actor"])
        self.adam.load_state_dict(state["adam"])
        self.judge.load_state_dict(state["judge"])
        self.multipliers.load_state_dict(state["multipliers"])
        if self.together is not None:
            self.together.load_state_dict(state["together"])
