"""PopArt: value functions learn normalised targets; new statistics leave their outputs unchanged.

van Hasselt, Guez, Hessel, Mnih, Silver 2016, arXiv:1602.07714. A head's output n is the value mean + std n.

    (1)  mean <- (1 - b) mean + b E[y],   square <- (1 - b) square + b E[y^2],   std^2 = square - mean^2
    (2)  w' = w std / std',   b' = (std b + mean - mean') / std'       the values stay as they are

Differs from the paper: (1) is bias-corrected as in Adam, so the first targets count in full; and the first
statistics are not compensated by (2), because nothing has been learned yet: the values start at their
targets' mean. Shapes: M value functions, B batch, H width of their last hidden layer.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from policy_training.checkpoint import State
from policy_training.optimizers.adam import copy_into

LEAST_STD = 1e-2  # of targets; those with a smaller one are treated as constant


class Scale(NamedTuple):
    """What a normalised output means: value = mean + std * output."""

    mean: Tensor  # (M, 1)
    std: Tensor  # (M, 1), > 0

    def normalised(self, values: Tensor) -> Tensor:
        """(M, B) -> (M, B)."""
        return (values - self.mean) / self.std

    def values(self, outputs: Tensor) -> Tensor:
        """Inverse of `normalised`."""
        return self.mean + self.std * outputs


def rescaled(weight: Tensor, bias: Tensor, old: Scale, new: Scale) -> tuple[Tensor, Tensor]:
    """(2): last layers (M, H, 1) and (M, 1, 1) whose values under `new` equal those of these layers under
    `old`."""
    mean, std = (new_.unsqueeze(-1) for new_ in new)
    old_mean, old_std = (old_.unsqueeze(-1) for old_ in old)
    return weight * (old_std / std), (old_std * bias + old_mean - mean) / std


class PopArt:
    """Running statistics (1) of M targets; `rate` is b."""

    def __init__(self, members: int, rate: float, least: float = LEAST_STD) -> None:
        if not 0.0 < rate <= 1.0:
            raise ValueError(f"the rate of target statistics is {rate}; it must lie in (0, 1]")
        self.rate, self.least = rate, least
        self.moments = torch.zeros(
            (2, members, 1), dtype=torch.float64
        )  # mean, mean square, before correction
        self.weight = torch.zeros((), dtype=torch.float64)  # how much of them is data
        self.scale = self._scale()

    def follow(self, targets: Tensor, *heads: tuple[Tensor, Tensor]) -> None:
        """Update the statistics with targets (M, B); from the second time on, the last layers keep their
        values."""
        first, old, y = not bool(self.weight), self.scale, targets.double()
        seen = torch.stack((y.mean(dim=1, keepdim=True), y.square().mean(dim=1, keepdim=True)))
        self.moments.lerp_(seen, self.rate)
        self.weight.lerp_(torch.ones_like(self.weight), self.rate)
        self.scale = self._scale()
        if first:
            return
        for weight, bias in heads:
            for tensor, new in zip((weight, bias), rescaled(weight, bias, old, self.scale), strict=True):
                tensor.detach().copy_(new)

    def _scale(self) -> Scale:
        if not self.weight:
            return Scale(torch.zeros(self.moments[0].shape), torch.ones(self.moments[0].shape))
        mean, square = self.moments / self.weight
        std = (square - mean.square()).clamp_min(0.0).sqrt().clamp_min(self.least)
        return Scale(mean.float(), std.float())

    def state_dict(self) -> State:
        """Everything that an exact resume needs; the last layers belong to their network."""
        return {"moments": self.moments, "weight": self.weight}

    def load_state_dict(self, state: State) -> None:
        """Inverse of `state_dict`."""
        copy_into(self.moments, state["moments"])
        copy_into(self.weight, state["weight"])
        self.scale = self._scale()
