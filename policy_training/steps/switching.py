"""What PCRPO and ESPO share: the mode by measured cost, and a policy step on one or on both objectives.

Two places to manipulate gradients. Raw: the gradients of the surrogates E[ratio A] are combined, and one
trust-region step follows the result. Natural: each objective gets a trust-region step of its own from the
same parameters, and the two displacements are combined; no KL limit holds for the result unless `recheck`.
Angles differ, and with them conflicts: `angle` is that of what was combined, `cosine/raw` that of the raw
gradients of the same batch.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from policy_training.checkpoint import State
from policy_training.estimates.advantages import Rollout, standardised
from policy_training.experience.costs import check_limits
from policy_training.networks.gaussian import GaussianActor
from policy_training.steps.gradient_manipulation import (
    MODES,
    Direction,
    Mode,
    Schedule,
    combined,
    cosine,
    mode_of,
    scaled,
    shrunk,
)
from policy_training.steps.trust_region import (
    OldPolicy,
    Product,
    Search,
    TrustRegionConfig,
    fisher_product,
    line_search,
    natural_step,
    surrogate_gradients,
)

ROWS: dict[Mode, list[int]] = {"reward": [0], "cost": [1], "soft": [0, 1]}  # objectives that count


@dataclass(frozen=True)
class SwitchConfig(TrustRegionConfig):
    """Settings of the switch and of the step."""

    target_kl: float = 0.05
    "Most KL divergence of a trust-region step [nat]."
    cg_iterations: int = 10
    "Most iterations of the conjugate gradient."
    backtracks: int = 10
    "Most trials of the line search."
    shrink: float = 0.5
    "Factor by which a rejected trial shortens the step."
    accept_ratio: float = 0.1
    "Natural space: least gain of a displacement, as a share of what its gradient promises."
    space: Literal["natural", "raw"] = "natural"
    "What is combined: natural-gradient displacements of each objective, or their raw gradients."
    recheck: bool = False
    "Natural space: shorten the combined displacement until it is within target_kl, too."
    x_r: float = 0.5
    "Weight of the reward's direction where both count; the cost's is 1 - x_r."
    safety_start: int = 0
    "Iterations on reward alone at the start."

    def __post_init__(self) -> None:
        super().__post_init__()
        check_limits(self.cost_limits, most=1)


def check_slacks(above: float, below: float) -> None:
    """ValueError unless h+ = `above` >= 0 and h- = `below` <= 0; both may be infinite."""
    if not (above >= 0.0 and below <= 0.0):
        raise ValueError(f"slacks are {above} and {below}; slack_above must be >= 0, slack_below <= 0")


class Decay:
    """A factor in [0, 1] that follows a schedule over the run."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule, self.factor, self.progress = schedule, 1.0, 0.0

    def advance(self, progress: float) -> float:
        """The factor at this share of the run."""
        self.factor = shrunk(self.factor, self.schedule, self.progress, progress)
        self.progress = progress
        return self.factor

    def state_dict(self) -> State:
        """Everything that an exact resume needs."""
        return {"factor": self.factor, "progress": self.progress}

    def load_state_dict(self, state: State) -> None:
        """Inverse of `state_dict`."""
        self.factor, self.progress = state["factor"], state["progress"]


