"""Faults in messages between nodes, for every arm: what the relay is told, and the correct response."""

import math
from dataclasses import dataclass, field

from spillguard_core.robot.arm import MONITOR_PERIOD, POLICY_PERIOD
from tests.faults.arms import PROPOSAL, FaultArm
from tests.faults.cases import CLOCKS, GOES_ON, HOLDS, STOPS, Case

JOINTS = ("joint_states",)
PROPOSALS = (PROPOSAL,)
AT_ONCE = MONITOR_PERIOD  # [s] one decision
STATE, SENSOR, COMMAND, ANSWER = (
    CLOCKS[f"{name}_timeout"] for name in ("state", "sensor", "command", "answer")
)


@dataclass(frozen=True)
class Relayed:
    """A case and the relay's order for it."""

    case: Case
    topics: tuple[str, ...]
    fault: str
    figures: dict[str, object] = field(default_factory=dict)
    name: str = ""  # of the test, where it is not that of the case

    @property
    def key(self) -> str:
        """The same for every arm."""
        return self.name or self.case.name


def state(name: str, text: str, reasons: str, detection: float, fault: str, **figures: object) -> Relayed:
    """A joint state fault that stops the arm."""
    case = Case(f"state_{name}", f"joint state: {text}", STOPS, tuple(reasons.split()), detection)
    return Relayed(case, JOINTS, fault, figures)


def sensor(
    arm: FaultArm, name: str, text: str, reason: str, detection: float, fault: str, /, **figures: object
) -> Relayed:
    """A fault of the task's sensor that makes the arm hold."""
    which = arm.sensor.name
    case = Case(f"{which.replace(' ', '_')}_{name}", f"{which}: {text}", HOLDS, (reason,), detection)
    return Relayed(case, (arm.sensor.topic,), fault, figures, f"sensor_{name}")


def proposal(
    name: str,
    text: str,
    reason: str,
    detection: float,
    fault: str,
    /,
    lasting: bool = True,
    **figures: object,
) -> Relayed:
    """A proposal fault that makes the arm hold."""
    case = Case(f"proposal_{name}", f"proposal: {text}", HOLDS, (reason,), detection, lasting)
    return Relayed(case, PROPOSALS, fault, figures)


def goes_on(name: str, text: str, topics: tuple[str, ...], fault: str, **figures: object) -> Relayed:
    """A fault that must not stop the arm."""
    return Relayed(Case(name, text, GOES_ON), topics, fault, figures)


def turned(arm: FaultArm) -> Relayed:
    """A joint reads a full turn too much: the same posture if it has no end stops."""
    if arm.turns(TURNED):
        text = "joint state: a continuous joint a turn further"
        return goes_on("state_turn", text, JOINTS, "joints", kind="turned")
    reasons = f"{OUTSIDE} {OFF_TRACK}"
    return state("turn", "a joint with end stops a turn further", reasons, PATIENCE, "joints", kind="turned")


NAN, INF = math.nan, math.inf
INVALID, STALE, OLD = "STATE_INVALID", "STATE_STALE", "PROPOSAL_STALE"
DRIVER = "DRIVER_FAULT"
TURNED = 2  # number of the joint that is a turn further
BEYOND = 0.13  # [rad]
COUNT = ("none", "one", "two", "three", "four", "five", "six", "seven")
OUTSIDE, OFF_TRACK = "STATE_OUT_OF_LIMITS", "TRACKING_ERROR"
PATIENCE = CLOCKS["tracking_cycles"] * MONITOR_PERIOD  # [s]


