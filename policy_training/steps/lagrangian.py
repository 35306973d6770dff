"""The Lagrangian and its multiplier, as pure functions."""

import math

from torch import Tensor


def multiplier(x: float, form: str) -> float:
    """nu(x) >= 0: softplus or exp."""
    return math.exp(x) if form == "exp" else math.log1p(math.exp(-abs(x))) + max(x, 0.0)


def multiplier_slope(x: float, form: str) -> float:
    """d nu / d x."""
    return math.exp(x) if form == "exp" else 1.0 / (1.0 + math.exp(-x))


def multiplier_inverse(nu: float, form: str) -> float:
    """x with nu(x) = nu > 0."""
    return math.log(nu) if form == "exp" or nu < 1e-12 else nu + math.log(-math.expm1(-nu))


def multiplier_range(smallest: float, initial: float, largest: float, form: str) -> tuple[float, float]:
    """x where nu(x) is `smallest` and `largest`; one that starts below `smallest` may go as low as that."""
    if not (min(smallest, initial, largest) > 0.0 and initial <= largest):
        raise ValueError(
            f"nu_min is {smallest}, initial_nu {initial}, nu_max {largest}; they must be above 0, and "
            "initial_nu at most nu_max"
        )
    return multiplier_inverse(min(smallest, initial, largest), form), multiplier_inverse(largest, form)


def ascended(x: float, excess: float, lr: float, ends: tuple[float, float]) -> float:
    """x + lr excess, clipped to its bounds. Without a lower bound x falls for as long as the excess is
    negative, and has to come all the way back before nu(x) has an effect again (windup). With it, x is
    reached from any past within (x - ends[0]) / (lr excess) updates.
    """
    return min(max(x + lr * excess, ends[0]), ends[1])


def lagrangian(
    log_prob: Tensor, q_r: Tensor, excess: Tensor | float, alpha: Tensor | float, nu: Tensor | float
) -> Tensor:
    """E[ alpha log pi - Q_r + nu excess ], excess = Q_c - eps or what stands for it. All (B,) -> scalar."""
    return (alpha * log_prob - q_r + nu * excess).mean()


def constraint_excess(q_c: Tensor, eps: Tensor | float, form: str) -> Tensor:
    """How far the risk is above the threshold: Q_c - eps, or half its square (ours). (B,) -> (B,)."""
    return q_c - eps if form == "linear" else 0.5 * (q_c - eps).square()


def initial_score(q_r: Tensor, q_c: Tensor, eps: float, nu: float) -> Tensor:
    """E[ Q_r - nu (Q_c - eps) ]: the value of a policy at its initial states. (B,), (B,) -> scalar."""
    return (q_r - nu * (q_c - eps)).mean()
