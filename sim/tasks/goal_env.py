"""spillguard/SafetyPointGoal1-v0 and SafetyCarGoal1-v0: reach one goal after another around hazards.

The tasks of Safety-Gymnasium by their published rules (`goal_rules`, `goal_model`), compiled once and without
textures: a reset moves the bodies of the compiled model.
"""

import math
from typing import Any, ClassVar

import gymnasium
import mujoco
import numpy as np
from numpy.typing import NDArray

from sim.tasks.goal_model import (
    CAR,
    POINT,
    ROBOT_HEIGHT,
    SUBSTEPS,
    VASE_HEIGHT,
    GoalRobot,
    goal_model_xml,
)
from sim.tasks.goal_rules import (
    GOAL_RADIUS,
    HAZARDS,
    LIDAR_BINS,
    MOST_REWARD,
    GoalLayout,
    Point,
    Vec,
    draw_goal,
    draw_layout,
    goal_reward,
    hazard_cost,
    lidar,
    seen_from,
)

Array = NDArray[np.float32]
_DIVERGED = slice(int(mujoco.mjtWarning.mjWARN_BADQPOS), int(mujoco.mjtWarning.mjWARN_BADQACC) + 1)
_NO_SENSORS = int(mujoco.mjtDisableBit.mjDSBL_SENSOR)
_GOAL, _HAZARDS, _VASE = 0, slice(1, 1 + HAZARDS), 1 + HAZARDS  # rows of the lidar's objects


def _quaternion(heading: float) -> tuple[float, float, float, float]:
    return math.cos(heading / 2.0), 0.0, 0.0, math.sin(heading / 2.0)


