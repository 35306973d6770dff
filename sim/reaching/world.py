"""Where an arm reaches: over a table, or between two pillars on it, around the robot's own model."""

from functools import cache
from typing import Literal

import mujoco
import numpy as np

from spillguard_core.bundle.guard import guard_model
from spillguard_core.bundle.site import Shape, Site, with_site
from spillguard_core.gate.task import Task
from spillguard_core.robot.arm import Robot, load_robot
from spillguard_core.tasks import find_task

Place = Literal["table", "pillars"]
TABLE = Shape("table", "box", (0.0, 0.0, -0.1), (1.0, 0.0, 0.0, 0.0), (2.0, 2.0, 0.1))
PILLAR, APART = 0.04, 0.25  # [m] radius, and share of the workspace's width between a pillar and the middle
TALL = 0.6  # of the workspace's height


def site_of(robot: Robot, place: Place) -> Site:
    """The surroundings of this arm."""
    shapes = [TABLE]
    if place == "pillars":
        low, high = robot.limits.workspace_min, robot.limits.workspace_max
        x, y = (0.5 * (low + high))[:2].tolist()
        top, apart = float(low[2] + TALL * (high - low)[2]), float(APART * (high - low)[1])
        for name, by in (("left pillar", apart), ("right pillar", -apart)):
            shapes.append(
                Shape(name, "cylinder", (x, y + by, 0.5 * top), (1.0, 0.0, 0.0, 0.0), (PILLAR, 0.5 * top))
            )
    return Site(place, tuple(shapes), (), "")


@cache
def reach_task(robot: str) -> tuple[Robot, Task]:
    """The arm of this name or folder, and the task of reaching with it."""
    arm = load_robot(robot)
    return arm, find_task("reach", arm)


@cache
def guard_xml(robot: str, place: Place) -> str:
    """MJCF of the arm and its surroundings. FileNotFoundError if the robot has no model.xml."""
    arm, task = reach_task(robot)
    path = arm.folder / "model.xml"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is lacking: the arm's shapes, which `spillguard robot` writes")
    return with_site(path.read_bytes(), site_of(arm, place), arm, task).decode()


@cache
def guard(robot: str, place: Place) -> mujoco.MjModel:
    """The same, compiled and checked as on the robot."""
    arm, task = reach_task(robot)
    return guard_model(guard_xml(robot, place).encode(), "guard.xml", arm, task)


def workspace(robot: Robot, away: float) -> tuple[np.ndarray, np.ndarray]:
    """Corners (3,) [m] of the workspace, `away` [m] inside."""
    return robot.limits.workspace_min + away, robot.limits.workspace_max - away
