"""A Gaussian actor and its value functions under one optimizer layout, trained in the same passes.

With a shared trunk the value functions are linear in the actor's last hidden layer, so that the actor is by
itself still a network that can be saved, exported and run. Plain operations: each loss has a pass of its own
through the trunk, because its gradient on the trunk is logged, and a layout may move the trunk in between.
Shapes: B batch, O observation, A action, H hidden, T steps of a rollout, M = 1 + K value functions.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor, nn

from policy_training.checkpoint import State
from policy_training.estimates.advantages import Rollout
from policy_training.estimates.values import minibatches
from policy_training.experience.spaces import Spaces
from policy_training.networks.gaussian import GaussianActor
from policy_training.networks.squashed import Mlp
from policy_training.optimizers.adam import copy_into
from policy_training.optimizers.layouts import TRUNK, Losses, OptimizerLayout, Plan, trunk_figures
from policy_training.optimizers.popart import PopArt

CRITICS = ("reward_critic", "cost_critic")  # the second one has K outputs, one per cost
NAMES = ("actor", *CRITICS)


class ActorCriticSettings(Protocol):
    """The fields of an algorithm's configuration that are read here."""

    @property
    def hidden(self) -> tuple[int, ...]: ...
    @property
    def layout(self) -> str: ...
    @property
    def trunk(self) -> str: ...
    @property
    def target_norm(self) -> str: ...
    @property
    def popart_rate(self) -> float: ...
    @property
    def policy_lr(self) -> float: ...
    @property
    def critic_lr(self) -> float: ...
    @property
    def cost_critic_lr(self) -> float | None: ...
    @property
    def critic_l2(self) -> float: ...
    @property
    def critic_weight(self) -> float: ...
    @property
    def max_grad_norm(self) -> float: ...
    @property
    def policy_epochs(self) -> int: ...
    @property
    def policy_batch(self) -> int: ...
    @property
    def target_kl(self) -> float: ...
    def plan(self, longest: float) -> Plan: ...


class ActorCritic(nn.Module):
    """The actor's network, and value functions on its trunk or beside it."""

    def __init__(self, actor: GaussianActor, spaces: Spaces, costs: int, config: ActorCriticSettings) -> None:
        super().__init__()
        self.actor, self.scaling, self.shares = actor, actor.scaling, config.trunk == "shared"
        sizes = (config.hidden[-1], 1) if self.shares else (spaces.obs_size, *config.hidden, 1)
        members = dict(zip(CRITICS, (1, costs), strict=True))
        self.nets = nn.ModuleDict({name: Mlp(sizes, m, tanh=True) for name, m in members.items()})
        self.norms: dict[str, PopArt] = {}
        if config.target_norm == "popart":
            self.norms = {name: PopArt(m, config.popart_rate) for name, m in members.items()}

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """Parameters by the loss that they are the head of, and the trunk's, if there is one."""
        mlp, log_std = self.actor.mlp, self.actor.log_std
        trunk = [*mlp.weights[:-1], *mlp.biases[:-1]]
        head = [mlp.weights[-1], mlp.biases[-1], log_std]
        critics = {name: list(net.parameters()) for name, net in self.nets.items()}
        return {TRUNK: trunk, "actor": head, **critics} if self.shares else {"actor": trunk + head, **critics}

    def inputs(self, obs: Tensor) -> Tensor:
        """Observations (B, O), scaled and clipped."""
        return self.actor.inputs(obs)

    def mean(self, inputs: Tensor) -> Tensor:
        """inputs (B, O) -> mean action (B, A)."""
        return self.actor.mlp(inputs).squeeze(0)

    def outputs(self, name: str, inputs: Tensor) -> Tensor:
        """inputs (B, O) -> a critic's output in the units it is trained in, (1, B) or (K, B)."""
        features = self.actor.mlp.hidden(inputs).squeeze(0) if self.shares else inputs
        return self.nets[name](features).squeeze(-1)

    def of_inputs(self, inputs: Tensor) -> Tensor:
        """inputs (B, O) -> values (M, B)."""
        said = {name: self.outputs(name, inputs) for name in CRITICS}
        return torch.cat([
            self.norms[name].scale.values(said[name]) if self.norms else said[name] for name in CRITICS
        ])  # fmt: skip

    def targets(self, targets: Tensor) -> dict[str, Tensor]:
        """Targets (M, T) by critic, in the units it is trained in; PopArt's statistics are updated first."""
        parts = dict(zip(CRITICS, (targets[:1], targets[1:]), strict=True))
        for name, norm in self.norms.items():
            last: Mlp = self.nets[name]  # type: ignore[assignment]
            norm.follow(parts[name], (last.weights[-1], last.biases[-1]))
            parts[name] = norm.scale.normalised(parts[name])
        return parts

    def extras(self) -> State:
        """The state that is not the actor's."""
        return {
            "nets": {name: net.flat.detach().clone() for name, net in self.nets.items()},  # type: ignore[operator,union-attr]
            "norms": {name: norm.state_dict() for name, norm in self.norms.items()},
        }

    def load_extras(self, state: State) -> None:
        """Inverse of `extras`."""
        for name, net in self.nets.items():
            copy_into(net.flat, state["nets"][name])  # type: ignore[arg-type]
        for name, norm in self.norms.items():
            norm.load_state_dict(state["norms"][name])


