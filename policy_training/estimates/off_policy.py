"""Settings that the constrained off-policy algorithms share. The algorithms themselves stand on their own."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ConstrainedSettings:
    """Soft actor-critic with safety critics, and a multiplier on the violation probability they predict."""

    hidden: tuple[int, ...] = (256, 256)
    "Widths of the hidden layers of every network."
    layer_norm: bool = False
    "Layer normalisation in the critics."
    batch_size: int = 256
    "Transitions per update."
    gamma: float = 0.99
    "Discount of the reward per step."
    gamma_c: float = 0.95
    "Discount of a violation per step."
    tau: float = 0.005
    "Polyak step of the target critics per update."
    policy_lr: float = 3e-4
    "Adam's rate for the policy."
    critic_lr: float = 3e-4
    "Adam's rate for all critics."
    critic_members: Literal[1, 2] = 2
    "Critics of each kind: twins, or one."
    eps: float = 0.1
    "Allowed discounted probability of a violation, in [0, 1]."
    initial_nu: float = 1.0
    "Multiplier at the start [reward]."
    nu_max: float = 100.0
    "Largest multiplier [reward]."
    nu_min: float = 0.01
    "Smallest multiplier [reward], or initial_nu where that is less: a lower bound against windup."
    nu_lr: float = 0.01
    "Step of the multiplier: x' = x + nu_lr E[Q_c - eps], nu = nu_form(x)."
    nu_form: Literal["softplus", "exp"] = "softplus"
    "How the multiplier stays positive."
    risk_agg: Literal["min", "max"] = "max"
    "Which of the twin safety critics counts."
    pos_fraction: float = 0.3
    "Share of violating transitions in the safety critics' batch."
    pos_weight: Literal["natural", "none"] = "natural"
    "Reweight that batch to the shares of the replay, or leave Q_c biased upwards."
    alpha_lr: float = 3e-4
    "Adam's rate for log alpha; 0 keeps alpha fixed."
    initial_alpha: float = 0.2
    "Temperature at the start [reward per nat]."
    imitation: float = 0.0
    "Weight [reward] of the distance to prior actions that the critics rate higher; falls like policy_lr."
    target_entropy: float | None = None
    "Entropy that the temperature holds [nat]; none means minus the number of actions."
    optimizer: str = "adam"
    "Optimizer: adam, rmsprop, sign, or optim4rl:PATH of a learned one."
