"""Many complete agents of one task, each with its own parameters, rule state and games.

Shapes: U agents, P parameters of each, N = U * P coordinates, E games of each agent, S state per coordinate.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from policy_training.checkpoint import State
from policy_training.meta_learning.a2c import GameRollout, boards, gradients
from policy_training.meta_learning.config import MetaConfig
from policy_training.meta_learning.tasks import SmallTask, find_tasks
from policy_training.optimizers.adam import copy_into
from policy_training.optimizers.rules import Place, UpdateRule


class DivergedError(FloatingPointError):
    """An agent whose numbers are no longer finite."""

    def __init__(self, unit: int, update: int, what: str) -> None:
        super().__init__(f"unit {unit}, update {update} of its life: {what}")
        self.unit, self.update = unit, update


@dataclass(frozen=True)
class Update:
    """One update of all agents, for the meta-gradient."""

    grad: Tensor  # (N,) as the rule saw it
    place: Place


def reset_slots(units: int, interval: int) -> NDArray[np.int64]:
    """Unit i is reset in meta-iterations t with t mod interval == slots[i]. (U,)."""
    return np.floor(np.linspace(0, interval - 1, units)).astype(np.int64)


class Agents:
    """U agents that learn with one rule."""

    def __init__(
        self, task: SmallTask, rule: UpdateRule, units: int, *, games: int, steps: int, alpha: Tensor | float,
        scale: float, seed: int, lifetime: int,
    ) -> None:  # fmt: skip
        """`steps` T of a rollout; `alpha` for all or each (U,); `scale` of rewards; `lifetime` in updates."""
        self.task, self.rule, self.units, self.games = task, rule, units, games
        self.steps, self.scale, self.lifetime = steps, scale, lifetime
        self.alpha = torch.as_tensor(alpha, dtype=torch.get_default_dtype()).expand(units).clone()
        self.torch_rng = torch.Generator().manual_seed(seed)
        self.rng = np.random.default_rng((seed, 1))
        self.theta = task.network.initial(units, self.torch_rng)  # (U, P)
        self.state = torch.zeros(rule.width, self.theta.numel())  # (S, N)
        self.age = torch.zeros(units, dtype=torch.int64)  # updates since the agent's start
        self.game = task.game(units * games, self.rng)

    def restart(self, which: NDArray[np.int64]) -> None:
        """New weights, empty state and new games for these units."""
        if not len(which):
            return
        units = torch.from_numpy(which)
        self.theta[units] = self.task.network.initial(len(which), self.torch_rng)
        self.state.view(self.rule.width, self.units, -1)[:, units] = 0.0
        self.age[units] = 0
        self.game.reset((which[:, None] * self.games + np.arange(self.games)).reshape(-1))

    @torch.no_grad()
    def rollout(self) -> GameRollout:
        """T steps of every game with the current policies."""
        shape, kind, network = (self.units, self.games), self.theta.dtype, self.task.network
        policy = network.policy(self.theta)
        marks, actions, rewards, ends = [self._marks()], [], [], []
        for _ in range(self.steps):
            likely = torch.softmax(policy(*marks[-1]), dim=0).cumsum(dim=0)  # (A, U, E)
            dice = torch.from_numpy(self.game.rng.random(shape)).to(kind)
            action = (likely[:-1] < dice).sum(dim=0)
            reward, ended = self.game.step(action.view(-1).numpy())
            actions.append(action)
            rewards.append(reward)
            ends.append(ended)
            marks.append(self._marks())
        index, weight = (torch.stack(values) for values in zip(*marks, strict=True))
        whole = (self.steps, *shape)
        return GameRollout(
            boards(index, weight, network.obs_size), torch.stack(actions),
            torch.from_numpy(np.stack(rewards) * self.scale).to(kind).view(whole),
            torch.from_numpy(np.stack(ends)).to(kind).view(whole),
        )  # fmt: skip

    def update(self, phi: Tensor, rollout: GameRollout) -> Update:
        """One step of every agent down its own gradient."""
        grad, loss = gradients(self.task.network, self.theta, rollout, self.task.grad_clip)
        done = Update(grad.view(-1), self.place(loss))
        with torch.no_grad():
            self.state, direction = self.rule.step(phi, self.state, done.grad, done.place)
            self.theta = self.theta + self.alpha[:, None] * direction.view_as(self.theta)
        self.age += 1
        return done

    def check(self) -> None:
        """DivergedError unless every parameter is finite."""
        good = torch.isfinite(self.theta).all(dim=1)
        if not bool(good.all()):
            unit = int(torch.nonzero(~good)[0])
            raise DivergedError(unit, int(self.age[unit]), "its parameters are not finite")

    def ahead(self, rollout: GameRollout) -> tuple[Tensor, Tensor]:
        """The gradient (N,) of every agent's loss on a rollout by its parameters; losses (U,)."""
        grad, loss = gradients(self.task.network, self.theta, rollout, 0.0)
        return grad.view(-1), loss

    def place(self, loss: Tensor) -> Place:
        """The place of the coordinates."""
        fraction = (self.age / self.lifetime).clamp(max=1.0).to(loss.dtype)
        return Place(self.task.network.shapes, loss, fraction)

    def _marks(self) -> tuple[Tensor, Tensor]:
        """Index and weight (U, E, k) of the games' observations."""
        index, weight = (torch.from_numpy(values) for values in self.game.marks())
        shape = self.units, self.games, index.shape[1]
        return index.view(shape), weight.to(self.theta.dtype).view(shape)

    def state_dict(self) -> State:
        """Everything that an exact resume needs."""
        return {
            "theta": self.theta.clone(), "state": self.state.clone(), "age": self.age.clone(),
            "game": {k: torch.from_numpy(v.copy()) for k, v in self.game.state().items()},
            "torch_rng": self.torch_rng.get_state(), "rng": self.rng.bit_generator.state,
        }  # fmt: skip

    def load_state_dict(self, state: State) -> None:
        """Inverse of `state_dict`."""
        for name in ("theta", "state", "age"):
            copy_into(getattr(self, name), state[name])
        for name, array in self.game.state().items():
            if name not in state["game"]:
                held = ", ".join(state["game"])
                raise ValueError(f"the checkpoint's games hold {held}, not {name}: another version wrote it")
            array[...] = state["game"][name].numpy()
        self.torch_rng.set_state(state["torch_rng"])
        self.rng.bit_generator.state = state["rng"]


def agents_of(config: MetaConfig, task: SmallTask, rule: UpdateRule, seed: int) -> Agents:
    """Units of one task for a meta-training. If it is the only task, rewards are unscaled."""
    alone = len(find_tasks(config.tasks)) == 1
    lives = config.reset_interval if config.pipeline else config.iterations
    return Agents(
        task, rule, config.units, games=config.unit_games, steps=config.rollout,
        alpha=task.alone if alone else task.alpha, scale=1.0 if alone else task.reward_scale,
        seed=seed, lifetime=lives * config.inner_updates,
    )  # fmt: skip
