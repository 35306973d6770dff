"""Networks: a squashed Gaussian actor, and critics stacked into one batched module.

Each has a plain `forward`, which is what gets exported, and an equal `fused`, which is what gets trained.

Both apply the fixed observation scaling (obs - shift) / scale first; it is a buffer, so it travels with the
weights into the exported graph. Shapes: B batch, O observation, A action, E members of an ensemble, H hidden.
"""

import math
from collections.abc import Sequence
from functools import reduce
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from policy_training.experience.spaces import Spaces
from policy_training.networks.fused import NORM_EPS, FusedMlp, ParameterLayout, Squash, squashed


class Scaling(nn.Module):
    """(obs - shift) / scale."""

    shift: Tensor
    scale: Tensor

    def __init__(self, spaces: Spaces) -> None:
        super().__init__()
        self.register_buffer("shift", torch.as_tensor(spaces.shift).clone())
        self.register_buffer("scale", torch.as_tensor(spaces.scale).clone())

    def forward(self, obs: Tensor) -> Tensor:
        return (obs - self.shift) / self.scale


class Mlp(nn.Module):
    """E networks of equal shape as batched products: x (B, I) -> (E, B, O). ReLU or tanh between the layers.

    With layer normalisation a hidden layer is norm(x W) + b: a learned gain would add nothing that the next
    layer's weights cannot do. `flat` (P,) is the memory behind all parameters.
    """

    def __init__(
        self, sizes: Sequence[int], members: int, layer_norm: bool = False, tanh: bool = False
    ) -> None:
        super().__init__()
        self.layout = ParameterLayout(members, tuple(sizes), layer_norm, tanh)
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for fan_in, fan_out in pairwise(sizes):
            bound = 1.0 / math.sqrt(fan_in)
            self.weights.append(nn.Parameter(torch.empty(members, fan_in, fan_out).uniform_(-bound, bound)))
            self.biases.append(nn.Parameter(torch.empty(members, 1, fan_out).uniform_(-bound, bound)))
        self.flat = self.gather()

    def gather(self) -> Tensor:
        """Move all parameters into one vector (P,), of which each becomes a view."""
        pairs = zip(self.weights, self.biases, strict=True)
        ordered = [p for pair in pairs for p in pair]
        flat = torch.cat([p.detach().reshape(-1) for p in ordered])
        for p, piece in zip(ordered, flat.split([p.numel() for p in ordered]), strict=True):
            p.data = piece.view_as(p)
        self.flat = flat.requires_grad_(True)
        self.layers = self.layout.views(flat.detach())
        return self.flat

    def forward(self, x: Tensor) -> Tensor:
        """The definition, in plain operations."""
        return torch.baddbmm(self.biases[-1], self.hidden(x), self.weights[-1])

    def hidden(self, x: Tensor) -> Tensor:
        """Input of the last layer: x (B, I) -> (E, B, H)."""
        x = x.unsqueeze(0).expand(self.layout.members, -1, -1)
        activation = torch.tanh if self.layout.tanh else torch.relu
        # As lists: slicing a ParameterList would turn the tensors of functional_call into new parameters.
        for weight, bias in zip(list(self.weights)[:-1], list(self.biases)[:-1], strict=True):
            if self.layout.layer_norm:
                x = activation(F.layer_norm(torch.bmm(x, weight), weight.shape[-1:], eps=NORM_EPS) + bias)
            else:
                x = activation(torch.baddbmm(bias, x, weight))
        return x

    def fused(self, x: Tensor, *, frozen: bool = False) -> Tensor:
        """The same, faster. Gradients of the parameters go to `flat`, or nowhere if frozen."""
        return FusedMlp.apply(x, self.flat.detach() if frozen else self.flat, self.layers, self.layout)

    def named_flat(self, flat: Tensor) -> dict[str, Tensor]:
        """A vector (P,) cut into tensors by parameter name, for functional_call."""
        named: dict[str, Tensor] = {}
        for i, (weight, bias) in enumerate(self.layout.views(flat)):
            named |= {f"weights.{i}": weight, f"biases.{i}": bias}
        return named


class Actor(nn.Module):
    """tanh(mean + std * noise). Noise of zero gives the deterministic action."""

    def __init__(self, spaces: Spaces, hidden: Sequence[int] = (256, 256)) -> None:
        super().__init__()
        self.action_size = spaces.action_size
        self.scaling = Scaling(spaces)
        self.mlp = Mlp((spaces.obs_size, *hidden, 2 * spaces.action_size), members=1)

    def forward(self, obs: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Standard normal noise (B, A) -> action (B, A) in [-1, 1] and its log-density (B,)."""
        return squashed(self.mlp(self.scaling(obs)).squeeze(0), noise)[:2]

    def fused(self, obs: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """The same, faster; gradients go to `mlp.flat`."""
        return Squash.apply(self.mlp.fused(self.scaling(obs)).squeeze(0), noise)

    def mode(self, obs: Tensor) -> Tensor:
        """Deterministic action (B, A)."""
        return torch.tanh(self.mlp(self.scaling(obs)).squeeze(0)[:, : self.action_size])


class EnsembleCritic(nn.Module):
    """E independent critics of (obs, action). Output (E, B), unbounded."""

    def __init__(
        self, spaces: Spaces, hidden: Sequence[int] = (256, 256), members: int = 2, layer_norm: bool = False
    ) -> None:
        super().__init__()
        self.scaling = Scaling(spaces)
        self.mlp = Mlp((spaces.obs_size + spaces.action_size, *hidden, 1), members, layer_norm)

    def forward(self, obs: Tensor, action: Tensor) -> Tensor:
        """obs (B, O), action (B, A) -> (E, B)."""
        return self.mlp(torch.cat((self.scaling(obs), action), dim=-1)).squeeze(-1)

    def fused(self, obs: Tensor, action: Tensor, *, frozen: bool = False) -> Tensor:
        """The same, faster; gradients go to `mlp.flat` and the action, or the action alone if frozen."""
        return self.mlp.fused(torch.cat((self.scaling(obs), action), dim=-1), frozen=frozen).squeeze(-1)


class SafetyCritic(nn.Module):
    """Aggregated violation probability Q_c(obs, action) (B,) in [0, 1], as the monitor evaluates it."""

    def __init__(self, logits: EnsembleCritic, risk_agg: str = "max") -> None:
        super().__init__()
        self.logits, self.risk_agg = logits, risk_agg

    def forward(self, obs: Tensor, action: Tensor) -> Tensor:
        """obs (B, O), action (B, A) -> (B,)."""
        return aggregate(torch.sigmoid(self.logits(obs, action)), self.risk_agg)


class DeterministicPolicy(nn.Module):
    """The deployed part of an actor: obs (B, O) -> action (B, A)."""

    actor: Any  # of either family: any module with a method `mode`

    def __init__(self, actor: nn.Module) -> None:
        super().__init__()
        self.actor = actor

    def forward(self, obs: Tensor) -> Tensor:
        """obs (B, O) -> action (B, A)."""
        return self.actor.mode(obs)


def aggregate(values: Tensor, how: str) -> Tensor:
    """(E, B) -> (B,): the smallest or the largest member."""
    match how:
        case "min":
            return reduce(torch.minimum, values.unbind(0))
        case "max":
            return reduce(torch.maximum, values.unbind(0))
    raise ValueError(f"aggregation is {how!r}; allowed are 'min' and 'max'")
