"""Steps of a Gaussian policy that keep within a KL divergence of the policy that gathered the data.

Order of use: gradient -> direction -> scale -> line search -> accepted, or restored to the bit. All functions
are pure but `line_search`, which moves the actor. Shapes: T steps, O observation, A action, P parameters in
the order of `GaussianActor.vector`, M advantages.

The KL divergence is that of the whole action, the sum over its A components. OmniSafe (read at 15603dd) takes
their mean: its region and damping are A times as wide as the same numbers say here.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from policy_training.estimates.advantages import Rollout
from policy_training.estimates.on_policy import OnPolicyConfig
from policy_training.experience.costs import check_limits
from policy_training.networks.gaussian import GaussianActor, kl_divergence

Product = Callable[[Tensor], Tensor]  # v (P,) -> F v (P,)


@dataclass(frozen=True)
class TrustRegionConfig(OnPolicyConfig):
    """Settings that every algorithm with a trust region has."""

    target_kl: float = 0.01
    "Most KL divergence of one iteration [nat]."
    cg_iterations: int = 15
    "Most iterations of the conjugate gradient."
    cg_residual: float = 1e-10
    "The conjugate gradient ends where the squared residual falls to this share of the right side's."
    damping: float = 0.1
    "Added to the Fisher matrix's diagonal."
    fisher_every: int = 1
    "The Fisher matrix is made of every n-th step."
    backtracks: int = 15
    "Most trials of the line search."
    shrink: float = 0.8
    "Factor by which a rejected trial shortens the step."


@dataclass(frozen=True)
class OneLimitConfig(TrustRegionConfig):
    """Settings of steps that are planned to end on the limit of one cost."""

    margin_rate: float = 0.0
    "Share of the excess over the limit by which later steps keep farther below it; 0 keeps no margin."

    def __post_init__(self) -> None:
        super().__post_init__()
        check_limits(self.cost_limits, most=1)


@dataclass
class Margin:
    """How far below its limit d a cost has to be planned so that it ends there.

    Steps planned to end on the limit can settle above it (docs/results/velocity_margin.md), for the plan is
    linear and its gradients are estimates. Each iteration the margin m [cost / episode], 0 at the start,
    becomes m + rate (J_c - d), within [0, d]. OpenAI's Safety Starter Agents learn one likewise (cpo,
    learn_margin, off by default, rate 0.05), without the upper bound, which limits how long the excess of a
    bad start has an effect: at a cost of J < d no margin is left after d / (rate (d - J)) iterations,
    whatever came before.
    """

    rate: float
    value: float = 0.0

    def excess(self, rollout: Rollout, limit: float) -> float:
        """(J_c - d + m) / L [cost / step] of one more iteration."""
        over = rollout.episode_costs[0] - limit
        self.value = min(max(self.value + self.rate * over, 0.0), limit)
        return (over + self.value) / rollout.episode_length


@dataclass(frozen=True)
class OldPolicy:
    """The policy that gathered the data, for comparison with the policy after a step."""

    inputs: Tensor  # (T, O) what the network sees
    action: Tensor  # (T, A)
    mean: Tensor  # (T, A)
    log_std: Tensor  # (A,)
    log_prob: Tensor  # (T,)

    @staticmethod
    @torch.no_grad()
    def of(actor: GaussianActor, obs: Tensor, action: Tensor) -> "OldPolicy":
        """As the actor is now. obs (T, O), action (T, A)."""
        inputs = actor.inputs(obs)
        mean = actor.mean_of(inputs)
        return OldPolicy(inputs, action, mean, actor.log_std.clone(), actor.log_prob(mean, action))

    def compared(self, actor: GaussianActor) -> tuple[Tensor, Tensor]:
        """Ratio pi(a|s) / pi_old(a|s) (T,) and E KL(pi_old || pi) [nat], of one forward pass."""
        mean = actor.mean_of(self.inputs)
        ratio = torch.exp(actor.log_prob(mean, self.action) - self.log_prob)
        return ratio, kl_divergence(self.mean, self.log_std, mean, actor.log_std)


def surrogate_gradients(actor: GaussianActor, old: OldPolicy, advantage: Tensor) -> Tensor:
    """d E[ratio A_m] / d parameters for each advantage (M, T) -> (M, P)."""
    ratio, _ = old.compared(actor)
    return torch.stack([actor.gradient((ratio * row).mean(), keep=True) for row in advantage])


@torch.no_grad()
def surrogate_gains(actor: GaussianActor, old: OldPolicy, advantage: Tensor) -> tuple[Tensor, float]:
    """E[ratio A_m] - E[A_m] of advantages (M, T) -> (M,), and the KL divergence [nat]."""
    ratio, kl = old.compared(actor)
    return ((ratio - 1.0) * advantage).mean(dim=-1), float(kl)


@torch.no_grad()
def fisher_product(actor: GaussianActor, inputs: Tensor, damping: float) -> Product:
    """v (P,) -> (F + damping I) v, F the Hessian of E KL(pi || pi') in pi' at pi' = pi. inputs (T, O).

    The mean's part is J^T Sigma^-1 J / T, J the Jacobian of the means by the network's parameters; each log
    standard deviation has 2 on the diagonal, and nothing couples the two.
    """
    mlp = actor.mlp
    layers = [(w[0], b[0]) for w, b in mlp.layout.views(mlp.flat.detach().clone())]
    weight = torch.exp(-2.0 * actor.log_std.detach()) / len(inputs)  # (A,)
    seen = [inputs]
    for w, b in layers[:-1]:
        seen.append(torch.tanh(torch.addmm(b, seen[-1], w)))
    slopes = [1.0 - h.square() for h in seen[1:]]  # d tanh(x) / d x
    size = mlp.flat.numel()

    @torch.no_grad()
    def product(v: Tensor) -> Tensor:
        out = v * damping
        out[size:] += 2.0 * v[size:]
        change = None  # of what the layers see, then of the means: J v
        for i, (dw, db) in enumerate(mlp.layout.views(v[:size])):
            moved = torch.addmm(db[0], seen[i], dw[0])
            moved = moved if change is None else moved.addmm_(change, layers[i][0])
            change = moved * slopes[i] if i < len(slopes) else moved
        assert change is not None
        back = change * weight
        for i, (dw, db) in reversed(list(enumerate(mlp.layout.views(out[:size])))):  # J^T
            dw[0].addmm_(seen[i].T, back)
            db[0] += back.sum(dim=0)
            if i > 0:
                back = (back @ layers[i][0].T) * slopes[i - 1]
        return out

    return product


@torch.no_grad()
def conjugate_gradient(product: Product, b: Tensor, iterations: int, residual: float) -> Tensor:
    """x (P,) with product(x) = b, of a symmetric positive definite product.

    Ends early where the squared residual falls to `residual` times that of b.
    """
    x, r, p = torch.zeros_like(b), b.clone(), b.clone()
    rr = r @ r
    enough = residual * float(rr)
    for _ in range(iterations):
        if float(rr) <= enough:
            break
        z = product(p)
        step = rr / (p @ z)
        x += step * p
        r -= step * z
        rr, before = r @ r, rr
        p = r + (rr / before) * p
    return x


def natural_direction(product: Product, gradient: Tensor, cfg: TrustRegionConfig) -> Tensor:
    """F^-1 gradient (P,)."""
    return conjugate_gradient(product, gradient, cfg.cg_iterations, cfg.cg_residual)


def reach(product: Product, direction: Tensor, target_kl: float) -> float:
    """The factor that scales x to the edge of the trust region: sqrt(2 d_KL / x^T F x); 0 for no
    direction."""
    curvature = float(direction @ product(direction))
    return (2.0 * target_kl / curvature) ** 0.5 if curvature > 0.0 else 0.0


def natural_step(product: Product, gradient: Tensor, cfg: TrustRegionConfig) -> Tensor:
    """The longest step (P,) along F^-1 gradient whose quadratic KL divergence is within the target."""
    direction = natural_direction(product, gradient, cfg)
    return reach(product, direction, cfg.target_kl) * direction


def line_search(
    actor: GaussianActor, start: Tensor, step: Tensor, accept: Callable[[], bool], backtracks: int,
    shrink: float,
) -> float:  # fmt: skip
    """Move the actor to the longest of start + shrink^i step, i < `backtracks`, that is accepted.

    `accept` is called with the actor moved. Returns the share of the step that was taken. Where nothing is
    accepted it is 0, and the actor's parameters are bit-equal to start (P,).
    """
    share = 1.0
    if bool(torch.isfinite(step).all()):
        for _ in range(backtracks):
            actor.set_vector(start + share * step)
            if accept():
                return share
            share *= shrink
    actor.set_vector(start)
    return 0.0


def trpo_step(
    actor: GaussianActor, old: OldPolicy, advantage: Tensor, cfg: TrustRegionConfig
) -> dict[str, float]:
    """The natural step up E[ratio A], A (T,), as far as it gains and keeps within the KL divergence."""
    rows = advantage.unsqueeze(0)
    start, gradient = actor.vector(), surrogate_gradients(actor, old, rows)[0]
    step = natural_step(fisher_product(actor, old.inputs[:: cfg.fisher_every], cfg.damping), gradient, cfg)
    search = Search(actor, old, rows)
    share = line_search(
        actor, start, step, lambda: search.within(cfg.target_kl) and float(search.gains[0]) > 0.0,
        cfg.backtracks, cfg.shrink,
    )  # fmt: skip
    return search.figures(share)


class Search:
    """Acceptance criteria of a line search: gains of the surrogates (M,) and the KL divergence where the
    actor is."""

    def __init__(self, actor: GaussianActor, old: OldPolicy, advantage: Tensor) -> None:
        self.actor, self.old, self.advantage = actor, old, advantage
        self.gains, self.kl = torch.zeros(len(advantage)), 0.0

    def within(self, target_kl: float) -> bool:
        """Evaluate again. Whether the KL divergence is at most the target; False for NaN."""
        self.gains, self.kl = surrogate_gains(self.actor, self.old, self.advantage)
        return self.kl <= target_kl and bool(torch.isfinite(self.gains).all())

    def keeps_limit(self, target_kl: float, c: float) -> bool:
        """Whether a step on reward and cost (M = 2) is within the KL divergence and takes the cost no further
        than the room -c to its limit; where there is none, the cost must not grow and the reward may fall."""
        inside = self.within(target_kl) and float(self.gains[1]) <= max(-c, 0.0)
        return inside and (c > 0.0 or float(self.gains[0]) >= 0.0)

    def figures(self, share: float) -> dict[str, float]:
        """For the log, after the line search took this share of its step."""
        return {"kl": self.kl if share > 0.0 else 0.0, "step_size": share, "entropy": self.actor.entropy()}
