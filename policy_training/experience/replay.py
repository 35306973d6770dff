"""Replay: all transitions D, the violating ones D_s, initial states D_0, and demonstrations.

A transition is one row of float32: obs (O), action (A), next_obs (O), reward, terminated, costs (1 + K): the
scalar cost, then those that have a limit of their own. One table and one gather per batch; the batch's fields
are views of it.
"""

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from policy_training.checkpoint import State
from policy_training.ranges import check_ranges

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Batch:
    """B transitions, float32."""

    obs: Tensor  # (B, O)
    action: Tensor  # (B, A) in [-1, 1]
    next_obs: Tensor  # (B, O)
    reward: Tensor  # (B,)
    costs: Tensor  # (B, 1 + K) >= 0
    terminated: Tensor  # (B,) 1 only at a true terminal state; a time limit is 0
    prior: int = 0  # so many leading rows come from the prior episodes

    @property
    def cost(self) -> Tensor:
        """(B,) the scalar cost."""
        return self.costs[:, 0]


class EpisodeOutcome(NamedTuple):
    """How an episode of the policy ended."""

    violated: bool
    success: bool


class Table:
    """A ring of rows (capacity, W); the newest replaces the oldest."""

    def __init__(self, capacity: int, width: int) -> None:
        if not capacity >= 1:
            raise ValueError(f"capacity is {capacity}; it must be at least 1")
        self.rows = np.zeros((capacity, width), dtype=np.float32)
        self.size = self.next = 0

    def add(self, rows: Array) -> None:
        """Append rows (N, W), N at most the capacity."""
        places = (self.next + np.arange(len(rows))) % len(self.rows)
        self.rows[places] = rows
        self.next = int((self.next + len(rows)) % len(self.rows))
        self.size = min(self.size + len(rows), len(self.rows))

    def sample(self, count: int, rng: np.random.Generator, out: Array) -> None:
        """Fill out (count, W) with rows drawn with replacement."""
        np.take(self.rows, rng.integers(self.size, size=count), axis=0, out=out, mode="clip")

    def state_dict(self) -> State:
        """Only the filled part, as a view: save it before the next `add`."""
        return {"rows": torch.from_numpy(self.rows[: self.size]), "size": self.size, "next": self.next}

    def load_state_dict(self, state: State) -> None:
        """Inverse of `state_dict`."""
        rows, size, place = state["rows"], state["size"], state["next"]
        if not (isinstance(rows, Tensor) and isinstance(size, int) and isinstance(place, int)):
            raise ValueError("the saved buffer is damaged; resume from another checkpoint")
        if not (size <= len(self.rows) and rows.shape[1] == self.rows.shape[1]):
            raise ValueError(f"the saved buffer is {tuple(rows.shape)}; this one holds {self.rows.shape}")
        self.rows[:size] = rows.numpy()
        self.size, self.next = size, place


@dataclass(frozen=True)
class MemoryConfig:
    """Sizes and shares of the replay memory."""

    capacity: int = 1_000_000
    "Transitions kept."
    violation_capacity: int = 100_000
    "Violating transitions kept beside them."
    initial_capacity: int = 10_000
    "Initial states kept beside them."
    prior_fraction: float = 0.5
    "Share of each batch drawn from the prior episodes, if there are any."

    def __post_init__(self) -> None:
        check_ranges(self)


OUTCOMES = 1000  # kept for a learner that does not ask for them


