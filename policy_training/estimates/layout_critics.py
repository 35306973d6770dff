"""Twin reward and twin safety critics of SAC-Lag under one optimizer layout.

They may share the trunk over (observation, action): each twin ends in a safety head, as it is saved and
exported, and has a reward head beside it. The actor has a network of its own, as in SAC: it is trained
through the critics, not beside them. Plain operations, as in `layout_actor_critic`. Shapes: B batch, O
observation, A action, E = 2 members, H hidden.
"""

from functools import partial
from typing import Protocol

import torch
from torch import Tensor, nn

from policy_training.checkpoint import State
from policy_training.estimates.critics import CriticConfig, Critics, Values
from policy_training.estimates.targets import cross_entropy, reward_targets, squared_error
from policy_training.experience.replay import Batch
from policy_training.experience.spaces import Spaces
from policy_training.networks.squashed import EnsembleCritic, Mlp, aggregate
from policy_training.optimizers.adam import copy_into
from policy_training.optimizers.layouts import TRUNK, OptimizerLayout, Plan, trunk_figures
from policy_training.optimizers.popart import PopArt

NAMES = ("reward_critic", "cost_critic")


class LayoutCriticSettings(CriticConfig, Protocol):
    """The fields of an algorithm's configuration that are read here."""

    @property
    def trunk(self) -> str: ...
    @property
    def target_norm(self) -> str: ...
    @property
    def popart_rate(self) -> float: ...
    @property
    def cost_critic_lr(self) -> float | None: ...
    @property
    def max_grad_norm(self) -> float: ...
    def plan(self, longest: float) -> Plan: ...


class HeadOn(nn.Module):
    """A last layer of its own on the hidden layers of another ensemble."""

    def __init__(self, base: EnsembleCritic, width: int) -> None:
        super().__init__()
        self.base, self.mlp = base, Mlp((width, 1), members=base.mlp.layout.members)

    def forward(self, obs: Tensor, action: Tensor) -> Tensor:
        """obs (B, O), action (B, A) -> (E, B)."""
        hidden = self.base.mlp.hidden(torch.cat((self.base.scaling(obs), action), dim=-1))
        return torch.baddbmm(self.mlp.biases[0], hidden, self.mlp.weights[0]).squeeze(-1)


class LayoutCritics(Critics):
    """The critics, stepped by a layout instead of one Adam each."""

    q_r: EnsembleCritic | HeadOn  # type: ignore[assignment]
    q_r_slow: EnsembleCritic | HeadOn  # type: ignore[assignment]

    def __init__(self, spaces: Spaces, config: LayoutCriticSettings) -> None:
        super().__init__(spaces, config)
        if config.trunk == "shared":
            width = config.hidden[-1]
            self.q_r, self.q_r_slow = HeadOn(self.q_c, width), HeadOn(self.safety.slow, width)
            copy_into(self.q_r_slow.mlp.flat, self.q_r.mlp.flat)
        self.norm = PopArt(1, config.popart_rate) if config.target_norm == "popart" else None
        lr = config.critic_lr
        rates = {TRUNK: lr, "reward_critic": lr, "cost_critic": config.cost_critic_lr or lr}
        self.layout = OptimizerLayout(self.groups(), rates, config.plan(config.max_grad_norm))
        self.products = torch.empty((0, 0))

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """Parameters by the loss that they are the head of, and the trunk's, if there is one."""
        mlp = self.q_c.mlp
        trunk, head = [*mlp.weights[:-1], *mlp.biases[:-1]], [mlp.weights[-1], mlp.biases[-1]]
        reward = {"reward_critic": list(self.q_r.mlp.parameters())}
        if isinstance(self.q_r, HeadOn):
            return {TRUNK: trunk, **reward, "cost_critic": head}
        return {**reward, "cost_critic": trunk + head}

    def judge(self, obs: Tensor, action: Tensor) -> Values:
        """Differentiable in the action; the critics' own parameters get no gradients."""
        return Values(self._least(self.q_r, obs, action), self.safety.judge(obs, action))

    def learn(
        self, batch: Batch, violations: Batch, next_action: Tensor, next_log_prob: Tensor, alpha: float
    ) -> tuple[Tensor, Tensor]:
        """One step of the layout towards both targets; the losses, the reward's in the units it learns in."""
        with torch.no_grad():
            q_r_next = self._least(self.q_r_slow, batch.next_obs, next_action)
            y_r = reward_targets(batch, q_r_next, next_log_prob, alpha, self.config.gamma)
            if self.norm is not None:
                last = [(net.mlp.weights[-1], net.mlp.biases[-1]) for net in (self.q_r, self.q_r_slow)]
                self.norm.follow(y_r.unsqueeze(0), *last)
                y_r = self.norm.scale.normalised(y_r).squeeze(0)
        rows, weight = self.safety.problem(batch, violations, next_action)
        seen: dict[str, Tensor] = {}

        def reward() -> Tensor:
            return squared_error(self.q_r(batch.obs, batch.action), y_r)

        def cost() -> Tensor:
            return cross_entropy(self.q_c(rows.obs, rows.action), rows.target, weight)

        def kept(name: str) -> Tensor:
            loss = reward() if name == "reward_critic" else cost()
            seen[name] = loss.detach()
            return loss

        self.products = self.layout.step({name: partial(kept, name) for name in NAMES})
        return seen["reward_critic"], seen["cost_critic"]

    def figures(self) -> dict[str, float]:
        """Gradients on the trunk at the last step, for the log."""
        return trunk_figures([self.products], NAMES)

    def _least(self, q_r: nn.Module, obs: Tensor, action: Tensor) -> Tensor:
        """The smaller of the twins, in units of the reward: (B,)."""
        outputs = q_r(obs, action)
        return aggregate(outputs if self.norm is None else self.norm.scale.values(outputs), "min")

    def state_dict(self) -> State:
        """Everything that an exact resume needs."""
        networks = {"q_r": self.q_r, "q_r_slow": self.q_r_slow, "q_c": self.q_c, "q_c_slow": self.safety.slow}
        return {
            **{name: net.mlp.flat.detach().clone() for name, net in networks.items()},
            "violation_rate": self.safety.violations.state_dict(), "layout": self.layout.state_dict(),
            "norm": None if self.norm is None else self.norm.state_dict(),
        }  # fmt: skip

    def load_state_dict(self, state: State) -> None:
        """Inverse of `state_dict`."""
        networks = {"q_r": self.q_r, "q_r_slow": self.q_r_slow, "q_c": self.q_c, "q_c_slow": self.safety.slow}
        for name, net in networks.items():
            copy_into(net.mlp.flat, state[name])
        self.safety.violations.load_state_dict(state["violation_rate"])
        self.layout.load_state_dict(state["layout"])
        if self.norm is not None:
            self.norm.load_state_dict(state["norm"])
