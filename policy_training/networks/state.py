"""Copies of a module's parameters."""

from torch import Tensor, nn


def copy_state(module: nn.Module) -> dict[str, Tensor]:
    """A copy of parameters and buffers that further training does not change."""
    return {name: value.detach().clone() for name, value in module.state_dict().items()}
