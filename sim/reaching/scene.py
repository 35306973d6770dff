"""Goals for the tool of any arm, and a simulated arm that goes for them.

The arm is what its driver makes of it: a joint trajectory controller as ros2_control's, or a forward position
controller, and position servos that trail their command. It has no dynamics and no load; contacts are
judged by the bundle's own world model,
so a world model thinner than the arm does not show here.

Shapes: J joints.
"""

import math
from typing import NamedTuple

import numpy as np

from sim.pouring.arms import Drive
from sim.pouring.controller import ForwardController, JointTrajectoryController
from spillguard_core.bundle.bundle import Bundle
from spillguard_core.robot.arm import MONITOR_PERIOD, Vec
from spillguard_core.robot.tool import ToolKinematics
from spillguard_core.robot.world import World
from spillguard_core.tasks.reach import REACHED

SERVO_LAG = 0.02  # [s]
AWAY = 0.03  # [m] of a goal from the walls of the workspace, and of the arm there from everything else
FAR = 0.15  # [m] at least from one goal to the next
ARRIVED = 0.004  # [m] for a goal to count as one that the arm can reach
STEPS, STEP = 150, 0.1  # towards a goal that is tried, [s] each
SLOW = 0.03  # [m/s] of a tool that has reached its goal
TOLERANCE = 2e-3  # [m, rad] beyond a limit before it counts as broken
MOST_TRIES = 1000


class Reached(NamedTuple):
    """How it stands with one goal."""

    distance: float  # [m] of the tool
    reached: bool  # near it and slow
    contact: bool  # since the goal was set
    limit_broken: bool

    @property
    def violated(self) -> bool:
        """Whether a rule was broken."""
        return self.contact or self.limit_broken


class ReachScene:
    """An arm, and one goal after the other."""

    def __init__(
        self, bundle: Bundle, seed: int, *, streamed: bool = False, from_desired: bool = True
    ) -> None:
        """At the robot's rest posture, with a first goal. ValueError if no goal can be reached.

        `streamed`: its controller takes positions, not trajectories. `from_desired`: a trajectory
        controller's
        interpolate_from_desired_state.
        """
        self._robot, self._limits = bundle.robot, bundle.manifest.limits.arrays()
        self._tool, self._rng = ToolKinematics(bundle.guard, bundle.robot), np.random.default_rng(seed)
        # What the goal has to be reached with: a tool that the task keeps level is led by three speeds.
        linear = bundle.task.linear[1] == [0, 1, 2]
        self._led = bundle.tool() if linear else self._tool
        self._entries = len(bundle.task.action) if linear else 6
        self._world = World(bundle.guard, 0.0, bundle.robot.joint_names)
        self._streamed, self._from_desired = streamed, from_desired
        self.settle(bundle.robot.rest.copy())
        self._now, self.goals, self.inside = 0.0, 0, True
        self.next_goal()

    def settle(self, q: Vec) -> None:
        """Controllers without a command, and the servos at rest at q (J,) [rad]."""
        turns = np.array(self._limits.turn) > 0.0
        self.controller = JointTrajectoryController(q, turns, from_desired=self._from_desired)
        self.positions = ForwardController(q)
        used = self.positions if self._streamed else self.controller
        self._drive = Drive(used, q, SERVO_LAG, bounds=self._robot.limits.velocity)

    @property
    def now(self) -> float:
        """Simulated time [s]."""
        return self._now

    @property
    def position(self) -> Vec:
        """(J,) [rad]"""
        return self._drive.servo.q

    @property
    def velocity(self) -> Vec:
        """(J,) [rad/s]"""
        return self._drive.servo.qd

    def next_goal(self) -> None:
        """Another one, which can be reached from here, not near."""
        low, high = self._limits.workspace_min + AWAY, self._limits.workspace_max - AWAY
        here = self._tool.pose(self.position).position
        for _ in range(MOST_TRIES):
            goal = self._rng.uniform(low, high)
            if np.linalg.norm(goal - here) >= FAR and self._can_reach(goal):
                self.goal, self.goals = goal, self.goals + 1
                self._contact = self._limit_broken = False
                return
        raise ValueError(
            f"no goal in the workspace of {self._robot.name} can be reached from where it stands"
        )

    def _can_reach(self, goal: Vec) -> bool:
        """Whether the tool gets there in a straight line without coming near anything."""
        q = self.position
        for _ in range(STEPS):
            left = goal - self._tool.pose(q).position
            if np.linalg.norm(left) <= ARRIVED:
                return True
            q = q + STEP * self._led.joint_velocity(q, np.append(3.0 * left, np.zeros(self._entries - 3)))
            low, high = self._limits.position_min, self._limits.position_max
            free = self._world.near([q], []).least >= min(AWAY, 0.01)
            if not (free and (low <= q).all() and (q <= high).all()):
                return False
        return False

    def advance(self) -> None:
        """One period of the monitor."""
        positions, _ = self._drive.advance(self._now, MONITOR_PERIOD, MONITOR_PERIOD)
        self._now += MONITOR_PERIOD
        limits, q = self._robot.limits, positions[-1]
        tool = self._tool.pose(q).position
        self._contact |= self._world.near([q], []).least < 0.0
        self.inside = bool(
            (q >= limits.position_min - TOLERANCE).all() and (q <= limits.position_max + TOLERANCE).all()
            and (tool >= limits.workspace_min - TOLERANCE).all()
            and (tool <= limits.workspace_max + TOLERANCE).all()
        )  # fmt: skip
        self._limit_broken |= not self.inside

    def outcome(self) -> Reached:
        """Of the present goal."""
        tool = self._tool.state(self.position, self.velocity)
        distance = math.dist(tool.position, self.goal)
        slow = math.hypot(*tool.velocity.tolist()) <= SLOW
        return Reached(distance, distance <= REACHED and slow, self._contact, self._limit_broken)
