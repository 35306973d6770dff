"""Reaching: the tool of any arm to a point that is sensed, by a twist of the tool."""

import numpy as np

from spillguard_core.gate.decision import Measurement
from spillguard_core.gate.task import Curve, Kind, Sensor, Task, TaskFamily, Term
from spillguard_core.gate.terms import TOOL_CURVES, TWIST, arm_terms
from spillguard_core.robot.arm import Robot
from spillguard_core.robot.tool import ToolKinematics, ToolState

GOAL = "goal_position"
SENSORS = (Sensor(GOAL, "goal", Kind.POINT, "goal_pose"),)
REACHED = 0.02  # [m] from the goal


def tool_to_goal(measurement: Measurement, tool: ToolState) -> list[float]:
    """Tool minus goal (3,) [m], base frame."""
    offset: list[float] = (tool.position - measurement.sensed[GOAL]).tolist()
    return offset


GOAL_TERM = {"tool_to_goal": Term(3, "m", (0.0,) * 3, (0.2,) * 3, tool_to_goal)}


def distance(measurement: Measurement, tool: ToolState) -> float:
    """[m] between tool and goal."""
    return float(np.linalg.norm(tool.position - measurement.sensed[GOAL]))


def reach(robot: Robot) -> Task:
    """The task for this arm."""
    terms = GOAL_TERM | arm_terms(robot)
    curves = (Curve("to the goal [m]", "distance", distance), *TOOL_CURVES)
    return Task(
        name="reach", sensors=SENSORS, action=TWIST, terms=terms, tool=ToolKinematics, curves=curves,
        environments=("spillguard/Reach-v0",),
    )  # fmt: skip


TASK = TaskFamily("reach", reach, ("spillguard/Reach-v0",))
