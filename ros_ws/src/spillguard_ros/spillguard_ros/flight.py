"""One control cycle as a JSON record: what went into the gate and what came out, to the last bit.

Needs no ROS, so that a recording can be replayed through the gate anywhere.

JSON has no word for NaN and the infinities; they are the strings "nan", "inf" and "-inf". Plotting tools turn
a string into a number and find NaN there, so the line has a gap, which is what a value that was not evaluated
should look like. A missing field or null would join the neighbours, a true infinity would ruin the axis.
"""

import inspect
import json
import math
import re
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from functools import cache
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np

from spillguard_core.arm import ArmLimits
from spillguard_core.decision import (
    Decision,
    GateConfig,
    Inputs,
    Margins,
    Mode,
    Proposal,
    Reason,
    Request,
    Suspension,
    SuspensionRequest,
    Verdict,
)
from spillguard_core.observation import Measurement

TOPIC = "safety_monitor/cycle"


@dataclass(frozen=True, eq=False)
class Cycle:
    """One decision and what it took."""

    inputs: Inputs
    decision: Decision
    decide_time: float  # [s] spent in the gate
    period: float  # [s] since the cycle before


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {entry.name: _plain(getattr(value, entry.name)) for entry in fields(value)}
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, np.ndarray):
        return [_plain(item) for item in value.tolist()]
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _described(cls: type) -> dict[str, str]:
    """The comment beside each field of a dataclass: its unit and meaning are written down nowhere else."""
    try:
        source = inspect.getsource(cls)
    except OSError:  # installed without sources
        return {}
    return dict(re.findall(r"^    (\w+): .*?  # (.+)$", source, re.MULTILINE))


def _schema(kind: Any) -> dict[str, Any]:
    """JSON schema of what `_plain` makes of a type.

    Readers take one name as a type, want every object to list its properties, and refuse "null". So a field
    that may be null, or a string in place of a number, has the type that it has otherwise.
    """
    if get_origin(kind) is UnionType:
        (kind,) = (part for part in get_args(kind) if part is not type(None))
    if get_origin(kind) is np.ndarray:
        return {"type": "array", "items": {"type": "number"}}
    if get_origin(kind) is tuple:
        return {"type": "array", "items": _schema(get_args(kind)[0])}
    if is_dataclass(kind):
        described, hints = _described(kind), get_type_hints(kind)  # type: ignore[arg-type]
        texts = {name: {"description": text} for name, text in described.items()}
        properties = {name: {**_schema(hint), **texts.get(name, {})} for name, hint in hints.items()}
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


@cache
def schema() -> str:
    """JSON schema of a cycle, with units and meanings."""
    return json.dumps({"title": "spillguard/Cycle", **_schema(Cycle)})


def encode(cycle: Cycle) -> bytes:
    """JSON; floats keep every digit."""
    return json.dumps(_plain(cycle), separators=(",", ":")).encode()


def encode_config(config: GateConfig) -> str:
    """JSON; floats keep every digit."""
    return json.dumps(_plain(config))


def decode_config(text: str) -> GateConfig:
    """The configuration that was encoded."""
    raw = json.loads(text)
    limits = ArmLimits(**{name: _floats(values) for name, values in raw.pop("limits").items()})
    # Not in older recordings, in which nobody could ask for what they bound.
    older = {
        "critic_release": 1.0, "free_tilt": math.pi, "teleop_timeout": raw["command_timeout"],
        "max_suspension": 0.0,
    }  # fmt: skip
    return GateConfig(limits=limits, **{**older, **raw})


def _floats(values: list[Any]) -> np.ndarray:
    return np.array([float(value) for value in values])


def _inputs(raw: dict[str, Any]) -> Inputs:
    seen, asked = raw["measurement"], raw.get("suspend")
    measurement = seen and Measurement(
        joint_position=_floats(seen["joint_position"]),
        joint_velocity=_floats(seen["joint_velocity"]),
        poured_mass=float(seen["poured_mass"]),
        remaining_mass=float(seen["remaining_mass"]),
        target_position=_floats(seen["target_position"]),
    )
    return Inputs(
        now=float(raw["now"]), measurement=measurement, state_received=float(raw["state_received"]),
        state_stamp=float(raw["state_stamp"]), sensors_received=float(raw["sensors_received"]),
        proposal=_proposal(raw["proposal"]), requests=tuple(Request[name] for name in raw["requests"]),
        command_writers=int(raw.get("command_writers", 1)), teleop=_proposal(raw.get("teleop")),
        suspend=asked and SuspensionRequest(asked["reason"], float(asked["seconds"])),
        driver_fault=raw.get("driver_fault", ""),
    )  # fmt: skip


def _proposal(raw: dict[str, Any] | None) -> Proposal | None:
    return raw and Proposal(_floats(raw["twist"]), float(raw["received"]), float(raw["stamp"]))  # type: ignore[return-value]


def _decision(raw: dict[str, Any]) -> Decision:
    running = raw.get("suspension")
    special = {
        "verdict": Verdict[raw["verdict"]],
        "reason": Reason[raw["reason"]],
        "mode": Mode[raw["mode"]],
        "suspension": running and Suspension(running["reason"], float(running["until"])),
        "margins": Margins(**{name: float(value) for name, value in raw["margins"].items()}),
    }
    arrays = {name: _floats(value) for name, value in raw.items() if isinstance(value, list)}
    numbers = {
        name: float(raw[name]) for name in ("decided", "q_c", "state_stamp", "state_advanced", "held_since")
    }
    older = {"candidate": 0}  # not in recordings made before it was
    return Decision(**{**older, **raw, **arrays, **numbers, **special})


def decode(data: bytes) -> Cycle:
    """The cycle that was encoded."""
    raw = json.loads(data)
    return Cycle(
        _inputs(raw["inputs"]), _decision(raw["decision"]), float(raw["decide_time"]), float(raw["period"])
    )


def equal(one: Decision, other: Decision) -> bool:
    """Whether two decisions are the same to the last bit, NaN being equal to itself."""
    return bool(_plain(one) == _plain(other))
