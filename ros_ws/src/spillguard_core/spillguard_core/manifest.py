"""The words of a bundle: what its files mean, as frozen dataclasses that go to JSON and back unrounded."""

import dataclasses
import json
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from spillguard_core.arm import ArmLimits

SCHEMA = 1
JsonValue = str | int | float | bool | None | list["JsonValue"] | dict[str, "JsonValue"]


class BundleError(ValueError):
    """A bundle that must not run. The message names the fault."""


@dataclass(frozen=True)
class ObservationTerm:
    """One part of the observation, in concatenation order."""

    name: str
    width: int
    unit: str


@dataclass(frozen=True)
class ActionTerm:
    """One entry of the action: `scale` physical units at action 1."""

    name: str
    unit: str
    scale: float


@dataclass(frozen=True)
class Limits:
    """`ArmLimits` for JSON; None stands for a joint without end stops."""

    position_min: tuple[float | None, ...]  # (J,) [rad]
    position_max: tuple[float | None, ...]  # (J,) [rad]
    velocity: tuple[float, ...]  # (J,) [rad/s]
    acceleration: tuple[float, ...]  # (J,) [rad/s^2]
    workspace_min: tuple[float, ...]  # (3,) [m]
    workspace_max: tuple[float, ...]  # (3,) [m]

    @classmethod
    def of(cls, limits: ArmLimits) -> "Limits":
        """From arrays."""
        return cls(
            position_min=tuple(float(x) if math.isfinite(x) else None for x in limits.position_min),
            position_max=tuple(float(x) if math.isfinite(x) else None for x in limits.position_max),
            velocity=tuple(limits.velocity.tolist()),
            acceleration=tuple(limits.acceleration.tolist()),
            workspace_min=tuple(limits.workspace_min.tolist()),
            workspace_max=tuple(limits.workspace_max.tolist()),
        )

    def arrays(self) -> ArmLimits:
        """To arrays; refuses values that make no sense."""
        try:
            return ArmLimits(
                position_min=np.array([-math.inf if x is None else x for x in self.position_min]),
                position_max=np.array([math.inf if x is None else x for x in self.position_max]),
                velocity=np.array(self.velocity),
                acceleration=np.array(self.acceleration),
                workspace_min=np.array(self.workspace_min),
                workspace_max=np.array(self.workspace_max),
            )
        except ValueError as error:
            raise BundleError(f"manifest.json: limits: {error}") from error


@dataclass(frozen=True)
class Calibration:
    """What is promised of a threshold: rules broken without warning are at most `delta` of all episodes."""

    delta: float
    confidence: float
    horizon: float  # [s] before a broken rule in which a warning counts
    lead: float  # [s] before it at which a warning comes too late
    episodes: int  # of the policy and of perturbed and adversarial ones, critic listening only
    violations: int  # of them with a broken rule
    missed: int  # of those without a warning
    bound: float  # upper limit of the share of missed ones, at that confidence
    highest_threshold: float  # up to which the promise holds
    own_successes: int  # episodes in which the policy itself succeeded
    own_disturbed: int  # of those in which Q_c exceeded the threshold


@dataclass(frozen=True)
class Threshold:
    """The highest Q_c that the gate lets pass, and where it comes from."""

    value: float | None  # None: the critic is reported but does not act
    calibration: str  # "uncalibrated", or how the value was found
    certificate: Calibration | None = None  # None: the value promises nothing


@dataclass(frozen=True)
class Provenance:
    """Where the weights come from, for people and audits; nothing on the robot depends on it."""

    algorithm: str
    seed: int
    commit: str
    config: Mapping[str, JsonValue]
    versions: Mapping[str, str]
    evaluation: Mapping[str, JsonValue]


@dataclass(frozen=True)
class Manifest:
    """Everything the robot must know that is neither a weight nor a shape in space."""

    schema: int
    task: str
    observation: tuple[ObservationTerm, ...]
    action: tuple[ActionTerm, ...]
    joint_names: tuple[str, ...]
    policy_rate: float  # [Hz]
    monitor_rate: float  # [Hz]
    limits: Limits
    threshold: Threshold
    provenance: Provenance
    files: Mapping[str, str]  # name -> sha256 of its bytes

    def to_json(self) -> str:
        """JSON text; every float keeps all its digits, none may be NaN or infinite."""
        return json.dumps(dataclasses.asdict(self), indent=2, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Manifest":
        """Read what `to_json` wrote; refuses anything else."""
        try:
            raw = json.loads(text, parse_constant=_no_constant)
        except ValueError as error:
            raise BundleError(f"manifest.json is not valid JSON: {error}") from error
        schema = raw.get("schema") if isinstance(raw, dict) else None
        if schema != SCHEMA:
            raise BundleError(f"manifest.json has schema {schema!r}, this software reads {SCHEMA}")
        manifest: Manifest = _decoded(cls, raw, "manifest.json")
        return manifest


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not allowed")


def _decoded(hint: typing.Any, raw: JsonValue, where: str) -> typing.Any:
    """`raw` as the type `hint`: dataclasses, tuples, mappings, unions with None, plain values."""
    if dataclasses.is_dataclass(hint):
        return _decoded_dataclass(hint, raw, where)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType and type(None) in args:
        return None if raw is None else _decoded(args[0], raw, where)
    if origin is tuple and isinstance(raw, list):
        return tuple(_decoded(args[0], item, f"{where}[{i}]") for i, item in enumerate(raw))
    if origin is Mapping and isinstance(raw, dict):
        return {k: _decoded(str, v, f"{where}.{k}") if args[1] is str else v for k, v in raw.items()}
    if hint is float and isinstance(raw, int | float) and not isinstance(raw, bool):
        return float(raw)
    if hint in (int, str) and type(raw) is hint:
        return raw
    raise BundleError(f"{where}: needs {getattr(hint, '__name__', hint)}, got {raw!r}")


def _decoded_dataclass(cls: typing.Any, raw: JsonValue, where: str) -> typing.Any:
    hints = typing.get_type_hints(cls)
    needed = {entry.name for entry in dataclasses.fields(cls) if entry.default is dataclasses.MISSING}
    if not isinstance(raw, dict) or not needed <= set(raw) <= set(hints):
        got = sorted(raw) if isinstance(raw, dict) else raw
        raise BundleError(f"{where}: needs the keys {sorted(hints)}, got {got}")
    return cls(
        **{name: _decoded(hint, raw[name], f"{where}.{name}") for name, hint in hints.items() if name in raw}
    )
