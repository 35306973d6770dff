"""Adam on a network's parameter vector, and target networks that follow it."""

import copy
from collections.abc import Sequence
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from policy_training.checkpoint import State
from policy_training.networks.squashed import Actor, EnsembleCritic, Mlp


class Network(Protocol):
    """Anything built around one Mlp."""

    mlp: Mlp


N = TypeVar("N", Actor, EnsembleCritic)


class Trained:
    """A network that Adam trains, with one fused step for all its parameters."""

    def __init__(self, network: Network, lr: float) -> None:
        self.flat = network.mlp.flat  # (P,)
        self.lr = lr
        self.moments = torch.zeros((2, len(self.flat)), dtype=self.flat.dtype)  # mean, mean square
        self.count = torch.zeros(())

    def descend(self, loss: Tensor, lr_scale: float = 1.0) -> None:
        """One step down the gradient of `loss` with respect to this network alone."""
        grad, flat = torch.autograd.grad(loss, self.flat)[0], self.flat.detach()
        self.count += 1.0
        # what torch.optim.Adam(fused=True) ends up calling, without the bookkeeping for many tensors
        torch._fused_adam_(
            [flat], [grad], [self.moments[0]], [self.moments[1]], [], [self.count],
            lr=self.lr * lr_scale, beta1=0.9, beta2=0.999, eps=1e-8,
            weight_decay=0.0, amsgrad=False, maximize=False,
        )  # fmt: skip

    def state_dict(self) -> State:
        """Parameters and moments."""
        return {"flat": self.flat.detach().clone(), "moments": self.moments, "count": self.count}

    def load_state_dict(self, state: State) -> None:
        """Inverse of `state_dict`."""
        copy_into(self.flat, state["flat"])
        copy_into(self.moments, state["moments"])
        copy_into(self.count, state["count"])


class FusedAdam:
    """Adam on several vectors in one call."""

    def __init__(self, vectors: Sequence[Tensor], lr: float) -> None:
        self.vectors, self.lr = [v.detach() for v in vectors], lr
        self.means = [torch.zeros_like(v) for v in self.vectors]
        self.squares = [torch.zeros_like(v) for v in self.vectors]
        self.counts = [torch.zeros(()) for _ in self.vectors]

    def descend(self, gradient: Tensor, longest: float, lr_scale: float = 1.0) -> None:
        """A descent step along the gradient (P,) of all vectors together, clipped to norm `longest`."""
        gradient = gradient * min(1.0, longest / (float(gradient.norm()) + 1e-12))
        self.step(gradient.split([vector.numel() for vector in self.vectors]), lr_scale)

    def step(self, gradients: Sequence[Tensor], lr_scale: float = 1.0) -> None:
        """A descent step along the gradients, one for each vector."""
        for count in self.counts:
            count += 1.0
        torch._fused_adam_(
            self.vectors, list(gradients), self.means, self.squares, [], self.counts,
            lr=self.lr * lr_scale, beta1=0.9, beta2=0.999, eps=1e-8,
            weight_decay=0.0, amsgrad=False, maximize=False,
        )  # fmt: skip

    def state_dict(self) -> State:
        """Moments and counts; the vectors belong to their network."""
        return {"means": self.means, "squares": self.squares, "counts": self.counts}

    def load_state_dict(self, state: State) -> None:
        """Inverse of `state_dict`."""
        for name in ("means", "squares", "counts"):
            for own, saved in zip(getattr(self, name), state[name], strict=True):
                copy_into(own, saved)


def slow_copy(network: N) -> N:
    """A copy with memory of its own, to be updated by `follow`: a target network."""
    twin = copy.deepcopy(network).requires_grad_(False)
    twin.mlp.gather().requires_grad_(False)
    return twin


@torch.no_grad()
def follow(slow: Network, fast: Network, share: float) -> None:
    """Polyak averaging: slow <- (1 - share) slow + share fast."""
    slow.mlp.flat.lerp_(fast.mlp.flat, share)


def copy_into(flat: Tensor, values: object) -> None:
    """Overwrite a parameter vector in place, after a check of the shape."""
    if not (isinstance(values, Tensor) and values.shape == flat.shape):
        got = tuple(values.shape) if isinstance(values, Tensor) else type(values)
        raise ValueError(f"saved parameters are {got}; this network has {tuple(flat.shape)}")
    flat.detach().copy_(values)
