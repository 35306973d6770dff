"""A differentiable RMSProp step and the derivative of what comes after it with respect to what went in.

    (1)  s' = rho s + (1 - rho) g^2                 v = s' / (1 - rho^t)
    (2)  theta' = theta - lr g / sqrt(v + e^2)
    (3)  D = d theta' / d g = -lr [ 1 / sqrt(v + e^2) - (1 - rho) / (1 - rho^t) g^2 / (v + e^2)^(3/2) ]

e stands inside the root, because the derivative of a root at zero is infinite: a coordinate that never had a
gradient would make the meta-gradient NaN. Where the inner gradient is linear in a knob, g = g0 + k g1, the
chain rule closes without a second backward pass: d J(theta') / d k = < dJ / d theta', D g1 >.
The division by 1 - rho^t is ours: without it the first steps are 1 / sqrt(1 - rho) times too long.
"""

import math
from dataclasses import asdict, dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class RmsProp:
    """Constants of the step."""

    lr: float
    rho: float = 0.99
    e: float = 1e-6

    def denominator(self, square: Tensor, count: int) -> Tensor:
        """sqrt(v + e^2) (P,) for the accumulated square s' (P,) after `count` steps."""
        return (square / (1.0 - self.rho**count)).add_(self.e**2).sqrt_()

    def step(self, theta: Tensor, grad: Tensor, square: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Eqs. (1), (2). theta, grad, square (P,) -> theta', s'. Nothing in place: autograd may pass."""
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


@dataclass
class ScalarAdam:
    """Adam on one Python float, for multipliers, thresholds and temperatures."""

    lr: float
    mean: float = 0.0
    square: float = 0.0
    count: int = 0

    def step(self, grad: float) -> float:
        """The change to add to the value so that it descends along `grad`."""
        self.count += 1
        self.mean += 0.1 * (grad - self.mean)
        self.square += 0.001 * (grad * grad - self.square)
        mean = self.mean / (1.0 - 0.9**self.count)
        root = math.sqrt(self.square / (1.0 - 0.999**self.count))
        return -self.lr * mean / (root + 1e-12)

    def state_dict(self) -> dict[str, float]:
        """All fields."""
        return asdict(self)

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Inverse of `state_dict`; the rate stays as configured."""
        self.mean, self.square, self.count = state["mean"], state["square"], int(state["count"])


class Knob:
    """A positive number up to a cap, tuned by Adam on x: cap * sigmoid(x), exp(x), or x itself, clamped."""

    def __init__(self, form: str, value: float, cap: float, lr: float) -> None:
        if not 0.0 < value <= cap or (form == "sigmoid" and value == cap):
            raise ValueError(
                f"a value of {value} is not within (0, {cap}], or not inside it as a sigmoid must be"
            )
        self.form, self.cap, self.adam = form, cap, ScalarAdam(lr)
        match form:
            case "sigmoid":
                self.x = math.log(value / (cap - value))
            case "exp":
                self.x = math.log(value)
            case "clamp":
                self.x = value
            case _:
                raise ValueError(f"form is {form!r}; allowed are 'sigmoid', 'exp' and 'clamp'")

    @property
    def value(self) -> float:
        """The number."""
        if self.form == "sigmoid":
            return self.cap / (1.0 + math.exp(-self.x))
        return math.exp(self.x) if self.form == "exp" else self.x

    def descend(self, grad: float) -> None:
        """One step down a gradient with respect to the value."""
        value = self.value
        match self.form:
            case "sigmoid":
                self.x += self.adam.step(grad * value * (1.0 - value / self.cap))
            case "exp":
                self.x = min(self.x + self.adam.step(grad * value), math.log(self.cap))
            case _:
                self.x = min(max(self.x + self.adam.step(grad), 0.0), self.cap)

    def state_dict(self) -> dict[str, float]:
        """x and Adam's moments."""
        return {"x": self.x, **self.adam.state_dict()}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Inverse of `state_dict`."""
        self.x = state["x"]
        self.adam.load_state_dict(state)
