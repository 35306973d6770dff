"""Graphs that reach outside their file, run without end, or grow beyond all bounds."""

import io
import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from spillguard_core.bundle import graph_trial
from spillguard_core.bundle.graph_trial import check_graphs, check_here
from spillguard_core.bundle.manifest import BundleError
from spillguard_core.bundle.onnx_wire import INSIDE, REFUSED, check_self_contained

WIDTH, ACTIONS = 14, 4
WEIGHTS = numpy_helper.from_array(np.ones((WIDTH, ACTIONS), np.float32), "W")
LAST = helper.make_node("MatMul", ["obs", "W"], ["action"])


def graph(
    nodes: Sequence[NodeProto], constants: Sequence[TensorProto] = (), inputs: dict[str, int] | None = None,
    output: tuple[str, list[Any]] = ("action", ["batch", ACTIONS]),
) -> bytes:  # fmt: skip
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", width])
        for name, width in (inputs or {"obs": WIDTH}).items()
    ]
    result = helper.make_tensor_value_info(output[0], TensorProto.FLOAT, output[1])
    body = helper.make_graph(list(nodes), "graph", ports, [result], list(constants))
    opset = [helper.make_opsetid("", 18)]
    return bytes(helper.make_model(body, opset_imports=opset, ir_version=10).SerializeToString())


def constant(name: str, *values: int) -> TensorProto:
    return numpy_helper.from_array(np.array(values, np.int64), name)


POLICY = graph([LAST], [WEIGHTS])
CRITIC = graph(
    [helper.make_node("ReduceMax", ["obs", "axes"], ["q_c"], keepdims=0)], [constant("axes", 1)],
    {"obs": WIDTH, "action": ACTIONS}, ("q_c", ["batch"]),
)  # fmt: skip


def samples(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    rows = {"obs": np.ones((8, WIDTH)), "action": np.full((8, ACTIONS), 14.0), "q_c": np.ones(8)}
    np.savez_compressed(stream, **(rows | arrays))
    return stream.getvalue()


def tried(policy: bytes = POLICY, critic: bytes = CRITIC, recorded: bytes | None = None) -> None:
    check_graphs(policy, critic, recorded or samples(), WIDTH, ACTIONS)


def refused(reason: str, **parts: bytes) -> None:
    with pytest.raises(BundleError, match=f"(?s){reason}"):
        tried(**parts)


def reaches_out(data: bytes, reason: str) -> None:
    with pytest.raises(BundleError, match=rf"policy\.onnx .*{reason}"):
        check_self_contained("policy.onnx", data)


def test_plain_graphs_pass() -> None:
    check_self_contained("policy.onnx", POLICY)
    check_self_contained("safety_critic.onnx", CRITIC)
    tried()


def varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def with_tensor(tensor: bytes) -> bytes:
    """The policy with that initializer in place of its own."""
    model = onnx.load_from_string(POLICY)
    del model.graph.initializer[:]
    body = model.graph.SerializeToString()
    model.ClearField("graph")
    return bytes(model.SerializeToString()) + field(7, body + field(5, tensor))


def weights_elsewhere(location: bytes) -> bytes:
    """A policy whose weights lie in w.bin; `location` encodes the key of that entry."""
    tensor = TensorProto(name="W", data_type=TensorProto.FLOAT, dims=(WIDTH, ACTIONS))
    return with_tensor(tensor.SerializeToString() + field(13, location + b"\x12\x05w.bin") + b"\x70\x01")


@pytest.mark.parametrize(
    "location", [b"\x0a\x08location", b"\x0a\x88\x00location"], ids=["usual", "long varint"]
)
def test_weights_in_another_file_however_they_are_written(
    location: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = weights_elsewhere(location)
    np.ones((WIDTH, ACTIONS), np.float32).tofile(tmp_path / "w.bin")
    monkeypatch.chdir(tmp_path)
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    (action,) = session.run(None, {"obs": np.ones((1, WIDTH), np.float32)})
    assert action[0, 0] == WIDTH  # onnxruntime does read that file
    reaches_out(data, "keeps its weights in another file")


@pytest.mark.parametrize(
    "where", ["attribute", "attribute list", "sparse values", "sparse indices", "sparse attribute"]
)
def test_weights_in_another_file_from_any_place(where: str) -> None:
    tensor = TensorProto(name="t", data_type=TensorProto.FLOAT, dims=[1])
    tensor.external_data.add(key="location", value="w.bin")
    whole = numpy_helper.from_array(np.ones(1, np.float32), "t")
    model = onnx.load_from_string(POLICY)
    if where.startswith("sparse "):
        sparse = onnx.SparseTensorProto(values=whole, indices=whole)
        (sparse.indices if where == "sparse indices" else sparse.values).CopyFrom(tensor)
        if where == "sparse attribute":
            model.graph.node[0].attribute.add(name="a", sparse_tensor=sparse)
        else:
            model.graph.sparse_initializer.append(sparse)
    elif where == "attribute":
        model.graph.node[0].attribute.add(name="a", t=tensor)
    else:
        model.graph.node[0].attribute.add(name="a", tensors=[tensor])
    reaches_out(model.SerializeToString(), "keeps its weights in another file")


def test_location_alone_is_enough_and_the_default_one_is_not() -> None:
    tensor = onnx.load_from_string(POLICY).graph.initializer[0]
    tensor.data_location = TensorProto.DEFAULT
    check_self_contained("policy.onnx", with_tensor(tensor.SerializeToString()))
    tensor.data_location = TensorProto.EXTERNAL
    reaches_out(with_tensor(tensor.SerializeToString()), "keeps its weights in another file")


def test_every_place_for_a_tensor_or_a_graph_is_known() -> None:
    """By the onnx package's own description of the format."""
    waiting, known = [onnx.ModelProto.DESCRIPTOR], set()
    telling = {"TensorProto", "SparseTensorProto", "GraphProto", "FunctionProto", "TrainingInfoProto",
               "NodeProto", "AttributeProto"}  # fmt: skip
    while waiting:
        message = waiting.pop()
        if message.name in known:
            continue
        known.add(message.name)
        for entry in message.fields:
            if entry.message_type is None:
                continue
            inside = INSIDE.get(message.name, {}).get(entry.number)
            if (message.name, entry.number) not in REFUSED:
                assert inside == entry.message_type.name or entry.message_type.name not in telling, (
                    entry.full_name
                )
                waiting.append(entry.message_type)
    assert {"TensorProto", "SparseTensorProto", "AttributeProto"} <= known
    place = onnx.TensorProto.DESCRIPTOR.fields_by_name
    assert (place["external_data"].number, place["data_location"].number) == (13, 14)
    assert onnx.NodeProto.DESCRIPTOR.fields_by_name["domain"].number == 7


def test_loop_is_refused() -> None:
    info = helper.make_tensor_value_info
    inner = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["again"]), helper.make_node("Add", ["x", "x"], ["y"])], "inner",
        [info("i", TensorProto.INT64, []), info("c", TensorProto.BOOL, []),
         info("x", TensorProto.FLOAT, None)],
        [info("again", TensorProto.BOOL, []), info("y", TensorProto.FLOAT, None)],
    )  # fmt: skip
    times = numpy_helper.from_array(np.array(2**62, np.int64), "times")
    nodes = [helper.make_node("MatMul", ["obs", "W"], ["a"]),
             helper.make_node("Loop", ["times", "", "a"], ["action"], body=inner)]  # fmt: skip
    reaches_out(graph(nodes, [WEIGHTS, times]), "a graph inside a node")


