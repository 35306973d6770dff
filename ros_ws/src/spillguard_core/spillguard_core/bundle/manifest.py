"""Data model of the manifest: frozen dataclasses that go to JSON and back without rounding."""

import dataclasses
import hashlib
import json
import math
import reprlib
import sys
import types
import typing
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from spillguard_core.robot.arm import ArmLimits

SCHEMA = 1
FIRST_ROBOT = "gen3"  # default for bundles made before the manifest named a robot
JsonValue = str | int | float | bool | None | list["JsonValue"] | dict[str, "JsonValue"]


class BundleError(ValueError):
    """A bundle that must not run. The message names the fault."""


@contextmanager
def refusing(what: str) -> Iterator[None]:
    """Turn any exception inside into a `BundleError` that begins with `what`.

    Decoders raise dozens of unrelated exceptions, from RecursionError to classes of their own.
    """
    try:
        yield
    except BundleError:
        raise
    except Exception as error:
        raise BundleError(f"{what}: {type(error).__name__}: {' '.join(str(error).split())}") from error


@dataclass(frozen=True)
class ObservationTerm:
    """One part of the observation, in concatenation order."""

    name: str
    width: int
    unit: str


@dataclass(frozen=True)
class ActionTerm:
    """One entry of the action: `scale` physical units at an action of 1."""

    name: str
    unit: str
    scale: float


@dataclass(frozen=True)
class Ahead:
    """How far ahead a policy says what to do: its output is the next actions, one after the other."""

    actions: int  # of each output
    period: float  # [s] between two of them; the first is over that long after the observation

    @property
    def lasts(self) -> float:
        """[s] since the observation."""
        return self.actions * self.period


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
        """To arrays; ValueError for implausible values."""
        with refusing("manifest.json: limits"):
            return ArmLimits(
                position_min=np.array([-math.inf if x is None else x for x in self.position_min]),
                position_max=np.array([math.inf if x is None else x for x in self.position_max]),
                velocity=np.array(self.velocity),
                acceleration=np.array(self.acceleration),
                workspace_min=np.array(self.workspace_min),
                workspace_max=np.array(self.workspace_max),
            )


@dataclass(frozen=True)
class Conditions:
    """Conditions of a calibration's episodes; the certificate is valid for no others."""

    files: Mapping[str, str]  # name -> sha256, as in the manifest
    limits: Limits
    clearance: float  # [m] of the gate's configuration; larger is stricter
    settings: Mapping[str, float]  # of its rules; each rule defines which direction is stricter
    target_tolerance: float = 0.0  # [m] as the clearance; older certificates have none
    target_height_tolerance: float = 0.0  # [m] the same
    interface: str = ""  # `Manifest.interface`; older certificates have none


@dataclass(frozen=True)
class Calibration:
    """Certificate of a threshold: rules are broken without warning in at most `delta` of all episodes."""

    delta: float
    confidence: float
    horizon: float  # [s] before a violation, within which a warning counts
    lead: float  # [s] before a violation, after which a warning is too late
    episodes: int  # of the policy and of perturbed and adversarial ones, with the critic only reporting
    violations: int  # episodes with a broken rule
    missed: int  # of those, without a warning
    bound: float  # upper confidence bound of the share of missed ones
    highest_threshold: float  # up to which the guarantee holds
    own_successes: int  # episodes in which the policy itself succeeded
    own_disturbed: int  # of those, with Q_c above the threshold
    conditions: Conditions | None = None  # None: made before they were recorded, guarantees nothing
    averted: int | None = None  # of the violations, with the critic acting; None: it was not tried
    own_kept: int | None = None  # of the own successes, with the critic acting; None: the same


@dataclass(frozen=True)
class Threshold:
    """The highest Q_c that the gate lets pass, and its origin."""

    value: float | None  # None: the critic is reported but does not act
    calibration: str  # "uncalibrated", or how the value was found
    certificate: Calibration | None = None  # None: no guarantee; else judged by `certificate.py`


@dataclass(frozen=True)
class Provenance:
    """Origin of the weights, for people and audits; nothing on the robot depends on it."""

    algorithm: str
    seed: int
    commit: str
    config: Mapping[str, JsonValue]
    versions: Mapping[str, str]
    evaluation: Mapping[str, JsonValue]


