"""Carrying: an open, full cup in the tool of any arm to a point that is sensed, without leaning it.

The cup is upright where the arm is at its rest posture (`robot.yaml`). The policy says where to; the tool is
kept level meanwhile, and a motion on whose way to rest the cup would lean too far is not made.
"""

import math

import mujoco
import numpy as np
from numpy.typing import NDArray

from spillguard_core.gate.reasons import Reason, Verdict
from spillguard_core.gate.rule import Parts, Rule, Setting, Way
from spillguard_core.gate.task import Curve, Task, TaskFamily
from spillguard_core.gate.terms import TOOL_CURVES, TWIST, arm_terms
from spillguard_core.robot.arm import Robot, Vec
from spillguard_core.robot.tool import ToolKinematics
from spillguard_core.tasks.reach import GOAL_TERM, SENSORS, distance

LEVELLING = 4.0  # [1/s] of what the tool leans


class CarriedCup(ToolKinematics):
    """The tool with a cup in it: three speeds, while it is kept level."""

    def __init__(self, model: mujoco.MjModel, robot: Robot) -> None:
        """See `ToolKinematics`."""
        super().__init__(model, robot)
        self.up: Vec = super().pose(robot.rest).rotation[2].copy()
        """(3,) what is up for the cup, in the tool's own frame."""

    def joint_velocity(self, q: Vec, action: Vec) -> Vec:
        """Joint velocities (J,) [rad/s] for three speeds (3,) [m/s] of the tool, base frame, that turn its
        cup upright meanwhile."""
        leaning = super().pose(q).rotation @ self.up
        level = LEVELLING * np.cross(leaning, [0.0, 0.0, 1.0])
        return super().joint_velocity(q, np.concatenate((action, level)))


def lean(rotation: NDArray[np.float64], up: Vec) -> float:
    """Angle [rad] between the cup's axis and the vertical."""
    leaning = rotation @ up
    return math.atan2(math.hypot(leaning[0], leaning[1]), leaning[2])


def left(way: Way) -> Parts:
    """What is left [rad] of the allowed lean, at most along the way."""
    most, tool = way.around.config.settings[LEAN_SETTING.name], way.around.tool
    cup = getattr(tool, "inner", tool)  # a slowed tool has the cup inside
    assert isinstance(cup, CarriedCup)
    leans = [lean(pose.rotation, cup.up) for pose in way.poses]
    return Parts(np.array([most - max(leans) if all(map(math.isfinite, leans)) else math.nan]))


LEAN_SETTING = Setting("most_lean", "[rad] that a carried cup may lean", 0.01, 1.0, stricter=-1)
CARRY_LEAN = Reason("CARRY_LEAN", "the carried cup would lean too far", Verdict.LIMIT)
LEAN = Rule("lean", "rad", CARRY_LEAN, left, setting=LEAN_SETTING)


def carry(robot: Robot) -> Task:
    """The task for this arm."""
    return Task(
        name="carry", sensors=SENSORS, action=TWIST[:3], terms=GOAL_TERM | arm_terms(robot), tool=CarriedCup,
        rules=(LEAN,), curves=(Curve("to the goal [m]", "distance", distance), *TOOL_CURVES),
        environments=("spillguard/Carry-v0",),
    )  # fmt: skip


TASK = TaskFamily("carry", carry, ("spillguard/Carry-v0",))