@dataclass(frozen=True)
class PolicyTerms:
    """The algorithm's objective for its policy."""

    loss: Callable[[Tensor, Tensor], Tensor]  # mean actions (B, A) and rows (B,) of the rollout -> scalar
    kl: Callable[[Tensor], float]  # mean actions (T, A) -> distance from the old policy [nat]


class Together:
    """One layout over the policy's loss and the value functions' squared errors."""

    def __init__(self, actor: GaussianActor, spaces: Spaces, costs: int, config: ActorCriticSettings) -> None:
        self.config, self.net = config, ActorCritic(actor, spaces, costs, config)
        lr, critic_lr = config.policy_lr, config.policy_lr if config.layout == "single" else config.critic_lr
        rates = {TRUNK: lr, "actor": lr, "reward_critic": critic_lr}
        rates["cost_critic"] = critic_lr if config.cost_critic_lr is None else config.cost_critic_lr
        self.layout = OptimizerLayout(self.net.groups(), rates, config.plan(config.max_grad_norm))

    def update(
        self, rollout: Rollout, policy: PolicyTerms, scale: float, rng: torch.Generator
    ) -> dict[str, float]:
        """Passes over the rollout, at `scale` times the rates, until the KL divergence exceeds its target."""
        cfg, inputs, target = self.config, self.net.inputs(rollout.obs), self.net.targets(rollout.target)
        products: list[Tensor] = []
        epochs = 0
        while epochs < cfg.policy_epochs:
            epochs += 1
            products += [
                self.layout.step(self._losses(inputs, target, policy, rows), scale)
                for rows in minibatches(len(inputs), cfg.policy_batch, rng)
            ]
            with torch.no_grad():
                kl = policy.kl(self.net.mean(inputs))
            if not kl <= cfg.target_kl:
                break
        with torch.no_grad():
            gap = self.net.of_inputs(inputs) - rollout.target
        return {
            "kl": kl, "epochs": float(epochs), "loss_v": float(gap.square().mean()),
            "explained/reward_critic": explained(gap[:1], rollout.target[:1]),
            "explained/cost_critic": explained(gap[1:], rollout.target[1:]),
            **trunk_figures(products, NAMES),
        }  # fmt: skip

    def _losses(self, inputs: Tensor, target: dict[str, Tensor], policy: PolicyTerms, rows: Tensor) -> Losses:
        seen = inputs[rows]
        return {
            "actor": lambda: policy.loss(self.net.mean(seen), rows),
            **{name: partial(self._error, name, seen, target[name][:, rows]) for name in CRITICS},
        }

    def _error(self, name: str, inputs: Tensor, target: Tensor) -> Tensor:
        """Squared error, summed over a critic's values, plus its weight decay."""
        error = (self.net.outputs(name, inputs) - target).square().mean(dim=1).sum()
        weights = torch.stack([p.square().sum() for p in self.net.nets[name].parameters()]).sum()
        return self.config.critic_weight * (error + self.config.critic_l2 * weights)

    def state_dict(self) -> State:
        """Everything that an exact resume needs, except the actor's parameters."""
        return {"layout": self.layout.state_dict(), **self.net.extras()}

    def load_state_dict(self, state: State) -> None:
        """Inverse of `state_dict`."""
        self.layout.load_state_dict(state["layout"])
        self.net.load_extras(state)


def explained(gap: Tensor, target: Tensor) -> float:
    """Share of the targets' variance that is explained, mean over M; 0 for constant ones. Both (M, T)."""
    variance = target.var(dim=1)
    share = torch.where(variance > 0.0, 1.0 - gap.var(dim=1) / variance, 0.0)
    return float(share.mean())
