"""A differentiable RMSProp step, and derivatives of later objectives with respect to its inputs.

    (1)  s' = rho s + (1 - rho) g^2                 v = s' / (1 - rho^t)
    (2)  theta' = theta - lr g / sqrt(v + e^2)
    (3)  D = d theta' / d g = -lr [ 1 / sqrt(v + e^2) - (1 - rho) / (1 - rho^t) g^2 / (v + e^2)^(3/2) ]

e stands inside the root, because the derivative of a root at zero is infinite: a coordinate that never had a
gradient would make the meta-gradient NaN. Where the inner gradient is linear in a knob, g = g0 + k g1, the
chain rule closes without a second backward pass: d J(theta') / d k = < dJ / d theta', D g1 >.
The division by 1 - rho^t is ours: without it the first steps are 1 / sqrt(1 - rho) times too long.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class RmsPropStep:
    """Constants of the step."""

    lr: float
    rho: float = 0.99
    e: float = 1e-6

    def denominator(self, square: Tensor, count: int) -> Tensor:
        """sqrt(v + e^2) (P,) for the accumulated square s' (P,) after `count` steps."""
        return (square / (1.0 - self.rho**count)).add_(self.e**2).sqrt_()

    def step(self, theta: Tensor, grad: Tensor, square: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Eqs. (1), (2). theta, grad, square (P,) -> theta', s'. Nothing in place: autograd can differentiate
        it."""
        square = square.lerp(grad.square(), 1.0 - self.rho)
        return torch.addcdiv(theta, grad, self.denominator(square, count), value=-self.lr), square

    def jacobian(self, grad: Tensor, square: Tensor, count: int) -> Tensor:
        """Eq. (3): the diagonal D (P,), from the gradient and the s' of that step."""
        root = self.denominator(square, count)
        share = (1.0 - self.rho) / (1.0 - self.rho**count)
        return (grad / root).square_().mul_(share).sub_(1.0).div_(root).mul_(self.lr)


def meta_gradient(outer: Tensor, jacobian: Tensor, inner: Tensor) -> Tensor:
    """< dJ/dtheta', D dg/dk > for one knob k: three vectors (P,) -> scalar."""
    return torch.dot(outer, jacobian * inner)
