"""A bundle's policy as a LEAPP pipeline of one node: its terms in, each a port of its own, its action out in
physical units, what it remembers fed back.

    NAME.yaml                        what LEAPP's runtimes read; config version 1.3
    policy.onnx                      the bundle's graph between these ports, one row at a time
    NAME_initial_values.safetensors  zeros, of a policy that has just begun

What LEAPP has no kind for gets one in the same form. Units and terms are told beside each port in words of
our own, which LEAPP keeps and does not read. The safety critic and the limits stay behind: LEAPP has no place
for them.
"""

import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import yaml
from onnx import compose, helper

from policy_training.deployment.bundle_folder import folder_beside
from policy_training.deployment.leapp.drafting import LATENCY, TASK, TERM, UNIT
from policy_training.deployment.leapp.initial_values import initial_values_file
from policy_training.deployment.leapp.pipeline import FLOAT, read_pipeline
from policy_training.deployment.leapp.running import PipelineRun
from policy_training.deployment.wrap.drawing import FLOAT as ONNX_FLOAT
from policy_training.deployment.wrap.drawing import Drawing
from spillguard_core.bundle import bundle as robot
from spillguard_core.bundle.bundle import Bundle
from spillguard_core.bundle.files import read_file
from spillguard_core.bundle.graphs import PolicyRun
from spillguard_core.gate.task import Carrier

NODE, GRAPH, CONFIG_VERSION = "policy", "policy.onnx", "1.3"
KINDS = {
    "joint_position": "state/joint/position", "joint_velocity": "state/joint/velocity",
    "tool_position": "state/body/position", "tool_velocity": "state/body/velocity",
    "tool_to_goal": "state/vector3d",
}  # fmt: skip
"""Term here -> kind there; other terms get state/TERM."""
ELEMENTS = {
    "tool_position": ("x", "y", "z"), "tool_velocity": ("vx", "vy", "vz", "wx", "wy", "wz"),
    "tool_axes": ("xx", "xy", "xz", "yx", "yy", "yz"), "tool_to_goal": ("x", "y", "z"),
}  # fmt: skip
UNGUARDED = "does not pass the safety monitor: no limits, no braking check, no critic"
STEPS, TOLERANCE = 20, 1e-5  # of an action of 1
Ports = list[dict[str, Any]]


