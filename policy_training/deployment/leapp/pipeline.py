"""A LEAPP pipeline as it lies in a folder: a YAML file, and the ONNX graphs that it names.

    models.NODE          inputs, outputs, and the file of each node, in the order in which they run
    pipeline             data_flow, what goes on to a later node; feedback_flow, what comes back a step later;
                         inputs and outputs, what goes in from outside and out of it; initial_values; configs

A place is "node/port". Written after LEAPP's own description of its files, config version 1.3; the package
itself is not needed. Shapes: N numbers of a port, whatever its shape.
"""

import hashlib
import math
import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import yaml

from policy_training.deployment.leapp.initial_values import Array32, read_initial_values
from policy_training.deployment.names import named
from policy_training.files import read_regular
from spillguard_core.bundle.bundle import LARGEST, POLICY
from spillguard_core.robot.plain_yaml import read_text

FLOAT = "float32"
TEMPORAL = "__temporal_axis__"  # in place of the names of an axis: it is of time
MOST_NUMBERS, MOST_AXES = 1 << 24, 16  # of a port: 64 MiB
FASTEST = 1e6  # [Hz]
TOLD = {"name", "dtype", "shape", "type", "kind", "element_names", "temporal_period_ms"}
"""What LEAPP itself says of a port; anything else is its writer's own."""


@dataclass(frozen=True)
class LeappPort:
    """One input or output of a node."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    kind: str = ""  # what it means; empty: not told
    elements: tuple[str, ...] = ()  # (N,) names, in order; empty: not told
    steps: int = 1  # moments in it, along an axis of time
    extra: Mapping[str, Any] = field(default_factory=dict)  # what else its writer says

    @property
    def numbers(self) -> int:
        """N."""
        return math.prod(self.shape)


@dataclass(frozen=True, eq=False)
class LeappNode:
    """One graph of a pipeline."""

    name: str
    inputs: tuple[LeappPort, ...]  # in the order of the graph's own, whatever their names there
    outputs: tuple[LeappPort, ...]
    graph: onnx.ModelProto


@dataclass(frozen=True, eq=False)
class LeappPipeline:
    """A pipeline that was read and checked: every input has one source, every source comes before it."""

    name: str
    nodes: tuple[LeappNode, ...]  # in the order in which they run
    flow: Mapping[str, str]  # input -> output of an earlier node
    feedback: Mapping[str, str]  # input -> output of the step before
    given: tuple[str, ...]  # inputs from outside
    results: tuple[str, ...]  # outputs to outside
    initial: Mapping[str, Array32]  # first values of each input of `feedback`, in its shape
    rate: float | None  # [Hz]; None: not told
    configs: Mapping[str, Any]  # all that is told of the whole

    @property
    def inputs(self) -> dict[str, LeappPort]:
        """Every input, by its place."""
        return {f"{node.name}/{port.name}": port for node in self.nodes for port in node.inputs}

    @property
    def outputs(self) -> dict[str, LeappPort]:
        """Every output, by its place."""
        return {f"{node.name}/{port.name}": port for node in self.nodes for port in node.outputs}


def is_pipeline(place: Path) -> bool:
    """Whether the place is that of a pipeline, by its form: a folder or a YAML file."""
    return place.is_dir() or place.suffix in (".yaml", ".yml")


def read_pipeline(place: Path) -> LeappPipeline:
    """The pipeline of a folder or of its YAML file. OSError, or ValueError that names the file and the
    fault: what was got, what is allowed, what to do."""
    path = _file(place)
    try:
        return _pipeline(_loaded(read_text(path)), path)
    except ValueError as error:
        raise ValueError(f"LEAPP pipeline {path}: {error}") from error


def _loaded(text: str) -> Any:
    """What LEAPP's own loader makes of it, aliases included: the file is written by a program. ValueError."""
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"is no YAML: {' '.join(str(error).split())[:300]}") from error


def _file(place: Path) -> Path:
    """LEAPP names the file as the folder; a folder that was renamed has to have no other."""
    if not place.is_dir():
        return place
    own = place / f"{place.resolve().name}.yaml"
    if own.is_file():
        return own
    found = sorted(place.glob("*.yaml"))
    if len(found) == 1:
        return found[0]
    has = f"has {', '.join(path.name for path in found)}" if found else "has no YAML file"
    raise ValueError(f"{place} {has}; a LEAPP pipeline has one, {own.name}: name the file itself")


