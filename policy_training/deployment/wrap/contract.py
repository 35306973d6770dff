"""What the numbers of somebody else's policy mean: `contract.yaml`, checked against robot and task.

The policy's graph is given, for every entry in order, (value - shift) / scale of a term of the task, or its
own last output; what it puts out means offset + scale * output. How to write one: docs/own_policy.md.

Shapes: W width of an entry, J joints, A entries of the task's action, Z outputs of the policy's graph.
"""

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from policy_training.deployment.names import named
from spillguard_core.bundle.bundle import GUARD, LONGEST_CHUNK
from spillguard_core.gate.proposals import MOST_ACTIONS, ROUNDING
from spillguard_core.gate.task import Carrier, Task
from spillguard_core.robot.arm import Robot, load_robot
from spillguard_core.robot.plain_yaml import plain_yaml, read_text
from spillguard_core.tasks import find_task

Values = NDArray[np.float64]
LAST_OUTPUT = "last_output"  # the graph's own output of the step before, zero at first
KINDS = {
    Carrier.VELOCITIES: ("velocity", "delta"),
    Carrier.POSITIONS: ("position",),
    Carrier.TWIST: ("twist",),
}
"""What an output may mean, by what carries the task's action."""
KEYS = {
    "robot", "task", "policy_rate", "observation", "history", "clip_observation", "action", "state", "site",
    "trained_latency", "world",
}  # fmt: skip
ENTRY_KEYS = {"term", "joints", "shift", "scale", "input"}
ACTION_KEYS = {"kind", "entries", "offset", "scale", "clip", "output", "chunk"}
CHUNK_KEYS = {"actions", "period", "used"}
HISTORY_KEYS = {"steps", "newest", "of"}
MOST_STEPS = 100
LARGEST = 1e15  # of any number: graphs compute with 32 bits, which end at 3e38


class Given(NamedTuple):
    """One part of what the graph is given."""

    term: str  # of the task, or `LAST_OUTPUT`
    columns: tuple[int, ...]  # (W,) of the term, in the order of the graph
    shift: Values  # (W,)
    scale: Values  # (W,)
    input: str  # of the graph; empty: its only one


class History(NamedTuple):
    """Past observations that the graph is given with the present one."""

    steps: int = 1  # with the present one
    newest: str = "last"  # or "first"
    of: str = "all"  # the whole observation at each step; "term": the steps of each term together


class Chunked(NamedTuple):
    """Several actions in each output, the first one first."""

    actions: int  # of an output
    used: int  # of those, the first ones
    period: float  # [s] between two


@dataclass(frozen=True)
class Contract:
    """The meaning of a policy's numbers."""

    robot: Robot
    task: Task
    policy_rate: float  # [Hz]
    observation: tuple[Given, ...]
    history: History
    clip_observation: float  # after shift and scale; infinite: none
    columns: tuple[int, ...]  # (Z,) entry of the task's action that each output is, of one action
    offset: Values  # (Z,) in the units of the task's action
    scale: Values  # (Z,)
    clip: float  # of the output; infinite: none
    output: str  # of the graph; empty: its only one that is no state
    state: tuple[tuple[str, str], ...]  # (input, output) of recurrent states, zero at first
    site: Path | None  # of the arm's surroundings; None: a table at the height of its base
    trained_latency: float | None  # [s]
    chunk: Chunked | None = None  # None: an output is one action
    world: Path | None = None  # MJCF of arm and surroundings, in place of the robot's own model and the site

    @property
    def outputs(self) -> int:
        """Numbers that the graph puts out."""
        return len(self.columns) * (1 if self.chunk is None else self.chunk.actions)

    @property
    def terms(self) -> tuple[str, ...]:
        """Terms of the task that are needed, each once."""
        return tuple(dict.fromkeys(entry.term for entry in self.observation if entry.term != LAST_OUTPUT))


def load_contract(path: Path) -> Contract:
    """ValueError that names file, key, what was got and what is allowed."""
    try:
        raw = plain_yaml(read_text(path))
        return contract_of(raw, path.parent)
    except ValueError as error:
        raise ValueError(f"contract {path}: {error}") from error


