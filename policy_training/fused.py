"""An ensemble of MLPs as one autograd node: forward and backward written out, few allocations.

Autograd spends as long on the bookkeeping of small layers as on their products. Here a whole network is one
node whose parameters are one vector: its gradient comes back as one vector too, and only what is asked for is
computed. The plain modules in `networks` are the definition; a test holds both equal.

Layers: x W + b, or norm(x W) + b with layer normalisation, then ReLU; the last one is x W + b alone.
Shapes: E members, B batch, I and H widths.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

NORM_EPS = 1e-5


@dataclass(frozen=True)
class Layout:
    """Where each layer's weight (E, I, H) and bias (E, 1, H) lie in the vector of parameters."""

    members: int
    sizes: tuple[int, ...]
    layer_norm: bool = False

    def views(self, flat: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Weight and bias of each layer as views of flat (P,)."""
        out, start, e = [], 0, self.members
        for i, o in pairwise(self.sizes):
            middle = start + e * i * o
            weight = flat[start:middle].view(e, i, o)
            start = middle + e * o
            out.append((weight, flat[middle:start].view(e, 1, o)))
        return out


class FusedMlp(torch.autograd.Function):
    """x (B, I) shared by all members, flat (P,) -> (E, B, O)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, flat: Tensor, layout: Layout) -> Tensor:
        """Layer by layer; what the backward pass needs is kept."""
        layers = layout.views(flat)
        h, kept = x.unsqueeze(0).expand(layout.members, -1, -1), []
        for weight, bias in layers[:-1]:
            kept.append(h)
            if layout.layer_norm:
                product = torch.bmm(h, weight)
                h, mean, rstd = torch.native_layer_norm(product, product.shape[-1:], None, None, NORM_EPS)
                kept += (product, mean, rstd)
                h = h.add_(bias).relu_()
            else:
                h = torch.baddbmm(bias, h, weight).relu_()
        weight, bias = layers[-1]
        ctx.save_for_backward(flat, *kept, h)
        ctx.layout = layout
        if weight.shape[-1] == 1:  # a product with one column is slower than a sum
            return (h * weight.transpose(1, 2)).sum(dim=-1, keepdim=True).add_(bias)
        return torch.baddbmm(bias, h, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        """grad (E, B, O). Skips the parameters, or the input, if nothing asks for them."""
        flat, *kept = ctx.saved_tensors
        layout: Layout = ctx.layout
        wants_x, wants_flat, _ = ctx.needs_input_grad
        layers = layout.views(flat)
        out = torch.empty_like(flat) if wants_flat else None
        grads = layout.views(out) if out is not None else []
        grad = grad.contiguous()
        for i in reversed(range(len(layers))):
            h = kept.pop()
            if i < len(layers) - 1 and layout.layer_norm:
                rstd, mean, product, h = h, kept.pop(), kept.pop(), kept.pop()
                if grads:
                    torch.sum(grad, dim=1, keepdim=True, out=grads[i][1])
                grad = torch.ops.aten.native_layer_norm_backward(
                    grad, product, product.shape[-1:], mean, rstd, None, None, [True, False, False]
                )[0]
            elif grads:
                torch.sum(grad, dim=1, keepdim=True, out=grads[i][1])
            if grads:
                torch.bmm(h.transpose(1, 2), grad, out=grads[i][0])
            if i == 0:
                break
            weight = layers[i][0].transpose(1, 2)
            grad = grad * weight if weight.shape[1] == 1 else torch.bmm(grad, weight)
            torch.ops.aten.threshold_backward.grad_input(grad, h, 0.0, grad_input=grad)
        if not wants_x:
            return None, out, None
        return torch.bmm(grad, layers[0][0].transpose(1, 2)).sum(dim=0), out, None
