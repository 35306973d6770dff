"""Meta SAC-Lag: SAC-Lag that tunes its threshold eps and its temperature alpha by meta-gradients.

Honari, Soufi Enayati, Ghafarian Tamizi, Najjaran, IROS 2024, arXiv:2408.07962. The paper's abstract and
outline were available, its formulas and constants were not: this is our reading, and what it leaves open is a
switch. eps [-] is the allowed discounted probability of a violation, alpha [reward per nat], nu [reward].

    (1)  y_r = r + gamma (1 - d) [ min_i Q_r,i(s', a') - alpha log pi(a'|s') ],   a' ~ pi(.|s')
    (2)  y_c = c + (1 - c)(1 - d) gamma_c Q_c(s', a'),   c in {0, 1}
    (3)  x'  = x + b_nu E_B[ Q_c(s, a_phi) - eps ],   nu = softplus(x) or exp(x)
    (4)  L(phi; nu', eps, alpha) = E_B[ alpha log pi - Q_r(s, a_phi) + nu' (Q_c(s, a_phi) - eps) ]
    (5)  phi' = phi - RMSProp(grad_phi L)
    (6)  eps descends    J_eps   = L(phi'; nu', eps, alpha) on a fresh batch B' of D     (linear)
                         or the same with (Q_c - eps)^2 / 2 for Q_c - eps           (non-linear, ours)
    (7)  alpha ascends   J_alpha = E_D0[ Q_r(s0, a) - nu' (Q_c(s0, a) - eps) ],   a = tanh(mean_phi'(s0))

nu' eps is constant in phi, so eps reaches phi' through nu' alone. Paths of d J_eps / d eps: direct (-nu'),
through nu' in J_eps, through phi'. Variant A takes all, B (default) leaves out the direct one, which raises
eps without end, C keeps only the one through phi'.

With the gradient of (4) in parts, grad L = alpha g_H - g_R + nu' g_C, and D = d phi' / d grad:
    (8)  d J_eps / d eps   = (d nu'/d eps) [ d J_eps / d nu' + < d J_eps / d phi', D g_C > ],
         d nu' / d eps = -b_nu nu'(x')
    (9)  d J_alpha / d alpha = < d J_alpha / d phi', D g_H >
This closed form (`steps/closed_meta_gradient.py`) and that of `steps/autograd_meta_gradient.py` agree; the
former is the default, being faster.

Differs from the paper: the larger safety critic counts (`risk_agg`); the multiplier steps in x without the
slope of nu(x); x and the variables behind eps and alpha are bounded (`nu_min`, `Knob`), against windup;
sigmoid safety critics, trained by cross-entropy; bias-corrected RMSProp; Adam on eps and alpha; a meta-step
every third update; prior actions may be imitated (`imitation`). With `violations` eps follows measured
episodes instead of (6): `policy_training/steps/measured_threshold.py`.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from policy_training.checkpoint import State
from policy_training.estimates.critics import Critics
from policy_training.experience.replay import Batch, Memory
from policy_training.experience.spaces import Spaces
from policy_training.networks.squashed import Actor, SafetyCritic
from policy_training.optimizers.adam import copy_into
from policy_training.ranges import POSITIVE, check_ranges
from policy_training.steps import lagrangian
from policy_training.steps.autograd_meta_gradient import Batches, InnerStart, autograd_gradients
from policy_training.steps.closed_meta_gradient import closed_gradients
from policy_training.steps.differentiable_step import RmsPropStep
from policy_training.steps.imitation import Lesson, lesson, pretrain
from policy_training.steps.measured_threshold import LOWEST, MeasuredThreshold, ended
from policy_training.steps.scalar_adam import END, Knob


@dataclass(frozen=True)
class MetaSacLagConfig:
    """SAC-Lag whose safety threshold and temperature follow meta-gradients."""

    hidden: tuple[int, ...] = (256, 256)
    "Widths of the hidden layers of all networks."
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
    "RMSProp's rate for the policy."
    policy_rho: float = 0.99
    "RMSProp's smoothing."
    critic_lr: float = 3e-4
    "Adam's rate for all critics."
    critic_members: Literal[1, 2] = 2
    "Critics of each kind: twins, or one."
    optimizer: str = "adam"
    "Optimizer of the critics: adam, rmsprop, sign, or optim4rl:PATH of a learned one."
    risk_agg: Literal["min", "max"] = "max"
    "Which of the twin safety critics counts."
    pos_fraction: float = 0.3
    "Share of violating transitions in the safety critics' batch."
    pos_weight: Literal["natural", "none"] = "natural"
    "Reweight that batch to the shares of the replay, or leave Q_c biased upwards."
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
    initial_eps: float = 0.1
    "Threshold at the start, in (0, eps_max)."
    eps_max: float = 1.0
    "Largest threshold."
    eps_form: Literal["sigmoid", "clamp"] = "sigmoid"
    "How the threshold stays in [0, eps_max]."
    eps_lr: float = 3e-4
    "Adam's rate for eps (for its logit with the sigmoid form); 0 keeps eps fixed."
    eps_paths: Literal["A", "B", "C"] = "B"
    "Paths of the threshold's gradient: all, all but the direct one, only the one through the policy."
    eps_objective: Literal["linear", "nonlinear"] = "linear"
    "What the threshold descends after the step: Q_c - eps, times nu, or half of its square."
    violations: float | None = None
    "At most this share of the episodes may break a rule: eps follows their measured share, not eps_lr. Ours."
    violations_rate: float = 0.005
    "Longest step per update of the logit of eps towards what that share asks for."
    violations_wait: int = 10_000
    "Updates after which it is asked for even if the episodes do not yet succeed."
    initial_alpha: float = 0.2
    "Temperature at the start [reward per nat]."
    alpha_max: float = 1.0
    "Largest temperature."
    alpha_lr: float = 3e-4
    "Adam's rate for log alpha; 0 keeps alpha fixed."
    meta_batch_size: int = 64
    "Fresh transitions, and initial states, per meta-step."
    meta_interval: int = 3
    "Updates per meta-step."
    meta_gradient: Literal["closed", "autograd"] = "closed"
    "How the inner step is differentiated: in closed form, faster, or by a second backward pass."
    imitation: float = 0.0
    "Weight [reward] of the distance to prior actions that the critics rate higher; falls like policy_lr."
    order: Literal["keep", "lookahead"] = "keep"
    "Keep the inner step, then tune eps, alpha; or tune after a trial step, then undo and redo it."

    def __post_init__(self) -> None:
        check_ranges(self, initial_nu=POSITIVE)
        lagrangian.multiplier_range(self.nu_min, self.initial_nu, self.nu_max, self.nu_form)


class Inner(NamedTuple):
    """Results of the inner step for the meta-step and the log."""

    grad: Tensor  # (P,) gradient of (4)
    grad_h: Tensor | None  # (P,) g_H
    grad_c: Tensor | None  # (P,) g_C
    taught: Lesson  # imitation term of (4)
    loss: Tensor
    q_r: Tensor
    q_c: float
    entropy: float


class MetaSacLag:
    """Networks, optimizers and the update."""

    def __init__(self, spaces: Spaces, config: MetaSacLagConfig, seed: int) -> None:
        torch.manual_seed(seed)
        self.config, self.spaces = config, spaces
        self.rng = torch.Generator().manual_seed(seed)
        self.actor = Actor(spaces, config.hidden)
        self.critics = Critics(spaces, config)
        self.phi = self.actor.mlp.flat.detach()  # (P,) shares its memory with the actor
        self.square = torch.zeros_like(self.phi)  # (P,) s of RMSProp
        self.steps = 0
        nu = config.nu_min, config.initial_nu, config.nu_max, config.nu_form
        self.x_ends = lagrangian.multiplier_range(*nu)
        self.x = lagrangian.multiplier_inverse(config.initial_nu, config.nu_form)
        asked, end = config.violations, END if config.violations is None else LOWEST
        self.eps_knob = Knob(config.eps_form, config.initial_eps, config.eps_max, config.eps_lr, end)
        self.measured = None if asked is None else MeasuredThreshold(asked, config.violations_wait)
        self.alpha_knob = Knob("exp", config.initial_alpha, config.alpha_max, config.alpha_lr)

    @property
    def eps(self) -> float:
        """Threshold in [0, eps_max]."""
        return self.eps_knob.value

    @property
    def alpha(self) -> float:
        """Temperature."""
        return self.alpha_knob.value

    def update(self, memory: Memory, lr_scale: float = 1.0) -> dict[str, Tensor | float]:
        """One gradient step of everything."""
        cfg, eps, alpha = self.config, self.eps, self.alpha
        batch = memory.batch(cfg.batch_size)
        violations = memory.violations(round(cfg.pos_fraction * cfg.batch_size))
        with torch.no_grad():
            next_action, next_log_prob = self.actor.fused(batch.next_obs, self._noise(cfg.batch_size))
        loss_r, loss_c = self.critics.learn(batch, violations, next_action, next_log_prob, alpha)  # (1), (2)
        rule = RmsPropStep(cfg.policy_lr * lr_scale, cfg.policy_rho)
        tune = (self.steps + 1) % cfg.meta_interval == 0 and cfg.eps_lr + cfg.alpha_lr > 0.0
        start = self.place() if tune and (cfg.order, cfg.meta_gradient) != ("keep", "closed") else None
        noise, imitation = self._noise(cfg.batch_size), cfg.imitation * lr_scale
        inner = self.inner(batch, noise, rule, imitation, split=tune)
        slopes: dict[str, Tensor | float] = {}  # logged after a meta-step only
        if tune:
            count = cfg.meta_batch_size
            fresh = memory.batch(count, prior_fraction=0.0).obs  # B', from D alone
            initial, fresh_noise = memory.initial_states(count), self._noise(count)
            batches = Batches(batch.obs, noise, inner.taught, fresh, fresh_noise, initial)
            if cfg.meta_gradient == "closed" or start is None:
                d_eps, d_alpha = closed_gradients(self, inner, rule, batches)
            else:
                d_eps, d_alpha = autograd_gradients(self, start, rule, batches)
            slopes = {"d_alpha": d_alpha}
            if self.measured is None:
                self.eps_knob.descend(d_eps)  # (6)
                slopes["d_eps"] = d_eps
            self.alpha_knob.descend(-d_alpha)  # (7)
            if start is not None and cfg.order == "lookahead":
                self._restore(start)
                anew, noise = memory.batch(cfg.batch_size), self._noise(cfg.batch_size)
                inner = self.inner(anew, noise, rule, imitation, split=False)
        if self.measured is not None:
            self.measured.see(memory.new_outcomes(), inner.q_c)
            self.measured.watch(ended(self.x >= self.x_ends[1], self.eps_knob.at_low))
            if (wanted := self.measured.wanted()) is not None:
                self.eps_knob.approach(wanted, cfg.violations_rate)
            slopes["violating"] = self.measured.violating
        self.critics.follow()
        return {
            "loss_q_r": loss_r, "loss_q_c": loss_c, "loss_pi": inner.loss,
            "q_r": inner.q_r, "q_c": inner.q_c, "entropy": inner.entropy, "alpha": alpha, "eps": eps,
            "nu": lagrangian.multiplier(self.x, cfg.nu_form), **slopes,
        }  # fmt: skip

    def inner(self, batch: Batch, noise: Tensor, rule: RmsPropStep, teach: float, *, split: bool) -> Inner:
        """Eqs. (3) to (5), applied to x, phi and s; with `split` also the parts of the gradient."""
        cfg, alpha, actor, flat = self.config, self.alpha, self.actor, self.actor.mlp.flat
        action, log_prob = actor.fused(batch.obs, noise)
        own = self.critics.judge(batch.obs, action)
        q_r, q_c = own
        q_c_mean = float(q_c.detach().mean())
        excess = q_c_mean - self.eps if self.measured is None else self.measured.excess(q_c_mean, self.eps)
        self.x = lagrangian.ascended(self.x, excess, cfg.nu_lr, self.x_ends)  # (3)
        nu = lagrangian.multiplier(self.x, cfg.nu_form)
        taught = lesson(batch, own, self.critics, nu, teach)
        rest = lagrangian.lagrangian(log_prob, q_r, 0.0, alpha, nu) + taught.penalty(action)
        loss = rest + nu * (q_c - self.eps).mean()  # (4)
        grad_h = grad_c = None
        if split:
            (dq_c,) = torch.autograd.grad(q_c.mean(), action)
            (grad_h,) = torch.autograd.grad(log_prob.mean(), flat, retain_graph=True)
            (grad_c,) = torch.autograd.grad(action, flat, dq_c, retain_graph=True)
            grad = torch.autograd.grad(rest, flat)[0].add_(grad_c, alpha=nu)
        else:
            (grad,) = torch.autograd.grad(loss, flat)
        self._step(grad, rule)
        entropy = -float(log_prob.detach().mean())
        return Inner(grad, grad_h, grad_c, taught, loss.detach(), q_r.detach().mean(), q_c_mean, entropy)

    def pretrain(self, memory: Memory) -> dict[str, Tensor | float]:
        """One update on prior episodes alone."""
        rule, flat = RmsPropStep(self.config.policy_lr, self.config.policy_rho), self.actor.mlp.flat
        return pretrain(
            self.actor, self.critics, memory, self.config, self.alpha, self.rng,
            lambda loss: self._step(torch.autograd.grad(loss, flat)[0], rule),
        )  # fmt: skip

    def _step(self, grad: Tensor, rule: RmsPropStep) -> None:
        """Eq. (5), applied to phi and s."""
        self.steps += 1
        phi, self.square = rule.step(self.phi, grad, self.square, self.steps)
        self.phi.copy_(phi)

    def _noise(self, count: int) -> Tensor:
        return torch.randn((count, self.spaces.action_size), generator=self.rng)

    def place(self) -> InnerStart:
        """The state before the next inner step."""
        return InnerStart(self.phi.clone(), self.square, self.x, self.steps)

    def _restore(self, start: InnerStart) -> None:
        self.phi.copy_(start.phi)
        self.square, self.x, self.steps = start.square, start.x, start.steps

    def safety_critic(self) -> SafetyCritic | None:
        """The aggregated safety critic, sharing its weights with this object."""
        return SafetyCritic(self.critics.q_c, self.config.risk_agg)

    def state_dict(self) -> State:
        """Everything that an exact resume needs."""
        floats = {k: getattr(self, k) for k in ("x", "steps")}
        return {
            "phi": self.phi.clone(), "square": self.square, "floats": floats,
            "rng": self.rng.get_state(), "critics": self.critics.state_dict(),
            "eps_knob": self.eps_knob.state_dict(), "alpha_knob": self.alpha_knob.state_dict(),
            "measured": None if self.measured is None else self.measured.state_dict(),
        }  # fmt: skip

    def load_state_dict(self, state: State) -> None:
        """Inverse of `state_dict`."""
        copy_into(self.phi, state["phi"])
        copy_into(self.square, state["square"])
        for part in ("critics", "eps_knob", "alpha_knob"):
            getattr(self, part).load_state_dict(state[part])
        if self.measured is not None and state.get("measured") is not None:
            self.measured.load_state_dict(state["measured"])
        for key, value in state["floats"].items():
            setattr(self, key, value)
        self.rng.set_state(state["rng"])
