"""A `Domain` or a range of them as a YAML file that people write and `spillguard identify` makes."""

import reprlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from sim.pouring.domain import NOMINAL, POSSIBLE, QUANTITIES, SPREADS, TIMESTEPS, Range, Spread, Value
from spillguard_core.robot.plain_yaml import plain_yaml, read_text

SCHEMA = 1
LARGEST_FILE = 1 << 15  # bytes


def spread_of(told: str) -> Spread:
    """By its name in `SPREADS`, or from a file. ValueError with what is wrong, OSError."""
    if told in SPREADS:
        return SPREADS[told]
    path = Path(told).expanduser()
    if not path.is_file():
        raise ValueError(f"a domain is {', '.join(SPREADS)} or a file, got {told!r}")
    try:
        return from_yaml(read_text(path, LARGEST_FILE))
    except ValueError as error:
        raise ValueError(f"{told}: {error}") from error


def from_yaml(text: str) -> Spread:
    """A domain file: `schema: 1` and `quantities:`, each with its `value` and, if it is not known exactly,
    `low` and `high`. Those that are missing are nominal. ValueError.
    """
    told = plain_yaml(text)
    if (
        not isinstance(told, dict)
        or type(told.get("schema")) is not int
        or told["schema"] != SCHEMA
        or not isinstance(told.get("quantities"), dict)
    ):
        raise ValueError(f"a domain file has schema: {SCHEMA} and a mapping named quantities")
    _only(told, ("schema", "quantities"), "a domain file")
    values, varied = {}, {}
    for name, entry in told["quantities"].items():
        if name not in QUANTITIES:
            raise ValueError(f"unknown quantity {_quoted(name)}; known are {', '.join(QUANTITIES)}")
        if not isinstance(entry, dict) or "value" not in entry:
            raise ValueError(f"{name} needs a value, and low and high if it varies; got {_quoted(entry)}")
        _only(entry, ("value", "low", "high"), name)
        values[name] = _checked(name, entry["value"])
        if ("low" in entry) != ("high" in entry):
            raise ValueError(f"{name} has one end of its range, it needs both low and high")
        if "low" in entry:
            varied[name] = _range(name, values[name], entry["low"], entry["high"])
    return Spread(replace(NOMINAL, **values), varied)


def _only(told: Mapping[Any, Any], keys: Sequence[str], what: str) -> None:
    """ValueError if there are other keys."""
    for key in told:
        if key not in keys:
            raise ValueError(f"{what} has {', '.join(keys)} and nothing else; got {_quoted(key)}")


def _range(name: str, value: Value, low: Any, high: Any) -> Range:
    """The ends between which a quantity of this value varies. ValueError."""
    if QUANTITIES[name].choices or name == "timestep":
        raise ValueError(f"{name} takes single values and does not vary between low and high; give its value")
    low, high = _checked(name, low), _checked(name, high)
    if not np.all(np.asarray(low) <= np.asarray(high)):
        raise ValueError(f"{name}: low {low} is above high {high}")
    if not np.all((np.asarray(low) <= np.asarray(value)) & (np.asarray(value) <= np.asarray(high))):
        raise ValueError(f"{name}: the value {value} has to lie from low {low} to high {high}")
    return low, high


def to_yaml(spread: Spread, notes: Sequence[str] = ()) -> str:
    """A domain file that `from_yaml` reads back as this spread; `notes` are comments at its top.

    What is nominal and does not vary is left out. ValueError for a value of the wrong kind or size.
    """
    quantities: dict[str, dict[str, Any]] = {}
    for name in QUANTITIES:
        value = getattr(spread.base, name)
        if name not in spread.varied and value == getattr(NOMINAL, name):
            continue
        entry = {"value": _checked(name, value)}
        if name in spread.varied:
            entry["low"], entry["high"] = _range(name, entry["value"], *spread.varied[name])
        quantities[name] = {key: list(x) if isinstance(x, tuple) else x for key, x in entry.items()}
    text = yaml.safe_dump(
        {"schema": SCHEMA, "quantities": quantities}, sort_keys=False, default_flow_style=None, width=110
    )
    comments = "".join(f"# {' '.join(note.split())}\n" for note in notes)
    return f"{comments}{text}"


def _checked(name: str, told: Any) -> Value:
    """A value of the kind and the size of the nominal one. ValueError."""
    quantity = QUANTITIES[name]
    if quantity.choices:
        if told not in quantity.choices:
            raise ValueError(f"{name} is one of {', '.join(quantity.choices)}, got {_quoted(told)}")
        return str(told)
    wanted = quantity.nominal
    entries = told if isinstance(told, list | tuple) else [told]
    size = len(wanted) if isinstance(wanted, tuple) else 1
    if (
        not all(map(_is_number, entries))
        or len(entries) != size
        or isinstance(wanted, tuple) != isinstance(told, list | tuple)
    ):
        raise ValueError(
            f"{name} is {'a number' if size == 1 else f'a list of {size} numbers'}, got {_quoted(told)}"
        )
    if name == "timestep" and told not in TIMESTEPS:
        raise ValueError(f"timestep is {_quoted(told)}, possible are {', '.join(map(str, TIMESTEPS))} s")
    least, most = POSSIBLE[name]
    if not all(least <= x <= most for x in entries):
        raise ValueError(
            f"{name} is {_quoted(told)}, possible are {least:g} to {most:g} {quantity.unit}".rstrip()
        )
    if isinstance(wanted, tuple):
        return tuple(map(float, entries))
    if isinstance(wanted, int):
        if told != int(told):
            raise ValueError(f"{name} is a whole number, got {_quoted(told)}")
        return int(told)
    return float(told)


def _is_number(told: Any) -> bool:
    """Whether it is one that a float holds."""
    return isinstance(told, int | float) and not isinstance(told, bool) and abs(told) <= sys.float_info.max


def _quoted(told: Any) -> str:
    """What a file says, in a part of a line."""
    try:
        return reprlib.repr(told)
    except ValueError:  # Python does not write integers of thousands of digits
        return f"a {type(told).__name__} too long to show"
