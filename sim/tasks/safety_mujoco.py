"""The eight tasks of Safety-MuJoCo (SafeRL-Lab, commit 4756174) on Gymnasium's v5 environments.

    task             reward                                       cost of a step
    Walker2d         vx + [0.8 < z < 2] + [|pitch| < 1]           sqrt(1e-3 |a|²)
    HumanoidStandup  z / timestep                                 0.1 |ctrl|² + min(5e-7 |cfrc_ext|², 10)
    Reacher          -|fingertip - target|                        |a|²
    Hopper           vx                                           0.5 |a|² + [unhealthy]
    Ant              vx                                           0.5 |a|²
    HalfCheetah      -|vx - goal_velocity|                        |z|
    Humanoid         1.25 vx of the centre of mass                0.1 |ctrl|² + [z not in (1, 2)]
    Pusher           -|object - goal| - 0.5 |object - fingertip|  0.1 |a|²

a is the action as given, neither clipped nor scaled (MuJoCo clips the force, not the cost); ctrl is MuJoCo's
control, here the same numbers. z [m] and pitch [rad] are joint positions of the root: 0 is where the model
stands for HalfCheetah, the height above the ground for the others. Hopper is healthy with z > 0.7 m,
|pitch| < 0.2 rad and every other joint position and velocity within ±100. No task terminates; an episode is
1,000 steps long. The reward is the original's ``info["reward"]``, which its trainers use; the cost is minus
its ``info["cost"]``.

Action spaces are Gymnasium's: [-1, 1], but ±0.4 for the humanoids and ±2 for Pusher.

Differs from the original, which is built on Gymnasium's v4 environments:

- HumanoidStandup and Humanoid observe 348 numbers, not 376: v5 leaves out what is always zero (the rows of
  the world body in cinert, cvel and cfrc_ext, and the six of the root in qfrc_actuator).
- Reacher observes 10 numbers, not 11: v5 leaves out the height of fingertip over target, always zero.
- Ant observes v4's 27 numbers (v5's contact forces are switched off), the other tasks what v4 does.
- Walker2d uses v4's model, whose right foot has friction 0.9 and the left 1.9; v5's own has 1.9 twice.
- Pusher uses v5's model: the object has one geom instead of two, of density 0.01 instead of 0.00001, which is
  less than the air's and which Gymnasium refuses to run on MuJoCo 3.
- Reacher and Pusher are rewarded for the state after the step; v4 used the one before.
- ``x_position`` and ``y_position`` in info are v5's, read from the joints.
- goal_velocity of HalfCheetah is required there; 0.3 m/s is what the authors' later code passes.
- Reset noise, frame skips and health limits are the same. MuJoCo is newer, and adds the margins of two geoms
  where it took the larger: ours are half of the model's (Hopper, Ant, Pusher and the humanoids have some).
"""

import math
from typing import Any

from gymnasium.envs.mujoco.ant_v5 import AntEnv
from gymnasium.envs.mujoco.half_cheetah_v5 import HalfCheetahEnv
from gymnasium.envs.mujoco.hopper_v5 import HopperEnv
from gymnasium.envs.mujoco.humanoid_v5 import HumanoidEnv
from gymnasium.envs.mujoco.humanoidstandup_v5 import HumanoidStandupEnv
from gymnasium.envs.mujoco.pusher_v5 import PusherEnv
from gymnasium.envs.mujoco.reacher_v5 import ReacherEnv
from gymnasium.envs.mujoco.walker2d_v5 import Walker2dEnv
from gymnasium.utils import EzPickle

from sim.tasks.cost_env import Array, CostEnv, cost_info, squared_sum

Rewarded = tuple[float, dict[str, Any]]  # reward, and what goes into info


def walker2d_reward(x_velocity: float, z: float, pitch: float) -> float:
    """Speed [m/s] plus one for each health test passed: height [m] and pitch [rad]."""
    return float(x_velocity + (0.8 < z < 2.0) + (-1.0 < pitch < 1.0))


def walker2d_cost(action: Array) -> float:
    """Square root of the scaled effort. action (A,)."""
    return math.sqrt(1e-3 * squared_sum(action))


