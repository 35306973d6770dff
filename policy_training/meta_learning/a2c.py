"""Advantage actor-critic for many agents at once; each agent's parameters are a row of one matrix.

    loss = -mean(log pi(a|s) sg(td)) + 0.5 mean(td^2) - 0.01 mean(entropy)
    td = sg(TD(lambda) return) - V(s)

A time limit counts as an end, as in the paper's code. Shapes: U agents, B steps of each, T steps of each of
its E games (B = T * E), A actions, P parameters, O numbers of an observation.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from policy_training.optimizers.gated_unit import lecun_normal

GAMMA, LAM = 0.995, 0.95
VALUE_WEIGHT, ENTROPY_WEIGHT = 0.5, 0.01
KERNEL = 2  # cells, each way, of a filter
FEW = 4  # games below which one product per agent is dominated by the cost of calls


@dataclass(frozen=True)
class GameNetwork:
    """Optional filters, a hidden layer, a linear actor and critic: how a row of parameters is read."""

    planes: tuple[int, int, int]
    actions: int
    hidden: int
    filters: int = 0

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Weights and biases in their order."""
        # The paper's filters slide over (object, row) and take the columns as channels.
        objects, rows, columns = self.planes
        flat = objects * rows * (self.filters or columns)
        filters = ((KERNEL * KERNEL * columns, self.filters), (1, self.filters)) if self.filters else ()
        return (
            *filters, (flat, self.hidden), (1, self.hidden), (self.hidden, self.actions), (1, self.actions),
            (self.hidden, 1), (1, 1),
        )  # fmt: skip

    @property
    def size(self) -> int:
        """P."""
        return sum(math.prod(shape) for shape in self.shapes)

    def initial(self, agents: int, rng: torch.Generator) -> Tensor:
        """LeCun normal weights, zero biases. (U, P)."""
        weights, biases = self.shapes[::2], self.shapes[1::2]
        pieces = []
        for weight, bias in zip(weights, biases, strict=True):
            pieces.append(lecun_normal((agents, *weight), weight[0], rng).reshape(agents, -1))
            pieces.append(torch.zeros(agents, math.prod(bias)))
        return torch.cat(pieces, dim=1)

    @property
    def obs_size(self) -> int:
        """O."""
        return math.prod(self.planes)

    def parts(self, theta: Tensor) -> list[Tensor]:
        """theta (U, P) -> weights and biases, each (U, in, out)."""
        sizes = [math.prod(shape) for shape in self.shapes]
        return [p.view(-1, *s) for p, s in zip(theta.split(sizes, dim=1), self.shapes, strict=True)]

    def policy(self, theta: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
        """The actor alone, from the ones of sparse observations: index, weight (U, E, k) -> logits (A, U,
        E)."""
        if self.filters:
            return lambda index, weight: (
                self(theta, boards(index, weight, self.obs_size))[0].permute(2, 0, 1)
            )  # fmt: skip
        first, bias, actor, actor_bias, _, _ = self.parts(theta)
        rows, start = first.flatten(0, 1), torch.arange(len(theta))[:, None, None] * self.obs_size
        across = actor.permute(1, 2, 0)[..., None].contiguous()  # (hidden, A, U, 1)

        def logits(index: Tensor, weight: Tensor) -> Tensor:
            places, weights = (index + start).flatten(0, 1), weight.flatten(0, 1)
            seen = torch.nn.functional.embedding_bag(places, rows, mode="sum", per_sample_weights=weights)
            hidden = torch.relu(seen.view(*index.shape[:2], -1) + bias)
            if index.shape[1] < FEW:
                along = hidden.permute(2, 0, 1).contiguous()[:, None]
                return (along * across).sum(dim=0) + actor_bias.permute(2, 0, 1)
            return torch.baddbmm(actor_bias, hidden, actor).permute(2, 0, 1)

        return logits

    def __call__(self, theta: Tensor, obs: Tensor) -> tuple[Tensor, Tensor]:
        """theta (U, P), obs (U, B, O) -> logits (U, B, A), values (U, B)."""
        parts, x = self.parts(theta), obs
        if self.filters:
            weight, bias, *parts = parts
            x = torch.relu(torch.baddbmm(bias, self._patches(obs), weight)).reshape(*obs.shape[:2], -1)
        weight, bias, actor, actor_bias, critic, critic_bias = parts
        x = torch.relu(torch.baddbmm(bias, x, weight))
        return torch.baddbmm(actor_bias, x, actor), torch.baddbmm(critic_bias, x, critic)[..., 0]

    def _patches(self, obs: Tensor) -> Tensor:
        """(U, B, O) -> (U, B * objects * rows, 4 * columns), zeros after the last object and row."""
        objects, rows, columns = self.planes
        maps = torch.nn.functional.pad(obs.reshape(-1, objects, rows, columns), (0, 0, 0, 1, 0, 1))
        moved = [maps[:, i : i + objects, j : j + rows] for i in range(KERNEL) for j in range(KERNEL)]
        return torch.cat(moved, dim=-1).reshape(len(obs), -1, KERNEL * KERNEL * columns)


def boards(index: Tensor, weight: Tensor, size: int) -> Tensor:
    """Observations (..., size) from their ones (..., k)."""
    return weight.new_zeros((*index.shape[:-1], size)).scatter_(-1, index, weight)


@dataclass(frozen=True)
class GameRollout:
    """T steps of every game of every agent; rewards are scaled."""

    obs: Tensor  # (T + 1, U, E, O), the last is the observation after the last step
    action: Tensor  # (T, U, E)
    reward: Tensor  # (T, U, E)
    ended: Tensor  # (T, U, E) 1 where the episode ended


def lambda_returns(reward: Tensor, ended: Tensor, value: Tensor) -> Tensor:
    """reward, ended (T, ...), value (T + 1, ...) -> TD(lambda) returns (T, ...)."""
    after = value[-1]
    returns = []
    for t in reversed(range(len(reward))):
        after = reward[t] + GAMMA * (1.0 - ended[t]) * torch.lerp(value[t + 1], after, LAM)
        returns.append(after)
    return torch.stack(returns[::-1])


def losses(network: GameNetwork, theta: Tensor, rollout: GameRollout) -> Tensor:
    """Loss of every agent (U,)."""
    steps, agents, games = rollout.action.shape
    obs = rollout.obs.transpose(0, 1).reshape(agents, (steps + 1) * games, -1)
    logits, value = network(theta, obs)
    value = value.view(agents, steps + 1, games).transpose(0, 1)
    log_pi = torch.log_softmax(logits.view(agents, steps + 1, games, -1)[:, :-1], dim=-1).transpose(0, 1)
    target = lambda_returns(rollout.reward, rollout.ended, value.detach())
    td = target - value[:-1]
    chosen = log_pi.gather(-1, rollout.action[..., None])[..., 0]
    entropy = -(log_pi.exp() * log_pi).sum(dim=-1)
    parts = -chosen * td.detach() + VALUE_WEIGHT * td.square() - ENTROPY_WEIGHT * entropy
    return parts.mean(dim=(0, 2))


def gradients(
    network: GameNetwork, theta: Tensor, rollout: GameRollout, clip: float
) -> tuple[Tensor, Tensor]:
    """Gradient of each agent's loss (U, P), clipped at plus and minus `clip` if that is above 0; and the
    losses."""
    leaf = theta.detach().requires_grad_(True)
    loss = losses(network, leaf, rollout)
    (grad,) = torch.autograd.grad(loss.sum(), leaf)
    return (grad.clamp_(-clip, clip) if clip > 0.0 else grad), loss.detach()
