"""A first contract from what a LEAPP pipeline says of itself.

It tells names, shapes, the order of joints, kinds of quantities, what is fed back, and sometimes a rate; not
units, frames, or what a body is on this arm. What it does not tell is marked, and where a contract cannot do
without it `fill_in` stands there, which `spillguard wrap` refuses by name. Pipelines of `spillguard leapp`
say more, in words of their own.
"""

import json
import re
import reprlib
from pathlib import Path

from policy_training.deployment.leapp.merging import Ports, action_of, ports_of
from policy_training.deployment.leapp.pipeline import LeappPipeline, LeappPort, read_pipeline
from policy_training.deployment.wrap.draft import KNOWN
from spillguard_core.gate.task import Task
from spillguard_core.robot.arm import Robot
from spillguard_core.tasks import find_task, known_tasks

TERM, UNIT = "spillguard_term", "unit"  # of a port
TASK, LATENCY = "spillguard_task", "spillguard_trained_latency"  # of the whole; the latency in [s]
KINDS_OF_TERMS = {"state/joint/position": "joint_position", "state/joint/velocity": "joint_velocity"}
"""Kind there -> term here, where it is sure."""
MAYBE = {
    "state/body/position": "tool_position, if it is the tool's in the base frame",
    "state/body/velocity": "tool_velocity, if it is the tool's in the base frame",
    "state/vector3d": "tool_to_goal, if it is tool minus goal in the base frame",
}
TASKS = {"position": "joint_positions", "velocity": "joint_velocities", "twist": "reach"}
"""Task of each kind of action, where the pipeline does not say."""
FILL_IN = "fill_in"
TAKEN = ("null", "true", "false")  # words that YAML has for itself
DEFAULT_RATE = 50.0  # [Hz]
HEAD = """\
# Drafted from the LEAPP pipeline {name}: read every line, then `spillguard contract-test`.
# LEAPP tells no units and no frames: rad, rad/s, m and the base frame are taken for granted here.
# Nor does it tell a clip of the action or how old measurements were in training (`trained_latency`).
"""


def draft_of_pipeline(pipeline: LeappPipeline, robot: Robot, named: str, rate: float | None) -> str:
    """Text of a contract for this arm, called `named`. `rate` [Hz]: how often the policy is asked; None: as
    the pipeline says. ValueError says what of it no contract can mean."""
    kind, _ = action_of(pipeline)
    if not kind:
        _check_not_torques(pipeline)
    names = ports_of(pipeline)
    said = str(pipeline.configs.get(TASK, ""))
    name = said if said in {task.name for task in known_tasks().values()} else TASKS.get(kind, "")
    task = find_task(name or TASKS["position"], robot)
    lines = [
        HEAD.format(name=_comment(pipeline.name)) + f"robot: {_word(named)}",
        f"task: {task.name}" if name else f"task: {FILL_IN}  # joint_velocities, joint_positions or reach",
        _rate(pipeline.rate, rate),
        "observation:",
    ]
    for place, given in names.given.items():
        lines.append(_entry(pipeline.inputs[place], given, task, robot))
    lines += _action(pipeline, names, task, robot)
    if names.state:
        lines.append("state:")
        lines += [
            f"  - {{input: {_word(into)}, output: {_word(out)}}}  # fed back: {place}"
            for place, (into, out) in names.state.items()
        ]
    if type(latency := pipeline.configs.get(LATENCY)) is float:
        lines.append(f"trained_latency: {latency}  # [s]")
    return "\n".join(lines) + "\n"


def write_pipeline_draft(place: Path, out: Path, robot: Robot, named: str, rate: float | None) -> None:
    """The same as a file. FileExistsError if there is one."""
    text = draft_of_pipeline(read_pipeline(place), robot, named, rate)
    with out.open("x") as file:
        file.write(text)


def _rate(told: float | None, wanted: float | None) -> str:
    if wanted is not None and told is not None and wanted != told:
        return f"policy_rate: {wanted:g}  # [Hz] as wanted; the pipeline says {told:g}"
    if told is not None:
        return f"policy_rate: {told:g}  # [Hz]"
    return f"policy_rate: {wanted or DEFAULT_RATE:g}  # [Hz] the pipeline does not say"


