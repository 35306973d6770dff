"""LEAPP pipelines as they lie in a folder, written by hand: YAML beside ONNX graphs."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import yaml
from onnx import TensorProto, helper, numpy_helper

from policy_training.deployment.leapp.initial_values import initial_values_file

Raw = dict[str, Any]
UR5E = [
    "shoulder_pan_joint", "shoulder_lift_joint", "elbow_joint", "wrist_1_joint", "wrist_2_joint",
    "wrist_3_joint",
]  # fmt: skip


def port(name: str, shape: list[int], **more: Any) -> Raw:
    """Description of a port."""
    return {"name": name, "dtype": "float32", "shape": shape, "type": "tensor", **more}


def node(
    folder: Path, name: str, inputs: list[Raw], outputs: list[Raw], nodes: list[onnx.NodeProto],
    constants: dict[str, np.ndarray] | None = None, opset: int = 18,
) -> Raw:  # fmt: skip
    """Write the graph of one node, of fixed shapes as LEAPP's are, and describe it."""
    told, made = (
        [helper.make_tensor_value_info(one["name"], TensorProto.FLOAT, one["shape"]) for one in ports]
        for ports in (inputs, outputs)
    )
    held = [numpy_helper.from_array(np.asarray(value), key) for key, value in (constants or {}).items()]
    model = helper.make_model(
        helper.make_graph(nodes, name, told, made, held), opset_imports=[helper.make_opsetid("", opset)]
    )
    model.ir_version = 9
    data = model.SerializeToString()
    (folder / f"{name}.onnx").write_bytes(data)
    parameters = {
        "model_path": f"{name}.onnx", "md5sum": hashlib.md5(data).hexdigest(),
        "sha256sum": hashlib.sha256(data).hexdigest(), "backend": "onnx",
    }  # fmt: skip
    return {"inputs": inputs, "outputs": outputs, "parameters": parameters}


def written(
    folder: Path, models: dict[str, Raw], initial: dict[str, np.ndarray] | None = None, **wires: Any
) -> Path:
    """Write the YAML file of a pipeline, named as its folder."""
    if initial:
        (folder / "first.safetensors").write_bytes(initial_values_file(initial))
        wires["initial_values"] = "first.safetensors"
    said = {
        "models": models,
        "pipeline": {"data_flow": {}, "feedback_flow": {}, **wires},
        "system information": {"leapp config version": "1.3"},
    }
    (folder / f"{folder.name}.yaml").write_text(yaml.safe_dump(said, sort_keys=False))
    return folder


def joints(folder: Path, **configs: Any) -> Path:
    """Positions and velocities of the UR5e's joints, reversed, in; its own output of the step before, 0.25 at
    first; out: 10 position + velocity + 0.1 of that output, again as a target, and gains."""
    folder.mkdir(exist_ok=True)
    order = UR5E[::-1]
    obs = node(
        folder, "obs",
        [
            port("joint_pos", [1, 6], kind="state/joint/position", element_names=[order]),
            port("joint_vel", [1, 6], kind="state/joint/velocity", element_names=[order]),
        ],
        [port("features", [1, 12])],
        [helper.make_node("Concat", ["joint_pos", "joint_vel"], ["features"], axis=1)],
    )  # fmt: skip
    weights = np.vstack([10.0 * np.eye(6), np.eye(6), 0.1 * np.eye(6)]).astype(np.float32)
    policy = node(
        folder, "policy", [port("features", [1, 12]), port("last_in", [1, 6])],
        [
            port("target", [1, 6], kind="target/joint/position", element_names=[order]),
            port("kp", [1, 6], kind="kp", element_names=[order]), port("last_out", [1, 6]),
        ],
        [
            helper.make_node("Concat", ["features", "last_in"], ["x"], axis=1),
            helper.make_node("MatMul", ["x", "weights"], ["target"]),
            helper.make_node("Identity", ["target"], ["last_out"]),
            helper.make_node("Identity", ["gains"], ["kp"]),
        ],
        {"weights": weights, "gains": np.full((1, 6), 100.0, np.float32)}, opset=20,
    )  # fmt: skip
    return written(
        folder, {"obs": obs, "policy": policy}, {"policy/last_in": np.full((1, 6), 0.25, np.float32)},
        data_flow={"obs/features": ["policy/features"]},
        feedback_flow={"policy/last_out": ["policy/last_in"]},
        inputs={"obs": ["joint_pos", "joint_vel"]}, outputs={"policy": ["target", "kp"]}, configs=configs,
    )  # fmt: skip


def changed(folder: Path, *keys: Any, value: Any) -> Path:
    """The pipeline with one value of its YAML file changed; None: taken away."""
    path = folder / f"{folder.name}.yaml"
    said = yaml.safe_load(path.read_text())
    at = said
    for key in keys[:-1]:
        at = at[key]
    if value is None:
        del at[keys[-1]]
    else:
        at[keys[-1]] = value
    path.write_text(yaml.safe_dump(said, sort_keys=False))
    return folder
