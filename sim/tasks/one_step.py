"""One state, one action, one step: a constrained problem whose optimum is known.

The action a in [-1, 1] earns -(a - 0.8)^2 and violates with probability p(a) = (1 + a) / 2. Without a
constraint the best action is 0.8. With p(a) <= eps it is 2 eps - 1, and the multiplier there follows from
d reward / d a = nu dp / da: nu = 4 (0.8 - a).
"""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

PEAK = 0.8
Array = NDArray[np.float32]


def risk(action: float) -> float:
    """Probability of a violation."""
    return 0.5 * (1.0 + action)


class OneStepEnv(gymnasium.Env[Array, Array]):
    """Observation (1,): always 0. Every episode counts as a success: there is nothing to learn first."""

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012
    observation_scaling = (np.zeros(1, np.float32), np.ones(1, np.float32))

    def __init__(self) -> None:
        self.observation_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        """The one state."""
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {"cost": 0.0, "cost_terms": {"chance": 0.0}, "success": False}

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """The one step."""
        a = float(np.clip(action[0], -1.0, 1.0))
        if not np.isfinite(a):
            raise ValueError(f"action is {action!r}; it must be finite, in [-1, 1]")
        cost = float(self.np_random.random() < risk(a))
        info = {"cost": cost, "cost_terms": {"chance": cost}, "success": True}
        return np.zeros(1, np.float32), -((a - PEAK) ** 2), True, False, info
