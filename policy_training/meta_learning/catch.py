"""Catch: a ball falls one row a step, a paddle below moves left, stays or moves right. Many at a time."""

import numpy as np
from numpy.typing import NDArray

from policy_training.meta_learning.gridworlds import Marks

ROWS, COLUMNS = 10, 5


class Catch:
    """E games with one random number generator."""

    actions = 3

    def __init__(self, count: int, rng: np.random.Generator) -> None:
        self.count, self.rng = count, rng
        self.ball = np.zeros((count, 2), dtype=np.int64)  # row, column
        self.paddle = np.zeros(count, dtype=np.int64)
        self.reset(np.arange(count))

    def reset(self, which: NDArray[np.int64]) -> None:
        """Ball at a random place in the top row; paddle in the middle."""
        self.ball[which, 0] = 0
        self.ball[which, 1] = self.rng.integers(COLUMNS, size=len(which))
        self.paddle[which] = COLUMNS // 2

    def step(self, action: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """action (E,): left, stay, right -> reward (E,) of +1 or -1 at the end, whether it has ended (E,)."""
        np.clip(self.paddle + action - 1, 0, COLUMNS - 1, out=self.paddle)
        self.ball[:, 0] += 1
        ended = self.ball[:, 0] == ROWS - 1
        reward = np.where(ended, np.where(self.ball[:, 1] == self.paddle, 1.0, -1.0), 0.0)
        if ended.any():
            self.reset(np.flatnonzero(ended))
        return reward, ended

    def marks(self) -> Marks:
        """Ball and paddle on the board of 50 cells."""
        ball, paddle = self.ball[:, 0] * COLUMNS + self.ball[:, 1], (ROWS - 1) * COLUMNS + self.paddle
        return Marks(np.stack((ball, paddle), axis=1), np.ones((self.count, 2), dtype=np.float32))

    def state(self) -> dict[str, NDArray]:
        """State for an exact resume, without the random number generator."""
        return {"ball": self.ball, "paddle": self.paddle}
