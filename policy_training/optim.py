"""A module with its parameters in one vector, and what trains or follows that vector."""

import copy

import torch
from torch import Tensor, nn

from policy_training.networks import flat_grad, flatten


class Trained:
    """A module under Adam: one fused step for all its parameters."""

    def __init__(self, module: nn.Module, lr: float) -> None:
        self.module = module
        self.flat = nn.Parameter(flatten(module))  # (P,) shares its memory with the module
        self.lr = lr
        self.adam = torch.optim.Adam([self.flat], lr=lr, fused=True)

    def descend(self, loss: Tensor, lr_scale: float = 1.0) -> None:
        """One step down the gradient of `loss` with respect to this module alone."""
        self.adam.param_groups[0]["lr"] = self.lr * lr_scale
        self.flat.grad = flat_grad(loss, self.module)
        self.adam.step()

    def state_dict(self) -> dict[str, object]:
        """Parameters and moments."""
        return {"flat": self.flat.detach().clone(), "adam": self.adam.state_dict()}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Inverse of `state_dict`."""
        copy_into(self.flat, state["flat"])
        self.adam.load_state_dict(state["adam"])


class Target:
    """The slow copy of a module."""

    def __init__(self, module: nn.Module) -> None:
        self.module = copy.deepcopy(module).requires_grad_(False)
        self.flat = flatten(self.module)

    def follow(self, flat: Tensor, tau: float) -> None:
        """Move the share `tau` of the way to the parameters (P,)."""
        self.flat.lerp_(flat.detach(), tau)


def copy_into(flat: Tensor, values: object) -> None:
    """Overwrite a parameter vector in place, after a look at its shape."""
    if not (isinstance(values, Tensor) and values.shape == flat.shape):
        got = tuple(values.shape) if isinstance(values, Tensor) else type(values)
        raise ValueError(f"saved parameters are {got}; this network has {tuple(flat.shape)}")
    flat.data.copy_(values)