def test_functions_and_operators_of_others_are_refused() -> None:
    own = onnx.load_from_string(POLICY)
    own.functions.add(name="f", domain="own")
    reaches_out(own.SerializeToString(), "functions of its own")
    foreign = helper.make_node("Gelu", ["obs"], ["a"], domain="com.microsoft")
    reaches_out(graph([foreign, LAST], [WEIGHTS]), "an operator that ONNX does not define")


@pytest.mark.parametrize(
    "data",
    [b"hello", b"\x3a", b"\x3a\x05\x00", b"\xff" * 30, b"\xba\x00\x00", b"\x38\x07", b"\x20\0\0\0ORTM"],
    ids=["text", "no length", "too short", "no end", "long tag", "number", "ORT format"],
)  # fmt: skip
def test_bytes_that_are_no_graph(data: bytes) -> None:
    reaches_out(data, "is not a readable ONNX graph")


def grown(*nodes: NodeProto, constants: Sequence[TensorProto]) -> bytes:
    """A policy that adds the largest entry of `z` to its action."""
    most = helper.make_node("ReduceMax", ["z"], ["m"], keepdims=0)
    act = [helper.make_node("MatMul", ["obs", "W"], ["a"]), helper.make_node("Add", ["a", "m"], ["action"])]
    return graph([*nodes, most, *act], [WEIGHTS, *constants])


def test_memory_without_bounds() -> None:
    wide = helper.make_node("ConstantOfShape", ["s"], ["z"])
    refused(
        r"policy\.onnx .*(Failed to allocate|bad_alloc|alloc)",
        policy=grown(wide, constants=[constant("s", 10**11)]),
    )


def test_time_without_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processor time ends the child on the robot; here the time on the wall does, for a quick test."""
    monkeypatch.setattr(graph_trial, "WALL_TIME", 4.0)
    square = [helper.make_node("ConstantOfShape", ["s"], ["a0"])]
    square += [helper.make_node("MatMul", [f"a{i}", "a0"], [f"a{i + 1}" if i < 8 else "z"]) for i in range(9)]
    endless = grown(*square, constants=[constant("s", 12_000, 12_000)])
    refused(r"policy\.onnx or safety_critic\.onnx (takes longer than 4 s|ended the process)", policy=endless)


def member(header: str) -> bytes:
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


@pytest.mark.parametrize("shape", ["1000000000000", "99999999999999999999999", "-5"])
def test_recording_that_promises_more_than_it_has(shape: str) -> None:
    stream, header = io.BytesIO(), f"{{'descr':'<f8','fortran_order':False,'shape':({shape},)}}"
    with zipfile.ZipFile(stream, "w") as archive:
        for name in ("obs", "action", "q_c"):
            archive.writestr(f"{name}.npy", member(header))
    with pytest.raises(BundleError, match=r"samples\.npz is not a readable recording"):
        check_here(POLICY, CRITIC, stream.getvalue(), WIDTH, ACTIONS)


@pytest.mark.parametrize("kind", [np.int64, np.complex128, "U3", object])
def test_recording_of_something_else(kind: Any) -> None:
    with pytest.raises(BundleError, match=r"samples\.npz is not a readable recording"):
        check_here(POLICY, CRITIC, samples(obs=np.ones((8, WIDTH)).astype(kind)), WIDTH, ACTIONS)


def test_recording_that_unpacks_without_end() -> None:
    with pytest.raises(BundleError, match=r"samples\.npz is not .* it unpacks to 7\d+ bytes, allowed are 67"):
        check_here(POLICY, CRITIC, samples(obs=np.zeros((9_000_000, 1))), WIDTH, ACTIONS)


def test_child_that_crashes_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_trial, "__name__", "spillguard_core.no_such_module")
    refused(r"ended the process that tried them with status 1.*No module named", policy=POLICY + b"\x08\x0a")