def write_pipeline(bundle: Bundle, path: Path, out: Path) -> None:
    """Write the policy of the bundle at `path` into the new folder `out`, and compare it with the bundle's
    own over some steps. FileExistsError if there is one; ValueError if it differs or puts out chunks."""
    if out.exists():
        raise FileExistsError(f"{out} exists; remove it, or choose another place")
    if bundle.manifest.ahead is not None:
        raise ValueError(
            f"the policy of {path} puts out {bundle.manifest.actions} actions at once; only policies of one "
            "action are written"
        )
    part = folder_beside(out)
    try:
        name = out.resolve().name
        graph = _graph(
            bundle, onnx.load_model_from_string(read_file(path / robot.POLICY, robot.LARGEST[robot.POLICY]))
        )
        data = graph.SerializeToString()
        (part / GRAPH).write_bytes(data)
        text = yaml.safe_dump(
            _description(bundle, data, graph, name), sort_keys=False, default_flow_style=None, width=100
        )
        (part / f"{name}.yaml").write_text(text)
        if bundle.policy.memory:
            zeros = {f"{NODE}/state": np.zeros((1, bundle.policy.memory), np.float32)}
            (part / f"{name}_initial_values.safetensors").write_bytes(initial_values_file(zeros))
        _compare(bundle, part / f"{name}.yaml")
        part.rename(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _inputs(bundle: Bundle) -> Ports:
    """Description of each term's port."""
    joints = bundle.manifest.joint_names
    ports = []
    for term in bundle.manifest.observation:
        elements = joints if term.name.startswith("joint_") else ELEMENTS.get(term.name, ())
        ports.append(
            _port(term.name, term.width, KINDS.get(term.name, f"state/{term.name}"), elements, term.unit)
        )
        ports[-1][TERM] = term.name
    return ports


def _outputs(bundle: Bundle) -> tuple[Ports, list[list[int]]]:
    """Description of each part of the action, and which entries are in it."""
    axes, entries = bundle.task.action, range(len(bundle.task.action))
    joints = {
        Carrier.VELOCITIES: ("joint_velocity_target", "target/joint/velocity"),
        Carrier.POSITIONS: ("joint_position_target", "target/joint/position"),
    }.get(bundle.task.carrier)
    if joints is not None:
        name, kind = joints
        return [_port(name, len(axes), kind, [axis.name for axis in axes], axes[0].unit)], [[*entries]]
    ports, parts = Ports(), list[list[int]]()
    for part, name, unit in (
        ("linear", "tool_linear_velocity", "m/s"),
        ("angular", "tool_angular_velocity", "rad/s"),
    ):
        mine = [entry for entry in entries if axes[entry].part.startswith(part)]
        if mine:
            elements = [axes[entry].name for entry in mine]
            ports.append(_port(name, len(mine), f"target/body/{part}_velocity", elements, unit))
            parts.append(mine)
    return ports, parts


def _port(name: str, width: int, kind: str, elements: Any, unit: str) -> dict[str, Any]:
    told = {"name": name, "dtype": FLOAT, "shape": [1, width], "type": "tensor", "kind": kind}
    return told | ({"element_names": [list(elements)]} if elements else {}) | {UNIT: unit}


def _state_port(name: str, memory: int) -> dict[str, Any]:
    return {"name": name, "dtype": FLOAT, "shape": [1, memory], "type": "tensor"}


def _description(bundle: Bundle, data: bytes, graph: onnx.ModelProto, name: str) -> dict[str, Any]:
    """All that the YAML file says."""
    inputs, outputs, memory = _inputs(bundle), _outputs(bundle)[0], bundle.policy.memory
    given, results = ([port["name"] for port in ports] for ports in (inputs, outputs))
    wires: dict[str, Any] = {
        "configs": {
            "frequency": bundle.manifest.policy_rate, "robot": bundle.manifest.robot,
            TASK: bundle.task.name, "safety": f"a policy that runs from it {UNGUARDED}",
        },
        "data_flow": {}, "feedback_flow": {}, "inputs": {NODE: given}, "outputs": {NODE: results},
    }  # fmt: skip
    if bundle.manifest.trained_latency is not None:
        wires["configs"][LATENCY] = bundle.manifest.trained_latency
    if memory:
        inputs.append(_state_port("state", memory))
        outputs.append(_state_port("next_state", memory))
        wires["feedback_flow"] = {f"{NODE}/next_state": [f"{NODE}/state"]}
        wires["initial_values"] = f"{name}_initial_values.safetensors"
    parameters = {
        "model_path": GRAPH, "md5sum": hashlib.md5(data, usedforsecurity=False).hexdigest(),
        "sha256sum": robot.sha256(data), "backend": "onnx", "warp_segments": 0,
        "opset_version": graph.opset_import[0].version,
    }  # fmt: skip
    return {
        "models": {NODE: {"inputs": inputs, "outputs": outputs, "parameters": parameters}},
        "pipeline": wires,
        "system information": {"leapp config version": CONFIG_VERSION, "written by": "spillguard leapp"},
    }


def _graph(bundle: Bundle, own: onnx.ModelProto) -> onnx.ModelProto:
    """terms (1, W) each, state (1, S) -> parts of the action (1, A') in physical units, next_state (1, S)."""
    inputs, (outputs, parts), memory = _inputs(bundle), _outputs(bundle), bundle.policy.memory
    inner, draw = compose.add_prefix(own, "bundle/"), Drawing()
    draw("Concat", *(port["name"] for port in inputs), out="bundle/obs", axis=1)
    if memory:
        draw("Identity", "state", out="bundle/state")
    draw.nodes += inner.graph.node
    draw.constants += inner.graph.initializer
    action = draw("Mul", "bundle/action", draw.constant(bundle.scale[None]))
    for port, entries in zip(outputs, parts, strict=True):
        draw("Gather", action, draw.constant(entries, np.int64), out=port["name"], axis=1)
    into, out = ([(port["name"], port["shape"]) for port in ports] for ports in (inputs, outputs))
    if memory:
        draw("Identity", "bundle/next_state", out="next_state")
        into, out = [*into, ("state", [1, memory])], [*out, ("next_state", [1, memory])]
    told, made = (
        [helper.make_tensor_value_info(name, ONNX_FLOAT, shape) for name, shape in one] for one in (into, out)
    )
    graph = helper.make_graph(draw.nodes, NODE, told, made, draw.constants)
    model = helper.make_model(graph, opset_imports=own.opset_import)
    model.ir_version = own.ir_version
    onnx.checker.check_model(model)
    return model


def _compare(bundle: Bundle, path: Path) -> None:
    """ValueError if the pipeline, as it was written, does not do what the bundle does."""
    pipeline, run = read_pipeline(path), PolicyRun(bundle.policy)
    theirs, terms = PipelineRun(pipeline), [bundle.task.terms[name] for name in bundle.terms]
    shift, scale = (np.concatenate([getattr(term, end) for term in terms]) for end in ("shift", "scale"))
    ends, order = np.cumsum([term.width for term in terms])[:-1], np.concatenate(_outputs(bundle)[1])
    rng = np.random.default_rng(0)
    for step in range(STEPS):
        obs = (shift + scale * rng.uniform(-1.0, 1.0, len(shift))).astype(np.float32)
        given = dict(zip(pipeline.given, (part[None] for part in np.split(obs, ends)), strict=True))
        made, wanted = theirs(given), run(obs)
        got = np.concatenate([made[place][0] for place in pipeline.results]) / bundle.scale[order]
        error = float(np.abs(got - wanted[order]).max() / max(1.0, float(np.abs(wanted).max())))
        if not error <= TOLERANCE:
            raise ValueError(f"at step {step} the pipeline's action is {error:.1e} from the bundle's")
