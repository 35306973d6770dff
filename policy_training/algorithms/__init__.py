"""The algorithms: one per file here, or any class elsewhere, named as module:Class.

A file's class bears the file's name (`sac_lag.py`, `SacLag`). Its configuration is what the constructor takes
as `config`, a frozen dataclass with defaults; an algorithm whose configuration is an `OnPolicyConfig` is
on-policy. So an algorithm takes one file.
"""

import importlib
import inspect
import os
import pkgutil
import sys
from typing import Any, NamedTuple, get_type_hints

from policy_training.estimates.on_policy import OnPolicyConfig


class Entry(NamedTuple):
    """An algorithm by its name."""

    algorithm: type[Any]  # (Spaces, config, seed) -> the algorithm that a loop drives
    config: type[Any]
    on_policy: bool


def resolve(name: str) -> Entry:
    """The algorithm of this name, or of module:Class, imported from the current folder, too. ValueError."""
    if name not in ALGORITHMS:
        module, colon, cls = name.partition(":")
        if not (colon and cls.isidentifier() and all(part.isidentifier() for part in module.split("."))):
            known = ", ".join(name for name in ALGORITHMS if ":" not in name)
            raise ValueError(f"unknown algorithm {name!r}; known are {known}; yours is module:Class")
        if not {"", os.getcwd()} & {*sys.path}:
            sys.path.append(os.getcwd())  # last, so that no file there shadows an installed module
        try:
            found = getattr(importlib.import_module(module), cls)
        except (ImportError, AttributeError) as error:
            raise ValueError(f"algorithm {name!r}: {error}") from error
        _register(name, found)
    return Entry(ALGORITHMS[name], CONFIGS[name], name in ON_POLICY)


def _register(name: str, found: Any) -> None:
    config = get_type_hints(found.__init__).get("config") if inspect.isclass(found) else None
    if config is None or not hasattr(config, "__dataclass_fields__") or not hasattr(config, "hidden"):
        raise ValueError(
            f"algorithm {name!r}: the constructor takes (spaces, config, seed), config annotated with "
            "a frozen dataclass that has the widths `hidden`"
        )
    ALGORITHMS[name], CONFIGS[name] = found, config
    (ON_POLICY if issubclass(config, OnPolicyConfig) else OFF_POLICY)[name] = found


ALGORITHMS: dict[str, type[Any]] = {}
CONFIGS: dict[str, type[Any]] = {}
OFF_POLICY: dict[str, type[Any]] = {}
ON_POLICY: dict[str, type[Any]] = {}
for _info in pkgutil.iter_modules(__path__):
    _module = importlib.import_module(f"{__name__}.{_info.name}")
    _register(
        _info.name, {key.lower(): value for key, value in vars(_module).items()}[_info.name.replace("_", "")]
    )
