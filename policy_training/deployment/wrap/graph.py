"""A policy's own graph between the robot's terms and the task's action: one ONNX graph, for a bundle.

    obs (B, O), state (B, S)  ->  entries of the contract  ->  history  ->  the policy's own graph
                              ->  output (B, Z)  ->  action (B, A), next_state (B, S)

What a policy remembers goes through the state: a flag that there is something to remember, its last output,
past observations, its recurrent states. A state of zeros is that of a policy that has just begun; the first
observation stands for those that are lacking then.

Shapes: B batch, O observation, Z outputs of the policy's own graph, A action, S state.
"""

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import compose, helper

from policy_training.deployment.wrap.contract import LAST_OUTPUT, Contract, Given
from policy_training.deployment.wrap.drawing import Drawing, Shapes, needed, numbers, outer, port, ports

OPSET = 17
NEWEST_FORMAT = 10  # of ONNX files, for older runtimes
INNER = "policy_"  # before every name of the policy's own graph


def wrapped(model: onnx.ModelProto, contract: Contract) -> onnx.ModelProto:
    """The graph for a bundle. ValueError where contract and graph do not fit."""
    if _opset(model) < OPSET:
        model = onnx.version_converter.convert_version(model, OPSET)
    inputs, outputs = ports(model)
    states = dict(contract.state)
    output = _checked(inputs, outputs, contract)
    draw, outs = Drawing(), contract.outputs
    flag = draw.remembered(1)
    begun = draw("Greater", flag, draw.constant([[0.0]]))
    last = ""
    if any(entry.term == LAST_OUTPUT for entry in contract.observation):
        last = draw.remembered(outs)
    fed, past = dict[str, str](), list[str]()
    for name in inputs:
        if name not in states:
            entries = [entry for entry in contract.observation if entry.input in ("", name)]
            given, kept = _with_history(draw, entries, contract, last, begun)
            fed[name] = draw.shaped(given, inputs[name])
            past += kept
    for name in states:
        fed[name] = draw.shaped(draw.remembered(numbers(inputs[name], name)), inputs[name])
    inner = compose.add_prefix(model, INNER)
    for name, value in fed.items():
        draw("Identity", value, out=INNER + name)
    draw.nodes += inner.graph.node
    draw.constants += inner.graph.initializer
    raw = draw.clipped(draw.flat(INNER + output, outputs[output], outs), contract.clip)
    _draw_action(draw, raw, contract)
    after = [
        draw.flat(INNER + out, outputs[out], numbers(inputs[into], into)) for into, out in states.items()
    ]
    then = [*([raw] if last else []), *past, *after]
    if then:
        one = draw("Add", draw("Mul", flag, draw.constant([[0.0]])), draw.constant([[1.0]]))
        draw.joined([one, *then], out="next_state")
    return _finished(draw, inner, contract, draw.memory if then else 0)


def _opset(model: onnx.ModelProto) -> int:
    versions = [one.version for one in model.opset_import if one.domain in ("", "ai.onnx")]
    if not versions:
        raise ValueError("it uses none of ONNX's operators: it is empty, or no ONNX graph")
    return max(versions)


def _checked(inputs: Shapes, outputs: Shapes, contract: Contract) -> str:
    """The name of the output that is the action. ValueError if names or sizes do not fit."""
    states = dict(contract.state)
    named = {entry.input for entry in contract.observation}
    for what, wanted, there in (
        ("input", {*states} | named - {""}, inputs),
        ("output", {*states.values(), contract.output} - {""}, outputs),
    ):
        for name in sorted(wanted - there.keys()):
            raise ValueError(f"the policy's graph has no {what} {name!r}; it has {', '.join(there)}")
    free = {name for name in inputs if name not in states}
    if named != free and not (named == {""} and len(free) == 1):
        raise ValueError(
            f"the policy's graph has the inputs {', '.join(sorted(free))}; each entry of the observation has "
            "to name the one that it goes to, unless there is only one, and each has to be named"
        )
    for name in free:
        entries = [entry for entry in contract.observation if entry.input in ("", name)]
        steps, wanted_size = contract.history.steps, numbers(inputs[name], name)
        if wanted_size != steps * sum(len(entry.columns) for entry in entries):
            told = " + ".join(f"{len(entry.columns)} of {entry.term}" for entry in entries)
            raise ValueError(
                f"the policy's graph takes {wanted_size} numbers at {name!r}, the contract gives it {told}, "
                f"of {steps} steps"
            )
    left = [name for name in outputs if name not in states.values()]
    if not contract.output and len(left) != 1:
        raise ValueError(
            f"the policy's graph has the outputs {', '.join(left)}; action.output has to name one"
        )
    output = contract.output or left[0]
    if (found := numbers(outputs[output], output)) != contract.outputs:
        chunk = "" if contract.chunk is None else f" in each of {contract.chunk.actions} actions of a chunk"
        raise ValueError(
            f"{output!r} of the policy's graph has {found} numbers, action has {len(contract.columns)}{chunk}"
        )
    for into, out in states.items():
        if numbers(inputs[into], into) != numbers(outputs[out], out):
            raise ValueError(f"the state {into!r} has another size than {out!r}, which it becomes")
    return output


