"""An arm as data: names, hard limits, rest posture. Set by the lab; a bundle may only tighten the limits."""

import math
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spillguard_core.robot.plain_yaml import is_name, plain_yaml, read_text
from spillguard_description import ROBOTS

Vec = NDArray[np.float64]

POLICY_PERIOD = 0.05  # [s]
MONITOR_PERIOD = 0.01  # [s]
GRAVITY = 9.81  # [m/s^2]
TWO_PI = 2.0 * math.pi
PREFIX = r"[A-Za-z0-9_/.-]{0,64}"  # of names in messages


@dataclass(frozen=True)
class ArmLimits:
    """Motion limits of the arm. J joints; continuous joints have infinite position limits."""

    position_min: Vec  # (J,) [rad]
    position_max: Vec  # (J,) [rad]
    velocity: Vec  # (J,) [rad/s]
    acceleration: Vec  # (J,) [rad/s^2]
    workspace_min: Vec  # (3,) [m] minimum corner of the box the tool must stay in, base frame
    workspace_max: Vec  # (3,) [m]
    jerk: Vec | None = None  # (J,) [rad/s^3]; None: not known, and positions cannot be streamed

    def __post_init__(self) -> None:
        joints, space = self.velocity.shape, self.workspace_min.shape
        if not all(v.shape == joints for v in (self.position_min, self.position_max, self.acceleration)):
            raise ValueError(f"joint limits need one value a joint, {joints[0]} here")
        if not (space == self.workspace_max.shape == (3,)):
            raise ValueError(f"workspace corners need three values, got {space}")
        positive = np.hstack([self.velocity, self.acceleration])
        if not (np.isfinite(positive).all() and (positive > 0).all()):
            raise ValueError(f"velocity and acceleration limits must be finite and positive: {self}")
        if self.jerk is not None and not (
            self.jerk.shape == joints and np.isfinite(self.jerk).all() and (self.jerk > 0).all()
        ):
            raise ValueError(
                f"jerk limits must be finite and positive, one a joint, {joints[0]} here: {self}"
            )
        if not (self.position_min < self.position_max).all():
            raise ValueError(f"position_min must lie below position_max: {self}")
        if not (self.workspace_min < self.workspace_max).all():
            raise ValueError(f"workspace_min must lie below workspace_max: {self}")

    @cached_property
    def turn(self) -> list[float]:
        """Period [rad] of each joint: a full turn for a continuous joint, 0 for one with end stops."""
        free = np.isinf(self.position_min) & np.isinf(self.position_max)
        return [TWO_PI if continuous else 0.0 for continuous in free.tolist()]


@dataclass(frozen=True, eq=False)
class Robot:
    """An arm, as the lab describes it."""

    name: str
    joint_names: tuple[str, ...]
    limits: ArmLimits
    rest: Vec  # (J,) [rad] posture that the null-space motion of redundant joints tends to
    tool_site: str  # site in the world model, used by tasks that define no tool of their own
    base_frame: str  # frame of twists and points
    command_topic: str  # trajectory_msgs/JointTrajectory
    folder: Path  # holds robot.yaml and, optionally, model.xml: minimum geometry that a bundle must keep
    prefix: str = ""  # of joints and base frame in messages, where a graph has several arms

    def __post_init__(self) -> None:
        if not re.fullmatch(PREFIX, self.prefix):
            raise ValueError(f"a joint prefix is up to 64 letters, digits, / _ . and -, got {self.prefix!r}")

    @cached_property
    def message_joints(self) -> tuple[str, ...]:
        """Names of the joints in messages."""
        return tuple(self.prefix + name for name in self.joint_names)

    @property
    def message_frame(self) -> str:
        """Name of the base frame in messages."""
        return self.prefix + self.base_frame


def joint_differences(target: Vec, q: Vec, turn: Sequence[float]) -> list[float]:
    """target - q, J values [rad], continuous joints wrapped. Plain Python is twice as fast as numpy here."""
    plain = zip((target - q).tolist(), turn, strict=True)
    # No wrapping is needed within half a turn; `round` takes longer than everything else.
    return [d if not t or -math.pi <= d <= math.pi else d - t * round(d / TWO_PI) for d, t in plain]