def _entry(one: LeappPort, given: str, task: Task, robot: Robot) -> str:
    """The line of one input."""
    own = str(one.extra.get(TERM, ""))
    term = own if own in task.terms else KINDS_OF_TERMS.get(one.kind, "")
    maybe = MAYBE.get(one.kind, "")
    if not one.kind and one.name in KNOWN:
        maybe = f"{KNOWN[one.name]}, to go by its name; its shift and scale are not told"
    known = task.terms.get(term)
    if (
        known is None
        or one.extra.get(UNIT, known.unit) != known.unit
        or (one.numbers != known.width and not term.startswith("joint_"))
    ):
        told = [f"kind {one.kind}" if one.kind else "", f"{one.numbers} numbers"]
        told += [f"elements {reprlib.repr(list(one.elements))}"] if one.elements else []
        told += [f"{key} {reprlib.repr(value)}" for key, value in one.extra.items()]
        words = ", ".join(filter(None, told)) + (f"; {maybe}" if maybe else "")
        return f"  - {{term: {FILL_IN}, input: {_word(given)}}}  # {_comment(words)}"
    parts, notes = [f"term: {term}"], [_comment(one.kind)]
    if term.startswith("joint_"):
        order = _order(one, robot)
        parts += [f"joints: {order}"] if order else []
        notes += [] if order else ["no order is told: the robot's own"]
    parts.append(f"input: {_word(given)}")
    return f"  - {{{', '.join(parts)}}}  # {'; '.join(notes)}"


def _action(pipeline: LeappPipeline, names: Ports, task: Task, robot: Robot) -> list[str]:
    kind, makers = action_of(pipeline)
    unused = [place for place in pipeline.results if place not in makers]
    notes = [
        f"  # not used: {place}, {_comment(pipeline.outputs[place].kind or 'no kind is told')}"
        for place in (unused if kind else ())
    ]
    if not kind:
        found = ", ".join(names.results.values()) or "none of them of float32"
        return [
            "action:",
            f"  kind: {FILL_IN}  # velocity, delta, position or twist; no output says what it is",
            f"  output: {FILL_IN}  # {_comment(found)}",
        ]
    ports = [pipeline.outputs[place] for place in makers]
    order = _twist(ports, task) if kind == "twist" else _joined_order(ports, robot)
    entries = [f"  entries: {order}"] if order else ["  # no order is told: entries are the task's own"]
    return ["action:", f"  kind: {kind}", *entries, f"  output: {_word(names.action)}", *notes]


def _check_not_torques(pipeline: LeappPipeline) -> None:
    for place in pipeline.results:
        kind = pipeline.outputs[place].kind
        if kind.startswith("target/"):
            raise ValueError(
                f"{place} is of the kind {kind}; allowed are target/joint/position, target/joint/velocity "
                "and target/body/linear_velocity with angular_velocity: export what the target follows from"
            )


def _joined_order(ports: list[LeappPort], robot: Robot) -> str:
    """Joints of the outputs that are joined, in order."""
    told = tuple(name for one in ports for name in one.elements)
    return _order(LeappPort("the action", "", (sum(one.numbers for one in ports),), elements=told), robot)


def _order(one: LeappPort, robot: Robot) -> str:
    """Its joints in order, as YAML; empty: not told. ValueError if they are others than the arm's."""
    joints = ", ".join(robot.joint_names)
    if len(one.elements) != one.numbers:
        if one.numbers != len(robot.joint_names):
            raise ValueError(
                f"{one.name} has {one.numbers} numbers without names; {robot.name} has the joints {joints}: "
                "name the joints with element_names and export anew"
            )
        return ""
    if sorted(one.elements) != sorted(robot.joint_names):
        raise ValueError(
            f"{one.name} is of the joints {', '.join(one.elements)}; {robot.name} has {joints}: give --robot "
            "another arm, or export the policy for these joints alone"
        )
    return f"[{', '.join(map(_word, one.elements))}]"


def _twist(ports: list[LeappPort], task: Task) -> str:
    """Entries of a twist: x, y, z of a velocity are its own, other names the task's. ValueError."""
    axes, found = [axis.name for axis in task.action], list[str]()
    for one in ports:
        letter = "w" if "angular" in one.kind else "v"
        names = one.elements or (("x", "y", "z") if one.numbers == 3 else ())
        found += [f"{letter}{name}" if name in ("x", "y", "z") else name for name in names]
    if len(found) != sum(one.numbers for one in ports) or not {*found} <= {*axes}:
        raise ValueError(
            f"the action is of {', '.join(found) or 'entries without names'}; the task {task.name} takes "
            f"some of {', '.join(axes)}: name them with element_names x, y, z and export anew"
        )
    return f"[{', '.join(map(_word, found))}]"


def _word(text: str) -> str:
    """A name as YAML, in quotes where it could be read as something else."""
    return (
        text
        if re.fullmatch(r"(\.{0,2}/)?[A-Za-z_][\w./-]*", text) and text.lower() not in TAKEN
        else json.dumps(text)
    )


def _comment(text: str) -> str:
    """One line of a comment."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