def _pipeline(raw: Any, path: Path) -> LeappPipeline:
    said = _mapping(raw, {"models", "pipeline"}, "the file")
    wires = _mapping(said["pipeline"], {"inputs", "outputs"}, "pipeline")
    models = _mapping(said["models"], set(), "models")
    nodes = tuple(_node(_part(name, "a node"), one, path.parent) for name, one in models.items())
    flow = _edges(wires.get("data_flow") or {}, "data_flow")
    feedback = _edges(wires.get("feedback_flow") or {}, "feedback_flow")
    given, results = (tuple(_places(wires[key] or {}, f"pipeline.{key}")) for key in ("inputs", "outputs"))
    file, first = wires.get("initial_values"), dict[str, Array32]()
    if file is not None:
        first = read_initial_values(path.parent / named(file, "initial_values"))
    configs = _mapping(wires.get("configs") or {}, set(), "configs")
    made = LeappPipeline(
        path.stem, nodes, flow, feedback, given, results, first, _rate(configs), configs
    )  # fmt: skip
    _check_wires(made)
    zero = {place: np.zeros(made.inputs[place].shape, np.float32) for place in feedback}
    for place, value in first.items():
        if place not in zero or value.shape != zero[place].shape:
            allowed = ", ".join(f"{one} {list(value.shape)}" for one, value in zero.items()) or "nothing"
            raise ValueError(f"{file} has {place} {list(value.shape)}; what is fed back is {allowed}")
    return replace(made, initial=zero | first)


def _check_wires(pipeline: LeappPipeline) -> None:
    """ValueError if an input has no source or several, or a source does not exist or comes too late."""
    inputs, outputs = pipeline.inputs, pipeline.outputs
    if not pipeline.given or not pipeline.results:
        raise ValueError("nothing goes into it or nothing comes out; needed is an input and an output")
    sources = (*pipeline.flow, *pipeline.feedback, *pipeline.given)
    used = (*pipeline.flow.values(), *pipeline.feedback.values(), *pipeline.results)
    for what, places, there in (("input", sources, inputs), ("output", used, outputs)):
        for place in sorted({*places} - there.keys()):
            raise ValueError(f"there is no {what} {place}; there are {', '.join(there)}")
    for place in inputs:
        if sources.count(place) != 1:
            raise ValueError(f"the input {place} has {sources.count(place)} sources; allowed is one")
    for place in (*pipeline.given, *pipeline.feedback):
        if inputs[place].dtype != FLOAT:
            raise ValueError(f"{place} is {inputs[place].dtype}; allowed is {FLOAT}: export it as such")
    order = [node.name for node in pipeline.nodes]
    for into, out in (*pipeline.flow.items(), *pipeline.feedback.items()):
        _check_edge(out, outputs[out], into, inputs[into])
        later = order.index(out.partition("/")[0]) >= order.index(into.partition("/")[0])
        if into in pipeline.flow and later:
            raise ValueError(f"{out} goes to {into}, which runs before it; only feedback_flow may do so")


def _check_edge(out: str, made: LeappPort, into: str, taken: LeappPort) -> None:
    if (made.shape, made.dtype) != (taken.shape, taken.dtype):
        raise ValueError(
            f"{out} is {made.dtype} {list(made.shape)}, {into} takes {taken.dtype} {list(taken.shape)}; both "
            "have to be the same: export anew"
        )


def _rate(configs: Mapping[str, Any]) -> float | None:
    """How often a pipeline is to run [Hz]; None: not told."""
    rate = configs.get("frequency")
    if rate is not None and not (type(rate) in (int, float) and 0.0 < rate <= FASTEST):
        raise ValueError(
            f"configs.frequency has to be above 0 and at most {FASTEST:g} Hz, got {reprlib.repr(rate)}"
        )
    return None if rate is None else float(rate)