class Memory:
    """The buffers that updates sample from: D, D_s, D_0 and the prior episodes."""

    def __init__(
        self, obs_size: int, action_size: int, seed: int, config: MemoryConfig, prior: int = 0,
        named_costs: int = 0,
    ) -> None:  # fmt: skip
        self.obs_size, self.action_size, self.config = obs_size, action_size, config
        self.sizes = (obs_size, action_size, obs_size, 1, 1, 1 + named_costs)
        self.width = sum(self.sizes)
        self.rng = np.random.default_rng(seed)
        self.all = Table(config.capacity, self.width)
        self.violating = Table(config.violation_capacity, self.width)
        self.initial = Table(config.initial_capacity, obs_size)
        self.prior = Table(max(prior, 1), self.width)
        self.outcomes: deque[EpisodeOutcome] = deque(maxlen=OUTCOMES)  # that no update has seen

    def add(
        self, obs: Array, action: Array, next_obs: Array, reward: Array, cost: Array, terminated: Array,
        *, prior: bool = False,
    ) -> None:  # fmt: skip
        """N transitions: obs, next_obs (N, O), action (N, A), cost (N,) or (N, 1 + K), the rest (N,)."""
        rows = np.column_stack((obs, action, next_obs, reward, terminated, cost)).astype(
            np.float32, copy=False
        )
        if not np.isfinite(rows).all():
            raise FloatingPointError(f"a transition holds a number that is not finite: {rows}")
        (self.prior if prior else self.all).add(rows)
        violating = rows[:, -self.sizes[-1]] > 0.0
        if violating.any():
            self.violating.add(rows[violating])

    def add_initial(self, obs: Array) -> None:
        """N initial states (N, O)."""
        self.initial.add(np.asarray(obs, dtype=np.float32))

    def finished_episode(self, *, violated: bool, success: bool) -> None:
        """An episode of the policy has ended."""
        self.outcomes.append(EpisodeOutcome(violated, success))

    def new_outcomes(self) -> list[EpisodeOutcome]:
        """Of the episodes that have ended since this was last asked, oldest first."""
        new = list(self.outcomes)
        self.outcomes.clear()
        return new

    def batch(self, count: int, *, prior_fraction: float | None = None) -> Batch:
        """From D, with the configured share of prior transitions; a share of 0 means D alone."""
        rows = np.empty((count, self.width), dtype=np.float32)
        prior = self._fill(rows, self.config.prior_fraction if prior_fraction is None else prior_fraction)
        return self._cut(rows, prior)

    def violations(self, count: int) -> Batch:
        """From D_s; no rows while it is empty."""
        rows = np.empty((count if self.violating.size else 0, self.width), dtype=np.float32)
        if len(rows):
            self.violating.sample(len(rows), self.rng, rows)
        return self._cut(rows)

    def initial_states(self, count: int) -> Tensor:
        """(count, O) from D_0."""
        rows = np.empty((count, self.obs_size), dtype=np.float32)
        self.initial.sample(count, self.rng, rows)
        return torch.from_numpy(rows)

    def _fill(self, rows: Array, prior_fraction: float) -> int:
        """Sample into rows (N, W), prior ones first. Returns the number of prior rows."""
        share = prior_fraction if self.all.size else 1.0
        prior = round(len(rows) * share) if self.prior.size else 0
        if prior:
            self.prior.sample(prior, self.rng, rows[:prior])
        if prior < len(rows):
            self.all.sample(len(rows) - prior, self.rng, rows[prior:])
        return prior

    def _cut(self, rows: Array, prior: int = 0) -> Batch:
        obs, action, next_obs, reward, end, costs = torch.from_numpy(rows).split(self.sizes, dim=1)
        return Batch(obs, action, next_obs, reward.squeeze(1), costs, end.squeeze(1), prior)

    def state_dict(self) -> State:
        """Everything, the generator's state included. The rows are views: save them before the next `add`."""
        tables = {k: getattr(self, k).state_dict() for k in ("all", "violating", "initial", "prior")}
        outcomes = [list(outcome) for outcome in self.outcomes]
        return {**tables, "rng": self.rng.bit_generator.state, "outcomes": outcomes}

    def load_state_dict(self, state: State) -> None:
        """Inverse of `state_dict`."""
        for name in ("all", "violating", "initial", "prior"):
            getattr(self, name).load_state_dict(state[name])
        self.rng.bit_generator.state = state["rng"]
        self.outcomes.extend(EpisodeOutcome(*outcome) for outcome in state.get("outcomes", []))
