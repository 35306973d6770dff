"""A point among round obstacles, small enough to try every algorithm in a minute.

The arena is the square [-1, 1]^2 [m]; the action is a velocity, one step lasts `PERIOD`. Touching an obstacle
or leaving the arena costs 1 and ends the episode; reaching the goal ends it as a success.

In the plain task a violation forfeits the goal, so that no constraint binds. In the hasty one it does: the
faster the point moves the more likely it slips, and time is dear.
"""

import math
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

ARENA = 1.0  # [m] half side of the square
PERIOD = 0.1  # [s]
SPEED = 1.0  # [m/s] along each axis at an action of 1
GOAL_RADIUS = 0.15  # [m]
OBSTACLES = ((-0.25, 0.0), (0.25, 0.55), (0.25, -0.55))  # [m] centres
OBSTACLE_RADIUS = 0.18  # [m]
START_X, GOAL_X, SPREAD_Y = (-0.9, -0.7), (0.7, 0.9), 0.8  # [m] ranges of start and goal
PROGRESS_REWARD = 10.0  # per metre nearer to the goal
STEP_PRICE = 0.1  # reward lost per step
GOAL_REWARD = 10.0
HASTY_PERIOD = 0.2  # [s]
HASTY_STEP_PRICE = 1.0
SLIP = 0.06  # probability of slipping in a step at `SPEED`; it grows with the fourth power of the speed
WIDTH = 4 + 2 * len(OBSTACLES)

Array = NDArray[np.float32]
Point = tuple[float, float]


def potential(obs: Array) -> NDArray[np.floating[Any]]:
    """Minus the distance to the goal [m]. obs (..., O) -> (...)."""
    return -np.hypot(obs[..., 2], obs[..., 3])