class GoalEnv(gymnasium.Env[Array, Array]):
    """Observation (S + 48,) float32: the robot's sensors, then 16 lidar bins each of goal, hazards and vase.

    Action (2,) in [-1, 1]. Reward: progress to the goal [m], and 1 on reaching it; then another goal appears
    and the episode continues. Cost 1 while the robot's centre is inside a hazard; touching the vase costs
    nothing. A simulation that diverges gives reward -10, cost 1 and truncation. `reset(options={"layout":
    GoalLayout})` uses the given layout instead of a random one.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 50}  # noqa: RUF012
    robot: ClassVar[GoalRobot]

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self.observation_space = gymnasium.spaces.Box(
            -np.inf, np.inf, (self.robot.width + 3 * LIDAR_BINS,), np.float32
        )
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.model = mujoco.MjModel.from_xml_string(goal_model_xml(self.robot))
        self.data = mujoco.MjData(self.model)
        # Views, which stay valid: looking them up by name costs as much as a physics step.
        robot, joint = self.data.body("robot"), self.model.joint(0)
        self._position, self._rotation = robot.xpos, robot.xmat.reshape(3, 3)
        self._robot_body = self.model.body("robot")
        self._robot_free = joint.type[0] == mujoco.mjtJoint.mjJNT_FREE
        self._robot_qpos = self.data.joint(0).qpos
        self._vase_position, self._vase_qpos = self.data.body("vase").xpos, self.data.joint("vase").qpos
        self._sensors, self._matrix = self.data.sensordata, np.zeros(9)
        self._options, self._diverged = self.model.opt, self.data.warning.number[_DIVERGED]
        self._goal_site = self.model.site("goal").id
        self._hazard_sites = [self.model.site(f"hazard{n}").id for n in range(HAZARDS)]
        self._random: np.random.RandomState | None = None
        self._objects = np.zeros((2 + HAZARDS, 2))  # goal, hazards, vase
        self._hazards: tuple[Point, ...] = ()
        self._distance = 0.0
        self._camera: Any = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        """Draw a layout, or take the one in ``options["layout"]``."""
        super().reset(seed=seed)
        if seed is not None or self._random is None:
            plain = seed is not None and seed < 2**32  # accepted unchanged by the peer's generator
            self._random = np.random.RandomState(seed if plain else self.np_random.integers(2**32))
        self._place((options or {}).get("layout") or draw_layout(self._random))
        return self._observe(), _info()

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Move for `SUBSTEPS` steps of the simulation."""
        if self._random is None:
            raise gymnasium.error.ResetNeeded("call reset() before step()")
        given = np.asarray(action, dtype=np.float64)
        if given.shape != (2,) or not np.isfinite(given).all():
            raise ValueError(f"action is {action!r}; it must be two finite numbers, in [-1, 1]")
        self.data.ctrl[:] = np.minimum(1.0, np.maximum(-1.0, given))
        # The peer draws its number of substeps, always 10, each step: without this, goals would differ.
        self._random.random_sample()
        self._options.disableflags = _NO_SENSORS  # not read between two observations
        mujoco.mj_step(self.model, self.data, SUBSTEPS)
        self._options.disableflags = 0
        mujoco.mj_forward(self.model, self.data)  # positions and sensors of the state just reached
        if self._diverged.any():
            return self._observe(), -MOST_REWARD, False, True, _info(exception=1.0)
        before, self._distance = self._distance, self._goal_distance()
        reward = goal_reward(before, self._distance)
        hazards = hazard_cost(self._position[:2], self._objects[_HAZARDS])
        goal_met = self._distance <= GOAL_RADIUS
        terminated = goal_met and not self._draw_goal(self._random)
        return self._observe(), reward, terminated, False, _info(hazards=hazards, goal_met=goal_met)

    def set_state(self, qpos: Vec, qvel: Vec, goal: Point) -> None:
        """Set the poses of robot, vase and goal; the hazards stay. Call `reset` first.

        qpos [m, quaternions, rad] and qvel [m/s, rad/s] are the model's. The point robot's qpos is relative
        to its pose at the start of the episode.
        """
        self.data.qpos[:], self.data.qvel[:] = qpos, qvel
        mujoco.mj_forward(self.model, self.data)
        self._set_goal(goal)

    def render(self) -> NDArray[np.uint8] | None:
        """The arena from the side (480, 640, 3), if created with ``render_mode="rgb_array"``."""
        if self.render_mode is None:
            return None
        if self._camera is None:
            from sim.render import Camera

            self._camera = Camera(camera="overview")
        mujoco.mj_kinematics(self.model, self.data)  # a goal may have moved since the last step
        picture: NDArray[np.uint8] = self._camera.picture(self)
        return picture

    def close(self) -> None:
        """Free the rendering context."""
        if self._camera is not None:
            self._camera.close()
            self._camera = None

    def _place(self, layout: GoalLayout) -> None:
        """Place everything according to the layout, at rest."""
        model, data = self.model, self.data
        mujoco.mj_resetData(model, data)
        # The frame of the robot's joints moves with it, as in the peer: they start at zero.
        self._robot_body.pos[:2], self._robot_body.quat[:] = layout.robot, _quaternion(layout.robot_heading)
        if self._robot_free:
            self._robot_qpos[:] = (*layout.robot, ROBOT_HEIGHT, *_quaternion(layout.robot_heading))
        self._vase_qpos[:] = (*layout.vase, VASE_HEIGHT, *_quaternion(layout.vase_heading))
        self._hazards = layout.hazards
        self._objects[_HAZARDS] = layout.hazards
        model.site_pos[self._hazard_sites, :2] = layout.hazards
        mujoco.mj_forward(model, data)
        self._set_goal(layout.goal)

    def _draw_goal(self, random: np.random.RandomState) -> bool:
        """Draw a new goal, clear of everything at its present pose. False if there is no place for one."""
        robot, vase = self._position[:2].tolist(), self._vase_position[:2].tolist()
        goal = draw_goal(random, (robot[0], robot[1]), self._hazards, (vase[0], vase[1]))
        if goal is not None:
            self._set_goal(goal)
        return goal is not None

    def _set_goal(self, goal: Point) -> None:
        self._objects[_GOAL] = goal
        self.model.site_pos[self._goal_site, :2] = goal
        self._distance = self._goal_distance()

    def _goal_distance(self) -> float:
        """Distance [m] in the plane."""
        (x, y), (goal_x, goal_y) = self._position[:2].tolist(), self._objects[_GOAL].tolist()
        return math.hypot(goal_x - x, goal_y - y)

    def _observe(self) -> Array:
        """The observation (S + 48,) of the last computed state."""
        robot, bins = self.robot, LIDAR_BINS
        obs = np.empty(robot.width + 3 * bins, np.float32)
        obs[: robot.direct] = self._sensors[: robot.direct]
        if robot.direct < robot.width:
            mujoco.mju_quat2Mat(self._matrix, self._sensors[robot.direct :])
            obs[robot.direct : robot.width] = self._matrix
        self._objects[_VASE] = self._vase_position[:2]
        seen = lidar(seen_from(self._objects, self._position, self._rotation))
        obs[robot.width : robot.width + bins] = seen[_GOAL]
        obs[robot.width + bins : robot.width + 2 * bins] = seen[_HAZARDS].max(0)
        obs[robot.width + 2 * bins :] = seen[_VASE]
        return obs


def _info(hazards: float = 0.0, exception: float = 0.0, goal_met: bool = False) -> dict[str, Any]:
    terms = {"hazards": hazards, "exception": exception}
    return {"cost": hazards + exception, "cost_terms": terms, "goal_met": goal_met}


class PointGoalEnv(GoalEnv):
    """A ball on the plane: driven along its heading, turned in place. Observation (60,)."""

    robot = POINT


class CarGoalEnv(GoalEnv):
    """Two driven wheels and a ball caster. Observation (72,)."""

    robot = CAR
