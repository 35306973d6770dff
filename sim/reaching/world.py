"""Where an arm reaches: over a table, or between two pillars on it, around the robot's own model."""

import sys
from functools import cache
from typing import Literal

import mujoco
import numpy as np
import yaml

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
def arm_task(robot: str, task: str = "reach") -> tuple[Robot, Task]:
    """The arm of this name or folder, and a task of it."""
    arm = load_robot(robot)
    return arm, find_task(task, arm)


@cache
def guard_xml(robot: str, place: Place) -> str:
    """MJCF of the arm and its surroundings. FileNotFoundError if the robot has no model.xml."""
    arm, task = arm_task(robot)
    path = arm.folder / "model.xml"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is lacking: the arm's shapes, which `spillguard robot` writes")
    return with_site(path.read_bytes(), site_of(arm, place), arm, task).decode()


@cache
def guard(robot: str, place: Place) -> mujoco.MjModel:
    """The same, compiled and checked as on the robot."""
    arm, task = arm_task(robot)
    return guard_model(guard_xml(robot, place).encode(), "guard.xml", arm, task)


def workspace(robot: Robot, away: float) -> tuple[np.ndarray, np.ndarray]:
    """Corners (3,) [m] of the workspace, `away` [m] inside."""
    return robot.limits.workspace_min + away, robot.limits.workspace_max - away


def site_yaml(robot: Robot, place: Place) -> str:
    """The surroundings as a site file, for `spillguard wrap` and the monitor.

    Written by ``python -m sim.reaching.world fr3 pillars > pillars.yaml``.
    """
    boxes = [shape for shape in site_of(robot, place).shapes if shape.type == "box"]
    round_ones = [shape for shape in site_of(robot, place).shapes if shape.type == "cylinder"]
    box = [{"name": s.name, "pos": [*s.pos], "size": [2.0 * x for x in s.size]} for s in boxes]
    upright = [
        {"name": s.name, "pos": [*s.pos], "radius": s.size[0], "height": 2.0 * s.size[1]} for s in round_ones
    ]
    return str(yaml.safe_dump({"name": place, "boxes": box, "cylinders": upright}, sort_keys=False))


if __name__ == "__main__":
    WHERE: Place = "pillars" if sys.argv[2:] == ["pillars"] else "table"
    sys.stdout.write(site_yaml(load_robot(sys.argv[1]), WHERE))
