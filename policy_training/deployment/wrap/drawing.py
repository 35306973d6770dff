"""Parts of an ONNX graph that is being drawn, and the shapes of one that is there.

Shapes: B batch, N numbers of one row.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

FLOAT = onnx.TensorProto.FLOAT
Shapes = dict[str, list[int]]
"""Of inputs or outputs, by name; 0 for a dimension that is free."""


class Drawing:
    """Nodes and constants, in order, and how much of the state is taken."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.memory = 0

    def __call__(self, kind: str, *inputs: str, out: str = "", **attributes: Any) -> str:
        """A node; the name of its only output."""
        name = out or f"value_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, value: Any, kind: type = np.float32) -> str:
        """Name of a constant."""
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype=kind), name))
        return name

    def remembered(self, count: int) -> str:
        """The next `count` values of the state, (B, `count`)."""
        begin, self.memory = self.memory, self.memory + count
        ends = [self.constant([value], np.int64) for value in (begin, self.memory, 1)]
        return self("Slice", "state", *ends)

    def joined(self, values: Sequence[str], out: str = "") -> str:
        """Columns beside each other."""
        if len(values) == 1 and not out:
            return values[0]
        return self("Concat", *values, out=out, axis=1)

    def clipped(self, value: str, limit: float) -> str:
        """Within plus and minus the limit, where there is one."""
        if not np.isfinite(limit):
            return value
        return self("Clip", value, self.constant(-limit), self.constant(limit))

    def shaped(self, value: str, shape: Sequence[int]) -> str:
        """(B, N) in a shape, the batch where it belongs."""
        batch = batch_axis(shape)
        if len(shape) == 2 and batch == 0:
            return value
        others = [size for axis, size in enumerate(shape) if axis != batch]
        value = self("Reshape", value, self.constant([-1, *others], np.int64))
        order = [*range(1, batch + 1), 0, *range(batch + 1, len(shape))]
        return self("Transpose", value, perm=order) if batch else value

    def flat(self, value: str, shape: Sequence[int], numbers: int) -> str:
        """(B, N) of a value in a shape."""
        batch = batch_axis(shape)
        if batch:
            order = [batch, *(axis for axis in range(len(shape)) if axis != batch)]
            value = self("Transpose", value, perm=order)
        return self("Reshape", value, self.constant([-1, numbers], np.int64))


def ports(model: onnx.ModelProto) -> tuple[Shapes, Shapes]:
    """Shapes of inputs and outputs. ValueError if one is not of 32-bit floats."""
    given = {constant.name for constant in model.graph.initializer}
    found: list[Shapes] = []
    for values in (model.graph.input, model.graph.output):
        shapes: Shapes = {}
        for value in values:
            tensor = value.type.tensor_type
            if value.name not in given:
                if tensor.elem_type != FLOAT:
                    raise ValueError(f"{value.name!r} of the policy's graph is not of 32-bit floats")
                shapes[value.name] = [dim.dim_value for dim in tensor.shape.dim]
        found.append(shapes)
    return found[0], found[1]


def batch_axis(shape: Sequence[int]) -> int:
    """Where the batch stands: the first free dimension, else the first of size 1."""
    free = [axis for axis, size in enumerate(shape) if size == 0]
    return free[0] if free else next((axis for axis, size in enumerate(shape) if size == 1), 0)


def numbers(shape: Sequence[int], name: str) -> int:
    """Numbers N of one row. ValueError if more than the batch is free."""
    batch = batch_axis(shape)
    others = [size for axis, size in enumerate(shape) if axis != batch]
    if not shape or 0 in others:
        raise ValueError(
            f"{name!r} of the policy's graph has the shape {list(shape)}; only its batch may be free (0): "
            "export it with its other sizes fixed"
        )
    return int(np.prod(others, dtype=int))


def port(name: str, width: int) -> onnx.ValueInfoProto:
    """An input or output (B, `width`)."""
    return helper.make_tensor_value_info(name, FLOAT, ["batch", width])


def needed(nodes: Sequence[onnx.NodeProto], outputs: Sequence[str]) -> list[onnx.NodeProto]:
    """The nodes that an output hangs on, in their order."""
    wanted, kept = {*outputs}, list[onnx.NodeProto]()
    for node in reversed(nodes):
        if wanted & {*node.output}:
            kept.append(node)
            wanted |= {*node.input} | outer(node)
    return kept[::-1]


def outer(node: onnx.NodeProto) -> set[str]:
    """Names that the branches of a node may take from outside."""
    inner = [part.g for part in node.attribute if part.HasField("g")]
    return {name for graph in inner for one in graph.node for name in {*one.input} | outer(one)}
