"""The graphs of a LEAPP pipeline as one ONNX graph, as `spillguard wrap` takes it.

Each input from outside, each output to outside and each value that is fed back is a port (B, N) of the one
graph; what is fed back is less its first value, so that it is zero at first. Outputs that ask for the same
quantity, for several joints or parts of a twist, are joined to one. LEAPP's graphs are written for one row:
which axis is the batch is not told, so it is looked for, and found where rows do not mix.

Shapes: B batch, N numbers of a port.
"""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import compose, helper, inliner

from policy_training.deployment.leapp.pipeline import FLOAT, LeappNode, LeappPipeline, LeappPort
from policy_training.deployment.leapp.running import PipelineRun, quiet_session
from policy_training.deployment.wrap.drawing import Drawing, needed, outer, port

FAMILIES = {
    "position": ("target/joint/position",), "velocity": ("target/joint/velocity",),
    "twist": ("target/body/linear_velocity", "target/body/angular_velocity"),
}  # fmt: skip
"""Kind of an action here -> kinds of the outputs there, the preferred first."""
NEWEST_FORMAT = 10  # of ONNX files, for older runtimes
ROWS, STEPS, MOST_LAYOUTS = 3, 4, 16
RELATIVE, ABSOLUTE = 1e-4, 1e-5  # between the one graph and the nodes' own
Layout = Mapping[tuple[int, ...], tuple[int, ...]]
"""Shape of a port -> the same with 0 for the batch."""
Values = dict[str, NDArray[np.float32]]


class Ports(NamedTuple):
    """What the places of a pipeline are called in the one graph."""

    given: dict[str, str]  # input from outside -> input
    state: dict[str, tuple[str, str]]  # input that is fed back -> input, output
    results: dict[str, str]  # output to outside -> output
    action: str  # the outputs that ask for one kind of action, joined; empty: no kind is told


def action_of(pipeline: LeappPipeline) -> tuple[str, tuple[str, ...]]:
    """Kind of the action and the outputs that make it, in order; empty where no kind says so. ValueError for
    several future actions in one output."""
    outputs = pipeline.outputs
    for place in pipeline.results:
        check_one_moment(place, outputs[place])
    for kind, kinds in FAMILIES.items():
        found = [place for one in kinds for place in pipeline.results if outputs[place].kind == one]
        for place in found:
            if outputs[place].dtype != FLOAT:
                raise ValueError(f"{place} is {outputs[place].dtype}; allowed is {FLOAT}: export it as such")
        if found:
            return kind, tuple(found)
    return "", ()


def check_one_moment(place: str, one: LeappPort) -> None:
    """ValueError if a port holds more than one moment."""
    longer = sum(size > 1 for size in one.shape) > 1 and one.kind.startswith("target/")
    if one.steps > 1 or longer:
        raise ValueError(
            f"{place} is {list(one.shape)}, several moments in one; allowed is one action, of one step: "
            "export the policy with its first action alone, or with what follows from it at each step"
        )


def ports_of(pipeline: LeappPipeline) -> Ports:
    """Names of the one graph: those of the ports, with the node's before it where two are alike."""
    taken, outputs = set[str](), pipeline.outputs

    def named(place: str, name: str) -> str:
        node = place.partition("/")[0]
        tried = itertools.chain((name, f"{node}_{name}"), (f"{node}_{name}_{i}" for i in itertools.count(2)))
        found = next(one for one in tried if one not in taken and not one.startswith(("value_", "constant_")))
        taken.add(found)
        return found

    given = {place: named(place, place.partition("/")[2]) for place in pipeline.given}
    into = {place: named(place, place.partition("/")[2]) for place in pipeline.feedback}
    floats = [place for place in pipeline.results if outputs[place].dtype == FLOAT]
    results = {place: named(place, place.partition("/")[2]) for place in floats}
    state = {place: (name, named(place, f"{name}_next")) for place, name in into.items()}
    makers = action_of(pipeline)[1]
    action = results[makers[0]] if len(makers) == 1 else named(makers[0], "action") if makers else ""
    return Ports(given, state, results, action)


