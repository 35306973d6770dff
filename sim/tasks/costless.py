"""Gymnasium's own tasks in the form our learners need: cost 0 at every step.

``gymnasium.make("sim.tasks.costless:costless/Pendulum-v0")``, and so on: not ours, so not in `registration`.
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
"""Our id, and Gymnasium's; the time limits are Gymnasium's."""


class Costless(gymnasium.Wrapper[Array, Array, Array, Array]):
    """Adds a cost of 0 to a task without costs."""

    def __init__(self, task: str) -> None:
        super().__init__(gymnasium.make(task, disable_env_checker=True))

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Gymnasium's step, with a cost."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        return obs, float(reward), terminated, truncated, info | {"cost": 0.0}


for _name, _task in TASKS.items():
    if _name not in gymnasium.registry:
        gymnasium.register(id=_name, entry_point="sim.tasks.costless:Costless", kwargs={"task": _task})
