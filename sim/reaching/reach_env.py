"""Any arm reaches for a point: over a table, or between pillars, where touching one ends the episode.

The same observation as on the robot, and the linear part of its action (`spillguard_core.tasks.reach`). The
arm is kinematic: joint velocities within its limits of speed and acceleration, and servos that trail them.
Touching anything, or a joint or the tool outside its limits, costs 1 and ends the episode.
"""

import math
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from sim.pouring.controller import PERIOD, PositionServo
from sim.reaching.world import Place, arm_task, guard, workspace
from spillguard_core.gate.decision import Measurement
from spillguard_core.gate.task import observation_scaling, observation_width, observe
from spillguard_core.robot.arm import MONITOR_PERIOD, POLICY_PERIOD, Vec
from spillguard_core.robot.motion import step as moved
from spillguard_core.robot.world import World
from spillguard_core.tasks.reach import GOAL, REACHED

MOVED = ("vx", "vy", "vz")  # entries of the action that the policy has; the tool does not turn
TERMS = ("tool_to_goal", "joint_position", "joint_velocity")
SERVO_LAG = 0.02  # [s]
AWAY, CLEAR = 0.04, 0.01  # [m] of goals and starts from the workspace's walls, and from everything else
PROGRESS_REWARD, NEAR_REWARD, GOAL_REWARD = 10.0, 1.0, 20.0
NEAR = 0.2  # [m] over which the reward of being near falls to a quarter
SLOW = 0.05  # [m/s]
TOLERANCE = 2e-3  # [m, rad]
MOST_TRIES = 1000
SPREAD = 0.6  # [rad] of a start around the rest posture

Array = NDArray[np.float32]


def reach_controller(obs: Array) -> Array:
    """Straight to the goal, slower when near: obs (..., O) -> action (..., 3)."""
    action: Array = np.clip(-6.0 * obs[..., :3], -1.0, 1.0).astype(np.float32)
    return action


def potential(obs: Array) -> NDArray[np.floating[Any]]:
    """Minus the distance to the goal [m]. obs (..., O) -> (...)."""
    found: NDArray[np.floating[Any]] = -np.linalg.norm(obs[..., :3], axis=-1)
    return found


class ReachEnv(gymnasium.Env[Array, Array]):
    """One arm, a new start and a new goal in each episode."""

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012
    potential = staticmethod(potential)

    def __init__(self, robot: str = "gen3", place: Place = "table", task: str = "reach") -> None:
        """`robot`: name of the arm, or a folder with its robot.yaml and model.xml."""
        self.robot, self.task = arm_task(robot, task)
        model = guard(robot, place)
        self._tool = self.task.tool(model, self.robot)
        self._world = World(model, CLEAR, self.robot.joint_names)
        self.observation_scaling = observation_scaling(self.task, TERMS)
        width = observation_width(self.task, TERMS)
        self.observation_space = spaces.Box(-np.inf, np.inf, (width,), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (len(MOVED),), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        """A free posture near the rest posture, and a free goal."""
        super().reset(seed=seed)
        q = self._free_posture(SPREAD)
        self._servo, self._q, self._qd = PositionServo(q, SERVO_LAG), q, np.zeros_like(q)
        low, high = workspace(self.robot, AWAY)
        for _ in range(MOST_TRIES):
            self._goal = self.np_random.uniform(low, high)
            if self._reachable(self._goal):
                break
        self._left = self._distance()
        return self._observe(), self._info(contact=False, limit=False, success=False)

    def _free_posture(self, spread: float) -> Vec:
        limits, rest = self.robot.limits, self.robot.rest
        low, high = workspace(self.robot, AWAY)
        for _ in range(MOST_TRIES):
            q = np.clip(
                rest + self.np_random.uniform(-spread, spread, len(rest)),
                limits.position_min,
                limits.position_max,
            )
            tool = self._tool.pose(q).position
            if (tool >= low).all() and (tool <= high).all() and self._world.near([q], []).least >= CLEAR:
                return q
        return rest.copy()

    def _reachable(self, goal: Vec) -> bool:
        """Whether some posture, found without heeding what is on the way, puts the tool there free of all."""
        q = self.robot.rest
        for _ in range(60):
            left = goal - self._tool.pose(q).position
            q = q + 0.1 * self._tool.joint_velocity(q, self._action(4.0 * left))
        limits = self.robot.limits
        inside = (q >= limits.position_min).all() and (q <= limits.position_max).all()
        arrived = np.linalg.norm(goal - self._tool.pose(q).position) <= REACHED / 2.0
        return bool(inside and arrived) and self._world.near([q], []).least >= CLEAR

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """One period of the policy."""
        if not np.isfinite(action).all():
            raise ValueError(f"action is {action!r}; it must be finite, in [-1, 1]")
        twist = self._action(np.clip(action, -1.0, 1.0)) * self.task.scale
        limits = self.robot.limits
        contact = limit = False
        for _ in range(round(POLICY_PERIOD / MONITOR_PERIOD)):
            wanted = self._tool.joint_velocity(self._q, twist)
            self._q, self._qd = moved(self._q, self._qd, wanted, limits.acceleration, MONITOR_PERIOD)
            for update in range(round(MONITOR_PERIOD / PERIOD)):
                share = (update + 1) * PERIOD / MONITOR_PERIOD
                self._servo.update(self._q - (1.0 - share) * MONITOR_PERIOD * self._qd)
            q = self._servo.q
            contact |= self._world.near([q], []).least < 0.0
            tool = self._tool.pose(q).position
            limit |= bool(
                (q < limits.position_min - TOLERANCE).any() or (q > limits.position_max + TOLERANCE).any()
                or (tool < limits.workspace_min - TOLERANCE).any()
                or (tool > limits.workspace_max + TOLERANCE).any()
            )  # fmt: skip
        left, before = self._distance(), self._left
        self._left = left
        slow = float(np.linalg.norm(self._tool.state(self._servo.q, self._servo.qd).velocity)) <= SLOW
        success = left <= REACHED and slow and not (contact or limit)
        # Nothing here is negative for long: an arm that loses by going on learns to end the episode.
        near = NEAR_REWARD * (1.0 - math.tanh(left / NEAR))
        reward = PROGRESS_REWARD * (before - left) + near + GOAL_REWARD * success
        info = self._info(contact=contact, limit=limit, success=success)
        return self._observe(), reward, bool(contact or limit or success), False, info

    def _action(self, linear: Vec) -> Vec:
        """The task's action of three speeds (3,)."""
        return np.append(linear, np.zeros(len(self.task.action) - len(MOVED))).astype(np.float64)

    def _distance(self) -> float:
        return float(np.linalg.norm(self._tool.pose(self._servo.q).position - self._goal))

    def _observe(self) -> Array:
        seen = Measurement(self._servo.q, self._servo.qd, {GOAL: self._goal})
        return observe(self.task, TERMS, seen, self._tool)

    def _info(self, *, contact: bool, limit: bool, success: bool) -> dict[str, Any]:
        terms = {"contact": float(contact), "limit": float(limit)}
        return {"cost": float(contact or limit), "cost_terms": terms, "success": success}


class ReachPillarsEnv(ReachEnv):
    """Between two pillars."""

    def __init__(self, robot: str = "gen3") -> None:
        """See `ReachEnv`."""
        super().__init__(robot, "pillars")


class CarryEnv(ReachEnv):
    """An open cup past two pillars: the tool is kept level (`spillguard_core.tasks.carry`)."""

    def __init__(self, robot: str = "gen3") -> None:
        """See `ReachEnv`."""
        super().__init__(robot, "pillars", "carry")
