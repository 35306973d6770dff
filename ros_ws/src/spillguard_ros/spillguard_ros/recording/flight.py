"""One control cycle as a JSON record: inputs and outputs of the gate, bit-exact.

Needs no ROS, so that a recording can be replayed through the gate anywhere.

JSON cannot represent NaN and infinities; they are written as the strings "nan", "inf" and "-inf". Plotting
tools parse such a string as a number and get NaN, so the line has a gap, as it should for a value that was
not evaluated. A missing field or null would connect the neighbours, a true infinity would ruin the axis.
"""

import json
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import Enum
from functools import cache
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np

from spillguard_core.bundle.bundle import Bundle
from spillguard_core.gate.decision import MARGINS, Decision, GateConfig, Inputs
from spillguard_core.gate.gate import Models
from spillguard_core.gate.reasons import Reason
from spillguard_ros.recording.json_schema import alone, schema_of

TOPIC = "safety_monitor/cycle"
FIRST_MARGINS = {"position": "rad", "workspace": "m", "clearance": "m", "tilt": "rad", **MARGINS}
"""For recordings made before margins were stored with their units."""


@dataclass(frozen=True, eq=False)
class CycleRecord:
    """One decision and its timing."""

    inputs: Inputs
    decision: Decision
    decide_time: float  # [s] spent in the gate
    period: float  # [s] since the cycle before
    told: str = ""  # the decision's detail, with the faults of the messages behind it

    @property
    def detail(self) -> str:
        """Text shown to people; older recordings have only the gate's details."""
        return self.told or self.decision.detail


def _plain(value: Any) -> Any:
    kind = type(value)
    if kind is float:  # most of them first: every cycle holds a hundred
        return value if math.isfinite(value) else str(value)
    if kind is str or kind is int or kind is bool:
        return value
    if kind is np.ndarray:
        return _plain(value.tolist())
    if is_dataclass(value):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, (Enum, Reason)):
        return value.name
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def metadata(bundle: Bundle, config: GateConfig, models: Models) -> dict[str, str]:
    """Metadata of a recording: bundle, site, configuration, margins with units, sensors."""
    return {
        "manifest": bundle.manifest.to_json(),
        "site": "" if bundle.site is None else bundle.site.text,
        "config": encode_config(config),
        "margins": json.dumps(models.margin_units),
        "sensors": json.dumps([sensor.name for sensor in models.task.sensors]),
    }


def schema(said: Mapping[str, str]) -> str:
    """JSON schema of a cycle, with units and meanings; `said` is the recording's metadata."""
    whole = {"title": "spillguard/Cycle", **schema_of(CycleRecord)}
    margins = whole["properties"]["decision"]["properties"]["margins"]["properties"]
    for name, unit in json.loads(said.get("margins", "{}")).items():
        margins[name] = {"type": "number", "description": f"[{unit}]" if unit else ""}
    sensed = whole["properties"]["inputs"]["properties"]["measurement"]["properties"]["sensed"]["properties"]
    for name in json.loads(said.get("sensors", "[]")):
        sensed[name] = {"type": "array", "items": {"type": "number"}}
    return json.dumps(whole)


def encode(cycle: CycleRecord) -> bytes:
    """JSON; floats keep every digit."""
    return json.dumps(_plain(cycle), separators=(",", ":")).encode()


def encode_config(config: GateConfig) -> str:
    """JSON; floats keep every digit."""
    return json.dumps(_plain(config))


def decode_config(text: str) -> GateConfig:
    """The encoded configuration, or ValueError."""
    try:
        return _config(json.loads(text))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"the recorded configuration is damaged: {type(error).__name__} {error}") from error


def _config(raw: dict[str, Any]) -> GateConfig:
    # Absent in older recordings, whose versions had nothing that these values limit.
    older = {
        "critic_release": 1.0, "answer_timeout": raw["command_timeout"],
        "policy_timeout": 1e9,
        "teleop_timeout": raw["command_timeout"], "max_suspension": 0.0,
        "still_time": raw["period"], "target_reach": 1e3, "target_tolerance": 0.0,
        "shadow": False, "speed_scale": 1.0, "longest_chunk": 0.0,
        # Before the two were told apart, one held in every direction.
        "target_height_tolerance": raw.get("target_tolerance", 0.0),
        "settings": {"free_tilt": raw.get("free_tilt", math.pi)},
    }  # fmt: skip
    lacking = [entry.name for entry in fields(GateConfig) if entry.name not in {**older, **raw}]
    if lacking:
        raise ValueError(f"the recorded configuration has no {', '.join(lacking)}: it is too old or damaged")
    config: GateConfig = _decoder(GateConfig)({**older, **raw})
    return config


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


