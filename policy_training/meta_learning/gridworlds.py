"""Walled gridworlds with objects that come and go, many at a time.

After Oh et al. 2020, with the agent's own position in the observation. Each step: the agent moves (stay, or
one of 8 directions; a wall leaves it where it is); it takes the objects that it stands on: the reward is
added and the episode may end; then every absent object may reappear on any cell, occupied or not. An
episode that ends is reset at once, with agent and objects on distinct cells.

Shapes: E worlds, M objects, R rows and C columns inside the walls.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Marks(NamedTuple):
    """The ones of binary observations, k of each; cells without a mark are 0."""

    cell: NDArray[np.int64]  # (E, k) in the flattened observation
    weight: NDArray[np.float32]  # (E, k) 0 for unused entries


MOVES = np.array([(0, 0), (-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1)])


@dataclass(frozen=True)
class GridLayout:
    """Rules of one gridworld."""

    rows: int
    columns: int
    pairs: int  # of objects: +1 that never ends the episode, -1 that ends it with probability 0.5
    respawn: float  # probability per step that an absent object reappears
    limit: int  # [steps] of an episode

    @property
    def objects(self) -> int:
        """M."""
        return 2 * self.pairs

    @property
    def planes(self) -> tuple[int, int, int]:
        """Shape of an observation: a map for every object, one for the agent; border cells included."""
        return self.objects + 1, self.rows + 2, self.columns + 2


class Gridworlds:
    """E worlds with one random number generator."""

    actions = len(MOVES)

    def __init__(self, layout: GridLayout, count: int, rng: np.random.Generator) -> None:
        self.layout, self.count, self.rng = layout, count, rng
        inside, size = np.indices((layout.rows, layout.columns)), layout.rows * layout.columns
        border = (inside[0] + 1) * (layout.columns + 2) + inside[1] + 1
        starts = np.arange(layout.objects + 1) * math.prod(layout.planes[1:])
        self.shown = border.reshape(size, 1) + starts  # (cells, M + 1) index in an observation
        self.maps = np.arange(layout.objects + 1)
        rows, columns = (side[..., None] + step for side, step in zip(inside, MOVES.T, strict=True))
        to = rows.clip(0, layout.rows - 1) * layout.columns + columns.clip(0, layout.columns - 1)
        self.after = to.reshape(size, self.actions)  # (cells, 9) the cell after a move
        self.cells = np.zeros((count, layout.objects + 1), dtype=np.int64)  # row * C + column, the agent last
        self.place, self.agent = self.cells[:, :-1], self.cells[:, -1]
        self.present = np.zeros((count, layout.objects), dtype=bool)
        self.time = np.zeros(count, dtype=np.int64)
        self.reward = np.tile([1.0, -1.0], layout.pairs)
        self.ending = np.tile([0.0, 0.5], layout.pairs)
        self.reset(np.arange(count))

    def reset(self, which: NDArray[np.int64]) -> None:
        """New episodes in these worlds: agent and objects on distinct cells."""
        order = np.argsort(self.rng.random((len(which), len(self.after))), axis=1)
        self.cells[which] = order[:, : self.cells.shape[1]]
        self.present[which], self.time[which] = True, 0

    def step(self, action: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """action (E,) in 0..8 -> reward (E,), whether the episode has ended (E,)."""
        rule, rng = self.layout, self.rng
        self.agent[:] = self.after[self.agent, action]
        taken = self.present & (self.place == self.agent[:, None])
        reward = taken @ self.reward
        ended = (taken & (rng.random(taken.shape) < self.ending)).any(axis=1)
        self.present &= ~taken
        back = ~self.present & (rng.random(taken.shape) < rule.respawn)
        self.place[back] = rng.integers(len(self.after), size=int(back.sum()))
        self.present |= back
        self.time += 1
        ended |= self.time >= rule.limit
        if ended.any():
            self.reset(np.flatnonzero(ended))
        return reward, ended

    def marks(self) -> Marks:
        """Which cells of which maps are 1: objects in their order, then the agent."""
        weight = np.ones(self.cells.shape, dtype=np.float32)
        weight[:, :-1] = self.present
        return Marks(self.shown[self.cells, self.maps], weight)

    def state(self) -> dict[str, NDArray]:
        """State for an exact resume, without the random number generator."""
        return {"cells": self.cells, "present": self.present, "time": self.time}
