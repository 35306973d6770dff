"""An ensemble of MLPs, and a squashed Gaussian, as one autograd node each, with hand-written passes.

Autograd spends as long on the bookkeeping of small layers as on their products. Here a whole network is one
node whose parameters are one vector: its gradient comes back as one vector too, and only the gradients that
are needed are computed. The plain modules in `networks` are the definition; a test checks that both agree.

Layers: x W + b, or norm(x W) + b with layer normalisation, then ReLU or tanh; the last one is x W + b alone.
Shapes: E members, B batch, I and H widths.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F  # noqa: N812

NORM_EPS = 1e-5
LOG_STD_MIN, LOG_STD_MAX = -5.0, 2.0
HALF_LOG_TAU = 0.5 * math.log(2.0 * math.pi)


@dataclass(frozen=True)
class ParameterLayout:
    """Where each layer's weight (E, I, H) and bias (E, 1, H) lie in the vector of parameters."""

    members: int
    sizes: tuple[int, ...]
    layer_norm: bool = False
    tanh: bool = False  # between the layers, instead of ReLU

    def views(self, flat: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Weight and bias of each layer as views of flat (P,)."""
        e = self.members
        pieces = iter(flat.split([e * n for i, o in pairwise(self.sizes) for n in (i * o, o)]))
        return [(next(pieces).view(e, i, o), next(pieces).view(e, 1, o)) for i, o in pairwise(self.sizes)]


class Squash(torch.autograd.Function):
    """Mean and log standard deviation (B, 2 A), noise (B, A) -> action (B, A), log-density (B,)."""

    @staticmethod
    def forward(ctx: Any, moments: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """`squashed`, keeping what the backward pass needs."""
        action, log_prob, spread = squashed(moments, noise)
        ctx.save_for_backward(moments, action, spread)
        return action, log_prob

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_action: Tensor, grad_log_prob: Tensor) -> tuple[Tensor, None]:
        """d action / d x = 1 - action^2 and d log pi / d x = 2 action, x = mean + spread."""
        moments, action, spread = ctx.saved_tensors
        per_row = grad_log_prob.unsqueeze(-1)
        grad_mean = grad_action * (1.0 - action.square()) + 2.0 * per_row * action
        log_std = moments[:, action.shape[-1] :]
        free = (log_std >= LOG_STD_MIN) & (log_std <= LOG_STD_MAX)
        return torch.cat((grad_mean, (grad_mean * spread - per_row) * free), dim=-1), None


def squashed(moments: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and log standard deviation (B, 2 A), noise (B, A) -> action (B, A), log-density (B,), and the
    standard deviation times the noise (B, A)."""
    mean, log_std = moments.chunk(2, dim=-1)
    log_std = log_std.clamp(LOG_STD_MIN, LOG_STD_MAX)
    spread = log_std.exp() * noise
    pre = mean + spread
    # log(1 - tanh(x)^2) = 2 (log 2 - x - softplus(-2x)): no difference of nearly equal numbers
    squash = 2.0 * (math.log(2.0) - pre - F.softplus(-2.0 * pre))
    log_prob = -(0.5 * noise.square() + log_std + HALF_LOG_TAU + squash).sum(dim=-1)
    return torch.tanh(pre), log_prob, spread


def outer(h: Tensor, grad: Tensor, out: Tensor) -> None:
    """Gradient of a weight: h (E, B, I), grad (E, B, O) -> out (E, I, O)."""
    if grad.shape[-1] == 1:  # a product with one column is slower than a sum
        torch.sum(h * grad, dim=1, out=out.squeeze(-1))
    else:
        torch.bmm(h.transpose(1, 2), grad, out=out)


class FusedMlp(torch.autograd.Function):
    """x (B, I) shared by all members, flat (P,), its views by layer -> (E, B, O)."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, flat: Tensor, layers: list[tuple[Tensor, Tensor]], layout: ParameterLayout
    ) -> Tensor:
        """Layer by layer; what the backward pass needs is kept."""
        h, kept = x.unsqueeze(0).expand(layout.members, -1, -1), []
        for weight, bias in layers[:-1]:
            kept.append(h)
            if layout.layer_norm:
                product = torch.bmm(h, weight)
                h, mean, rstd = torch.native_layer_norm(product, product.shape[-1:], None, None, NORM_EPS)
                kept += (product, mean, rstd)
                h = h.add_(bias)
            else:
                h = torch.baddbmm(bias, h, weight)
            h = h.tanh_() if layout.tanh else h.relu_()
        weight, bias = layers[-1]
        ctx.save_for_backward(flat, *kept, h)
        ctx.layers, ctx.layout = layers, layout
        if weight.shape[-1] == 1:
            return (h * weight.transpose(1, 2)).sum(dim=-1, keepdim=True).add_(bias)
        return torch.baddbmm(bias, h, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        """grad (E, B, O). Skips the parameters, or the input, if nothing asks for them."""
        flat, *kept = ctx.saved_tensors
        layers, layout = ctx.layers, ctx.layout
        wants_x, wants_flat, *_ = ctx.needs_input_grad
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
                outer(h, grad, grads[i][0])
            if i == 0:
                break
            weight = layers[i][0].transpose(1, 2)
            grad = grad * weight if weight.shape[1] == 1 else torch.bmm(grad, weight)
            if layout.tanh:
                torch.ops.aten.tanh_backward.grad_input(grad, h, grad_input=grad)
            else:
                torch.ops.aten.threshold_backward.grad_input(grad, h, 0.0, grad_input=grad)
        if not wants_x:
            return None, out, None, None
        return torch.bmm(grad, layers[0][0].transpose(1, 2)).sum(dim=0), out, None, None
