"""Names in files that people and other tools write."""

import reprlib
from typing import Any

from spillguard_core.robot.plain_yaml import is_name


def named(raw: Any, what: str) -> str:
    """The name; ValueError with `what` it stands for if it is none."""
    if not is_name(raw):
        raise ValueError(f"{what} has to be a name, got {reprlib.repr(raw)}")
    return str(raw)
