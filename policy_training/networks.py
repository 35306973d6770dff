"""Networks: a squashed Gaussian actor, and critics stacked into one batched module.

Both apply the fixed observation scaling (obs - shift) / scale first; it is a buffer, so it travels with the
weights into the exported graph. Shapes: B batch, O observation, A action, E members of an ensemble, H hidden.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

LOG_STD_MIN, LOG_STD_MAX = -5.0, 2.0
HALF_LOG_TAU = 0.5 * math.log(2.0 * math.pi)


@dataclass(frozen=True)
class Spaces:
    """Sizes of an environment and the scaling of its observation."""

    obs_size: int
    action_size: int
    shift: NDArray[np.float32]  # (O,)
    scale: NDArray[np.float32]  # (O,) > 0

    def __post_init__(self) -> None:
        if not (self.shift.shape == self.scale.shape == (self.obs_size,) and (self.scale > 0.0).all()):
            raise ValueError(f"shift and scale must be ({self.obs_size},), scale > 0: got {self.shift}, {self.scale}")

    @staticmethod
    def unscaled(obs_size: int, action_size: int) -> "Spaces":
        """No shift, unit scale."""
        return Spaces(obs_size, action_size, np.zeros(obs_size, np.float32), np.ones(obs_size, np.float32))


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


class Actor(nn.Module):
    """tanh(mean + std * noise). Noise of zero gives the deterministic action."""

    def __init__(self, spaces: Spaces, hidden: Sequence[int] = (256, 256)) -> None:
        super().__init__()
        self.action_size = spaces.action_size
        self.scaling = Scaling(spaces)
        sizes = (spaces.obs_size, *hidden)
        layers = [m for i, o in zip(sizes[:-1], sizes[1:], strict=True) for m in (nn.Linear(i, o), nn.ReLU())]
        self.trunk = nn.Sequential(*layers)
        self.head = nn.Linear(sizes[-1], 2 * spaces.action_size)

    def moments(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation before the squashing, each (B, A)."""
        mean, log_std = self.head(self.trunk(self.scaling(obs))).chunk(2, dim=-1)
        return mean, log_std.clamp(LOG_STD_MIN, LOG_STD_MAX)

    def forward(self, obs: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Standard normal noise (B, A) -> action (B, A) in [-1, 1] and its log-density (B,)."""
        mean, log_std = self.moments(obs)
        pre = mean + log_std.exp() * noise
        # log(1 - tanh(x)^2) = 2 (log 2 - x - softplus(-2x)): no difference of nearly equal numbers
        squash = 2.0 * (math.log(2.0) - pre - F.softplus(-2.0 * pre))
        log_prob = -(0.5 * noise.square() + log_std + HALF_LOG_TAU + squash).sum(dim=-1)
        return torch.tanh(pre), log_prob

    def mode(self, obs: Tensor) -> Tensor:
        """Deterministic action (B, A)."""
        return torch.tanh(self.moments(obs)[0])


class EnsembleCritic(nn.Module):
    """E independent MLPs of (obs, action), evaluated as batched products. Output (E, B), unbounded."""

    def __init__(
        self, spaces: Spaces, hidden: Sequence[int] = (256, 256), members: int = 2, layer_norm: bool = False
    ) -> None:
        super().__init__()
        self.members, self.layer_norm = members, layer_norm
        self.scaling = Scaling(spaces)
        sizes = (spaces.obs_size + spaces.action_size, *hidden, 1)
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for fan_in, fan_out in zip(sizes[:-1], sizes[1:], strict=True):
            bound = 1.0 / math.sqrt(fan_in)
            self.weights.append(nn.Parameter(torch.empty(members, fan_in, fan_out).uniform_(-bound, bound)))
            self.biases.append(nn.Parameter(torch.empty(members, 1, fan_out).uniform_(-bound, bound)))
        if layer_norm:
            self.gains = nn.ParameterList(nn.Parameter(torch.ones(members, 1, h)) for h in hidden)
            self.offsets = nn.ParameterList(nn.Parameter(torch.zeros(members, 1, h)) for h in hidden)

    def forward(self, obs: Tensor, action: Tensor) -> Tensor:
        """obs (B, O), action (B, A) -> (E, B)."""
        x = torch.cat((self.scaling(obs), action), dim=-1)
        x = x.unsqueeze(0).expand(self.members, -1, -1)
        last = len(self.weights) - 1
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias, x, weight)
            if i == last:
                return x.squeeze(-1)
            if self.layer_norm:
                x = F.layer_norm(x, x.shape[-1:]) * self.gains[i] + self.offsets[i]
            x = torch.relu(x)
        raise AssertionError("a critic has at least one layer")


class SafetyCritic(nn.Module):
    """Aggregated violation probability Q_c(obs, action) (B,) in [0, 1]: what the monitor asks."""

    def __init__(self, logits: EnsembleCritic, risk_agg: str = "max") -> None:
        super().__init__()
        self.logits, self.risk_agg = logits, risk_agg

    def forward(self, obs: Tensor, action: Tensor) -> Tensor:
        """obs (B, O), action (B, A) -> (B,)."""
        return aggregate(torch.sigmoid(self.logits(obs, action)), self.risk_agg)


class DeterministicPolicy(nn.Module):
    """The deployed half of an actor: obs (B, O) -> action (B, A) in [-1, 1]."""

    def __init__(self, actor: Actor) -> None:
        super().__init__()
        self.actor = actor

    def forward(self, obs: Tensor) -> Tensor:
        """obs (B, O) -> action (B, A)."""
        return self.actor.mode(obs)


def aggregate(values: Tensor, how: str) -> Tensor:
    """(E, B) -> (B,): the smallest or the largest member."""
    match how:
        case "min":
            return values.amin(dim=0)
        case "max":
            return values.amax(dim=0)
    raise ValueError(f"aggregation is {how!r}; allowed are 'min' and 'max'")


def flatten(module: nn.Module) -> Tensor:
    """One vector (P,) holding all parameters; afterwards each parameter is a view into it.

    An optimiser, a Polyak average or a meta-gradient then needs one operation where it needed one per tensor.
    """
    flat = torch.cat([p.detach().reshape(-1) for p in module.parameters()])
    start = 0
    for p in module.parameters():
        p.data = flat[start : start + p.numel()].view_as(p)
        start += p.numel()
    return flat


def unflatten(flat: Tensor, module: nn.Module) -> dict[str, Tensor]:
    """Cut a vector (P,) into tensors named and shaped as the parameters of `module`, for functional_call."""
    named = dict(module.named_parameters())
    pieces = flat.split([p.numel() for p in named.values()])
    return {name: piece.view_as(p) for (name, p), piece in zip(named.items(), pieces, strict=True)}


def flat_grad(loss: Tensor, module: nn.Module, *, keep: bool = False) -> Tensor:
    """Gradient (P,) of a scalar with respect to all parameters of `module`."""
    grads = torch.autograd.grad(loss, list(module.parameters()), retain_graph=keep)
    return torch.cat([g.reshape(-1) for g in grads])
