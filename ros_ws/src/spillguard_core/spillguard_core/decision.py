"""What goes into the gate and what comes out: plain data, no behaviour.

Shapes: J joints. Times are seconds on the monitor's steady clock, except `stamp`, which is in the arm
driver's own clock and is only ever compared with other stamps of that clock.
"""

import math
from dataclasses import dataclass
from enum import Enum, IntEnum

from spillguard_core.arm import ArmLimits, Vec
from spillguard_core.observation import Measurement


class Verdict(IntEnum):
    """In order of severity; the most severe active cause wins."""

    PASS = 0  # the proposal is followed as it came
    LIMIT = 1  # followed in part: a hard limit or the critic allowed only less of it
    RECOVER = 2  # replaced: the cup is tilted back upright
    HOLD = 3  # braked to rest, the pose is kept
    STOP = 4  # braked to rest, silent until a reset


class Mode(Enum):
    """What the operator has allowed. The gate starts stopped."""

    STOPPED = "stopped"  # left by RESET only, to HELD
    HELD = "held"  # left by RESUME, to FOLLOWING, or to TELEOP while a teleoperator speaks
    FOLLOWING = "following"  # the policy; left to TELEOP when a teleoperator begins to speak
    TELEOP = "teleop"  # the teleoperator; left to HELD when it falls silent


class Request(Enum):
    """What an operator may ask for without saying more. A reset never starts motion; a resume does."""

    HOLD = "hold"
    RESUME = "resume"
    STOP = "stop"
    RESET = "reset"
    RESTORE_CRITIC = "restore_critic"  # ends a suspension of the critic


class Reason(Enum):
    """Why the verdict is what it is."""

    OK = "ok"
    TWIST_LIMIT = "proposal above the action scale"
    VELOCITY_LIMIT = "joint velocity limit"
    POSITION_LIMIT = "joint position limit ahead"
    WORKSPACE_LIMIT = "workspace limit ahead"
    COLLISION = "obstacle within the braking path"
    TILT_LIMIT = "cup tilted too far beside the target"
    CRITIC = "safety critic above its threshold"
    CRITIC_RECOVERY = "safety critic above its threshold for every candidate"
    PROPOSAL_MISSING = "no proposal yet"
    PROPOSAL_STALE = "proposal is stale"
    PROPOSAL_INVALID = "proposal is not a finite twist"
    TELEOP_INVALID = "teleoperator's twist is not a finite twist"
    TELEOP_SILENT = "teleoperator is silent"
    SENSOR_STALE = "load cell, wrist or target is stale"
    SENSOR_INVALID = "load cell, wrist or target is not finite"
    CRITIC_INVALID = "safety critic gave no finite value"
    OPERATOR_HOLD = "held by the operator"
    FOREIGN_WRITER = "another node publishes on the arm's command topic"
    DRIVER_FAULT = "the arm's driver is not in order"
    NOT_RESET = "not yet reset"
    OPERATOR_STOP = "stopped by the operator"
    REQUEST_UNKNOWN = "the operator asked for something unknown"
    STATE_MISSING = "no joint state yet"
    STATE_STALE = "joint state is stale"
    STATE_INVALID = "joint state is not finite or has the wrong length"
    STATE_OUT_OF_LIMITS = "joint outside its position limits"
    TRACKING_ERROR = "arm does not follow its command"
    NOT_SETTLING = "arm still moves while held"


@dataclass(frozen=True)
class GateConfig:
    """Limits and clocks of the gate. There are no defaults: somebody has to have chosen each value."""

    limits: ArmLimits
    period: float  # [s] of one decision
    command_timeout: float  # [s] age at which a proposal is stale
    teleop_timeout: float  # [s] age at which a teleoperator counts as silent
    state_timeout: float  # [s] age at which the joint state is stale
    sensor_timeout: float  # [s] age at which load cell, wrist or target are stale
    position_tolerance: float  # [rad] a measured joint may read beyond its limit
    max_tracking_error: float  # [rad] between command and measurement
    tracking_cycles: int  # decisions in a row above that error before the arm is stopped
    tracking_lag: float  # [s] by which a healthy arm trails its command, at most
    settle_time: float  # [s] after which a held arm must be still
    still_speed: float  # [rad/s] below which every joint counts as still
    coast_time: float  # [s] a command stays valid beyond its period before the arm brakes by itself
    clearance: float  # [m] kept from everything in the guard model while braking
    free_tilt: float  # [rad] the cup may lean anywhere; further only where it pours into the target
    critic_threshold: float | None  # highest Q_c that passes; None: critic is reported but not used
    critic_release: float  # share of the threshold that Q_c must come down to before the critic lets go
    max_suspension: float  # [s] for which the critic may be suspended at most; 0: never

    def __post_init__(self) -> None:
        positive = ("period", "command_timeout", "teleop_timeout", "state_timeout", "sensor_timeout",
                    "max_tracking_error", "tracking_cycles", "settle_time", "still_speed")  # fmt: skip
        for name in positive:
            if not 0.0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be finite and > 0, got {getattr(self, name)}")
        for name in ("position_tolerance", "tracking_lag", "coast_time", "clearance", "free_tilt",
                     "max_suspension"):  # fmt: skip
            if not 0.0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be finite and >= 0, got {getattr(self, name)}")
        if self.critic_threshold is not None and not 0.0 <= self.critic_threshold <= 1.0:
            raise ValueError(f"critic_threshold must be in [0, 1] or None, got {self.critic_threshold}")
        if not 0.0 <= self.critic_release <= 1.0:
            raise ValueError(f"critic_release must be in [0, 1], got {self.critic_release}")
        if not self.period <= min(self.command_timeout, self.teleop_timeout, self.state_timeout):
            raise ValueError(
                f"command_timeout {self.command_timeout} s, teleop_timeout {self.teleop_timeout} s and "
                f"state_timeout {self.state_timeout} s must not be shorter than the period, {self.period} s"
            )