@cache
def _decoder(kind: Any) -> Callable[[Any], Any]:
    """The inverse of `_plain` for this type. It raises for invalid data.

    A field that an older recording lacks gets its default, or else an empty value: see `_nothing`. Fields
    unknown to this version are ignored.
    """
    if get_origin(kind) is UnionType:
        inner = _decoder(alone(kind))
        return lambda raw: None if raw is None else inner(raw)
    if get_origin(kind) is np.ndarray:
        dtype = get_args(get_args(kind)[1])[0]
        return lambda raw: np.array(raw, dtype=dtype)
    if get_origin(kind) is tuple:
        item = _decoder(get_args(kind)[0])
        return lambda raw: tuple(map(item, raw))
    if get_origin(kind) is Mapping:
        entry = _decoder(get_args(kind)[1])
        return lambda raw: {name: entry(value) for name, value in raw.items()}
    if kind is Reason:
        return _reason
    if is_dataclass(kind):
        return _object_decoder(kind)  # type: ignore[arg-type]
    if kind is bool:
        return _truth
    return kind.__getitem__ if issubclass(kind, Enum) else kind  # type: ignore[no-any-return]


def _reason(raw: Any) -> Reason:
    if not (isinstance(raw, str) and raw.isidentifier()):
        raise TypeError(f"{raw!r} names no reason")
    return Reason.named(raw)


def _truth(raw: Any) -> bool:
    if not isinstance(raw, bool):
        raise TypeError(f"{raw!r} is neither true nor false")
    return raw


def _object_decoder(kind: type) -> Callable[[dict[str, Any]], Any]:
    decoders = {name: _decoder(hint) for name, hint in _hints(kind).items()}
    needed = {entry.name for entry in fields(kind) if entry.default is MISSING is entry.default_factory}  # type: ignore[arg-type]

    def decode_object(raw: dict[str, Any]) -> Any:
        given = {name: decoder(raw[name]) for name, decoder in decoders.items() if name in raw}
        return kind(**given, **{name: _nothing(_hints(kind)[name]) for name in needed - given.keys()})

    return decode_object


def _nothing(kind: Any) -> Any:
    """The empty value for something that was not recorded. ValueError if there is none."""
    if get_origin(kind) is UnionType:
        return None
    if get_origin(kind) is np.ndarray:
        return np.zeros(0, dtype=get_args(get_args(kind)[1])[0])
    if get_origin(kind) is tuple:
        return ()
    if get_origin(kind) is Mapping:
        return {}
    if kind in (bool, int, str):
        return kind()
    if kind is float:
        return math.nan
    if is_dataclass(kind):
        return _object_decoder(kind)({})  # type: ignore[arg-type]
    raise ValueError(f"a recording without a {kind.__name__} is too old for this version")


def decode(data: bytes) -> CycleRecord:
    """The encoded cycle. KeyError, TypeError or ValueError for invalid data."""
    raw = json.loads(data)
    last = raw["decision"]
    seen = raw["inputs"]["measurement"]
    if seen is not None and "sensed" not in seen:  # older ones list the sensors beside the joints
        own = {name: seen.pop(name) for name in seen.keys() - {"joint_position", "joint_velocity"}}
        seen["sensed"] = {name: value if isinstance(value, list) else [value] for name, value in own.items()}
    # Absent in older recordings, whose paths began at the recorded end of the period, and whose gates did not
    # ask when the policy had last spoken.
    older = {"start_q": last["q"], "start_qd": last["qd"], "coast": 0.0, "spoken": last["decided"]}
    raw["decision"] = older | last
    cycle: CycleRecord = _decoder(CycleRecord)(raw)
    return cycle


def absent(data: bytes) -> frozenset[str]:
    """Fields of today's decisions that an encoded cycle lacks, as names or paths: "margins.tilt"."""
    raw = json.loads(data)["decision"]
    margins = {f"margins.{name}" for name in FIRST_MARGINS if name not in raw.get("margins", {})}
    return frozenset(_absent(Decision, raw, "")) | margins


def _absent(kind: Any, raw: dict[str, Any], prefix: str) -> Iterator[str]:
    for name, hint in _hints(kind).items():
        if name not in raw:
            yield prefix + name
        elif is_dataclass(hint):
            yield from _absent(hint, raw[name], f"{prefix}{name}.")


def _without(plain: dict[str, Any], paths: Collection[str], prefix: str = "") -> dict[str, Any]:
    return {
        name: _without(value, paths, f"{prefix}{name}.") if isinstance(value, dict) else value
        for name, value in plain.items()
        if prefix + name not in paths
    }


def equal(one: Decision, other: Decision, leaving_out: Collection[str] = ()) -> bool:
    """Whether two decisions are bit-equal; NaN equals NaN.

    `leaving_out` names fields that are not compared, in the form of `absent`.
    """
    return _without(_plain(one), leaving_out) == _without(_plain(other), leaving_out)


@dataclass(frozen=True)
class MarginField:
    """A margin, for displays that iterate over all of them."""

    name: str
    unit: str  # "" for a number without one

    @property
    def is_age(self) -> bool:
        """Whether it counts up from zero instead of down to zero."""
        return self.name.endswith("_age")

    @property
    def title(self) -> str:
        """For people."""
        return self.name.replace("_", " ")


def margin_fields(units: Mapping[str, str]) -> tuple[MarginField, ...]:
    """Every margin of a decision, in order."""
    return tuple(MarginField(name, unit) for name, unit in units.items())