def drawn(rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Start on the left and goal on the right, (2,) each [m]."""
    low, high = (START_X[0], GOAL_X[0], -SPREAD_Y, -SPREAD_Y), (START_X[1], GOAL_X[1], SPREAD_Y, SPREAD_Y)
    start_x, goal_x, start_y, goal_y = rng.uniform(low, high).tolist()
    return np.array((start_x, start_y)), np.array((goal_x, goal_y))


class Nav2DEnv(gymnasium.Env[Array, Array]):
    """Observation (O,) [m]: position (2), then goal (2) and each obstacle (2) relative to it."""

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012
    observation_scaling = (np.zeros(WIDTH, np.float32), np.ones(WIDTH, np.float32))
    potential = staticmethod(potential)

    def __init__(self) -> None:
        self.observation_space = spaces.Box(-4.0 * ARENA, 4.0 * ARENA, (WIDTH,), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self._position: Point = (0.0, 0.0)
        self._goal: Point = (0.0, 0.0)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        """New start on the left, new goal on the right."""
        super().reset(seed=seed)
        start, goal = drawn(self.np_random)
        self._position, self._goal = (float(start[0]), float(start[1])), (float(goal[0]), float(goal[1]))
        return self._observe(), self._info(obstacle=False, arena=False, success=False)

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Move for one period."""
        vx, vy = float(action[0]), float(action[1])
        if not (math.isfinite(vx) and math.isfinite(vy)):
            raise ValueError(f"action is {action!r}; it must be finite, in [-1, 1]")
        before = math.dist(self._position, self._goal)
        x = self._position[0] + min(1.0, max(-1.0, vx)) * SPEED * PERIOD
        y = self._position[1] + min(1.0, max(-1.0, vy)) * SPEED * PERIOD
        self._position = (x, y)
        after = math.dist(self._position, self._goal)
        arena = not (abs(x) <= ARENA and abs(y) <= ARENA)
        obstacle = any(math.dist(self._position, centre) <= OBSTACLE_RADIUS for centre in OBSTACLES)
        success = after <= GOAL_RADIUS and not (arena or obstacle)
        reward = PROGRESS_REWARD * (before - after) - STEP_PRICE + GOAL_REWARD * success
        info = self._info(obstacle=obstacle, arena=arena, success=success)
        return self._observe(), reward, arena or obstacle or success, False, info

    def _observe(self) -> Array:
        x, y = self._position
        values = [x, y, self._goal[0] - x, self._goal[1] - y]
        for centre in OBSTACLES:
            values += (centre[0] - x, centre[1] - y)
        return np.array(values, dtype=np.float32)

    @staticmethod
    def _info(*, obstacle: bool, arena: bool, success: bool) -> dict[str, Any]:
        terms = {"obstacle": float(obstacle), "arena": float(arena)}
        return {"cost": float(obstacle or arena), "cost_terms": terms, "success": success}


class HastyNav2DEnv(gymnasium.Env[Array, Array]):
    """The empty arena, its walls harmless. A step at the speed s [m/s] slips with probability
    `SLIP` (s / `SPEED`)^4, which costs 1 and ends the episode. Observation (4,) [m]: position, then the goal
    relative to it.

    Straight to the goal at `SPEED` slips in 0.4 of the episodes, at half of it in 0.06.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012
    observation_scaling = (np.zeros(4, np.float32), np.ones(4, np.float32))
    potential = staticmethod(potential)

    def __init__(self) -> None:
        self.observation_space = spaces.Box(-4.0 * ARENA, 4.0 * ARENA, (4,), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self._position, self._goal = np.zeros(2), np.zeros(2)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        """New start on the left, new goal on the right."""
        super().reset(seed=seed)
        self._position, self._goal = drawn(self.np_random)
        return self._observe(), {"cost": 0.0, "cost_terms": {"haste": 0.0}, "success": False}

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Move for one period."""
        wish = np.asarray(action, dtype=float)
        if not np.isfinite(wish).all():
            raise ValueError(f"action is {action!r}; it must be finite, in [-1, 1]")
        velocity = np.clip(wish, -1.0, 1.0) * SPEED
        before = math.dist(self._position, self._goal)
        self._position = np.clip(self._position + velocity * HASTY_PERIOD, -ARENA, ARENA)
        after = math.dist(self._position, self._goal)
        slipped = bool(self.np_random.random() < SLIP * (float(np.hypot(*velocity)) / SPEED) ** 4)
        success = after <= GOAL_RADIUS and not slipped
        reward = PROGRESS_REWARD * (before - after) - HASTY_STEP_PRICE + GOAL_REWARD * success
        info = {"cost": float(slipped), "cost_terms": {"haste": float(slipped)}, "success": success}
        return self._observe(), reward, slipped or success, False, info

    def _observe(self) -> Array:
        return np.concatenate((self._position, self._goal - self._position)).astype(np.float32)


def nav2d_controller(obs: Array) -> Array:
    """Straight to the goal, past the side of the first obstacle in the way. obs (O,) -> action (2,)."""
    position, goal = obs[:2].astype(float), obs[2:4].astype(float)
    aim, nearest = goal, math.inf
    length = float(np.hypot(*goal)) or 1.0
    ahead = goal / length
    side = np.array([-ahead[1], ahead[0]])
    keep = OBSTACLE_RADIUS + 0.12
    for i in range(len(obs) // 2 - 2):
        centre = obs[4 + 2 * i : 6 + 2 * i].astype(float)
        along, across = float(centre @ ahead), float(centre @ side)
        if not (0.0 < along < min(length, nearest) and abs(across) < keep):
            continue
        nearest = along
        ways = [centre - math.copysign(keep, across) * side, centre + math.copysign(keep, across) * side]
        inside = [w for w in ways if np.abs(position + w).max() < ARENA - 0.02]
        aim = inside[0] if inside else ways[0]
        distance = float(np.hypot(*centre))
        if distance < keep:  # too close: slide outwards along the circle
            aim = aim - centre * (keep - distance) / distance
    velocity = aim / (SPEED * PERIOD)
    return np.asarray(velocity / max(1.0, float(np.abs(velocity).max())), dtype=np.float32)
