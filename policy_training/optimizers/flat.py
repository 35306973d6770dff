"""`--optimizer` for networks that keep their parameters in vectors."""

from collections.abc import Sequence

import torch
from torch import Tensor

from policy_training.checkpoint import State
from policy_training.optimizers.adam import FusedAdam, Network, Trained, copy_into
from policy_training.optimizers.learned import Learned, LearnedOptimizer, parse_optimizer
from policy_training.optimizers.registry import HAND_MADE, LEARNED

ADAM = "adam"


def check_optimizer(text: str) -> None:
    """ValueError unless it is a name, or a learned rule's name and a path. The file is not read."""
    name, _, path = text.partition(":")
    if not ((name in LEARNED and path) or (name in HAND_MADE and not path)):
        parse_optimizer(text)  # raises, with the allowed names


def flat_optimizer(text: str, vectors: Sequence[Tensor], lr: float) -> "FusedAdam | FlatOptimizer":
    """The optimizer of several vectors; adam is the fused one."""
    return FusedAdam(vectors, lr) if text == ADAM else FlatOptimizer(parse_optimizer(text), vectors, lr)


def trained_network(network: Network, lr: float, text: str) -> "Trained | TrainedByRule":
    """The optimizer of a network; adam is the fused one."""
    return Trained(network, lr) if text == ADAM else TrainedByRule(network, lr, text)


class FlatOptimizer:
    """A rule on several vectors in one call, with the interface of `FusedAdam`."""

    def __init__(self, learned: Learned, vectors: Sequence[Tensor], lr: float) -> None:
        self.lr = lr
        self.parameters = [torch.nn.Parameter(vector.detach()) for vector in vectors]  # the same memory
        self.optimizer = LearnedOptimizer(self.parameters, learned, lr)

    def descend(self, gradient: Tensor, longest: float, lr_scale: float = 1.0) -> None:
        """A descent step along the gradient (P,) of all vectors together, clipped to norm `longest`."""
        gradient = gradient * min(1.0, longest / (float(gradient.norm()) + 1e-12))
        self.step(gradient.split([parameter.numel() for parameter in self.parameters]), lr_scale)

    def step(self, gradients: Sequence[Tensor], lr_scale: float = 1.0) -> None:
        """A descent step along the gradients, one for each vector."""
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        self.optimizer.param_groups[0]["lr"] = self.lr * lr_scale
        self.optimizer.step()

    def state_dict(self) -> State:
        """State of the rule; the vectors belong to their network."""
        return {"optimizer": self.optimizer.state_dict(), "digest": self.optimizer.learned.digest}

    def load_state_dict(self, state: State) -> None:
        """Inverse of `state_dict`. ValueError if the run was begun with another optimizer."""
        if state.get("digest") != self.optimizer.learned.digest:
            raise ValueError(
                "the run was begun with another optimizer than the one that --optimizer names now; "
                "bring that file back, or begin a new run"
            )
        self.optimizer.load_state_dict(state["optimizer"])


class TrainedByRule:
    """A network that a rule trains, with the interface of `Trained`."""

    def __init__(self, network: Network, lr: float, text: str) -> None:
        self.flat = network.mlp.flat
        self.optimizer = FlatOptimizer(parse_optimizer(text), (self.flat,), lr)

    def descend(self, loss: Tensor, lr_scale: float = 1.0) -> None:
        """One step down the gradient of `loss` with respect to this network alone."""
        self.optimizer.step(torch.autograd.grad(loss, self.flat), lr_scale)

    def state_dict(self) -> State:
        """Parameters and the rule's state."""
        return {"flat": self.flat.detach().clone(), **self.optimizer.state_dict()}

    def load_state_dict(self, state: State) -> None:
        """Inverse of `state_dict`."""
        copy_into(self.flat, state["flat"])
        self.optimizer.load_state_dict(state)
