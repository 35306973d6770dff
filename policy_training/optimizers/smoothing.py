"""Exponential means with bias correction."""

from dataclasses import dataclass

from policy_training.checkpoint import State


@dataclass
class Smoothed:
    """(1) total <- k total + (1 - k) value,   (2) weight <- k weight + (1 - k),   mean = total / weight.

    Without (2) a mean that starts at 0 is too small for some 1 / (1 - k) values (Kingma, Ba 2015, sec. 3).
    """

    keep: float  # k in [0, 1): weight of a value relative to that of the next one
    total: float = 0.0
    weight: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.keep < 1.0:
            raise ValueError(f"the decay of a mean is {self.keep}; it must lie in [0, 1)")

    def take(self, value: float) -> float:
        """Update with a value. Returns the mean."""
        self.total += (1.0 - self.keep) * (value - self.total)
        self.weight += (1.0 - self.keep) * (1.0 - self.weight)
        return self.mean

    @property
    def mean(self) -> float:
        """0 before the first value."""
        return self.total / self.weight if self.weight > 0.0 else 0.0

    def state_dict(self) -> State:
        """Everything that an exact resume needs."""
        return {"total": self.total, "weight": self.weight}

    def load_state_dict(self, state: State | float) -> None:
        """Inverse of `state_dict`; a bare number, from a checkpoint without weights, has full weight."""
        if isinstance(state, float):
            state = {"total": state, "weight": 1.0}
        self.total, self.weight = float(state["total"]), float(state["weight"])