def impact_cost(contact_forces: Array) -> float:
    """External forces and torques on the bodies, at most 10. contact_forces (bodies, 6) [N, N m]."""
    return min(5e-7 * squared_sum(contact_forces.ravel()), 10.0)


def pusher_reward(thing: Array, goal: Array, fingertip: Array) -> float:
    """Positions (3,) [m]."""
    return -math.dist(thing, goal) - 0.5 * math.dist(thing, fingertip)


class SafetyWalker2dEnv(CostEnv, Walker2dEnv):
    """Walk upright with little effort."""

    options = {"xml_file": "walker2d.xml", "terminate_when_unhealthy": False}  # noqa: RUF012
    cost_names = ("control",)

    def _get_rew(self, x_velocity: float, action: Array) -> Rewarded:
        z, pitch = self.data.qpos[1:3].tolist()
        return walker2d_reward(x_velocity, z, pitch), cost_info(control=walker2d_cost(action))


class SafetyHumanoidStandupEnv(CostEnv, HumanoidStandupEnv):
    """Get up with little effort and without blows."""

    cost_names = ("control", "impact")

    def _get_rew(self, pos_after: float, action: Array) -> Rewarded:
        control, impact = 0.1 * squared_sum(self.data.ctrl), impact_cost(self.data.cfrc_ext)
        return float(pos_after / self.model.opt.timestep), cost_info(control=control, impact=impact)


class SafetyReacherEnv(CostEnv, ReacherEnv):
    """Bring the fingertip to the target with little effort."""

    cost_names = ("control",)

    def _get_rew(self, action: Array) -> Rewarded:
        distance = math.dist(self.data.body("fingertip").xpos, self.data.body("target").xpos)
        return -distance, cost_info(control=squared_sum(action))


class SafetyHopperEnv(CostEnv, HopperEnv):
    """Hop forward with little effort and without falling."""

    options = {"terminate_when_unhealthy": False}  # noqa: RUF012
    cost_names = ("control", "unhealthy")

    def _get_rew(self, x_velocity: float, action: Array) -> Rewarded:
        unhealthy = float(not self.is_healthy)
        return float(x_velocity), cost_info(control=0.5 * squared_sum(action), unhealthy=unhealthy)


class SafetyAntEnv(CostEnv, AntEnv):
    """Run with little effort."""

    options = {"terminate_when_unhealthy": False, "include_cfrc_ext_in_observation": False}  # noqa: RUF012
    cost_names = ("control",)

    def _get_rew(self, x_velocity: float, action: Array) -> Rewarded:
        return float(x_velocity), cost_info(control=0.5 * squared_sum(action))


class SafetyHalfCheetahEnv(CostEnv, HalfCheetahEnv):
    """Run at `goal_velocity` [m/s] and keep the root at its height."""

    cost_names = ("height",)

    def __init__(self, render_mode: str | None = None, goal_velocity: float = 0.3) -> None:
        if not math.isfinite(goal_velocity):
            raise ValueError(f"goal_velocity is {goal_velocity}; it must be finite")
        self._goal_velocity = goal_velocity
        super().__init__(render_mode)
        EzPickle.__init__(self, render_mode, goal_velocity)

    def _get_rew(self, x_velocity: float, action: Array) -> Rewarded:
        height = abs(float(self.data.qpos[1]))
        return -abs(float(x_velocity) - self._goal_velocity), cost_info(height=height)


class SafetyHumanoidEnv(CostEnv, HumanoidEnv):
    """Run with little effort and without falling."""

    options = {"terminate_when_unhealthy": False}  # noqa: RUF012
    cost_names = ("control", "unhealthy")

    def _get_rew(self, x_velocity: float, action: Array) -> Rewarded:
        control, unhealthy = 0.1 * squared_sum(self.data.ctrl), float(not self.is_healthy)
        return 1.25 * float(x_velocity), cost_info(control=control, unhealthy=unhealthy)


class SafetyPusherEnv(CostEnv, PusherEnv):
    """Push the object to the goal with little effort."""

    cost_names = ("control",)

    def _get_rew(self, action: Array) -> Rewarded:
        thing, goal, fingertip = (self.data.body(name).xpos for name in ("object", "goal", "tips_arm"))
        return pusher_reward(thing, goal, fingertip), cost_info(control=0.1 * squared_sum(action))
