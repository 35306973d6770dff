"""Actors of both families without torch, for worker processes."""

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from policy_training.experience.episodes import (
    MeanPolicy,
    MlpPolicy,
)
from policy_training.networks.filtered import FilteredActor
from policy_training.networks.gaussian import FARTHEST, GaussianActor
from policy_training.networks.squashed import Actor


@dataclass(frozen=True, eq=False)
class FilteredPolicy:
    """The deterministic part of a filtered actor. Not plain: two networks and a choice are left to torch."""

    actor: FilteredActor

    def __call__(self, obs: np.ndarray) -> np.ndarray:
        """obs (O,) -> action (A,)."""
        with torch.no_grad():
            action: np.ndarray = self.actor.mode(torch.from_numpy(obs[None]))[0].numpy()
        return action


def plain_policy(actor: nn.Module) -> MlpPolicy | MeanPolicy | FilteredPolicy:
    """The deterministic part of an actor of any family, as a copy."""
    if isinstance(actor, FilteredActor):
        return FilteredPolicy(_without_rng(actor))
    if isinstance(actor, GaussianActor):
        return mean_policy(actor)
    if isinstance(actor, Actor):
        return _squashed_policy(actor)
    raise TypeError(f"{type(actor).__name__} is no actor")


def _without_rng(actor: FilteredActor) -> FilteredActor:
    """A copy that can be sent to another process."""
    copied = copy.copy(actor)
    copied.rng = None
    return copy.deepcopy(copied).requires_grad_(False)


def mean_policy(actor: GaussianActor) -> MeanPolicy:
    """The mean of an on-policy actor, unbounded."""
    layers = tuple((_copy(w[0].T), _copy(b[0, 0])) for w, b in actor.mlp.layout.views(actor.mlp.flat))
    return MeanPolicy(_copy(actor.scaling.shift), _copy(actor.scaling.scale), FARTHEST, layers)


def _squashed_policy(actor: Actor) -> MlpPolicy:
    layers = [(_copy(w[0].T), _copy(b[0, 0])) for w, b in actor.mlp.layout.views(actor.mlp.flat)]
    weight, bias = layers[-1]  # means, then log standard deviations
    layers[-1] = (weight[: actor.action_size], bias[: actor.action_size])
    return MlpPolicy(_copy(actor.scaling.shift), _copy(actor.scaling.scale), tuple(layers))


def _copy(tensor: Tensor) -> np.ndarray:
    return np.ascontiguousarray(tensor.detach().numpy()).copy()