def _node(name: str, raw: Any, folder: Path) -> LeappNode:
    said = _mapping(raw, {"inputs", "outputs", "parameters"}, f"node {name}")
    parameters = _mapping(said["parameters"], {"backend", "model_path"}, f"parameters of {name}")
    if parameters["backend"] != "onnx":
        raise ValueError(
            f"node {name} is exported as {reprlib.repr(parameters['backend'])}; allowed is 'onnx': export it "
            "with export_with='onnx'"
        )
    inputs, outputs = (
        tuple(_port(one, f"{key} of {name}") for one in _sequence(said[key], f"{key} of {name}"))
        for key in ("inputs", "outputs")
    )
    for ports in (inputs, outputs):
        if len({port.name for port in ports}) != len(ports):
            raise ValueError(f"node {name} has two ports of one name: {', '.join(p.name for p in ports)}")
    path = folder / named(parameters["model_path"], f"model_path of {name}")
    data = read_regular(path, LARGEST[POLICY])
    wanted, got = parameters.get("sha256sum"), hashlib.sha256(data).hexdigest()
    if wanted is not None and wanted != got:
        raise ValueError(
            f"{path.name} has the sha256 {got[:12]}..., the file says {str(wanted)[:12]}...: it was changed "
            "or damaged; export anew"
        )
    try:
        graph = onnx.load_model(path)  # with weights that are kept beside it
    except Exception as error:  # decoders raise many kinds
        words = " ".join(str(error).split())[:200]
        raise ValueError(f"{path.name} is no readable ONNX graph: {words}") from error
    return LeappNode(name, inputs, outputs, graph)


def _port(raw: Any, what: str) -> LeappPort:
    said = _mapping(raw, {"name", "dtype", "shape"}, f"each of the {what}")
    name, shape = _part(said["name"], what), said["shape"]
    if not isinstance(shape, list) or not all(type(size) is int and size > 0 for size in shape):
        raise ValueError(f"shape of {name} has to be a list of sizes, got {reprlib.repr(shape)}")
    if len(shape) > MOST_AXES or math.prod(shape) > MOST_NUMBERS:
        raise ValueError(
            f"{name} has the shape {reprlib.repr(shape)}; allowed are {MOST_NUMBERS} numbers in {MOST_AXES} "
            "axes"
        )
    axes = said.get("element_names") or []
    axes = [axes] if isinstance(axes, str) else _sequence(axes, f"element_names of {name}")
    steps = 1
    if TEMPORAL in axes:
        steps = shape[axes.index(TEMPORAL)] if axes.index(TEMPORAL) < len(shape) else math.prod(shape)
    if axes and all(isinstance(one, str) for one in axes):
        axes = [axes]
    named = [axis for axis in axes if isinstance(axis, list) and len(axis) == math.prod(shape)]
    return LeappPort(
        name, str(said["dtype"]), tuple(shape), str(said.get("kind") or ""),
        tuple(map(str, named[-1])) if named else (), steps,
        {key: value for key, value in said.items() if key not in TOLD},
    )  # fmt: skip


def _edges(wires: Any, what: str) -> dict[str, str]:
    """Output -> inputs, turned round."""
    found = dict[str, str]()
    for source, targets in _mapping(wires, set(), what).items():
        for raw in _sequence(targets, f"{what} of {source}"):
            target = named(raw, f"a target of {source}")
            if target in found:
                raise ValueError(f"{what} brings {found[target]} and {source} to {target}; allowed is one")
            found[target] = str(source)
    return found


def _places(raw: Any, what: str) -> Iterator[str]:
    for node, names in _mapping(raw, set(), what).items():
        for name in _sequence(names, f"{what} of {node}"):
            yield f"{node}/{name}"


def _mapping(raw: Any, needed: set[str], what: str) -> Mapping[str, Any]:
    if not isinstance(raw, dict) or not needed <= raw.keys():
        got = ", ".join(map(str, raw)) if isinstance(raw, dict) else reprlib.repr(raw)
        raise ValueError(f"{what} needs {', '.join(sorted(needed)) or 'keys and values'}; got {got}")
    return raw


def _sequence(raw: Any, what: str) -> list[Any]:
    if not isinstance(raw, list):
        raise ValueError(f"{what} has to be a list, got {reprlib.repr(raw)}")
    return raw


def _part(raw: Any, what: str) -> str:
    """A name that may stand in a place."""
    if "/" in (name := named(raw, what)):
        raise ValueError(f"{what} cannot have a / in its name, got {name!r}")
    return name