@dataclass(frozen=True, eq=False)
class Proposal:
    """What the policy or a teleoperator wants."""

    twist: Vec  # (4,) lip velocity [m/s] and tilt rate [rad/s], base frame
    received: float  # [s] steady clock
    stamp: float  # [s] stamp of the joint state it answers; NaN from a teleoperator, who answers none


@dataclass(frozen=True)
class SuspensionRequest:
    """An operator's wish that the critic should not act for a while."""

    reason: str  # for the log and the recording, one line
    seconds: float  # [s] from the decision on


@dataclass(frozen=True)
class Suspension:
    """The critic is evaluated and reported, but does not act."""

    reason: str  # as it was asked for
    until: float  # [s] steady clock


@dataclass(frozen=True, eq=False)
class Inputs:
    """Everything one decision may depend on, besides the previous one."""

    now: float  # [s] steady clock
    measurement: Measurement | None  # None until every sensor has spoken once
    state_received: float  # [s] steady clock; of the joint state in `measurement`
    state_stamp: float  # [s] stamp of that joint state
    sensors_received: float  # [s] steady clock; the oldest of load cell, wrist and target
    proposal: Proposal | None
    requests: tuple[Request, ...] = ()  # since the last decision, oldest first
    command_writers: int = 1  # publishers on the arm's command topic, this monitor included
    teleop: Proposal | None = None  # the newest of a teleoperator
    suspend: SuspensionRequest | None = None  # the newest since the last decision
    driver_fault: str = ""  # what the arm's driver says is wrong, or that it is silent; empty: nothing


@dataclass(frozen=True)
class Margins:
    """Distance to each boundary, negative beyond it; NaN where it was not evaluated this cycle.

    `clearance` is infinite without a world model, and never tells more than a centimetre.
    """

    position: float = math.nan  # [rad] closest joint limit to where the arm would come to rest
    workspace: float = math.nan  # [m] closest wall of the box to where the lip would come to rest
    clearance: float = math.nan  # [m] closest obstacle on the braking path, less the clearance asked for
    tilt: float = math.nan  # [rad] the cup may lean further where the arm would come to rest
    tracking: float = math.nan  # [rad] left before the tracking error is too large
    critic: float = math.nan  # threshold - Q_c of what is sent
    state_age: float = math.nan  # [s]
    command_age: float = math.nan  # [s] of the proposal, or of the teleoperator's while it drives


@dataclass(frozen=True, eq=False)
class Decision:
    """What is sent, why, and what the next decision must remember."""

    cycle: int
    decided: float  # [s] steady clock; NaN before the first decision
    verdict: Verdict
    reason: Reason
    detail: str  # the figures behind the reason, for a person
    mode: Mode
    send: bool  # False: publish nothing, the arm keeps what it has
    twist_sent: Vec  # (4,) twist that is followed; the proposal's own array when it passes
    candidate: int  # row of `fallback.KEPT` that is followed; 0 is the proposal
    q: Vec  # (J,) [rad] commanded position at the end of this period
    qd: Vec  # (J,) [rad/s] commanded velocity at the end of this period
    q_c: float  # Q_c of `twist_sent`; NaN when the critic was not asked
    margins: Margins
    anchored: bool  # q and qd stand for the arm; False before a reset and after a stop has come to rest
    off_track: int  # decisions in a row with too large a tracking error
    state_stamp: float  # [s] newest stamp seen
    state_advanced: float  # [s] steady time at which that stamp was first seen
    held_since: float  # [s] steady time since which the arm is asked to rest; NaN while it may move
    suspension: Suspension | None  # of the critic; None while it acts