class Switch:
    """Chooses the mode, and counts modes and conflicts."""

    def __init__(self, config: SwitchConfig, above: float, below: float, schedule: Schedule) -> None:
        self.limit, self.safety_start = config.cost_limits[0][1], config.safety_start
        self.above, self.below, self.decay = above, below, Decay(schedule)
        self.counts = dict.fromkeys(MODES, 0)
        self.conflicts = self.opposites = 0
        self.conflict = False  # in the last iteration

    def choose(self, cost: float, progress: float) -> Mode:
        """Mode at a mean undiscounted episode cost; reward alone until the safety start."""
        factor = self.decay.advance(progress)
        if sum(self.counts.values()) < self.safety_start:
            return "reward"
        return mode_of(cost, self.limit, scaled(self.above, factor), scaled(self.below, factor))

    def count(self, mode: Mode, found: Direction) -> dict[str, float]:
        """Record an iteration. Returns the counts so far, for the log."""
        self.counts[mode] += 1
        self.conflict = found.conflict
        self.conflicts += found.conflict
        self.opposites += found.opposite
        angle = {} if found.angle is None else {"angle": found.angle}
        return {f"mode/{name}": float(n) for name, n in self.counts.items()} | angle | {
            "conflicts": float(self.conflicts), "opposite": float(self.opposites),
            "slack_factor": self.decay.factor,
        }  # fmt: skip

    def state_dict(self) -> State:
        """Everything that an exact resume needs."""
        return {
            "counts": dict(self.counts), "conflicts": self.conflicts, "opposites": self.opposites,
            "conflict": self.conflict, "decay": self.decay.state_dict(),
        }  # fmt: skip

    def load_state_dict(self, state: State) -> None:
        """Inverse of `state_dict`."""
        self.counts = dict(state["counts"])
        self.conflicts, self.opposites = state["conflicts"], state["opposites"]
        self.conflict = state["conflict"]
        self.decay.load_state_dict(state["decay"])


def follow(
    actor: GaussianActor, rollout: Rollout, mode: Mode, cfg: SwitchConfig
) -> tuple[Direction, dict[str, float]]:
    """Move the actor by the mode's direction. Returns the combined direction, and figures for the log.

    The objectives' advantages are standardised each, as ESPO's Table 7 has it; the cost's counts negative, so
    that both are ascended. Their scale changes the sum of raw gradients, but not the displacements.
    """
    uphill = torch.stack((standardised(rollout.advantage[0]), -standardised(rollout.advantage[1])))[
        ROWS[mode]
    ]
    old = OldPolicy.of(actor, rollout.obs, rollout.action)
    product = fisher_product(actor, old.inputs[:: cfg.fisher_every], cfg.damping)
    search = Search(actor, old, uphill)
    gradients, start = surrogate_gradients(actor, old, uphill), actor.vector()
    if cfg.space == "raw":
        found = _direction(list(gradients), cfg.x_r)
        step = natural_step(product, found.vector, cfg)
        share = line_search(
            actor, start, step, lambda: search.within(cfg.target_kl) and bool((search.gains >= 0.0).all()),
            cfg.backtracks, cfg.shrink,
        )  # fmt: skip
    else:
        parts = [
            displacement(actor, old, product, g, row, cfg) for g, row in zip(gradients, uphill, strict=True)
        ]
        found = _direction([step for step, _ in parts], cfg.x_r)
        share = min(share for _, share in parts)
        if cfg.recheck:
            share *= line_search(
                actor, start, found.vector, lambda: search.within(cfg.target_kl), cfg.backtracks, cfg.shrink
            )
        else:
            actor.set_vector(start + found.vector)
    search.within(cfg.target_kl)
    figures = {"kl": search.kl, "step_size": share, "entropy": actor.entropy()}
    if mode == "soft":
        figures["cosine/raw"] = cosine(*gradients)  # of the same batch, whatever the space
    return found, figures


def displacement(
    actor: GaussianActor, old: OldPolicy, product: Product, gradient: Tensor, uphill: Tensor,
    cfg: SwitchConfig,
) -> tuple[Tensor, float]:  # fmt: skip
    """The trust-region step (P,) of one objective, and its share of the full one; the actor stays.

    gradient (P,) of E[ratio A], A = `uphill` (T,). Zero where no step within the KL limit gains enough.
    """
    start, step = actor.vector(), natural_step(product, gradient, cfg)
    search = Search(actor, old, uphill[None])

    def accept() -> bool:
        promised = float(gradient @ (actor.vector() - start))
        return search.within(cfg.target_kl) and float(search.gains[0]) >= cfg.accept_ratio * promised

    share = line_search(actor, start, step, accept, cfg.backtracks, cfg.shrink)
    actor.set_vector(start)
    return (share * step if share > 0.0 else torch.zeros_like(step)), share


def _direction(followed: list[Tensor], x_r: float) -> Direction:
    return Direction(followed[0]) if len(followed) == 1 else combined(followed[0], followed[1], x_r)
