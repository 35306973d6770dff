"""Gymnasium's own tasks without costs, as our learners take them: actions in [-1, 1], cost 0 at every step.

``gymnasium.make("sim.costless:costless/Pendulum-v0")``, and so on: not ours, and so not in `registration`.
"""

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
TASKS = {
    "costless/Pendulum-v0": "Pendulum-v1",
    "costless/InvertedPendulum-v0": "InvertedPendulum-v5",
    "costless/InvertedDoublePendulum-v0": "InvertedDoublePendulum-v5",
}
"""Our name, and Gymnasium's; time limits are Gymnasium's."""


class Costless(gymnasium.Wrapper[Array, Array, Array, Array]):
    """Says that a task without costs costs nothing."""

    def __init__(self, task: str) -> None:
        env: gymnasium.Env[Array, Array] = gymnasium.make(task, disable_env_checker=True)
        super().__init__(gymnasium.wrappers.RescaleAction(env, np.float32(-1.0), np.float32(1.0)))

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Actions outside [-1, 1] are cut."""
        cut = np.clip(action, -1.0, 1.0).astype(np.float32)
        obs, reward, terminated, truncated, info = self.env.step(cut)
        return obs.astype(np.float32), float(reward), terminated, truncated, info | {"cost": 0.0}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        """As Gymnasium's."""
        obs, info = self.env.reset(seed=seed, options=options)
        return obs.astype(np.float32), info


for _name, _task in TASKS.items():
    if _name not in gymnasium.registry:
        gymnasium.register(id=_name, entry_point="sim.costless:Costless", kwargs={"task": _task})
