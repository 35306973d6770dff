"""Meta-gradients of one inner step by differentiating through it: the reference for the closed form.

phi' and nu' are differentiable functions of eps and alpha here; nothing happens in place. Slower than the
closed form by the second backward pass, and needs no algebra that could be wrong.
"""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import softplus

from policy_training.estimates.critics import Critics
from policy_training.networks.fused import squashed
from policy_training.networks.squashed import Actor, aggregate
from policy_training.steps.differentiable_step import RmsPropStep
from policy_training.steps.imitation import Lesson
from policy_training.steps.lagrangian import constraint_excess, initial_score, lagrangian
from policy_training.steps.measured_threshold import MeasuredThreshold


class InnerStart(NamedTuple):
    """Where an inner step began."""

    phi: Tensor  # (P,)
    square: Tensor  # (P,)
    x: float
    steps: int


class Batches(NamedTuple):
    """The inputs of one inner and one meta-step. B and M rows."""

    obs: Tensor  # (B, O) inner step
    noise: Tensor  # (B, A)
    taught: Lesson  # imitation term of the inner objective
    fresh: Tensor  # (M, O) resampled
    fresh_noise: Tensor  # (M, A)
    initial: Tensor  # (M, O)


class MetaGradientSwitches(Protocol):
    """The switches that decide what the meta-gradients are."""

    @property
    def nu_lr(self) -> float: ...
    @property
    def nu_form(self) -> str: ...
    @property
    def eps_paths(self) -> str: ...
    @property
    def eps_objective(self) -> str: ...
    @property
    def risk_agg(self) -> str: ...


class Agent(Protocol):
    """An algorithm with an inner and an outer level."""

    @property
    def config(self) -> MetaGradientSwitches: ...
    @property
    def actor(self) -> Actor: ...
    @property
    def critics(self) -> Critics: ...
    @property
    def x_ends(self) -> tuple[float, float]: ...
    @property
    def measured(self) -> MeasuredThreshold | None: ...
    @property
    def eps(self) -> float: ...
    @property
    def alpha(self) -> float: ...


def autograd_gradients(
    agent: Agent, start: InnerStart, rule: RmsPropStep, batches: Batches
) -> tuple[float, float]:
    """d J_eps / d eps and d J_alpha / d alpha of the step that began at `start`."""
    dtype = start.phi.dtype
    eps = torch.tensor(agent.eps, dtype=dtype, requires_grad=True)
    alpha = torch.tensor(agent.alpha, dtype=dtype, requires_grad=True)
    phi, nu = lookahead(agent, start, rule, batches, eps, alpha)
    j_eps, j_alpha = outer_objectives(agent, phi, nu, eps, batches)
    (d_eps,) = torch.autograd.grad(j_eps, eps, retain_graph=True)
    (d_alpha,) = torch.autograd.grad(j_alpha, alpha)
    return float(d_eps), float(d_alpha)


def lookahead(
    agent: Agent, start: InnerStart, rule: RmsPropStep, batches: Batches, eps: Tensor, alpha: Tensor
) -> tuple[Tensor, Tensor]:
    """phi' (P,) and nu' after the multiplier's and the policy's step."""
    cfg = agent.config
    phi = start.phi.clone().requires_grad_(True)
    action, log_prob, q_r, q_c = plain_values(agent, phi, batches.obs, batches.noise)
    risk = q_c.detach().mean()
    excess = risk - eps if agent.measured is None else agent.measured.excess(risk, eps)
    x = (start.x + cfg.nu_lr * excess).clamp(*agent.x_ends)
    nu = x.exp() if cfg.nu_form == "exp" else softplus(x)
    loss = lagrangian(log_prob, q_r, q_c - eps, alpha, nu) + batches.taught.penalty(action)
    (grad,) = torch.autograd.grad(loss, phi, create_graph=True)
    return rule.step(phi, grad, start.square, start.steps + 1)[0], nu


def outer_objectives(
    agent: Agent, phi: Tensor, nu: Tensor, eps: Tensor, batches: Batches
) -> tuple[Tensor, Tensor]:
    """J_eps with the configured paths cut, and J_alpha."""
    cfg = agent.config
    _, log_prob, q_r, q_c = plain_values(agent, phi, batches.fresh, batches.fresh_noise)
    excess = constraint_excess(q_c, eps if cfg.eps_paths == "A" else eps.detach(), cfg.eps_objective)
    j_eps = lagrangian(log_prob, q_r, excess, agent.alpha, nu.detach() if cfg.eps_paths == "C" else nu)
    still = torch.zeros(len(batches.initial), agent.actor.action_size)
    _, _, q_r, q_c = plain_values(agent, phi, batches.initial, still)
    return j_eps, initial_score(q_r, q_c, agent.eps, float(nu.detach()))


def plain_values(
    agent: Agent, phi: Tensor, obs: Tensor, noise: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Action (B, A), log pi, Q_r, Q_c, each (B,), as twice differentiable functions of phi (P,)."""
    mlp, critics = agent.actor.mlp, agent.critics
    moments = functional_call(mlp, mlp.named_flat(phi), (agent.actor.scaling(obs),)).squeeze(0)
    action, log_prob, _ = squashed(moments, noise)
    q_c = aggregate(torch.sigmoid(critics.q_c(obs, action)), agent.config.risk_agg)
    return action, log_prob, aggregate(critics.q_r(obs, action), "min"), q_c
