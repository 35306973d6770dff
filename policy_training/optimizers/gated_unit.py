"""Gated recurrent units over many coordinates at once, and how their weights start.

    r = s(Wr x + br + Ur h)    n = tanh(Wn x + bn + r (Un h + cn))
    z = s(Wz x + bz + Uz h)    h <- (1 - z) n + z h

G units side by side, I inputs, H = 8 hidden numbers, N coordinates. Coordinates lie in the last dimension, so
that every gate is a contiguous block. One product of [h; x; 1] with one matrix computes all linear parts.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

H = 8
R, Z, INNER, OUTER = (slice(i * H, (i + 1) * H) for i in range(4))  # rows of the matrix: Un h + cn, Wn x + bn
TRUNCATED_STD = 0.87962566103423978  # of a standard normal truncated at plus and minus 2


def lecun_normal(shape: tuple[int, ...], fan_in: int, rng: torch.Generator) -> Tensor:
    """Truncated normal of standard deviation 1 / sqrt(fan_in)."""
    values = torch.nn.init.trunc_normal_(torch.empty(shape), 0.0, 1.0, -2.0, 2.0, generator=rng)
    return values / (TRUNCATED_STD * math.sqrt(fan_in))


class UnitStep(torch.autograd.Function):
    """One step of all units, its derivative by hand: a third fewer passes over memory than by autograd."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, hidden: Tensor, x: Tensor) -> Tensor:
        """matrix (G, 4H, H + I + 1), hidden (G, H, N), x (G, I, N) -> hidden (G, H, N)."""
        seen = torch.cat((hidden, x, torch.ones_like(x[:, :1])), dim=1)
        rows = torch.bmm(matrix, seen)
        gates = rows[:, : 2 * H].sigmoid_()
        n = torch.addcmul(rows[:, OUTER], gates[:, R], rows[:, INNER])
        n = n.mul_(2.0).sigmoid_().mul_(2.0).sub_(1.0)  # tanh; torch's own takes three times as long
        ctx.save_for_backward(matrix, seen, rows, n)
        return torch.lerp(n, hidden, gates[:, Z])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor | None, None]:
        """Of matrix and hidden; the inputs are constants."""
        matrix, seen, rows, n = ctx.saved_tensors
        (grad,), hidden, r, z = grads, seen[:, :H], rows[:, R], rows[:, Z]
        to, back = torch.empty_like(rows), torch.ops.aten
        along = grad * z
        back.tanh_backward.grad_input(grad - along, n, grad_input=to[:, OUTER])
        torch.mul(to[:, OUTER], r, out=to[:, INNER])
        back.sigmoid_backward.grad_input(to[:, OUTER] * rows[:, INNER], r, grad_input=to[:, R])
        back.sigmoid_backward.grad_input((hidden - n).mul_(grad), z, grad_input=to[:, Z])
        earlier = torch.baddbmm(along, matrix[:, :, :H].mT, to) if ctx.needs_input_grad[1] else None
        return torch.bmm(seen, to.mT).mT, earlier, None


@dataclass(frozen=True)
class GatedUnits:
    """G units of I inputs, each with a linear head of O outputs: the layout of their weights in a vector."""

    units: int
    inputs: int
    outputs: int

    @property
    def parts(self) -> tuple[tuple[int, ...], ...]:
        """Shapes: input weights, recurrent weights, biases, bias of Un h, head, bias of the head."""
        G, I, O = self.units, self.inputs, self.outputs  # noqa: E741
        return (G, 3 * H, I), (G, 3 * H, H), (G, 3 * H, 1), (G, H, 1), (G, O, H), (G, O, 1)

    @property
    def size(self) -> int:
        """Number of weights."""
        return sum(math.prod(shape) for shape in self.parts)

    def initial(self, rng: torch.Generator) -> Tensor:
        """LeCun normal inputs and heads, orthogonal recurrent weights for every gate, biases 0. (size,)."""
        recurrent = torch.empty(self.units, 3, H, H)
        for matrix in recurrent.view(-1, H, H):
            torch.nn.init.orthogonal_(matrix, generator=rng)
        weights, _, bias, inner, head, last = self.parts
        pieces = (
            lecun_normal(weights, self.inputs, rng), recurrent, torch.zeros(bias), torch.zeros(inner),
            lecun_normal(head, H, rng), torch.zeros(last),
        )  # fmt: skip
        return torch.cat([piece.reshape(-1) for piece in pieces])

    def step(self, phi: Tensor, hidden: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """phi (size,), hidden (G, H, N), x (G, I, N) -> hidden (G, H, N), outputs (G, O, N)."""
        sizes = [math.prod(shape) for shape in self.parts]
        W, U, b, c, head, last = (p.view(s) for p, s in zip(phi.split(sizes), self.parts, strict=True))
        gates = torch.cat((U[:, : 2 * H], W[:, : 2 * H], b[:, : 2 * H]), dim=2)
        inner = torch.cat((U[:, 2 * H :], phi.new_zeros(self.units, H, self.inputs), c), dim=2)
        outer = torch.cat((phi.new_zeros(self.units, H, H), W[:, 2 * H :], b[:, 2 * H :]), dim=2)
        hidden = UnitStep.apply(torch.cat((gates, inner, outer), dim=1), hidden, x)
        return hidden, torch.baddbmm(last, head, hidden)
