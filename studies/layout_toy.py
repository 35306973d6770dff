"""Two targets of different size on one trunk: the smallest problem on which optimizer layouts differ.

After "Optimizer Architecture in Stable-Baselines3 for Safe Reinforcement Learning" (2025): the target of one
head is 1, of the other 100, whatever the input. Network, inputs and rates were not published. Those here are
ours, chosen to reproduce the published curves: 32 fixed normal inputs (B, d), Linear + ReLU of 64, Adam. The
second head's rate is ten times the first one's wherever it has its own. In shared that is the rate of the
second optimizer's trunk as well; `shared at one rate` shows how much of its speed is due to that.

Seeds E are members of one batched network. Adam treats every weight by itself and nothing is clipped, so that
the sum over members trains each independently.
"""

from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from policy_training.networks.squashed import Mlp
from policy_training.optimizers.layouts import Kind, OptimizerLayout, Plan
from policy_training.optimizers.popart import PopArt, Scale

TARGETS = (1.0, 100.0)
NAMES = ("one", "hundred")
BATCH, WIDTH = 32, 64
POINTS = 250  # epochs at which gradients are measured, evenly spaced in the logarithm
RATE, HIGHER = 1e-2, 1e-1
Array = NDArray[np.float64]


@dataclass(frozen=True)
class ToyArm:
    """One way to train both heads."""

    label: str
    kind: Kind
    rate: float = RATE  # of the second head
    targets: Literal["raw", "popart", "scaled"] = "raw"


ARMS = {
    "single": ToyArm("single", "single"),
    "grouped": ToyArm("grouped", "grouped", HIGHER),
    "isolated": ToyArm("isolated", "isolated", HIGHER),
    "shared": ToyArm("shared", "shared", HIGHER),
    "shared_equal": ToyArm("shared at one rate", "shared"),
    "scaled": ToyArm("single, targets over their root mean square", "single", targets="scaled"),
    "popart": ToyArm("single, PopArt", "single", targets="popart"),
}


class TwoHeads:
    """E networks with two heads each, on their own inputs."""

    def __init__(self, size: int, seeds: int, targets: str) -> None:
        torch.manual_seed(size)
        self.inputs = torch.randn(seeds, BATCH, size)
        self.first, second = Mlp((size, WIDTH, 1), seeds), Mlp((WIDTH, 1), seeds)
        self.heads = [(net.weights[-1], net.biases[-1]) for net in (self.first, second)]
        self.target = torch.tensor(TARGETS)[:, None, None].expand(2, seeds, BATCH)
        self.scales = [self._scale(y, targets) for y in self.target]
        self.units = [scale.std.squeeze(1).square() for scale in self.scales]  # (E,) of a squared error

    def _scale(self, target: Tensor, how: str) -> Scale:
        if how == "popart":
            norm = PopArt(len(target), rate=1.0, least=1.0)
            norm.follow(target)
            return norm.scale
        size = (
            target.square().mean(dim=1, keepdim=True).sqrt()
            if how == "scaled"
            else torch.ones(len(target), 1)
        )
        return Scale(torch.zeros_like(size), size)

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """Parameters by name."""
        trunk = [self.first.weights[0], self.first.biases[0]]
        return {"trunk": trunk, **{name: list(head) for name, head in zip(NAMES, self.heads, strict=True)}}

    def errors(self, head: int) -> Tensor:
        """Mean squared error of a head in the units it is trained in, (E,)."""
        weight, bias = self.heads[head]
        hidden = torch.relu(torch.baddbmm(self.first.biases[0], self.inputs, self.first.weights[0]))
        output = torch.baddbmm(bias, hidden, weight).squeeze(-1)
        return (output - self.scales[head].normalised(self.target[head])).square().mean(dim=1)

    def loss(self, head: int) -> Tensor:
        """Sum over all members, which share no parameters."""
        return self.errors(head).sum()


@dataclass(frozen=True)
class Curves:
    """Curves of one arm, by head, epoch and seed, before each epoch's step."""

    errors: Array  # (2, N, E) mean squared error, in units of the target
    norms: Array  # (2, T, E) L2 norm of the loss's gradient, in the units the head is trained in
    measured: NDArray[np.int64]  # (T,) epochs of the norms


def run(arm: ToyArm, size: int, seeds: int, epochs: int) -> Curves:
    """Train E = `seeds` networks of input width `size`."""
    return trained(TwoHeads(size, seeds, arm.targets), arm, epochs)


def trained(net: TwoHeads, arm: ToyArm, epochs: int) -> Curves:
    """N = `epochs` steps."""
    groups, seeds = net.groups(), len(net.inputs)
    layout = OptimizerLayout(
        groups, {"trunk": RATE, "one": RATE, "hundred": arm.rate}, Plan(arm.kind, "loss")
    )
    losses = {name: partial(net.loss, head) for head, name in enumerate(NAMES)}
    measured = np.unique(np.geomspace(1, epochs, POINTS).astype(int)) - 1
    errors, norms = np.empty((2, epochs, seeds)), np.empty((2, len(measured), seeds))
    for epoch in range(epochs):
        with torch.no_grad():
            for head in range(len(NAMES)):
                errors[head, epoch] = (net.errors(head) * net.units[head]).numpy()
        if epoch in measured:
            point = np.searchsorted(measured, epoch)
            for head, name in enumerate(NAMES):
                gradients = torch.autograd.grad(net.loss(head), (*groups["trunk"], *groups[name]))
                squares = torch.stack([g.square().sum(dim=(1, 2)) for g in gradients])
                norms[head, point] = squares.sum(dim=0).sqrt().numpy()
        layout.step(losses)
    return Curves(errors, norms, measured)


def first_below(errors: Array, threshold: float) -> int | None:
    """First epoch at which the mean over seeds of errors (N, E) is below the threshold; None if it never
    is."""
    below = np.flatnonzero(errors.mean(axis=1) < threshold)
    return int(below[0]) if len(below) else None
