"""A task of one's own: warm a room without overheating it. Importing this module registers ``Heater-v0``."""

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

WANTED, TOO_HOT = 21.0, 23.0  # [deg C]
Vector = NDArray[np.float32]


class HeaterEnv(gymnasium.Env[Vector, Vector]):
    """Observation (2,): room, outside temperature [deg C]. Action (1,) in [-1, 1]: heater off to full."""

    observation_space = gymnasium.spaces.Box(-50.0, 100.0, (2,), np.float32)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)
    # Networks see (obs - shift) / scale. Without this attribute they see the observation as it is.
    observation_scaling = np.array([20.0, 5.0], np.float32), np.array([5.0, 5.0], np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Vector, dict[str, Any]]:
        """A cold room on a random day."""
        super().reset(seed=seed)
        self.room, self.outside = self.np_random.uniform((14.0, 0.0), (18.0, 10.0))
        return self._observe(), {}

    def step(self, action: Vector) -> tuple[Vector, float, bool, bool, dict[str, Any]]:
        """A quarter of an hour."""
        power = 0.5 * (1.0 + float(np.clip(action[0], -1.0, 1.0)))
        self.room += 4.0 * power - 0.1 * (self.room - self.outside)
        error, hot = abs(self.room - WANTED), float(self.room > TOO_HOT)
        info = {"cost": hot, "cost_terms": {"hot": hot}, "success": error < 0.5}
        return self._observe(), -error, False, False, info

    def _observe(self) -> Vector:
        return np.array([self.room, self.outside], np.float32)


gymnasium.register("Heater-v0", HeaterEnv, max_episode_steps=30)  # a time limit is needed
