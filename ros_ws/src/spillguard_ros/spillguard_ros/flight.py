"""One control cycle as a JSON record: what went into the gate and what came out, to the last bit.

Needs no ROS, so that a recording can be replayed through the gate anywhere.
"""

import json
import math
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from typing import Any

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
SCHEMA = json.dumps({"type": "object", "title": "spillguard/Cycle"})


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
        return str(value)  # JSON has no word for these
    return value


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
