"""External references of an ONNX file, read from its protobuf encoding before anything interprets it.

A graph of a bundle contains its own weights and has no control flow. Refused: weights in other files, graphs
inside nodes (If, Loop, Scan: they may never end), functions, training graphs and operators that ONNX does not
define. Field numbers are those of onnx.proto; a test compares them with the onnx package.
"""

from collections.abc import Iterator

from spillguard_core.bundle.manifest import BundleError

INSIDE: dict[str, dict[int, str]] = {
    "ModelProto": {7: "GraphProto"},
    "GraphProto": {1: "NodeProto", 5: "TensorProto", 15: "SparseTensorProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        5: "TensorProto", 10: "TensorProto", 22: "SparseTensorProto", 23: "SparseTensorProto",
    },
    "SparseTensorProto": {1: "TensorProto", 2: "TensorProto"},
}  # fmt: skip
"""Message -> field -> message type in it. Other fields hold neither a tensor nor a graph."""
ELSEWHERE = "keeps its weights in another file; export with external_data=False"
REFUSED = {
    ("ModelProto", 20): "holds a training graph; export for inference",
    ("ModelProto", 25): "holds functions of its own; export with them inlined",
    ("AttributeProto", 6): "has a graph inside a node (If, Loop or Scan), which could run for ever",
    ("AttributeProto", 11): "has graphs inside a node (If, Loop or Scan), which could run for ever",
    ("TensorProto", 13): ELSEWHERE,
}
LOCATION, DOMAIN = ("TensorProto", 14), ("NodeProto", 7)
STANDARD = (b"", b"ai.onnx")  # domain of ONNX's own operators
Value = int | memoryview


def check_self_contained(name: str, data: bytes) -> None:
    """Refuse the graph `name` if it refers to anything outside its own bytes, or is not plain protobuf."""
    try:
        _check("ModelProto", memoryview(data))
    except BundleError as error:
        raise BundleError(f"{name} {error}") from error


def _check(message: str, data: memoryview) -> None:
    inside = INSIDE.get(message, {})
    for number, value in fields(data):
        place = message, number
        if place in REFUSED:
            raise BundleError(REFUSED[place])
        if place == LOCATION and value != 0:
            raise BundleError(ELSEWHERE)
        if place == DOMAIN and not (isinstance(value, memoryview) and bytes(value) in STANDARD):
            raise BundleError("uses an operator that ONNX does not define")
        if number in inside:
            if not isinstance(value, memoryview):
                raise BundleError(f"is not a readable ONNX graph: field {number} of {message} is a number")
            _check(inside[number], value)


def fields(data: memoryview) -> Iterator[tuple[int, Value]]:
    """Number and value of each field of a message, in file order."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == 2:
            size, at = _varint(data, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise BundleError(f"is not a readable ONNX graph: wire type {kind}")
        if size > len(data) - at:
            raise BundleError("is not a readable ONNX graph: it ends too early")
        yield number, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """Value and end offset. Only the shortest encoding: no regular writer produces a longer one."""
    value = 0
    for count, byte in enumerate(data[at : at + 10]):
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            if byte == 0 and count > 0:
                raise BundleError("is not a readable ONNX graph: a number longer than it needs to be")
            return value, at + count + 1
    raise BundleError("is not a readable ONNX graph: a number without an end")