def merged(pipeline: LeappPipeline) -> onnx.ModelProto:
    """The one graph, compared with the pipeline over some steps. ValueError that says what does not fit."""
    for place in pipeline.given:
        check_one_moment(place, pipeline.inputs[place])
    graphs = [_prepared(node, _opset(pipeline)) for node in pipeline.nodes]
    why = ""
    for layout in itertools.islice(_layouts(pipeline), MOST_LAYOUTS):
        try:
            model = _drawn(pipeline, graphs, layout)
            why = _difference(model, pipeline)
        except Exception as error:  # whatever onnx and its runtime make of a wrong layout
            why = " ".join(str(error).split())[-200:]
        if not why:
            return model
    raise ValueError(
        f"its graphs cannot be joined to one that takes rows ({why}); allowed are ports with the batch in an "
        "axis of size 1, and graphs that compute each row by itself: export them so, or join them where they "
        "come from"
    )


def _opset(pipeline: LeappPipeline) -> int:
    return max(one.version for node in pipeline.nodes for one in node.graph.opset_import
               if one.domain in ("", "ai.onnx"))  # fmt: skip


def _prepared(node: LeappNode, opset: int) -> onnx.ModelProto:
    """The node's graph with its functions drawn out, in this opset. ValueError."""
    graph = node.graph
    if graph.functions:
        graph = inliner.inline_local_functions(graph)
    strange = [one for one in graph.graph.node if one.domain not in ("", "ai.onnx")]
    if strange:
        raise ValueError(
            f"node {node.name} uses {strange[0].domain}::{strange[0].op_type}, which ONNX does not define; "
            "allowed are ONNX's own operators: export it without"
        )
    if max(one.version for one in graph.opset_import if one.domain in ("", "ai.onnx")) < opset:
        try:
            graph = onnx.version_converter.convert_version(graph, opset)
        except Exception as error:  # of the converter's own kinds
            words = " ".join(str(error).split())[:200]
            raise ValueError(
                f"node {node.name} cannot be brought to opset {opset} of the others ({words}); export all of "
                "them with one"
            ) from error
    for what, ports, told in (
        ("inputs", _inputs(graph), node.inputs), ("outputs", graph.graph.output, node.outputs),
    ):  # fmt: skip
        if len(ports) != len(told):
            names = ", ".join(one.name for one in ports)
            raise ValueError(f"node {node.name} has {len(told)} {what}, its graph {len(ports)}: {names}")
        for one, said in zip(ports, told, strict=True):
            sizes = [dim.dim_value for dim in one.type.tensor_type.shape.dim]
            fits = len(sizes) == len(said.shape) and all(
                size in (0, wanted) for size, wanted in zip(sizes, said.shape, strict=True)
            )
            if not fits:
                raise ValueError(
                    f"{node.name}/{said.name} is {list(said.shape)}, in its graph {one.name} is {sizes}; "
                    "both have to be the same: export anew"
                )
    return compose.add_prefix(graph, f"{node.name}/")