def all_finite(values: Vec) -> bool:
    """True if all values (N,) are finite. Plain Python is fastest for small N."""
    return all(map(math.isfinite, values.tolist()))


def compact(indices: NDArray[np.intp]) -> slice | NDArray[np.intp]:
    """The same indices as a slice if they are contiguous, which is nearly always the case."""
    first = int(indices[0])
    run = slice(first, first + len(indices))
    return run if (indices == np.arange(run.start, run.stop)).all() else indices


LIMITS = ("position_min", "position_max", "velocity", "acceleration", "workspace_min", "workspace_max")
MAY_LACK = ("jerk",)
TEXTS = ("name", "tool_site", "base_frame", "command_topic")
KEYS = {*TEXTS, *LIMITS, "joint_names", "rest"}


def load_robot(robot: str, prefix: str = "") -> Robot:
    """Load an arm by name, or from a folder that holds `robot.yaml`. ValueError names file and key.

    `prefix` stands before the names of its joints and of its base frame in messages.
    """
    folder = Path(os.path.expanduser(robot)) if "/" in robot else ROBOTS / robot
    path = folder / "robot.yaml"
    try:
        raw = plain_yaml(read_text(path))
    except OSError:
        known = ", ".join(
            sorted(entry.name for entry in ROBOTS.iterdir() if (entry / "robot.yaml").is_file())
        )
        raise ValueError(f"robot {robot!r} has no {path}; known are {known}, yours is a folder") from None
    except ValueError as error:
        raise ValueError(f"{path} cannot be used: {error}") from error
    if not isinstance(raw, dict) or set(raw) - {*MAY_LACK} != KEYS:
        got = ", ".join(map(str, raw)) if isinstance(raw, dict) else repr(raw)
        needed = f"{', '.join(sorted(KEYS))} and may have {', '.join(MAY_LACK)}"
        raise ValueError(f"{path} needs the keys {needed}, got {got}")
    return _robot(raw, path, prefix)


def _robot(raw: Mapping[str, Any], path: Path, prefix: str) -> Robot:
    names = raw["joint_names"]
    if not (isinstance(names, list) and names and all(map(is_name, names))):
        raise ValueError(f"{path}: joint_names has to be a list of names, got {names!r}")
    if len(set(names)) != len(names):
        raise ValueError(f"{path}: joint_names has a name twice, {names}")
    for key in TEXTS:
        if not is_name(raw[key]):
            raise ValueError(f"{path}: {key} has to be a text, got {raw[key]!r}")
    named = [*LIMITS, *(key for key in MAY_LACK if key in raw)]
    arrays = {key: _numbers(raw[key], key, path) for key in (*named, "rest")}
    try:
        limits = ArmLimits(**{key: arrays[key] for key in named})
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    rest = arrays["rest"]
    if not (limits.velocity.shape == rest.shape == (len(names),)):
        raise ValueError(f"{path}: {len(names)} joints, {limits.velocity.size} limits, {rest.size} of rest")
    if not (np.isfinite(rest) & (limits.position_min <= rest) & (rest <= limits.position_max)).all():
        raise ValueError(f"{path}: rest {rest.tolist()} is outside the position limits")
    rest.setflags(write=False)
    return Robot(
        raw["name"], tuple(names), limits, rest, raw["tool_site"], raw["base_frame"], raw["command_topic"],
        path.parent, prefix,
    )  # fmt: skip


def _numbers(raw: Any, key: str, path: Path) -> Vec:
    plain = isinstance(raw, list) and all(
        type(value) is float or (type(value) is int and abs(value) <= sys.float_info.max) for value in raw
    )
    if not plain or any(math.isnan(value) for value in raw):
        raise ValueError(f"{path}: {key} has to be a list of numbers, got {raw!r}")
    return np.array(raw, dtype=np.float64)
