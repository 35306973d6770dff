"""An environment with one action, whose spaces, answers and errors a test chooses."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

UNIT = spaces.Box(0.0, 1.0, (1,), np.float32)
LINE = spaces.Box(-9.0, 9.0, (2,), np.float64)


class Throttle(gymnasium.Env[Any, Any]):
    """Takes any action and remembers it; spaces, what a step returns and what it raises are given."""

    seen: list[Any] = []  # noqa: RUF012 of all environments of a test

    def __init__(
        self, action: Any = UNIT, obs: Any = LINE, answer: Any = None, length: int = 20, fault: str = ""
    ) -> None:
        self.action_space, self.observation_space = action, obs
        self.answer, self.length, self.fault, self.count = answer, length, fault, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.count = 0
        if self.fault == "reset":
            raise KeyError("no such track")
        return np.zeros(2), {}

    def step(self, action: Any) -> Any:
        self.count += 1
        self.seen.append(np.copy(action))
        if self.fault == "step" and self.count == 7:
            raise ZeroDivisionError("the engine stalled")
        if self.fault == "exit" and self.count == 7:
            raise SystemExit(0)
        if self.answer is not None and self.count == 3:
            return self.answer
        return np.full(2, self.count), 1.0, False, self.count >= self.length, {"cost": 0.0}


def short_run(algo: str, *words: str) -> list[str]:
    """A run of a second."""
    off = "--steps 200 --warmup 100 --eval-every 150 --eval-episodes 1 --batch-size 8"
    on = "--steps 400 --samples 200 --envs 1 --initial-std 3 --policy-epochs 1 --critic-epochs 1"
    own = off if algo == "sac" else on
    return ["--algo", algo, "--hidden", "8", "--no-progress", *own.split(), *words]
