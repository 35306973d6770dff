"""The tasks of meta-training, by name, with the sizes and rates of the paper's code.

A single task has reward scale 1 and its own alpha; one of several has those of the table: the scales spread
the gradients over the magnitudes that other tasks have. `small_sparse_*` are reserved for validation.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from policy_training.meta_learning.a2c import GameNetwork
from policy_training.meta_learning.catch import COLUMNS, ROWS, Catch
from policy_training.meta_learning.gridworlds import GridLayout, Gridworlds, Marks


class Game(Protocol):
    """Many games of one kind, E of them."""

    count: int
    rng: np.random.Generator

    def reset(self, which: NDArray[np.int64]) -> None:
        """New episodes in these games."""

    def step(self, action: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """action (E,) -> reward (E,), ended (E,). A game that has ended has been reset."""

    def marks(self) -> Marks:
        """Observations by the indices of their ones."""

    def state(self) -> dict[str, NDArray]:
        """Its arrays, by name; a resume overwrites them in place."""


@dataclass(frozen=True)
class SmallTask:
    """One kind of game, the network that plays it, and the size of its updates."""

    name: str
    network: GameNetwork
    layout: GridLayout | None  # none: Catch
    reward_scale: float = 1.0  # if it is one of several tasks
    alpha: float = 3e-3
    alone: float = 3e-3  # alpha if it is the only task
    grad_clip: float = 1.0  # gradients are clipped at plus and minus this; 0 does not clip

    def game(self, count: int, rng: np.random.Generator) -> Game:
        """`count` games."""
        return Catch(count, rng) if self.layout is None else Gridworlds(self.layout, count, rng)


def _grid(name: str, size: tuple[int, int], scale: float, alpha: float, alone: float) -> SmallTask:
    amount, density, length = name.split("_")
    layout = GridLayout(
        *size, pairs=2 if amount == "big" else 1, respawn=0.5 if density == "dense" else 0.05,
        limit=50 if length == "short" else 500,
    )  # fmt: skip
    filters = 16 if amount == "big" else 0
    network = GameNetwork(layout.planes, Gridworlds.actions, hidden=32, filters=filters)
    return SmallTask(name, network, layout, scale, alpha, alone)


TASKS = {
    task.name: task
    for task in (
        _grid("small_dense_long", (6, 4), 1e3, 1e-3, 3e-2),
        _grid("small_dense_short", (4, 6), 1e2, 3e-3, 1e-2),
        _grid("big_sparse_short", (10, 12), 1e2, 3e-3, 3e-3),
        _grid("big_dense_short", (9, 13), 1e1, 3e-3, 3e-3),
        _grid("big_sparse_long", (12, 10), 1e1, 1e-3, 3e-3),
        _grid("big_dense_long", (13, 9), 1e0, 3e-3, 3e-3),
        _grid("small_sparse_short", (3, 8), 1.0, 3e-3, 1e-2),
        _grid("small_sparse_long", (8, 3), 1.0, 3e-3, 1e-2),
        SmallTask(
            "catch", GameNetwork((1, ROWS, COLUMNS), Catch.actions, hidden=256), None,
            alpha=1e-3, alone=1e-3, grad_clip=0.0,
        ),
    )
}  # fmt: skip


def find_tasks(names: str) -> tuple[SmallTask, ...]:
    """Tasks by names that commas separate. ValueError if one is unknown or repeated."""
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in TASKS]
    if unknown or not wanted or len(set(wanted)) < len(wanted):
        raise ValueError(
            f"tasks are {names!r}; allowed are names, each once, with commas between: {', '.join(TASKS)}"
        )
    return tuple(TASKS[name] for name in wanted)
