"""Adam on one scalar, and bounded scalars that it tunes."""

import math
from dataclasses import asdict, dataclass

END = 1e-3  # share of its start or cap below which a scalar has no effect any more


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

    def moved(self, value: float, grad: float, low: float, high: float) -> float:
        """The value after a step, clipped to [low, high]. Where it is clipped Adam's mean is reset, or it
        would push against the bound for a while after the gradient has turned.
        """
        free = value + self.step(grad)
        kept = min(max(free, low), high)
        if kept != free:
            self.mean = 0.0
        return kept

    def state_dict(self) -> dict[str, float]:
        """All fields."""
        return asdict(self)

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Inverse of `state_dict`; the rate stays as configured."""
        self.mean, self.square, self.count = state["mean"], state["square"], int(state["count"])


def alpha_ends(initial: float) -> tuple[float, float]:
    """Bounds of log alpha: a temperature of a thousandth of its start has no effect any more, and one of a
    thousand times dominates the reward. From either bound a steady gradient returns in 7 / lr steps."""
    return math.log(initial * END), math.log(initial / END)


class Knob:
    """A positive number up to a cap, tuned by Adam on x: cap * sigmoid(x), exp(x), or x itself, clamped.

    Adam's step length does not depend on the slope of the form: x would drift for as long as a gradient
    lasts, and would need as long to return. So it is bounded where the value is `END` of the cap, or as near
    to the cap in a sigmoid, or where it started if that is farther out. From there a steady gradient takes it
    to the middle of a sigmoid, or all the way up exp(x), in 15 / lr steps at most, whatever went before: a
    distance of 7 in x, at first in shorter steps, while Adam remembers steeper slopes.
    """

    def __init__(self, form: str, value: float, cap: float, lr: float, end: float = END) -> None:
        """`end` [-] of the cap is as low as it goes, or its start if that is lower."""
        if not 0.0 < value <= cap or (form == "sigmoid" and value == cap):
            raise ValueError(
                f"a value of {value} is not within (0, {cap}], or not inside it as a sigmoid must be"
            )
        self.form, self.cap, self.adam = form, cap, ScalarAdam(lr)
        match form:
            case "sigmoid":
                self.x, edge = self._inverse(value), math.log(1.0 / end - 1.0)
                self.low, self.high = min(-edge, self.x), max(edge, self.x)
            case "exp":
                self.x, self.high = self._inverse(value), self._inverse(cap)
                self.low = min(self.high + math.log(end), self.x)
            case "clamp":
                self.x, self.low, self.high = value, 0.0, cap
            case _:
                raise ValueError(f"form is {form!r}; allowed are 'sigmoid', 'exp' and 'clamp'")

    @property
    def value(self) -> float:
        """The number."""
        if self.form == "sigmoid":
            return self.cap / (1.0 + math.exp(-self.x))
        return math.exp(self.x) if self.form == "exp" else self.x

    @property
    def at_low(self) -> bool:
        """Whether it is as low as it goes."""
        return self.x <= self.low

    @property
    def slope(self) -> float:
        """d value / d x."""
        value = self.value
        if self.form == "sigmoid":
            return value * (1.0 - value / self.cap)
        return value if self.form == "exp" else 1.0

    def descend(self, grad: float) -> None:
        """One step down a gradient with respect to the value."""
        self.x = self.adam.moved(self.x, grad * self.slope, self.low, self.high)

    def approach(self, value: float, rate: float) -> None:
        """A step towards a value, at most `rate` long in x."""
        wanted = min(max(self._inverse(value), self.low), self.high)
        self.x += rate * min(max(wanted - self.x, -1.0), 1.0)

    def _inverse(self, value: float) -> float:
        """x of a value > 0; infinite where a sigmoid cannot reach it."""
        match self.form:
            case "sigmoid":
                return math.inf if value >= self.cap else math.log(value / (self.cap - value))
            case "exp":
                return math.log(value)
            case _:
                return value

    def state_dict(self) -> dict[str, float]:
        """x and Adam's moments."""
        return {"x": self.x, **self.adam.state_dict()}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Inverse of `state_dict`."""
        self.x = state["x"]
        self.adam.load_state_dict(state)