def contract_of(raw: Any, folder: Path) -> Contract:
    """The contract of a parsed file in this folder. ValueError."""
    said = _mapping(raw, KEYS, {"robot", "task", "policy_rate", "observation", "action"}, "the contract")
    name = named(said["robot"], "robot")
    path = Path(name).expanduser()  # a folder is beside the contract, not where the command is given
    robot = load_robot(str((folder / path).resolve()) if "/" in name else name)
    task = find_task(named(said["task"], "task"), robot)
    columns, offset, scale, clip, output, chunk = _action(
        said["action"], task, _number(said["policy_rate"], "policy_rate")
    )
    observation = said["observation"]
    if not isinstance(observation, list) or not observation:
        raise ValueError(f"observation has to be a list of terms, got {reprlib.repr(observation)}")
    entries = tuple(_entry(one, task, robot, len(columns)) for one in observation)
    if all(entry.term == LAST_OUTPUT for entry in entries):
        raise ValueError("observation has no term of the task")
    if chunk is not None and any(entry.term == LAST_OUTPUT for entry in entries):
        raise ValueError(f"a policy that puts out chunks of actions cannot be given its {LAST_OUTPUT}")
    if "site" in said and "world" in said:
        raise ValueError("a world has surroundings of its own: give site or world")
    world = folder / Path(named(said["world"], "world")).expanduser() if "world" in said else None
    if world is not None and world.is_dir():
        world = world / GUARD
    site = folder / Path(named(said["site"], "site")).expanduser() if "site" in said else None
    latency = _number(said["trained_latency"], "trained_latency") if "trained_latency" in said else None
    return Contract(
        robot, task, _number(said["policy_rate"], "policy_rate"), entries, _history(said.get("history", 1)),
        _number(said.get("clip_observation", np.inf), "clip_observation", endless=True),
        columns, offset, scale, clip, output, _states(said.get("state", [])), site, latency, chunk, world,
    )  # fmt: skip


def _entry(raw: Any, task: Task, robot: Robot, outputs: int) -> Given:
    said = _mapping(
        {"term": raw} if isinstance(raw, str) else raw, ENTRY_KEYS, {"term"}, "each of observation"
    )
    name = named(said["term"], "term")
    if name != LAST_OUTPUT and name not in task.terms:
        known = ", ".join([*task.terms, LAST_OUTPUT])
        raise ValueError(f"the task {task.name} has no term {name!r}; it has {known}")
    width = outputs if name == LAST_OUTPUT else task.terms[name].width
    columns = tuple(range(width))
    if "joints" in said:
        if not name.startswith("joint_"):
            raise ValueError(f"{name} is not of joints, so it has no order of them")
        columns = _order(said["joints"], robot.joint_names, f"joints of {name}")
    shift = _values(said.get("shift", 0.0), len(columns), f"shift of {name}")
    scale = _values(said.get("scale", 1.0), len(columns), f"scale of {name}")
    if not (np.abs(scale) >= 1.0 / LARGEST).all():
        raise ValueError(f"scale of {name} divides the value, so it cannot be 0 or below {1.0 / LARGEST:g}")
    return Given(name, columns, shift, scale, named(said["input"], "input") if "input" in said else "")


def _action(
    raw: Any, task: Task, rate: float
) -> tuple[tuple[int, ...], Values, Values, float, str, Chunked | None]:
    said = _mapping(raw, ACTION_KEYS, {"kind"}, "action")
    kind, allowed = named(said["kind"], "kind"), KINDS[task.carrier]
    if kind not in allowed:
        raise ValueError(f"action is of the kind {kind!r}; the task {task.name} takes {' or '.join(allowed)}")
    names = tuple(axis.name for axis in task.action)
    columns = _order(said["entries"], names, "entries of action", part=task.carrier is Carrier.TWIST) \
        if "entries" in said else tuple(range(len(names)))  # fmt: skip
    offset = _values(said.get("offset", 0.0), len(columns), "offset of action")
    scale = _values(said.get("scale", 1.0), len(columns), "scale of action")
    chunk = _chunk(said["chunk"], rate) if "chunk" in said else None
    if kind == "delta":  # of each step
        steps = rate if chunk is None else 1.0 / chunk.period
        offset, scale = offset * steps, scale * steps
    clip = _number(said.get("clip", np.inf), "clip of action", endless=True)
    return columns, offset, scale, clip, named(said["output"], "output") if "output" in said else "", chunk


