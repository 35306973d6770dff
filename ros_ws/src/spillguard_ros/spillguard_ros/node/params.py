"""Node parameters as frozen dataclasses: each declared with type, range and description, and read-only.

A field without a default must be set by whoever starts the node; safety values are declared this way.
"""

from dataclasses import MISSING, field, fields
from typing import Any, TypeVar, get_type_hints

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import ParameterException, ParameterUninitializedException
from rclpy.node import Node
from rclpy.parameter import Parameter

T = TypeVar("T")

_TYPES = {
    bool: Parameter.Type.BOOL,
    int: Parameter.Type.INTEGER,
    float: Parameter.Type.DOUBLE,
    str: Parameter.Type.STRING,
    tuple[float, float, float]: Parameter.Type.DOUBLE_ARRAY,
}


def required(text: str, low: float | None = None, high: float | None = None) -> Any:
    """A parameter that must be set. `low` and `high` are inclusive bounds."""
    return field(metadata={"text": text, "range": (low, high)})


def optional(default: float | str, text: str, low: float | None = None, high: float | None = None) -> Any:
    """A parameter with a default, for values that safety does not depend on."""
    return field(default=default, metadata={"text": text, "range": (low, high)})


def _descriptor(kind: type, text: str, low: float | None, high: float | None) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(description=text, read_only=True)
    if low is not None and high is not None:
        if kind is int:
            descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high))]
        else:
            bounds = FloatingPointRange(from_value=float(low), to_value=float(high))
            descriptor.floating_point_range = [bounds]
    return descriptor


def read_parameters(node: Node, cls: type[T]) -> T:
    """Declare a parameter for every field of the dataclass `cls` and return an instance with their values."""
    hints, values = get_type_hints(cls), {}
    for entry in fields(cls):  # type: ignore[arg-type]
        kind, text = hints[entry.name], entry.metadata["text"]
        default = _TYPES[kind] if entry.default is MISSING else entry.default
        descriptor = _descriptor(kind, text, *entry.metadata["range"])
        try:
            if not node.has_parameter(entry.name):
                node.declare_parameter(entry.name, default, descriptor)
            value = node.get_parameter(entry.name).value
            values[entry.name] = tuple(value) if _TYPES[kind] is Parameter.Type.DOUBLE_ARRAY else value
        except ParameterUninitializedException:
            raise ValueError(f"parameter '{entry.name}' is not set; it has no default: {text}") from None
        except ParameterException as error:
            low, high = entry.metadata["range"]
            allowed = "" if low is None else f", from {low} to {high}"
            spelled = kind.__name__ if isinstance(kind, type) else "a list of numbers"
            needed = f"it has to be {spelled}{allowed}: {text}"
            raise ValueError(f"parameter '{entry.name}' is refused ({error}); {needed}") from None
    return cls(**values)
