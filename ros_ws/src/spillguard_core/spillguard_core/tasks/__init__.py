"""Tasks as data: each package here, and others registered by entry point. Imports gate."""

import importlib
import pkgutil
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from spillguard_core.gate.rule import Rule
from spillguard_core.gate.task import Task, TaskFamily
from spillguard_core.robot.arm import Robot

TASKS, RULES = "spillguard.tasks", "spillguard.rules"
"""Groups of entry points: name = "module:TASK" and name = "module:RULE"."""


def known_tasks() -> dict[str, Task | TaskFamily]:
    """Every task that is installed, by name. ValueError for two of one name."""
    found: dict[str, Task | TaskFamily] = {info.name: importlib.import_module(f"{__name__}.{info.name}").TASK
             for info in pkgutil.iter_modules(__path__)}  # fmt: skip
    for task in _offered(TASKS, (Task, TaskFamily)):
        if task.name in found:
            raise ValueError(f"two tasks have the name {task.name!r}")
        found[task.name] = task
    return found


def find_task(name: str, robot: Robot) -> Task:
    """The task of this name, or the one whose policies are trained in this environment, for this arm.
    ValueError."""
    found = known_tasks()
    for task in found.values():
        if name == task.name or name in task.environments:
            return task if isinstance(task, Task) else task.of(robot)
    raise ValueError(f"unknown task {name!r}; known are {', '.join(sorted(found))}")


@cache
def installed_rules() -> tuple[Rule, ...]:
    """Gate rules added by other packages. All of them are active: installing a package enables its rules."""
    return tuple(_offered(RULES, (Rule,)))


def _offered(group: str, kinds: tuple[type, ...]) -> list[Any]:
    found = []
    for point in sorted(entry_points(group=group), key=lambda point: point.name):
        try:
            offered = point.load()
        except Exception as error:  # whatever a package does while it is imported
            raise ValueError(
                f"entry point {point.value} of {group} cannot be loaded: {type(error).__name__}: {error}"
            ) from error
        if not isinstance(offered, kinds):
            raise ValueError(
                f"entry point {point.value} of {group} is a {type(offered).__name__}, "
                f"needed is a {' or a '.join(kind.__name__ for kind in kinds)}"
            )
        found.append(offered)
    return found