def _inputs(graph: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    held = {constant.name for constant in graph.graph.initializer}
    return [one for one in graph.graph.input if one.name not in held]


def _layouts(pipeline: LeappPipeline) -> Iterator[Layout]:
    """Where the batch may stand in each shape: in any axis of size 1, or before all others."""
    inputs, outputs = pipeline.inputs, pipeline.outputs
    places = [inputs[place] for place in (*pipeline.given, *pipeline.feedback)]
    places += [outputs[place] for place in pipeline.results]
    shapes = list(dict.fromkeys(one.shape for one in places))
    choices = []
    for shape in shapes:
        axes = [axis for axis, size in enumerate(shape) if size == 1]
        choices.append([(*shape[:axis], 0, *shape[axis + 1 :]) for axis in axes] or [(0, *shape)])
    for chosen in itertools.product(*choices):
        yield dict(zip(shapes, chosen, strict=True))


def _drawn(pipeline: LeappPipeline, graphs: list[onnx.ModelProto], layout: Layout) -> onnx.ModelProto:
    draw, names, inputs, outputs = Drawing(), ports_of(pipeline), pipeline.inputs, pipeline.outputs
    values = {place: draw.shaped(name, layout[inputs[place].shape]) for place, name in names.given.items()}
    for place, (name, _) in names.state.items():
        first = pipeline.initial[place].reshape(1, -1)
        value = draw("Add", name, draw.constant(first))
        values[place] = draw.shaped(value, layout[inputs[place].shape])
    for node, graph in zip(pipeline.nodes, graphs, strict=True):
        for one, got in zip(node.inputs, _inputs(graph), strict=True):
            place = f"{node.name}/{one.name}"
            draw("Identity", values[pipeline.flow.get(place, place)], out=got.name)
        draw.nodes += graph.graph.node
        draw.constants += graph.graph.initializer
        for one, got in zip(node.outputs, graph.graph.output, strict=True):
            values[f"{node.name}/{one.name}"] = got.name

    def flat(place: str) -> str:
        one = outputs[place]
        return draw.flat(values[place], layout[one.shape], one.numbers)

    flats = {place: flat(place) for place in names.results}
    made = {name: outputs[place].numbers for place, name in names.results.items()}
    for place, name in names.results.items():
        draw("Identity", flats[place], out=name)
    makers = action_of(pipeline)[1]
    if len(makers) > 1:
        draw.joined([flats[place] for place in makers], out=names.action)
        made[names.action] = sum(outputs[place].numbers for place in makers)
    for place, (_, name) in names.state.items():
        first = pipeline.initial[place].reshape(1, -1)
        value = draw.flat(values[pipeline.feedback[place]], layout[inputs[place].shape], first.size)
        draw("Sub", value, draw.constant(first), out=name)
        made[name] = first.size
    told = {name: inputs[place].numbers for place, name in names.given.items()}
    told |= {name: inputs[place].numbers for place, (name, _) in names.state.items()}
    return _finished(draw, told, made, _opset(pipeline))


def _finished(draw: Drawing, told: dict[str, int], made: dict[str, int], opset: int) -> onnx.ModelProto:
    """The whole graph, without what nothing needs."""
    nodes = needed(draw.nodes, list(made))
    used = {name for node in nodes for name in (*node.input, *outer(node))}
    constants = [constant for constant in draw.constants if constant.name in used]
    ins, outs = ([port(name, size) for name, size in ports.items()] for ports in (told, made))
    graph = helper.make_graph(nodes, "pipeline", ins, outs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = min(model.ir_version, NEWEST_FORMAT)
    onnx.checker.check_model(model)
    return model


def _difference(model: onnx.ModelProto, pipeline: LeappPipeline) -> str:
    """How the one graph differs from the pipeline over some steps, or from itself for several rows; empty:
    not at all."""
    session, reference = quiet_session(model.SerializeToString()), PipelineRun(pipeline)
    names, rng, inputs = ports_of(pipeline), np.random.default_rng(0), pipeline.inputs
    rows = {name: inputs[place].numbers for place, name in names.given.items()}
    states = {pair: inputs[place].numbers for place, pair in names.state.items()}
    outs = [one.name for one in session.get_outputs()]
    state = {into: np.zeros((1, size), np.float32) for (into, _), size in states.items()}
    for step in range(STEPS):
        told = {name: rng.standard_normal((1, size)).astype(np.float32) for name, size in rows.items()}
        got = dict(zip(outs, session.run(None, told | state), strict=True))
        shaped = {place: told[name].reshape(inputs[place].shape) for place, name in names.given.items()}
        wanted = reference(shaped)
        for place, name in names.results.items():
            if not _near(got[name], wanted[place]):
                return f"at step {step} {place} is other than its node's"
        state = {into: got[out] for into, out in states}
    told = {name: rng.standard_normal((ROWS, size)).astype(np.float32) for name, size in rows.items()}
    told |= {into: rng.standard_normal((ROWS, size)).astype(np.float32) for (into, _), size in states.items()}
    judged = [*([names.action] if names.action else []), *(out for _, out in states)]
    if judged:
        return _row_fault(session, told, judged)
    return ""


def _near(one: Any, other: Any) -> bool:
    """Whether they have the same numbers, in whatever shape."""
    return np.allclose(np.ravel(one), np.ravel(other), RELATIVE, ABSOLUTE, equal_nan=True)


def _row_fault(session: Any, told: Values, judged: list[str]) -> str:
    """The output that several rows at once change; empty: none."""
    together = session.run(judged, told)
    for row in range(ROWS):
        alone = session.run(judged, {name: value[row : row + 1] for name, value in told.items()})
        for name, all_rows, one in zip(judged, together, alone, strict=True):
            if all_rows.shape != (ROWS, one.size) or not _near(all_rows[row], one[0]):
                return f"{name} of several rows is other than of each"
    return ""
