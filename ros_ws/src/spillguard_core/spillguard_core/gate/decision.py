"""Inputs and outputs of the gate: plain data, no behaviour.

Shapes: J joints, A entries of an action. Times are seconds on the monitor's steady clock, except `stamp`,
which is in the arm driver's own clock and is compared only with other stamps of that clock.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from spillguard_core.gate.reasons import Reason, Verdict
from spillguard_core.robot.arm import ArmLimits, Vec

SLOWEST = 0.01  # share of the speed


class Mode(Enum):
    """What the operator has allowed. The gate starts stopped."""

    STOPPED = "stopped"  # left by RESET only, to HELD
    HELD = "held"  # left by RESUME: to FOLLOWING, or to TELEOP while a teleoperator is active
    FOLLOWING = (
        "following"  # the policy drives; left to TELEOP when a teleoperator becomes active, and to HELD
    )
    # when the policy is silent for long
    TELEOP = "teleop"  # the teleoperator drives; left to HELD when it falls silent
    SHADOW = "shadow"  # nothing is sent: the gate looks on; set by its configuration, never entered or left


GUARDED = tuple(mode for mode in Mode if mode is not Mode.SHADOW)
"""The modes of a gate that commands the arm."""


class Request(Enum):
    """Operator requests without arguments. A reset never starts motion; a resume does."""

    HOLD = "hold"
    RESUME = "resume"
    STOP = "stop"
    RESET = "reset"
    RESTORE_CRITIC = "restore_critic"  # ends a suspension of the critic


@dataclass(frozen=True, eq=False)
class Measurement:
    """Sensor readings of the cell at one instant."""

    joint_position: Vec  # (J,) [rad]
    joint_velocity: Vec  # (J,) [rad/s]
    sensed: Mapping[str, Vec] = field(default_factory=dict)  # by sensor name of the task

    def is_finite(self) -> bool:
        """False if any value is NaN or infinite."""
        arrays = (self.joint_position, self.joint_velocity, *self.sensed.values())
        return all(bool(np.isfinite(values).all()) for values in arrays)


@dataclass(frozen=True)
class GateConfig:
    """Limits and clocks of the gate. No defaults: every value must be chosen explicitly."""

    limits: ArmLimits
    period: float  # [s] of one decision
    command_timeout: float  # [s] age at which a proposal is stale, counted from its arrival
    answer_timeout: float  # [s] age of the joint state that a proposal answers, at which it is stale
    policy_timeout: float  # [s] of silence after which a policy that speaks again needs a resume
    teleop_timeout: float  # [s] age at which a teleoperator counts as silent
    state_timeout: float  # [s] age at which the joint state is stale
    sensor_timeout: float  # [s] age at which a sensor of the task is stale
    position_tolerance: float  # [rad] by which a measured joint position may exceed its limit
    max_tracking_error: float  # [rad] between command and measurement
    tracking_cycles: int  # consecutive decisions above that error before the arm is stopped
    tracking_lag: float  # [s] maximum lag of a healthy arm behind its command
    settle_time: float  # [s] after which a held arm must be at rest
    still_speed: float  # [rad/s] below which every joint counts as at rest
    still_time: float  # [s] window over which rest is judged
    coast_time: float  # [s] for which a command stays valid beyond its period before the arm brakes by itself
    clearance: float  # [m] kept to everything in the guard model while braking
    target_tolerance: float  # [m] by which a sensed body may stand beside where it is sensed, horizontally
    target_height_tolerance: float  # [m] the same vertically
    target_reach: float  # [m] outside the workspace within which a sensed position is still accepted
    critic_threshold: float | None  # highest Q_c that passes; None: critic is reported but does not act
    critic_release: float  # fraction of the threshold below which Q_c must fall before the critic releases
    max_suspension: float  # [s] longest suspension of the critic; 0: never
    settings: Mapping[str, float] = field(default_factory=dict)  # of rules that have one, see `rule.Setting`
    shadow: bool = False  # decide from the measured arm, which somebody else moves, and send nothing
    longest_chunk: float = 0.0  # [s] after the state that it answers that a proposal may last; 0: one action
    speed_scale: float = 1.0  # share of its speed at which every motion is made; braking keeps all of its own

    def __post_init__(self) -> None:
        positive = ("period", "command_timeout", "answer_timeout", "policy_timeout", "teleop_timeout",
                    "state_timeout", "sensor_timeout", "max_tracking_error", "tracking_cycles", "settle_time",
                    "still_speed", "still_time")  # fmt: skip
        for name in positive:
            if not 0.0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be finite and > 0, got {getattr(self, name)}")
        for name in ("position_tolerance", "tracking_lag", "coast_time", "clearance", "target_tolerance",
                     "target_height_tolerance", "target_reach", "max_suspension"):  # fmt: skip
            if not 0.0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be finite and >= 0, got {getattr(self, name)}")
        for name, value in self.settings.items():
            if not math.isfinite(value):
                raise ValueError(f"{name} must be finite, got {value}")
        if self.critic_threshold is not None and not 0.0 <= self.critic_threshold <= 1.0:
            raise ValueError(f"critic_threshold must be in [0, 1] or None, got {self.critic_threshold}")
        self._check_shares()
        if not self.period <= min(self.command_timeout, self.teleop_timeout, self.state_timeout):
            raise ValueError(
                f"command_timeout {self.command_timeout} s, teleop_timeout {self.teleop_timeout} s and "
                f"state_timeout {self.state_timeout} s must not be shorter than the period, {self.period} s"
            )

    def _check_shares(self) -> None:
        if not 0.0 <= self.critic_release <= 1.0:
            raise ValueError(f"critic_release must be in [0, 1], got {self.critic_release}")
        if not SLOWEST <= self.speed_scale <= 1.0:
            raise ValueError(f"speed_scale must be in [{SLOWEST}, 1], got {self.speed_scale}")
        if not isinstance(self.shadow, bool):
            raise ValueError(f"shadow must be true or false, got {self.shadow!r}")
        if not 0.0 <= self.longest_chunk < math.inf:
            raise ValueError(f"longest_chunk must be finite and >= 0, got {self.longest_chunk}")


@dataclass(frozen=True, eq=False)
class Chunk:
    """Future actions in order: see `chunk.py`."""

    actions: NDArray[np.float64]  # (H, A) in the units of the task's action
    ends: Vec  # (H,) [s] since the state that they answer: when each is over; a position is reached then

    @property
    def lasts(self) -> float:
        """[s] since the state that it answers; 0 if it does not say."""
        last = float(self.ends[-1]) if self.ends.size else 0.0
        return last if math.isfinite(last) else 0.0

    def index(self, seconds: float) -> int:
        """Number of the action that is due `seconds` after that state; the last one from its end on."""
        return min(int(np.searchsorted(self.ends, seconds, side="right")), len(self.ends) - 1)

    def due(self, seconds: float) -> Vec:
        """(A,) that action."""
        action: Vec = self.actions[self.index(seconds)]
        return action


@dataclass(frozen=True, eq=False)
class Proposal:
    """The action requested by the policy or a teleoperator."""

    twist: Vec  # (A,) in the units of the task's action; of a chunk the first
    received: float  # [s] steady clock
    stamp: float  # [s] stamp of the joint state it was computed from; NaN from a teleoperator
    chunk: Chunk | None = None  # the actions that follow, too; None: this one, until the next proposal

    @property
    def lasts(self) -> float:
        """[s] for which it is meant, beyond the time in which the next one has to come; 0 of one action."""
        return 0.0 if self.chunk is None else self.chunk.lasts


@dataclass(frozen=True, eq=False)
class ChunkClock:
    """How far the gate has carried out a chunk: memory for the next decision."""

    stamp: float  # [s] of the proposal
    seconds: float  # [s] on the chunk's own clock
    pace: float  # of that clock until the next decision, to the monitor's


@dataclass(frozen=True)
class SuspensionRequest:
    """An operator's request to suspend the critic for a limited time."""

    reason: str  # for the log and the recording, one line
    seconds: float  # [s] counted from the decision


