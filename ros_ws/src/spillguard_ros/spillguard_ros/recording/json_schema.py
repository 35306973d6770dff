"""JSON schemas of dataclasses, with the units and meanings that stand in the comments beside their fields."""

import inspect
import re
from collections.abc import Mapping
from dataclasses import is_dataclass
from enum import Enum
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np

from spillguard_core.gate.reasons import Reason


def described(cls: type) -> dict[str, str]:
    """The comment beside each field of a dataclass: the only place for its unit and meaning."""
    try:
        source = inspect.getsource(cls)
    except OSError:  # installed without sources
        return {}
    return dict(re.findall(r"^    (\w+): .*?  # (.+)$", source, re.MULTILINE))


def schema_of(kind: Any) -> dict[str, Any]:
    """JSON schema of what `flight.encode` writes for a type.

    Readers accept only a single type name, require every object to list its properties, and reject "null". So
    a field that may be null, or a string instead of a number, is declared with its normal type.
    """
    if get_origin(kind) is UnionType:
        kind = alone(kind)
    if get_origin(kind) is np.ndarray:
        return {"type": "array", "items": {"type": "number"}}
    if get_origin(kind) is tuple:
        return {"type": "array", "items": schema_of(get_args(kind)[0])}
    if get_origin(kind) is Mapping:
        return {"type": "object", "properties": {}}  # whose names `flight.schema` fills in
    if kind is Reason:
        about = " ".join((kind.__doc__ or "").split())
        return {"type": "string", "description": about, "enum": list(Reason.known)}
    if is_dataclass(kind):
        texts_of, hints = described(kind), get_type_hints(kind)  # type: ignore[arg-type]
        texts = {name: {"description": text} for name, text in texts_of.items()}
        properties = {name: {**schema_of(hint), **texts.get(name, {})} for name, hint in hints.items()}
        for name, text in texts_of.items():
            if re.match(r"\(\w+, \w+\)", text) and name in properties:  # an array of arrays
                properties[name]["items"] = {"type": "array", "items": {"type": "number"}}
        return {
            "type": "object",
            "description": " ".join((kind.__doc__ or "").split()),
            "properties": properties,
        }
    if issubclass(kind, Enum):
        return {
            "type": "string",
            "description": " ".join((kind.__doc__ or "").split()),
            "enum": [m.name for m in kind],
        }
    return {"type": {bool: "boolean", int: "integer", float: "number", str: "string"}[kind]}


def alone(kind: Any) -> Any:
    """X of `X | None`."""
    (found,) = (part for part in get_args(kind) if part is not type(None))
    return found
