"""A task as the gate sees it: a value, defined in a package of `spillguard_core.tasks` or elsewhere.

Shapes: J joints, A entries of an action, C candidates.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from spillguard_core.gate.decision import Measurement
from spillguard_core.gate.rule import Rule, Tool
from spillguard_core.robot.arm import ArmLimits, Robot, Vec, all_finite


class Kind(Enum):
    """Quantity of a sensor, and the message that carries it."""

    MASS = "mass"  # (1,) [kg], measured as a force: geometry_msgs/WrenchStamped
    POINT = "point"  # (3,) [m] in the base frame: geometry_msgs/PoseStamped

    @property
    def width(self) -> int:
        """Number of values in one reading."""
        return 1 if self is Kind.MASS else 3


@dataclass(frozen=True)
class Sensor:
    """A sensor of the task, in addition to the arm's joint states."""

    name: str  # key in `Measurement.sensed`
    title: str  # for people
    kind: Kind
    topic: str
    prefix: str = ""  # of the parameters for its frame; a point needs none


class Carrier(Enum):
    """Message that carries an action."""

    TWIST = "twist"  # of the tool in the base frame: geometry_msgs/TwistStamped
    VELOCITIES = "velocities"  # of the joints: trajectory_msgs/JointTrajectory with one point
    POSITIONS = "positions"  # of the joints, to go to: the same


@dataclass(frozen=True)
class Axis:
    """One entry of the action: a component of the tool's twist, all others of which must be zero, or of one
    joint."""

    name: str  # for a joint: its name
    unit: str
    scale: float  # physical units at an action of 1; a bundle may have less
    part: str  # "linear.x" to "angular.z" of a geometry_msgs/Twist; "velocities" or "positions" of joints


@dataclass(frozen=True)
class Term:
    """One part of the observation. `shift` and `scale` bring it to about [-1, 1] inside the networks."""

    width: int
    unit: str
    shift: tuple[float, ...]
    scale: tuple[float, ...]
    function: Callable[[Measurement, Any], list[float]]
    """(measurement, result of `Tool.state`) -> values."""


@dataclass(frozen=True)
class Curve:
    """A quantity worth plotting from a recording."""

    axis: str  # label of the panel, with the unit; curves with the same label share a panel
    label: str
    function: Callable[[Measurement, Any], float]
    """(measurement, result of `Tool.state`) -> value."""


def less(action: Vec, measurement: Measurement, state: Any, scale: Vec) -> Vec:
    """Candidates (C, A) for any task: the action, scaled-down versions, and rest, which is the recovery."""
    del measurement, state, scale
    return np.array([1.0, 0.75, 0.5, 0.25, 0.0])[:, None] * action


def no_fault(model: mujoco.MjModel, moving: NDArray[np.bool_]) -> Iterator[str]:
    """For a task without requirements on the world model."""
    del model, moving
    yield from ()


PARTS = {f"{kind}.{axis}" for kind in ("linear", "angular") for axis in "xyz"}