@dataclass(frozen=True)
class Suspension:
    """The critic is evaluated and reported, but does not act."""

    reason: str  # as requested
    until: float  # [s] steady clock


@dataclass(frozen=True, eq=False)
class Inputs:
    """Everything that one decision may depend on, besides the previous decision."""

    now: float  # [s] steady clock
    measurement: Measurement | None  # None until every sensor has reported once
    state_received: float  # [s] steady clock; of the joint state in `measurement`
    state_stamp: float  # [s] stamp of that joint state
    sensors_received: float  # [s] steady clock; the oldest of the task's sensors
    proposal: Proposal | None
    requests: tuple[Request, ...] = ()  # since the last decision, oldest first
    command_writers: int = 1  # on the arm's command topic, this monitor included, and clients of its action
    teleop: Proposal | None = None  # the newest from a teleoperator
    suspend: SuspensionRequest | None = None  # the newest since the last decision
    driver_fault: str = ""  # fault reported by the arm's driver, or its silence; empty: none


MARGINS = {"tracking": "rad", "critic": "", "state_age": "s", "command_age": "s"}
"""Margins beside those of the rules, with their units: what is left of the allowed tracking error and of the
critic's threshold; ages of the joint state and of the proposal."""


@dataclass(frozen=True, eq=False)
class Stillness:
    """Memory of the arm's measured motion, used to tell rest from noise."""

    q: Vec  # (J,) [rad] measured at the start of the present window; empty before the first measurement
    gone: Vec  # (J,) [rad] integral of the measured velocities since then
    begun: float  # [s] steady time at the start of the window
    moved: float  # [s] steady time at which the arm was last seen moving, or had no measurement


