"""A first contract from what an ONNX graph says of itself: the metadata that mjlab, and exporters derived
from Isaac Lab's and rsl_rl's, write beside the weights.

    joint_names, default_joint_pos, action_scale    lists of names and numbers, comma-separated
    observation_names, observation_dims             terms of the observation, in order

There `joint_pos` is relative to the default posture, `joint_vel` and `actions` are as they are, and an action
is a target: default posture + scale * output. A term that means nothing to an arm here is left to be filled
in. mjlab writes these numbers with three decimals: what is lost by that shows in `spillguard contract-test`.
"""

from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from policy_training.files import read_regular, write_new
from spillguard_core.bundle.bundle import LARGEST, POLICY
from spillguard_core.robot.arm import Robot

KNOWN = {
    "joint_pos": "joint_position", "joint_pos_rel": "joint_position", "joint_vel": "joint_velocity",
    "joint_vel_rel": "joint_velocity", "actions": "last_output", "last_action": "last_output",
}  # fmt: skip
"""Name there -> term here."""
NEEDED = ("joint_names", "default_joint_pos", "action_scale", "observation_names")


def draft_of(model: onnx.ModelProto, robot: Robot, named: str, rate: float) -> str:
    """Text of a contract for this arm, called `named`. ValueError says what the graph does not."""
    said = {entry.key: entry.value for entry in model.metadata_props}
    lacks = [key for key in NEEDED if not said.get(key)]
    if lacks:
        has = ", ".join(sorted(said)) or "nothing"
        raise ValueError(
            f"the graph says nothing of {', '.join(lacks)} (its metadata has {has}); write the contract "
            "by hand"
        )
    joints = _texts(said["joint_names"])
    if sorted(joints) != sorted(robot.joint_names):
        raise ValueError(
            f"the graph is of the joints {', '.join(joints)}; {robot.name} has {', '.join(robot.joint_names)}"
        )
    posture, scale = (_numbers(said[key], key, len(joints)) for key in ("default_joint_pos", "action_scale"))
    lines = [
        "# Drafted from the graph's own metadata: read every line, then `spillguard contract-test`.",
        f"robot: {named}", "task: joint_positions", f"policy_rate: {rate:g}  # [Hz] unknown to the graph",
        "observation:",
    ]  # fmt: skip
    order = f"[{', '.join(joints)}]"
    for name in _texts(said["observation_names"]):
        term = KNOWN.get(name)
        if term is None:
            lines.append(f"  - {one_line(name)}  # fill in: no term of this name; see docs/own_policy.md")
        elif term == "last_output":
            lines.append(f"  - {term}  # {name}")
        else:
            shift = f", shift: {posture}" if term == "joint_position" else ""
            lines.append(f"  - {{term: {term}, joints: {order}{shift}}}  # {name}")
    lines += [
        "action:",
        "  kind: position",
        f"  entries: {order}",
        f"  offset: {posture}",
        f"  scale: {scale}",
    ]
    return "\n".join(lines) + "\n"


def write_draft(model: Path, out: Path, robot: Robot, named: str, rate: float) -> None:
    """The same as a file. FileExistsError if there is one."""
    try:
        graph = onnx.load_model_from_string(read_regular(model, LARGEST[POLICY]))
    except DecodeError as error:
        raise ValueError(f"{model} is no readable ONNX graph: {error}") from error
    write_new(out, draft_of(graph, robot, named, rate))


def one_line(text: str) -> str:
    """Of words from somebody else's file: a line of their own would be a key of the contract."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _texts(values: str) -> list[str]:
    return [value.strip() for value in values.split(",") if value.strip()]


def _numbers(values: str, key: str, count: int) -> list[float]:
    try:
        found = [float(value) for value in _texts(values)]
    except ValueError as error:
        raise ValueError(f"{key} of the graph is no list of numbers: {error}") from error
    if len(found) == 1:
        found *= count
    if len(found) != count:
        raise ValueError(f"{key} of the graph has {len(found)} numbers for {count} joints")
    return found
