"""Layouts: which optimizer moves what, where several losses meet in one network.

A loss has a head, a parameter group of the same name. All losses may have one more in common, the trunk.

    single     one optimizer, one rate, one step down the sum of the losses (what Stable-Baselines3 does)
    grouped    the same with a rate for each group
    isolated   one optimizer per loss; the trunk belongs to one of them, the others do not move it
    shared     one optimizer per loss; each steps the trunk and its head, in turn, at its own rate

The optimizer is Adam. It treats every coordinate by itself, so one Adam over several groups equals one Adam
per group, stepped together; the rates of groups keep their ratios whatever scale a schedule gives. (One rate
written into all groups, as `update_learning_rate` of Stable-Baselines3 does, turns grouped into single.)
Without a common trunk all four are the same except for the rates and the clip scope:

    loss       each loss's gradient is clipped to norm `longest` by itself. Losses are evaluated in turn, so
               in shared the second one sees the trunk that the first one has moved.
    global     all gradients are taken at one point and clipped together, by the norm of everything that is
               stepped along: a huge one shrinks the others (as in SafePO).

Shapes: L losses, P parameters of the trunk.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from policy_training.checkpoint import State
from policy_training.optimizers.adam import FusedAdam

Kind = Literal["single", "grouped", "isolated", "shared"]
ClipScope = Literal["global", "loss"]
Losses = Mapping[str, Callable[[], Tensor]]  # by name; each is evaluated when its gradient is taken
KINDS: tuple[Kind, ...] = ("single", "grouped", "isolated", "shared")
TRUNK, SUM = "trunk", "sum"


@dataclass(frozen=True)
class Plan:
    """The layout and the clipping of gradients."""

    kind: Kind
    clip_scope: ClipScope = "global"
    longest: float = math.inf
    owner: str = ""  # loss that the trunk follows in isolated; the first one by default

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"layout is {self.kind!r}; allowed are {', '.join(KINDS)}")
        if self.clip_scope not in ("global", "loss"):
            raise ValueError(f"clip scope is {self.clip_scope!r}; allowed are global, loss")
        if not self.longest > 0.0:
            raise ValueError(f"the longest gradient is {self.longest}; it must be above 0")


class OptimizerLayout:
    """Adam on the trunk and the heads of several losses.

    `groups`: parameters by the name of their loss, and those under "trunk", if any. `rates`: by group; where
    there is one optimizer per loss, its head's rate is also the one at which it moves the trunk.
    """

    def __init__(
        self, groups: Mapping[str, Sequence[Tensor]], rates: Mapping[str, float], plan: Plan
    ) -> None:
        self.groups = {name: list(groups[name]) for name in groups if name != TRUNK}
        self.trunk, self.plan = list(groups.get(TRUNK, ())), plan
        self.owner = plan.owner or next(iter(self.groups))
        _check(self.groups, rates, plan.kind, self.owner, bool(self.trunk))
        self.adams = {name: FusedAdam(group, rates[name]) for name, group in self.groups.items()}
        if self.trunk:
            own = {SUM: rates[TRUNK]} if plan.kind in ("single", "grouped") else {}
            own |= {self.owner: rates[self.owner]} if plan.kind == "isolated" else {}
            own |= {name: rates[name] for name in self.groups} if plan.kind == "shared" else {}
            self.trunk_adams = {name: FusedAdam(self.trunk, rate) for name, rate in own.items()}
        else:
            self.trunk_adams = {}

    def step(self, losses: Losses, scale: float = 1.0) -> Tensor:
        """One step down every loss, at `scale` times the rates.

        Returns the products of the losses' gradients on the trunk with each other (L, L), before clipping,
        for `trunk_figures`; (0, 0) without a trunk.
        """
        if losses.keys() != self.groups.keys():
            raise ValueError(f"losses are {', '.join(losses)}; groups are {', '.join(self.groups)}")
        at_once = self.plan.clip_scope == "global" or not self.trunk_adams or SUM in self.trunk_adams
        trunk: dict[str, list[Tensor]] = {}
        heads: dict[str, list[Tensor]] = {}
        for name, loss in losses.items():
            wanted = (*self.trunk, *self.groups[name])
            gradients = list(torch.autograd.grad(loss(), wanted))
            trunk[name], heads[name] = gradients[: len(self.trunk)], gradients[len(self.trunk) :]
            if not at_once:
                self._descend({name: trunk[name]}, {name: heads[name]}, scale)
        if at_once:
            self._descend(trunk, heads, scale)
        if not self.trunk:
            return torch.empty((0, 0))
        flat = torch.stack([torch.cat([g.reshape(-1) for g in trunk[name]]) for name in losses])
        return flat @ flat.T

    def _descend(
        self, trunk: Mapping[str, Sequence[Tensor]], heads: Mapping[str, Sequence[Tensor]], scale: float
    ) -> None:
        """Clip the gradients of these losses, and step along them."""
        cut = dict.fromkeys(heads, 1.0)
        if self.plan.clip_scope == "loss":
            for name in heads:
                mine = trunk[name] if name in self.trunk_adams or SUM in self.trunk_adams else ()
                cut[name] = self._share([*mine, *heads[name]])
        moves = self._trunk_moves(trunk, cut)
        if self.plan.clip_scope == "global":
            share = self._share([g for gs in (*moves.values(), *heads.values()) for g in gs])
            cut = dict.fromkeys(heads, share)
            moves = {name: [share * g for g in gs] for name, gs in moves.items()}
        for name, move in moves.items():
            self.trunk_adams[name].step(move, scale)
        for name, gradients in heads.items():
            self.adams[name].step([cut[name] * g for g in gradients], scale)

    def _trunk_moves(
        self, trunk: Mapping[str, Sequence[Tensor]], cut: Mapping[str, float]
    ) -> dict[str, list[Tensor]]:
        """Gradients on the trunk by the optimizer that follows them."""
        scaled = {name: [cut[name] * g for g in gradients] for name, gradients in trunk.items()}
        if SUM in self.trunk_adams:
            return {SUM: [torch.stack(parts).sum(dim=0) for parts in zip(*scaled.values(), strict=True)]}
        return {name: gradients for name, gradients in scaled.items() if name in self.trunk_adams}

    def _share(self, gradients: Sequence[Tensor]) -> float:
        """The factor that clips a joint gradient to the allowed norm."""
        if math.isinf(self.plan.longest):
            return 1.0
        length = math.sqrt(float(torch.stack([g.square().sum() for g in gradients]).sum()))
        return min(1.0, self.plan.longest / (length + 1e-12))

    def state_dict(self) -> State:
        """Moments and counts; the parameters belong to their network."""
        return {
            "heads": {name: adam.state_dict() for name, adam in self.adams.items()},
            "trunk": {name: adam.state_dict() for name, adam in self.trunk_adams.items()},
        }

    def load_state_dict(self, state: State) -> None:
        """Inverse of `state_dict`."""
        for own, saved in ((self.adams, state["heads"]), (self.trunk_adams, state["trunk"])):
            if own.keys() != saved.keys():
                raise ValueError(f"saved optimizers are {', '.join(saved)}; here are {', '.join(own)}")
            for name, adam in own.items():
                adam.load_state_dict(saved[name])


def _check(
    groups: Mapping[str, object], rates: Mapping[str, float], kind: Kind, owner: str, trunk: bool
) -> None:
    wanted = {*groups, TRUNK} if trunk else set(groups)
    if not wanted <= rates.keys():
        raise ValueError(f"no rate for {', '.join(sorted(wanted - rates.keys()))}")
    if kind == "single" and len({rates[name] for name in wanted}) > 1:
        raise ValueError(f"layout single has one rate, got {dict(rates)}; for several use grouped")
    if owner not in groups:
        raise ValueError(f"the trunk's owner is {owner!r}; losses are {', '.join(groups)}")


def trunk_figures(products: Sequence[Tensor], names: Sequence[str]) -> dict[str, float]:
    """Means over updates, for the log: each loss's gradient norm on the trunk, the cosine between two losses.

    products: what `step` returned, (L, L) each, by `names` (L,). Empty without a trunk.
    """
    if not (len(products) and products[0].numel()):
        return {}
    gram = torch.stack(list(products))  # (N, L, L)
    norm = gram.diagonal(dim1=1, dim2=2).clamp_min(0.0).sqrt()
    cosine = gram / (norm[:, :, None] * norm[:, None, :]).clamp_min(torch.finfo(gram.dtype).tiny)
    norms, cosines = norm.mean(dim=0).tolist(), cosine.mean(dim=0).tolist()
    pairs = [(i, j) for i in range(len(names)) for j in range(i)]
    return {f"trunk_grad/{name}": norms[i] for i, name in enumerate(names)} | {
        f"trunk_cosine/{names[j]}_{names[i]}": cosines[i][j] for i, j in pairs
    }