def _with_history(
    draw: Drawing, entries: Sequence[Given], contract: Contract, last: str, begun: str
) -> tuple[str, list[str]]:
    """What the graph is given of these entries, and what of it has to be remembered."""
    steps, newest, of = contract.history
    parts = [(_entry(draw, entry, contract, last), len(entry.columns)) for entry in entries]
    if of == "all":
        parts = [(draw.joined([value for value, _ in parts]), sum(width for _, width in parts))]
    given, kept = list[str](), list[str]()
    for value, width in parts:
        older = [draw.remembered(width) for _ in range(steps - 1)]  # oldest first
        every = [*(draw("Where", begun, old, value) for old in older), value]
        kept += every[1:]
        given += every if newest == "last" else every[::-1]
    return draw.joined(given), kept


def _entry(draw: Drawing, entry: Given, contract: Contract, last: str) -> str:
    """One entry, as the graph is to get it."""
    value = last
    if entry.term != LAST_OUTPUT:
        before = contract.terms[: contract.terms.index(entry.term)]
        begin = sum(contract.task.terms[name].width for name in before)
        columns = [begin + column for column in entry.columns]
        value = draw("Gather", "obs", draw.constant(columns, np.int64), axis=1)
    value = draw("Sub", value, draw.constant(entry.shift[None]))
    return draw.clipped(draw("Div", value, draw.constant(entry.scale[None])), contract.clip_observation)


def _draw_action(draw: Drawing, raw: str, contract: Contract) -> None:
    """The task's action of the policy's output: a product with a matrix (Z, A), and an offset. The actions of
    a chunk are rows meanwhile."""
    entries, chunk, out = len(contract.task.action), contract.chunk, "action"
    if chunk is not None:
        kept = draw.constant(np.arange(chunk.used * len(contract.columns)), np.int64)
        raw = draw("Gather", raw, kept, axis=1)
        raw = draw("Reshape", raw, draw.constant([-1, len(contract.columns)], np.int64))
        out = ""
    weights, offset = np.zeros((len(contract.columns), entries)), np.zeros((1, entries))
    for row, column in enumerate(contract.columns):
        weights[row, column] = contract.scale[row] / contract.task.scale[column]
        offset[0, column] = contract.offset[row] / contract.task.scale[column]
    action = draw("Add", draw("MatMul", raw, draw.constant(weights)), draw.constant(offset), out=out)
    if chunk is not None:
        draw("Reshape", action, draw.constant([-1, chunk.used * entries], np.int64), out="action")


def _finished(draw: Drawing, inner: onnx.ModelProto, contract: Contract, memory: int) -> onnx.ModelProto:
    """The whole graph, without what nothing needs."""
    width = sum(contract.task.terms[name].width for name in contract.terms)
    actions = 1 if contract.chunk is None else contract.chunk.used
    inputs, outputs = [port("obs", width)], [port("action", actions * len(contract.task.action))]
    if memory:
        inputs, outputs = [*inputs, port("state", memory)], [*outputs, port("next_state", memory)]
    nodes = needed(draw.nodes, [one.name for one in outputs])
    used = {name for node in nodes for name in (*node.input, *outer(node))}
    constants = [constant for constant in draw.constants if constant.name in used]
    graph = helper.make_graph(nodes, "policy", inputs, outputs, constants)
    made = helper.make_model(graph, opset_imports=inner.opset_import, functions=inner.functions)
    made.ir_version = min(made.ir_version, NEWEST_FORMAT)
    onnx.checker.check_model(made, full_check=True)
    return made