@dataclass(frozen=True)
class Manifest:
    """Everything that the robot needs besides weights and geometry."""

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
    robot: str = FIRST_ROBOT
    trained_latency: float | None = None  # [s] oldest measurement that the policy answered in training
    ahead: Ahead | None = None  # the policy puts out chunks of actions; None: one action, until the next

    @property
    def actions(self) -> int:
        """Number of actions in each output of the policy."""
        return 1 if self.ahead is None else self.ahead.actions

    @property
    def interface(self) -> str:
        """sha256 of what the numbers of the graphs mean: robot, task, terms with their scales, rates."""
        observed = [(term.name, term.width, term.unit) for term in self.observation]
        asked = [(term.name, term.unit, term.scale) for term in self.action]
        meaning = (
            self.robot, self.task, self.joint_names, self.policy_rate, self.monitor_rate, observed, asked,
        )  # fmt: skip
        more = () if self.ahead is None else (self.ahead.actions, self.ahead.period)
        return hashlib.sha256(json.dumps(meaning + more).encode()).hexdigest()

    def to_json(self) -> str:
        """JSON text; floats keep all their digits, NaN and infinities are refused."""
        return json.dumps(dataclasses.asdict(self), indent=2, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Manifest":
        """Parse the output of `to_json`; refuses anything else."""
        with refusing("manifest.json is not valid JSON"):
            raw = json.loads(text, parse_constant=_no_constant, parse_float=_finite)
            json.dumps(raw, ensure_ascii=False).encode()  # a lone surrogate would fail much later
        schema = raw.get("schema") if isinstance(raw, dict) else None
        if schema != SCHEMA:
            raise BundleError(f"manifest.json has schema {schema!r}, this software reads {SCHEMA}")
        with refusing("manifest.json"):
            _renew(raw)
        manifest: Manifest = _decoded(cls, raw, "manifest.json")
        return manifest

    def flown(self) -> "Manifest":
        """Without the threshold's origin and the training's latency: equal for bundles between which the gate
        sees no difference."""
        return replace(self, threshold=Threshold(self.threshold.value, ""), trained_latency=None)


def _renew(raw: dict[str, typing.Any]) -> None:
    """Older bundles stored one rule's setting beside the clearance, and one tolerance for all directions."""
    threshold = raw.get("threshold")
    certificate = threshold.get("certificate") if isinstance(threshold, dict) else None
    conditions = certificate.get("conditions") if isinstance(certificate, dict) else None
    if isinstance(conditions, dict) and "free_tilt" in conditions and "settings" not in conditions:
        conditions["settings"] = {"free_tilt": conditions.pop("free_tilt")}
    if isinstance(conditions, dict) and "target_tolerance" in conditions:
        conditions.setdefault("target_height_tolerance", conditions["target_tolerance"])


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not allowed")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text} is too large")
    return number


def _representable(number: float) -> bool:
    return not isinstance(number, bool) and abs(number) <= sys.float_info.max


def _decoded(hint: typing.Any, raw: JsonValue, where: str) -> typing.Any:
    """Convert `raw` to the type `hint`: dataclasses, tuples, mappings, unions with None, plain values."""
    if dataclasses.is_dataclass(hint):
        return _decoded_dataclass(hint, raw, where)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType and type(None) in args:
        return None if raw is None else _decoded(args[0], raw, where)
    if origin is tuple and isinstance(raw, list):
        return tuple(_decoded(args[0], item, f"{where}[{i}]") for i, item in enumerate(raw))
    if origin is Mapping and isinstance(raw, dict):
        plain = args[1] in (str, float)
        return {k: _decoded(args[1], v, f"{where}.{k}") if plain else v for k, v in raw.items()}
    if hint is float and isinstance(raw, int | float) and _representable(raw):
        return float(raw)
    if hint in (int, str) and type(raw) is hint:
        return raw
    raise BundleError(f"{where}: needs {getattr(hint, '__name__', hint)}, got {reprlib.repr(raw)}")


def _decoded_dataclass(cls: typing.Any, raw: JsonValue, where: str) -> typing.Any:
    hints = typing.get_type_hints(cls)
    needed = {entry.name for entry in dataclasses.fields(cls) if entry.default is dataclasses.MISSING}
    if not isinstance(raw, dict) or not needed <= set(raw) <= set(hints):
        got = sorted(raw) if isinstance(raw, dict) else raw
        raise BundleError(f"{where}: needs the keys {sorted(hints)}, got {reprlib.repr(got)}")
    return cls(
        **{name: _decoded(hint, raw[name], f"{where}.{name}") for name, hint in hints.items() if name in raw}
    )
