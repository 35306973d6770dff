"""Tasks as data: each package here, and others registered by entry point. Imports gate."""

import importlib
import pkgutil
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from spillguard_core.gate.rule import Rule
from spillguard_core.gate.task import Task

TASKS, RULES = "spillguard.tasks", "spillguard.rules"
"""Groups of entry points: name = "module:TASK" and name = "module:RULE"."""


@cache
def find_task(name: str) -> Task:
    """The task of this name, or the one whose policies are trained in this environment. ValueError."""
    found: dict[str, Task] = {info.name: importlib.import_module(f"{__name__}.{info.name}").TASK
             for info in pkgutil.iter_modules(__path__)}  # fmt: skip
    for task in _offered(TASKS, Task):
        if task.name in found:
            raise ValueError(f"two tasks have the name {task.name!r}")
        found[task.name] = task
    for task in found.values():
        if name == task.name or name in task.environments:
            return task
    raise ValueError(f"unknown task {name!r}; known are {', '.join(sorted(found))}")


@cache
def installed_rules() -> tuple[Rule, ...]:
    """Gate rules added by other packages. All of them are active: installing a package enables its rules."""
    return tuple(_offered(RULES, Rule))


def _offered(group: str, kind: type) -> list[Any]:
    found = []
    for point in sorted(entry_points(group=group), key=lambda point: point.name):
        try:
            offered = point.load()
        except Exception as error:  # whatever a package does while it is imported
            raise ValueError(
                f"entry point {point.value} of {group} cannot be loaded: {type(error).__name__}: {error}"
            ) from error
        if not isinstance(offered, kind):
            raise ValueError(
                f"entry point {point.value} of {group} is a {type(offered).__name__}, "
                f"needed is a {kind.__name__}"
            )
        found.append(offered)
    return found