def cases(arm: FaultArm) -> dict[str, Relayed]:
    """By the name of the test."""
    beyond = float(arm.robot.limits.position_max[3]) + BEYOND
    every = (
        # Contents of the joint state
        state("nan", "a position is NaN", INVALID, AT_ONCE, "position", joint=3, value=NAN),
        state("inf", "a position is infinite", INVALID, AT_ONCE, "position", joint=2, value=INF),
        state("speed_nan", "a velocity is NaN", INVALID, AT_ONCE, "velocity", joint=5, value=NAN),
        state("range", "a joint beyond its limit", OUTSIDE, AT_ONCE, "position", joint=3, value=beyond),
        state("names", "other names", STALE, STATE, "joints", kind="renamed"),
        state("twice", "a name twice", INVALID, AT_ONCE, "joints", kind="twice"),
        state("six", f"{COUNT[arm.joints - 1]} joints", INVALID, AT_ONCE, "joints", kind="fewer"),
        state(
            "count",
            f"{COUNT[arm.joints]} names, {COUNT[arm.joints - 1]} positions",
            INVALID,
            AT_ONCE,
            "joints",
            kind="fewer values",
        ),
        state(
            "swapped",
            "values in another order",
            f"{OUTSIDE} {OFF_TRACK}",
            PATIENCE,
            "joints",
            kind="values swapped",
        ),
        state(
            "offset",
            "a joint reads 0.3 rad too much",
            OFF_TRACK,
            PATIENCE,
            "position",
            joint=1,
            value=0.3,
            add=True,
        ),
        goes_on(
            "state_reversed", "joint state: names and values reversed", JOINTS, "joints", kind="reversed"
        ),
        goes_on("state_gripper", "joint state: a joint more", JOINTS, "joints", kind="gripper"),
        goes_on("state_gripper_alone", "joint state: a gripper's in between", JOINTS, "gripper_between"),
        turned(arm),
        # Its timing and stamp
        state("lost", "all lost", STALE, STATE, "lose", share=1.0),
        state("late", "delayed by 0.5 s", STALE, STATE, "delay", seconds=0.5),
        state("frozen", "values and stamp frozen", STALE, STATE, "freeze"),
        state("stamp_frozen", "stamp frozen, the driver's clock is paused", STALE, STATE, "freeze_stamp"),
        state("stamp_zero", "no stamp", STALE, STATE, "zero_stamp"),
        # Commands are stamped, so the driver's clock must be the monitor's.
        state(
            "stamp_past",
            "stamp jumps an hour back, as the driver's clock",
            f"{STALE} {DRIVER}",
            STATE,
            "shift_stamp",
            seconds=-3600.0,
        ),
        state(
            "stamp_future",
            "stamp jumps an hour ahead, as the driver's clock",
            DRIVER,
            AT_ONCE,
            "shift_stamp",
            seconds=3600.0,
        ),
        state(
            "clock_ahead", "the driver's clock is 0.1 s ahead", DRIVER, AT_ONCE, "shift_stamp", seconds=0.1
        ),
        state(
            "clock_behind",
            "the driver's clock is 5 s behind",
            f"{STALE} {DRIVER}",
            STATE,
            "shift_stamp",
            seconds=-5.0,
        ),
        goes_on("state_lost_1", "all sensors: 1 % lost", arm.states, "lose", share=0.01),
        goes_on("state_lost_10", "all sensors: 10 % lost", arm.states, "lose", share=0.1),
        goes_on("state_lost_50", "all sensors: 50 % lost", arm.states, "lose", share=0.5),
        goes_on("state_delayed", "all sensors: delayed by 20 ms", arm.states, "delay", seconds=0.02),
        goes_on(
            "state_duplicated", "all sensors: each message comes twice", arm.states, "duplicate", times=2
        ),
        goes_on("state_reordered", "all sensors: each second message overtakes one", arm.states, "reorder"),
        # The task's sensors
        sensor(arm, "lost", "all lost", "SENSOR_STALE", SENSOR, "lose", share=1.0),
        sensor(arm, "frozen", "value and stamp frozen", "SENSOR_STALE", SENSOR, "freeze"),
        sensor(arm, "frame", "in another frame", "SENSOR_INVALID", AT_ONCE, "frame", frame_id="tool0"),
        sensor(arm, "nan", "NaN", "SENSOR_INVALID", AT_ONCE, arm.sensor.number, value=NAN),
        # Proposals
        proposal("nan", "NaN", "PROPOSAL_INVALID", AT_ONCE, "twist", value=NAN),
        proposal("inf", "infinite", "PROPOSAL_INVALID", AT_ONCE, "twist", value=INF),
        proposal("frame", "in another frame", "PROPOSAL_INVALID", AT_ONCE, "frame", frame_id="tool0"),
        proposal("lost", "all lost, the policy is alive", OLD, COMMAND, "lose", share=1.0),
        proposal("thin", "one of ten arrives", OLD, COMMAND, "thin", lasting=False, every=10),
        proposal("past", "stamp 1 s back", OLD, AT_ONCE, "shift_stamp", seconds=-1.0),
        proposal("future", "stamp 1 s ahead", OLD, AT_ONCE, "shift_stamp", seconds=1.0),
        proposal("frozen", "the first one again and again", OLD, ANSWER + POLICY_PERIOD, "freeze"),
        proposal("late", "delayed by 0.3 s", OLD, COMMAND, "delay", seconds=0.3),
        goes_on("proposal_slow", "proposal: delayed by 0.1 s", PROPOSALS, "delay", seconds=0.1),
        goes_on("proposal_huge", "proposal: a thousand times too fast", PROPOSALS, "scale", factor=1000.0),
        goes_on(
            "proposal_flood", "proposal: ten times as many", PROPOSALS, "duplicate", times=10, spacing=0.005
        ),
        goes_on("proposal_twice", "proposal: each comes twice", PROPOSALS, "duplicate", times=2),
    )
    return {relayed.key: relayed for relayed in every}
