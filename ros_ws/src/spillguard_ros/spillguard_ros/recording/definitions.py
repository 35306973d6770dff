"""ROS message definitions in MCAP's format, from the message classes themselves."""

import importlib
from typing import Any

_SCALARS = {"double": "float64", "float": "float32", "octet": "byte", "boolean": "bool"}


def _field_type(spelled: str) -> tuple[str, str]:
    """Type and array suffix of a definition line."""
    if spelled.startswith("sequence<"):
        return spelled[len("sequence<") :].rstrip(">").split(",")[0], "[]"
    base, bracket, rest = spelled.partition("[")
    return base, bracket + rest


def definition(message: Any) -> str:
    """Text of a generated message class and all its nested types, as MCAP readers parse it ("ros2msg")."""
    sections: dict[str, str] = {}
    pending: list[tuple[str, Any]] = [("", message)]
    while pending:
        name, cls = pending.pop()
        if name in sections:
            continue
        lines = []
        for field, spelled in cls.get_fields_and_field_types().items():
            base, suffix = _field_type(spelled)
            if "/" in base:
                pending.append((base, _message_class(base)))
            lines.append(f"{_SCALARS.get(base, base)}{suffix} {field}")
        sections[name] = "\n".join(lines) + "\n"
    first = sections.pop("")
    rule = "=" * 80
    return first + "".join(f"{rule}\nMSG: {name}\n{text}" for name, text in sections.items())


def _message_class(name: str) -> Any:
    package, _, kind = name.partition("/")
    return getattr(importlib.import_module(f"{package}.msg"), kind)
