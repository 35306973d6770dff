"""STAR: a small network corrects a stable hand-made update.

Harrison, Metz, Sohl-Dickstein 2022, arXiv:2209.11208.

    (1)  m_k <- b_k m_k + (1 - b_k) g,    v <- c v + (1 - c) g^2,    k = 1 .. 3, b_k and c meta-learned
    (2)  row <- f row + (1 - f) mean_columns(g^2),  column likewise;   r = sqrt(row column / mean(row))
    (3)  nominal = mean_k m_k / (sqrt(v) + e)                           Adam with aggregated momenta
    (4)  o = MLP(features), two layers of 4;  features have mean square 1 over each tensor
    (5)  direction = -(exp(1e-3 o1) nominal + exp(1e-3 o2) o3 / (sqrt(v) + e) sqrt(mean v))

Features: g, m_k, m_k / sqrt(v), 1 / sqrt(v), g / r, 1 / sqrt(row), 1 / sqrt(column); then, equal for a whole
agent, log of its loss and the share of its training that is done.

Differs from the paper: alpha multiplies both terms of (5), where the paper's code has 1e-3 for the nominal
one; no parameter values and no embedding of the step among the features; no weight decay.
"""

import math

import torch
from torch import Tensor

from policy_training.optimizers.gated_unit import lecun_normal
from policy_training.optimizers.rules import Place

E = 1e-8
K, FEATURES, HIDDEN, OUT = 3, 13, 4, 3
START = (0.9, 0.99, 0.999, 0.999, 0.999)  # b_k, c, f
LAYERS = ((HIDDEN, FEATURES), (HIDDEN, 1), (HIDDEN, HIDDEN), (HIDDEN, 1), (OUT, HIDDEN), (OUT, 1))
SIZES = [math.prod(shape) for shape in LAYERS]
SMALL = 1e-3  # weight of the network's outputs inside exp


class Star:
    """(1) to (5)."""

    name = "star"
    size = len(START) + sum(SIZES)
    width = K + 3  # m_k, v, row, column
    separable = False  # (2) and the features look at whole tensors

    def initial(self, rng: torch.Generator) -> Tensor:
        """Untrained meta-parameters (M,)."""
        decays = torch.logit(torch.tensor(START))
        weights = [lecun_normal(s, s[1], rng) if s[1] > 1 else torch.zeros(s) for s in LAYERS]
        return torch.cat([decays, *(w.reshape(-1) for w in weights)])

    def step(
        self, phi: Tensor, state: Tensor, grad: Tensor, place: Place | None = None
    ) -> tuple[Tensor, Tensor]:
        """State: m_k, v, row and column, each as wide as the coordinates."""
        if place is None:
            raise ValueError("star needs whole tensors; pass the place of the coordinates")
        decay = torch.sigmoid(phi[: len(START)])[:, None]
        square = grad * grad
        row, column = _means(square, place)
        new = torch.stack((grad, grad, grad, square, row, column))
        state = torch.lerp(new, state, torch.cat((decay, decay[-1:])))
        m, v, row, column = state[:K], state[K], state[K + 1], state[K + 2]
        root = torch.sqrt(v + E * E) + E
        nominal = (m / root).mean(dim=0)
        factored = torch.sqrt(row * column / (_tensor_mean(row, place) + E * E) + E * E) + E
        local = torch.stack((
            grad, *m, *(m / root), 1.0 / root, grad / factored, torch.rsqrt(row + E), torch.rsqrt(column + E),
        ))  # fmt: skip
        local = local * torch.rsqrt(torch.stack([_tensor_mean(x * x, place) for x in local]) + 1e-5)
        each = len(grad) // len(place.loss)
        shared = torch.stack((torch.log(place.loss.abs() + 1e-3), place.fraction)).repeat_interleave(
            each, dim=1
        )
        out = self._network(phi, torch.cat((local, shared)))
        free = out[2] / root * torch.sqrt(_tensor_mean(v, place) + E * E)
        return state, -(torch.exp(SMALL * out[0]) * nominal + torch.exp(SMALL * out[1]) * free)

    def _network(self, phi: Tensor, x: Tensor) -> Tensor:
        """Features (13, N) -> outputs (3, N)."""
        parts = [p.view(s) for p, s in zip(phi[len(START) :].split(SIZES), LAYERS, strict=True)]
        w1, b1, w2, b2, w3, b3 = parts
        return w3 @ torch.relu(w2 @ torch.relu(w1 @ x + b1) + b2) + b3


def _tensors(values: Tensor, place: Place) -> list[Tensor]:
    """(N,) -> for every tensor (U, rows, columns)."""
    units = len(place.loss)
    shapes = [(math.prod(s[:-1]), s[-1]) if s else (1, 1) for s in place.shapes]
    parts = values.view(units, -1).split([r * c for r, c in shapes], dim=1)
    return [part.view(units, *shape) for part, shape in zip(parts, shapes, strict=True)]


def _means(values: Tensor, place: Place) -> tuple[Tensor, Tensor]:
    """Means over columns and over rows, spread over the coordinates they are means of. (N,) each."""
    tensors = _tensors(values, place)
    rows = [t.mean(dim=2, keepdim=True).expand_as(t).flatten(1) for t in tensors]
    columns = [t.mean(dim=1, keepdim=True).expand_as(t).flatten(1) for t in tensors]
    return torch.cat(rows, dim=1).reshape(-1), torch.cat(columns, dim=1).reshape(-1)


def _tensor_mean(values: Tensor, place: Place) -> Tensor:
    """Mean over each tensor, spread over its coordinates. (N,)."""
    tensors = _tensors(values, place)
    means = [t.mean(dim=(1, 2), keepdim=True).expand_as(t).flatten(1) for t in tensors]
    return torch.cat(means, dim=1).reshape(-1)