@dataclass(frozen=True)
class Task:
    """A task, as the robot side knows it."""

    name: str
    sensors: tuple[Sensor, ...]
    action: tuple[Axis, ...]
    terms: Mapping[str, Term]  # allowed in an observation
    tool: Callable[[mujoco.MjModel, Robot], Tool]
    rules: tuple[Rule, ...] = ()  # in addition to those of every arm
    aim: Callable[[Vec, Vec, ArmLimits], Vec] | None = None
    """(proposed action (A,), commanded q (J,), limits) -> action (A,) that is followed in this period; None:
    the proposed one. What is followed is always a velocity: of the tool or of the joints."""
    candidates: Callable[[Vec, Measurement, Any, Vec], Vec] = less
    """(action (A,), measurement, state of the tool, scale (A,)) -> (C, A), action first, recovery last."""
    ending: Callable[[Any], Vec | None] = lambda state: None
    """(state of the tool) -> the action (A,) that brings the work to a safe end, None where it has one."""
    doubt: Callable[[Measurement], str] = lambda measurement: ""
    """Implausible sensor readings of this task; empty if none."""
    placed: Mapping[str, str] = field(default_factory=dict)
    """Body of the world model -> sensor, a point, above or below which it is placed."""
    guard_faults: Callable[[mujoco.MjModel, NDArray[np.bool_]], Iterator[str]] = no_fault
    """(world model, whether each body moves with the arm) -> what the task requires and it lacks."""
    curves: tuple[Curve, ...] = ()
    environments: tuple[str, ...] = ()  # training environments of its policies: bundles name one of them

    def __post_init__(self) -> None:
        for what, told in (
            ("sensor", [sensor.name for sensor in self.sensors]),
            ("topic", ["joint_states", *(sensor.topic.strip("/") for sensor in self.sensors)]),
            ("prefix", [sensor.prefix for sensor in self.sensors if sensor.prefix]),
            ("entry", [axis.name for axis in self.action]),
            ("part of a twist", [axis.part for axis in self.action if axis.part in PARTS]),
        ):
            if len(set(told)) != len(told):
                raise ValueError(f"task {self.name}: the same {what} twice, {told}")
        parts = {axis.part for axis in self.action}
        if not (parts <= PARTS or parts in ({"velocities"}, {"positions"})):
            raise ValueError(
                f"task {self.name}: an action is of parts of a twist, {', '.join(sorted(PARTS))}, or all of "
                f"it of velocities, or all of positions; got {', '.join(sorted(parts))}"
            )
        points = {sensor.name for sensor in self.sensors if sensor.kind is Kind.POINT}
        if not {*self.placed.values()} <= points:
            raise ValueError(f"task {self.name}: what is placed needs a point, {dict(self.placed)}")
        lacking = [s.name for s in self.sensors if s.kind is Kind.MASS and not s.prefix]
        if lacking:
            raise ValueError(f"task {self.name}: the frame of {', '.join(lacking)} has no prefix")

    @cached_property
    def scale(self) -> Vec:
        """(A,) physical units at an action of 1."""
        return np.array([axis.scale for axis in self.action])

    @cached_property
    def carrier(self) -> Carrier:
        """The message that carries an action."""
        first = self.action[0].part if self.action else ""
        return Carrier(first) if first in ("velocities", "positions") else Carrier.TWIST

    @cached_property
    def linear(self) -> tuple[list[int], list[int]]:
        """Entries of the action that move the tool along an axis of the base frame, and those axes."""
        found = [
            (i, "xyz".index(a.part[-1])) for i, a in enumerate(self.action) if a.part.startswith("linear")
        ]
        return [entry for entry, _ in found], [axis for _, axis in found]

    def places(self, measurement: Measurement) -> tuple[Vec, ...]:
        """Sensed position (3,) [m] of each of the `placed` bodies, in order."""
        return tuple(measurement.sensed[sensor] for sensor in self.placed.values())


@dataclass(frozen=True)
class TaskFamily:
    """A task whose entries depend on the arm, such as one for each joint."""

    name: str
    of: Callable[[Robot], Task]
    environments: tuple[str, ...] = ()  # as in `Task`


def sensors_fault(task: Task, measurement: Measurement) -> str:
    """Fault in the readings of the task's sensors, NaN included; empty if none."""
    for sensor in task.sensors:
        reading = measurement.sensed.get(sensor.name)
        if reading is None or reading.shape != (sensor.kind.width,) or not all_finite(reading):
            return f"{sensor.name} {reading}"
    return task.doubt(measurement)


def observation_width(task: Task, terms: Sequence[str]) -> int:
    """Length O of the observation with these terms."""
    return sum(task.terms[name].width for name in terms)


def observation_scaling(task: Task, terms: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Shift and scale, each (O,), applied first by a network: (obs - shift) / scale."""
    shift = np.array([x for name in terms for x in task.terms[name].shift], dtype=np.float32)
    scale = np.array([x for name in terms for x in task.terms[name].scale], dtype=np.float32)
    return shift, scale


def observe(task: Task, terms: Sequence[str], measurement: Measurement, tool: Tool) -> NDArray[np.float32]:
    """Observation (O,) in physical units, in the order of `terms`: the same code in sim and on the robot."""
    state = tool.state(measurement.joint_position, measurement.joint_velocity)
    return observe_from(task, terms, measurement, state)


def observe_from(
    task: Task, terms: Sequence[str], measurement: Measurement, state: Any
) -> NDArray[np.float32]:
    """`observe` for a tool state that is already known."""
    values: list[float] = []  # faster than filling an array term by term
    for name in terms:
        values += task.terms[name].function(measurement, state)
    return np.array(values, dtype=np.float32)
