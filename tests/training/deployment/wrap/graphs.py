"""Policies as other people export them: graphs of other orders, shapes and memories."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Shapes = dict[str, list[object]]


def _made(
    nodes: list[onnx.NodeProto], inputs: Shapes, outputs: Shapes, constants: dict[str, np.ndarray]
) -> onnx.ModelProto:
    def ports(shapes: dict[str, list[object]]) -> list[onnx.ValueInfoProto]:
        return [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()
        ]

    held = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "made", ports(inputs), ports(outputs), held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 9
    onnx.checker.check_model(model)
    return model


def linear(weights: np.ndarray, batch: object = "batch") -> onnx.ModelProto:
    """x (B, W) -> y (B, Z), y = x weights."""
    return _made(
        [helper.make_node("MatMul", ["x", "weights"], ["y"])],
        {"x": [batch, weights.shape[0]]}, {"y": [batch, weights.shape[1]]},
        {"weights": weights.astype(np.float32)},
    )  # fmt: skip


def two_inputs(one: np.ndarray, other: np.ndarray) -> onnx.ModelProto:
    """joints (B, W), goal (B, V) -> y (B, Z)."""
    return _made(
        [
            helper.make_node("MatMul", ["joints", "one"], ["a"]),
            helper.make_node("MatMul", ["goal", "other"], ["b"]),
            helper.make_node("Add", ["a", "b"], ["y"]),
        ],
        {"joints": ["batch", one.shape[0]], "goal": ["batch", other.shape[0]]},
        {"y": ["batch", one.shape[1]]}, {"one": one.astype(np.float32), "other": other.astype(np.float32)},
    )  # fmt: skip


def leaky(weights: np.ndarray) -> onnx.ModelProto:
    """x (B, W), h_in (1, B, Z) -> y (B, Z), h_out (1, B, Z): h' = h / 2 + x weights, y = h'."""
    size = weights.shape[1]
    return _made(
        [
            helper.make_node("MatMul", ["x", "weights"], ["a"]),
            helper.make_node("Mul", ["h_in", "half"], ["b"]),
            helper.make_node("Add", ["b", "a"], ["h_out"]),
            helper.make_node("Squeeze", ["h_out", "first"], ["y"]),
        ],
        {"x": ["batch", weights.shape[0]], "h_in": [1, "batch", size]},
        {"y": ["batch", size], "h_out": [1, "batch", size]},
        {
            "weights": weights.astype(np.float32), "half": np.array(0.5, np.float32),
            "first": np.array([0]),
        },
    )  # fmt: skip
