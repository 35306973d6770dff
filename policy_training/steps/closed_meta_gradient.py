"""Meta-gradients of one inner step in closed form: equations (8) and (9) of `algorithms/meta_sac_lag.py`.

Equal to `autograd_meta_gradient.autograd_gradients`, without its second backward pass through the inner step.
"""

from typing import Protocol

import torch
from torch import Tensor

from policy_training.steps.autograd_meta_gradient import Agent, Batches
from policy_training.steps.differentiable_step import RmsPropStep, meta_gradient
from policy_training.steps.lagrangian import (
    constraint_excess,
    initial_score,
    lagrangian,
    multiplier,
    multiplier_slope,
)


class Stepped(Agent, Protocol):
    """An algorithm after its inner step."""

    @property
    def x(self) -> float: ...
    @property
    def square(self) -> Tensor: ...
    @property
    def steps(self) -> int: ...


class InnerGradients(Protocol):
    """Gradients (P,) of the inner step: the whole, of the entropy, of the constraint."""

    @property
    def grad(self) -> Tensor: ...
    @property
    def grad_h(self) -> Tensor | None: ...
    @property
    def grad_c(self) -> Tensor | None: ...


def closed_gradients(
    agent: Stepped, inner: InnerGradients, rule: RmsPropStep, batches: Batches
) -> tuple[float, float]:
    """(8), (9): d J_eps / d eps and d J_alpha / d alpha. M fresh and M initial rows."""
    cfg, nu = agent.config, multiplier(agent.x, agent.config.nu_form)
    assert inner.grad_h is not None and inner.grad_c is not None  # the inner step was split
    jacobian = rule.jacobian(inner.grad, agent.square, agent.steps)
    inside = agent.x_ends[0] < agent.x < agent.x_ends[1]
    d_nu = -cfg.nu_lr * multiplier_slope(agent.x, cfg.nu_form) if inside else 0.0
    fresh, initial, rows = batches.fresh, batches.initial, len(batches.fresh)
    action, log_prob = agent.actor.fused(fresh, batches.fresh_noise)
    still, _ = agent.actor.fused(initial, torch.zeros_like(batches.fresh_noise))
    all_r, all_c = agent.critics.judge(torch.cat((fresh, initial)), torch.cat((action, still)))
    q_c = all_c[:rows]
    excess = constraint_excess(q_c, agent.eps, cfg.eps_objective)
    j_eps = lagrangian(log_prob, all_r[:rows], excess, agent.alpha, nu)  # (6)
    j_alpha = initial_score(all_r[rows:], all_c[rows:], agent.eps, nu)  # (7)
    # rows are independent, so one backward pass through the critics serves both
    *d_j_eps, d_j_alpha = torch.autograd.grad(j_eps + j_alpha, (action, log_prob, still))
    (outer_eps,) = torch.autograd.grad((action, log_prob), agent.actor.mlp.flat, d_j_eps)
    (outer_alpha,) = torch.autograd.grad(still, agent.actor.mlp.flat, d_j_alpha)
    d_eps = d_nu * float(meta_gradient(outer_eps, jacobian, inner.grad_c))
    if cfg.eps_paths in "AB":
        d_eps += d_nu * float(excess.detach().mean())
    if cfg.eps_paths == "A":
        d_eps -= nu * (1.0 if cfg.eps_objective == "linear" else float(q_c.detach().mean()) - agent.eps)
    return d_eps, float(meta_gradient(outer_alpha, jacobian, inner.grad_h))
