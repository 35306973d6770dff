"""Networks of the on-policy family: a Gaussian actor, and value functions of reward and costs in one module.

Actions are not squashed: the environment gets the sampled action. Both networks first scale observations and
clip them at `FARTHEST`; `ObservationMoments` updates the scaling as data comes in. Shapes: B batch, O
observation, A action, M = 1 + K value functions, reward first, then one per named cost.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from policy_training.checkpoint import State
from policy_training.experience.spaces import Spaces
from policy_training.networks.squashed import Mlp, Scaling

FARTHEST = 10.0  # scaled observations are clipped at this many standard deviations
FLAT = 1e-4  # below this standard deviation an observation is treated as constant
LAST_LAYER = 0.1  # scale of the actor's initial last weights: first means near zero


class GaussianActor(nn.Module):
    """Normal distribution: mean by a tanh network, log standard deviation (A,) the same in every state."""

    def __init__(self, spaces: Spaces, hidden: Sequence[int] = (64, 64), initial_std: float = 1.0) -> None:
        super().__init__()
        self.action_size = spaces.action_size
        self.scaling = Scaling(spaces)
        self.mlp = Mlp((spaces.obs_size, *hidden, spaces.action_size), members=1, tanh=True)
        with torch.no_grad():
            self.mlp.weights[-1].mul_(LAST_LAYER)
            self.mlp.biases[-1].zero_()
        self.log_std = nn.Parameter(torch.full((spaces.action_size,), math.log(initial_std)))

    def inputs(self, obs: Tensor) -> Tensor:
        """Observations (B, O), scaled and clipped."""
        return self.scaling(obs).clamp(-FARTHEST, FARTHEST)

    def forward(self, obs: Tensor) -> Tensor:
        """obs (B, O) -> mean (B, A), in plain operations: the definition, differentiable twice."""
        return self.mlp(self.inputs(obs)).squeeze(0)

    def mean_of(self, inputs: Tensor) -> Tensor:
        """The same from the output of `inputs`, faster; gradients go to `mlp.flat`."""
        return self.mlp.fused(inputs).squeeze(0)

    def log_prob(self, mean: Tensor, action: Tensor) -> Tensor:
        """Log-density (B,) of actions (B, A) given the means (B, A)."""
        z = (action - mean) * torch.exp(-self.log_std)
        return -0.5 * z.square().sum(dim=-1) - self.log_std.sum() - 0.5 * math.log(math.tau) * mean.shape[-1]

    def entropy(self) -> float:
        """[nat], the same in every state."""
        return float(self.log_std.detach().sum()) + 0.5 * self.action_size * math.log(math.tau * math.e)

    def mode(self, obs: Tensor) -> Tensor:
        """Deterministic action (B, A): the mean."""
        return self(obs)

    def vector(self) -> Tensor:
        """All parameters (P,), a copy: the network's, then log standard deviations."""
        return torch.cat((self.mlp.flat.detach(), self.log_std.detach()))

    @torch.no_grad()
    def set_vector(self, values: Tensor) -> None:
        """Inverse of `vector`, bit-equal."""
        size = self.mlp.flat.numel()
        self.mlp.flat.copy_(values[:size])
        self.log_std.copy_(values[size:])

    def gradient(self, loss: Tensor, *, keep: bool = False) -> Tensor:
        """d loss / d `vector` (P,)."""
        wanted = (self.mlp.flat, self.log_std)
        parts = torch.autograd.grad(loss, wanted, retain_graph=keep, allow_unused=True)
        return torch.cat([
            torch.zeros_like(p) if g is None else g for g, p in zip(parts, wanted, strict=True)
        ])  # fmt: skip


def kl_divergence(mean: Tensor, log_std: Tensor, new_mean: Tensor, new_log_std: Tensor) -> Tensor:
    """E over the batch of KL(old || new) [nat]. Means (B, A), log standard deviations (A,) -> scalar."""
    ratio = torch.exp(2.0 * (log_std - new_log_std))
    gap = (mean - new_mean).square() * torch.exp(-2.0 * new_log_std)
    return (new_log_std - log_std + 0.5 * (ratio + gap - 1.0)).sum(dim=-1).mean()


class ValueCritics(nn.Module):
    """V_r and every V_c, as one batched network. Output (M, B)."""

    def __init__(self, spaces: Spaces, members: int, hidden: Sequence[int] = (64, 64)) -> None:
        super().__init__()
        self.scaling = Scaling(spaces)
        self.mlp = Mlp((spaces.obs_size, *hidden, 1), members, tanh=True)

    def inputs(self, obs: Tensor) -> Tensor:
        """Observations (B, O), scaled and clipped."""
        return self.scaling(obs).clamp(-FARTHEST, FARTHEST)

    def forward(self, obs: Tensor) -> Tensor:
        """obs (B, O) -> values (M, B)."""
        return self.mlp(self.inputs(obs)).squeeze(-1)

    def of_inputs(self, inputs: Tensor) -> Tensor:
        """inputs (B, O) -> values (M, B), faster; gradients go to `mlp.flat`."""
        return self.mlp.fused(inputs).squeeze(-1)


@dataclass
class ObservationMoments:
    """Running mean and variance of the observation, merged batch by batch (Chan, Golub, LeVeque 1983)."""

    mean: NDArray[np.float64]  # (O,)
    square: NDArray[np.float64]  # (O,) sum of squared deviations
    count: int = 0

    @staticmethod
    def empty(size: int) -> "ObservationMoments":
        """No data yet."""
        return ObservationMoments(np.zeros(size), np.zeros(size))

    def take(self, obs: NDArray[np.floating]) -> None:
        """Update the statistics with observations (B, O)."""
        batch = obs.astype(np.float64)
        count = len(batch)
        mean, gap = batch.mean(axis=0), batch.mean(axis=0) - self.mean
        total = self.count + count
        self.square += ((batch - mean) ** 2).sum(axis=0) + gap**2 * (self.count * count / total)
        self.mean += gap * (count / total)
        self.count = total

    @torch.no_grad()
    def write(self, *scalings: Scaling) -> None:
        """Set the networks' scaling to (obs - mean) / standard deviation; a constant observation is only
        shifted."""
        std = np.sqrt(self.square / max(self.count, 1))
        std = np.where(std < FLAT, 1.0, std)
        for scaling in scalings:
            scaling.shift.copy_(torch.from_numpy(self.mean))
            scaling.scale.copy_(torch.from_numpy(std))

    def state_dict(self) -> State:
        """Everything that an exact resume needs."""
        return {
            "mean": torch.from_numpy(self.mean.copy()), "square": torch.from_numpy(self.square.copy()),
            "count": self.count,
        }  # fmt: skip

    def load_state_dict(self, state: State) -> None:
        """Inverse of `state_dict`."""
        self.mean, self.square = state["mean"].numpy().copy(), state["square"].numpy().copy()
        self.count = int(state["count"])