def _chunk(raw: Any, rate: float) -> Chunked:
    said = _mapping(raw, CHUNK_KEYS, {"actions", "period"}, "chunk of action")
    actions, period = said["actions"], _number(said["period"], "chunk.period")
    used = said.get("used", actions)
    for key, value, most in (("actions", actions, MOST_ACTIONS), ("used", used, actions)):
        if type(value) is not int or not 1 <= value <= most:
            raise ValueError(f"chunk.{key} has to be a whole number, 1 to {most}, got {value!r}")
    lasts = used * period
    if not 1.0 / rate <= lasts + ROUNDING <= LONGEST_CHUNK + 2.0 * ROUNDING:
        raise ValueError(
            f"the chunk's {used} actions last {lasts:.3g} s; allowed are {1.0 / rate:.3g} s, when the next "
            f"one comes, to {LONGEST_CHUNK} s"
        )
    return Chunked(actions, used, period)


def _history(raw: Any) -> History:
    said = _mapping({"steps": raw} if isinstance(raw, int) else raw, HISTORY_KEYS, {"steps"}, "history")
    found = History(**said)
    if type(found.steps) is not int or not 1 <= found.steps <= MOST_STEPS:
        raise ValueError(f"history.steps has to be a whole number, 1 to {MOST_STEPS}, got {found.steps!r}")
    for key, value, allowed in (
        ("newest", found.newest, ("last", "first")),
        ("of", found.of, ("all", "term")),
    ):
        if value not in allowed:
            raise ValueError(f"history.{key} has to be {' or '.join(allowed)}, got {value!r}")
    return found


def _states(raw: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(raw, list):
        raise ValueError(f"state has to be a list of input and output, got {reprlib.repr(raw)}")
    said = [_mapping(one, {"input", "output"}, {"input", "output"}, "each of state") for one in raw]
    return tuple((named(one["input"], "input"), named(one["output"], "output")) for one in said)


def _order(raw: Any, names: tuple[str, ...], what: str, *, part: bool = False) -> tuple[int, ...]:
    """Where each name stands in `names`; all of them once, or with `part` some of them once."""
    fine = isinstance(raw, list) and len({*map(str, raw)}) == len(raw) and {*map(str, raw)} <= {*names}
    if not fine or not raw or not (part or len(raw) == len(names)):
        needed = "some of" if part else "all of"
        raise ValueError(
            f"{what} has to name {needed} {', '.join(names)}, each once, got {reprlib.repr(raw)}"
        )
    return tuple(names.index(str(name)) for name in raw)


def _mapping(raw: Any, keys: set[str], needed: set[str], what: str) -> Mapping[str, Any]:
    if not isinstance(raw, dict) or not needed <= raw.keys() <= keys:
        got = ", ".join(map(str, raw)) if isinstance(raw, dict) else reprlib.repr(raw)
        may = ", ".join(sorted(keys - needed))
        raise ValueError(f"{what} needs {', '.join(sorted(needed))} and may have {may}; got {got}")
    return raw


def _number(raw: Any, what: str, *, endless: bool = False) -> float:
    """`endless`: it may be infinite, which is none."""
    fine = type(raw) in (int, float) and (0.0 < raw <= LARGEST or (endless and raw == np.inf))
    if not fine:
        raise ValueError(f"{what} has to be a number above 0, at most {LARGEST:g}, got {reprlib.repr(raw)}")
    return float(raw)


def _values(raw: Any, width: int, what: str) -> Values:
    """One number for all, or a list of one each."""
    values = raw if isinstance(raw, list) else [raw] * width
    if len(values) != width or not all(type(v) in (int, float) and -LARGEST <= v <= LARGEST for v in values):
        raise ValueError(
            f"{what} has to be a finite number or a list of {width}, at most {LARGEST:g} either way, got "
            f"{reprlib.repr(raw)}"
        )
    return np.array(values, dtype=np.float64)
