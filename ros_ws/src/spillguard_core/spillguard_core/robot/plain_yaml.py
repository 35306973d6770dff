"""YAML that people write by hand: no key twice, of which the last would win, no aliases, and numbers and
words as YAML 1.2 has them: 1:30 is no 90, 010 no 8, and `no` no false. Nor tags or merge keys, which say
something else than what stands there.
"""

import math
import re
import reprlib
from pathlib import Path
from typing import Any

import yaml

LARGEST = 1 << 20  # bytes
LONGEST_NAME, LONGEST_ERROR = 100, 300  # characters
DEEPEST = 50  # brackets within each other


class _Plain(yaml.SafeLoader):  # type: ignore[misc]
    """An alias is refused: a few lines of them stand for more than any memory holds."""

    def fetch_flow_collection_start(self, token: type[yaml.Token]) -> None:
        """With many brackets open each further token takes longer."""
        if self.flow_level >= DEEPEST:
            raise ValueError(f"line {self.line + 1} has more than {DEEPEST} brackets within each other")
        super().fetch_flow_collection_start(token)

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise ValueError(f"line {self.peek_event().start_mark.line + 1} has an alias; write it out")
        event = self.peek_event()
        if getattr(event, "tag", None) is not None:
            kind = reprlib.repr(event.tag.rpartition(":")[2])
            raise ValueError(f"line {event.start_mark.line + 1} has the tag {kind}; leave it out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set[str]()
        for key, _ in node.value:
            if str(key.value) in seen:
                raise ValueError(
                    f"line {key.start_mark.line + 1} has the key {reprlib.repr(key.value)} a second time"
                )
            seen.add(str(key.value))
        made: dict[Any, Any] = super().construct_mapping(node, deep)
        return made


_Plain.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", "true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", "~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", "[-+]?[0-9]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
):
    _Plain.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), list(_first))


def _int(loader: _Plain, node: yaml.ScalarNode) -> int:
    return int(loader.construct_scalar(node))


def _float(loader: _Plain, node: yaml.ScalarNode) -> float:
    """Infinite only where it says so."""
    text = loader.construct_scalar(node)
    value = float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    if math.isinf(value) and "n" not in text.lower():
        raise ValueError(f"line {node.start_mark.line + 1} has {reprlib.repr(text)}, larger than any number")
    return value


_Plain.add_constructor("tag:yaml.org,2002:int", _int)
_Plain.add_constructor("tag:yaml.org,2002:float", _float)


def plain_yaml(text: str) -> Any:
    """What a text says. ValueError in one line."""
    try:
        return yaml.load(text, _Plain)  # a SafeLoader
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(" ".join(str(error).split())[:LONGEST_ERROR]) from error


def read_text(path: Path, largest: int = LARGEST) -> str:
    """Of a file that ends: a pipe or a device would make its reader wait. `largest` [bytes] that it may be.
    ValueError, OSError."""
    if path.exists() and not path.is_file():
        raise ValueError("is no regular file")
    with path.open("rb") as file:
        data = file.read(largest + 1)
    if len(data) > largest:
        raise ValueError(f"is larger than the {largest} bytes that are allowed")
    return data.decode("utf-8")


def is_name(value: Any) -> bool:
    """Whether people can read it in one line of a log or a status."""
    return (
        isinstance(value, str) and bool(value.strip()) and value.isprintable() and len(value) <= LONGEST_NAME
    )