@dataclass(frozen=True, eq=False)
class Decision:
    """What is sent, why, and the state kept for the next decision.

    `start_q`, `start_qd`, `q`, `qd` and `coast` are the path that the arm follows if no other decision comes:
    one period from the start to q, qd, then coasting at qd, then braking in a straight line to rest.
    """

    cycle: int
    decided: float  # [s] steady clock; NaN before the first decision
    verdict: Verdict
    reason: Reason
    detail: str  # the numbers behind the reason, for people
    mode: Mode
    send: bool  # False: publish nothing, the arm keeps its last command
    twist_sent: Vec  # (A,) action that is followed; the proposal's own array if it passes unchanged
    candidate: int  # row of the task's candidates that is followed; 0 is the proposal
    start_q: Vec  # (J,) [rad] commanded position when this decision was made
    start_qd: Vec  # (J,) [rad/s] commanded velocity when this decision was made
    q: Vec  # (J,) [rad] commanded position at the end of this period
    qd: Vec  # (J,) [rad/s] commanded velocity at the end of this period
    coast: float  # [s] after the period until the arm brakes; 0 unless the whole path was verified anew
    q_c: float  # Q_c of `twist_sent`; NaN if the critic was not evaluated
    margins: Mapping[str, float]  # left of each rule, then `MARGINS`; negative if broken, NaN: not evaluated
    anchored: bool  # q and qd describe the arm; False before a reset and once a stop has come to rest
    off_track: int  # consecutive decisions with too large a tracking error
    state_stamp: float  # [s] newest stamp seen
    state_advanced: float  # [s] steady time at which that stamp was first seen
    spoken: float  # [s] steady time at which the policy last said something of use; NaN: never
    held_since: float  # [s] steady time since which the arm has been commanded to rest; NaN while it may move
    suspension: Suspension | None  # of the critic; None while it acts
    stillness: Stillness  # of the measured arm
    clock: ChunkClock | None = None  # of the proposal's chunk
