"""Settings and parts that every on-policy algorithm shares. The algorithms do not import each other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from policy_training.checkpoint import State
from policy_training.estimates.advantages import Rollout, as_tensor, gae
from policy_training.estimates.values import ValueFit
from policy_training.experience.costs import check_limits
from policy_training.experience.on_policy_sampling import Share
from policy_training.experience.spaces import Spaces
from policy_training.networks.gaussian import GaussianActor, ValueCritics
from policy_training.networks.squashed import Scaling
from policy_training.optimizers.flat import check_optimizer
from policy_training.ranges import check_ranges


@dataclass(frozen=True)
class OnPolicyConfig:
    """Networks, advantages and value functions: what the on-policy algorithms have in common."""

    cost_limits: tuple[tuple[str, float], ...] = (("cost", 25.0),)
    "Allowed mean of a cost's undiscounted episode sum, by name: cost, or a name among the cost terms."
    hidden: tuple[int, ...] = (64, 64)
    "Widths of the hidden layers of every network."
    initial_std: float = 1.0
    "Standard deviation of the first actions."
    gamma: float = 0.99
    "Discount of the reward per step."
    lam: float = 0.95
    "Lambda of the reward's advantage estimate."
    gamma_c: float = 0.99
    "Discount of the costs per step."
    lam_c: float = 0.95
    "Lambda of the costs' advantage estimates."
    critic_lr: float = 1e-3
    "Adam's rate for the value functions."
    critic_epochs: int = 10
    "Passes over an iteration's steps for the value functions."
    critic_batch: int = 128
    "Steps per update of the value functions."
    critic_l2: float = 1e-3
    "L2 penalty on the value functions' weights."
    optimizer: str = "adam"
    "Optimizer: adam, rmsprop, sign, or optim4rl:PATH of a learned one."

    def __post_init__(self) -> None:
        check_limits(self.cost_limits)
        check_optimizer(self.optimizer)
        check_ranges(self)


class OnPolicyAlgorithm(Protocol):
    """The loop's interface to an algorithm."""

    actor: GaussianActor
    judge: "Judge"

    def update(self, rollout: Rollout, progress: float) -> dict[str, float]:
        """One iteration's update; `progress` in [0, 1] of the run. Figures for the log."""

    def samples(self, base: int) -> int:
        """Environment steps that the next iteration should have; `base` unless the algorithm adapts it."""

    def state_dict(self) -> State:
        """Everything that an exact resume needs."""

    def load_state_dict(self, state: State) -> None:
        """Inverse of `state_dict`."""


class ValueNetwork(Protocol):
    """Value functions, however they are built."""

    scaling: Scaling

    def inputs(self, obs: Tensor) -> Tensor:
        """Observations (B, O), scaled and clipped."""

    def of_inputs(self, inputs: Tensor) -> Tensor:
        """Values (M, B), reward first."""


class Judge:
    """The value functions: they turn the environments' shares into a rollout, and are trained on it
    afterwards."""

    def __init__(self, spaces: Spaces, config: OnPolicyConfig, seed: int) -> None:
        self.config = config
        self.names = tuple(name for name, _ in config.cost_limits)
        own = ValueCritics(spaces, 1 + len(self.names), config.hidden)
        self.critics: ValueNetwork = own
        self.values: ValueFit | None = ValueFit(own, config.critic_lr, config.critic_l2, config.optimizer)
        self.rng = torch.Generator().manual_seed(seed)

    def listen_to(self, critics: ValueNetwork) -> None:
        """With value functions that are trained and saved elsewhere."""
        self.critics, self.values = critics, None

    def rollout(self, shares: Sequence[Share]) -> Rollout:
        """Advantages and value targets of the environments' shares."""
        parts = [self._judged(share) for share in shares]
        advantage, target = (np.concatenate(rows, axis=1) for rows in zip(*parts, strict=True))
        sums = np.concatenate([share.sums for share in shares], axis=1)
        if sums.shape[1] == 0:
            raise ValueError(
                "no episode ended in this iteration, so its cost is unknown; "
                "raise --samples or lower --envs until every environment can finish one"
            )
        means = sums.mean(axis=1).tolist()
        lengths = [np.diff(share.ends, prepend=0)[: share.sums.shape[1]] for share in shares]
        return Rollout(
            obs=as_tensor(np.concatenate([share.obs for share in shares])),
            action=as_tensor(np.concatenate([share.action for share in shares])),
            advantage=as_tensor(advantage), target=as_tensor(target), episode_return=means[0],
            episode_costs=tuple(means[1:]), episodes=sums.shape[1],
            episode_length=float(np.concatenate(lengths).mean()),
        )  # fmt: skip

    def learn(self, rollout: Rollout) -> float:
        """Fit the value functions to the rollout's targets; their mean squared error."""
        cfg = self.config
        assert self.values is not None, "these value functions are trained elsewhere"
        return self.values.fit(rollout.obs, rollout.target, cfg.critic_epochs, cfg.critic_batch, self.rng)

    @torch.no_grad()
    def _values(self, obs: np.ndarray) -> np.ndarray:
        inputs = self.critics.inputs(torch.from_numpy(obs))
        return self.critics.of_inputs(inputs).numpy().astype(np.float64)

    def _judged(self, share: Share) -> tuple[np.ndarray, np.ndarray]:
        """Advantages (M, T) and targets (M, T)."""
        cfg, value = self.config, self._values(share.obs)
        final = self._values(share.final_obs) * ~share.terminated
        advantage = np.empty_like(value)
        for m in range(len(value)):
            gamma, lam = (cfg.gamma, cfg.lam) if m == 0 else (cfg.gamma_c, cfg.lam_c)
            first = 0
            for stretch, end in enumerate(share.ends.tolist()):
                part = slice(first, end)
                advantage[m, part] = gae(
                    share.signals[m, part], value[m, part], float(final[m, stretch]), gamma, lam
                )
                first = end
        return advantage, advantage + value

    def state_dict(self) -> State:
        """Everything that an exact resume needs."""
        own = {} if self.values is None else {"values": self.values.state_dict()}
        return {**own, "rng": self.rng.get_state()}

    def load_state_dict(self, state: State) -> None:
        """Inverse of `state_dict`."""
        if self.values is not None:
            self.values.load_state_dict(state["values"])
        self.rng.set_state(state["rng"])
