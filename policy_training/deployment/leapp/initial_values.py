"""The first values of what a LEAPP pipeline feeds back: a safetensors file of 32-bit floats.

Its layout: eight bytes with the length of a JSON header, little-endian; the header, name -> dtype, shape and
where the values begin and end; the values, row by row.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array32 = NDArray[np.float32]
LARGEST = 1 << 26  # bytes
LENGTH = 8  # bytes before the header


def read_initial_values(path: Path) -> dict[str, Array32]:
    """Arrays by name, in their own shapes. OSError, or ValueError that names the file and the fault."""
    size = path.stat().st_size
    if size > LARGEST:
        raise ValueError(f"{path.name} has {size} bytes, allowed are {LARGEST}")
    data = path.read_bytes()
    try:
        begin = LENGTH + int.from_bytes(data[:LENGTH], "little")
        head = json.loads(data[LENGTH:begin])
        told = {name: one for name, one in head.items() if name != "__metadata__"}
        kinds = {name: one["dtype"] for name, one in told.items()}
        places = {
            name: (int(one["data_offsets"][0]), int(one["data_offsets"][1])) for name, one in told.items()
        }
        shapes = {name: tuple(map(int, one["shape"])) for name, one in told.items()}
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise ValueError(f"{path.name} is no safetensors file: {type(error).__name__}: {error}") from error
    for name, kind in kinds.items():
        if kind != "F32":
            raise ValueError(f"{path.name} has {name} as {kind}; allowed are 32-bit floats, F32")
    found, values = dict[str, Array32](), data[begin:]
    for name, (first, end) in places.items():
        count = int(np.prod(shapes[name], dtype=int))
        if not 0 <= first <= end <= len(values) or end - first != 4 * count:
            raise ValueError(f"{path.name} is damaged: {name} does not have the size of its shape")
        found[name] = np.frombuffer(values[first:end], "<f4").astype(np.float32).reshape(shapes[name])
    return found


def initial_values_file(values: Mapping[str, Array32]) -> bytes:
    """The same as the bytes of a file."""
    head, at = dict[str, object](), 0
    for name, value in values.items():
        head[name] = {
            "dtype": "F32",
            "shape": list(value.shape),
            "data_offsets": [at, at + 4 * value.size],
        }
        at += 4 * value.size
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % LENGTH)
    values_of = b"".join(np.ascontiguousarray(value, dtype="<f4").tobytes() for value in values.values())
    return len(text).to_bytes(LENGTH, "little") + text + values_of
