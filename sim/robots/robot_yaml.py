"""`robot.yaml` of an arm from its URDF. What the URDF lacks is given, or chosen and marked as chosen."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sim.robots.capsules import Numbers
from sim.robots.postures import TOOL_SITE
from sim.robots.urdf import UrdfArm
from spillguard_core.robot.plain_yaml import is_name, plain_yaml

ACCELERATION = 2.0  # [rad/s^2] where none is given: half a second from rest to 1 rad/s
TOPIC = re.compile(r"[~/]?[A-Za-z0-9_]+(/[A-Za-z0-9_]+)*|~/[A-Za-z0-9_]+(/[A-Za-z0-9_]+)*")
CHOSEN = "chosen here, not published"

Corner = tuple[float, float, float] | None


@dataclass(frozen=True)
class RobotFigures:
    """What the lab says of its arm; empty or None where it says nothing. One value for all joints or each."""

    name: str
    velocity: Sequence[float] = ()  # [rad/s]
    acceleration: Sequence[float] = ()  # [rad/s^2]
    jerk: Sequence[float] = ()  # [rad/s^3]
    workspace_min: Corner = None  # [m]
    workspace_max: Corner = None
    rest: Sequence[float] = ()  # [rad]
    command_topic: str = "joint_trajectory_controller/joint_trajectory"


def robot_yaml(arm: UrdfArm, figures: RobotFigures, tools: Numbers) -> str:
    """Text of robot.yaml. `tools` (N, 3) [m]: places that the tool reaches. ValueError names key and cure."""
    if not is_name(figures.name):
        raise ValueError(f"the name {figures.name!r} cannot be used; give another with --name")
    low, high = (np.array([getattr(joint, end) for joint in arm.joints]) for end in ("low", "high"))
    if not TOPIC.fullmatch(figures.command_topic):
        raise ValueError(
            f"--command-topic is {figures.command_topic!r}; a topic has letters, digits, _ and /"
        )
    velocity, slower = _velocity(arm, figures.velocity)
    count = len(arm.joints)
    acceleration = _each(figures.acceleration, count, "acceleration") or [ACCELERATION] * count
    jerk = _each(figures.jerk, count, "jerk")
    rest = list(figures.rest) or [
        0.0 if math.isinf(a) else 0.5 * (a + b) for a, b in zip(low, high, strict=True)
    ]
    if len(rest) != count:
        raise ValueError(f"--rest has {len(rest)} values; the arm has {count} joints")
    for joint, angle in zip(arm.joints, rest, strict=True):
        if not joint.low <= angle <= joint.high:  # type: ignore[operator]
            raise ValueError(
                f"--rest has {angle:g} for {joint.name}; allowed are {joint.low:g} to {joint.high:g}"
            )
    corners = [
        figures.workspace_min or np.floor(100 * tools.min(axis=0)) / 100,
        figures.workspace_max or np.ceil(100 * tools.max(axis=0)) / 100,
    ]
    if not all(low < high for low, high in zip(*corners, strict=True)) and len(tools) > 1:
        text = f"{_row(corners[0])} to {_row(corners[1])}"
        raise ValueError(
            f"the workspace is {text}; every number has to be one, and the first corner the lower"
        )
    whole = f"; {CHOSEN}: all that {len(tools)} sampled postures reach, narrow it"
    lines = [
        f"# {figures.name}: limits of position and speed as in its URDF. A bundle may only tighten them.",
        f"name: {_text(figures.name)}",
        f"joint_names: [{', '.join(_text(joint.name) for joint in arm.joints)}]",
        f"position_min: {_row(low)}  # [rad] without end stops: infinite",
        f"position_max: {_row(high)}",
        f"velocity: {_row(velocity)}  # [rad/s]{slower}",
        f"acceleration: {_row(acceleration)}  # [rad/s^2]{_origin(figures.acceleration)}",
        f"jerk: {_row(jerk)}  # [rad/s^3] given by the lab" if jerk else
        "# jerk: none is known, so positions cannot be streamed to this arm",
        f"workspace_min: {_row(corners[0])}  # [m] corners of the box that the tool stays in, base frame"
        f"{'' if figures.workspace_min else whole}",
        f"workspace_max: {_row(corners[1])}{'' if figures.workspace_max else f'  # {CHOSEN}'}",
        f"rest: {_row(rest)}  # [rad]{'' if figures.rest else f' middle of the limits, {CHOSEN}'}",
        f"tool_site: {TOOL_SITE}  # at {arm.tool}",
        f"base_frame: {_text(arm.base)}",
        f"command_topic: {_text(figures.command_topic)}",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _velocity(arm: UrdfArm, given: Sequence[float]) -> tuple[list[float], str]:
    """Speed limits (J) [rad/s], and a remark."""
    published = [joint.velocity or 0.0 for joint in arm.joints]
    chosen = _each(given, len(published), "velocity")
    for joint, most, wanted in zip(arm.joints, published, chosen or published, strict=True):
        if math.isinf(wanted):
            raise ValueError(
                f"the joint {joint.name!r} has no finite velocity limit in the URDF; give one with --velocity"
            )
        if not wanted > 0.0:
            raise ValueError(
                f"the joint {joint.name!r} has no velocity limit in the URDF; give it with --velocity"
            )
        if 0.0 < most < wanted:
            raise ValueError(
                f"--velocity has {wanted:g} for {joint.name}; its URDF allows up to {most:g} rad/s"
            )
    if not chosen:
        return published, ""
    return chosen, f" given by the lab; the URDF has {_row(published)}"


def _each(values: Sequence[float], count: int, key: str) -> list[float]:
    """One value a joint, or none at all."""
    if len(values) not in (0, 1, count):
        raise ValueError(
            f"--{key} has {len(values)} values; give one for all, or one for each of {count} joints"
        )
    if not all(math.isfinite(value) and value > 0.0 for value in values):
        raise ValueError(f"--{key} has {_row(values)}; limits are finite and positive")
    return list(values) * count if len(values) == 1 else list(values)


def _origin(given: Sequence[float]) -> str:
    return " given by the lab" if given else f" {CHOSEN}"


def _row(values: Sequence[float] | Numbers) -> str:
    """A YAML list; infinite as YAML has it."""
    return "[" + ", ".join(_number(float(value)) for value in values) + "]"


def _number(value: float) -> str:
    if math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    if math.isnan(value):
        return ".nan"
    text = f"{value:.9g}"
    return text if any(mark in text for mark in ".e") else f"{text}.0"


def _text(word: str) -> str:
    """Plain where YAML reads it as a text, in quotes otherwise."""
    plain = re.sub("[_/-]", "a", word)
    return (
        word
        if plain.isalnum() and word[0].isalpha() and plain_yaml(word) == word
        else "'" + word.replace("'", "''") + "'"
    )
