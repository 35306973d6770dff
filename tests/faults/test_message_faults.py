"""Faults in messages between nodes, injected by a relay: the arm's response, and its timing."""

import math
from dataclasses import dataclass, field

import pytest

from spillguard_core.robot.arm import MONITOR_PERIOD, POLICY_PERIOD
from tests.faults.cases import CLOCKS, GOES_ON, HOLDS, MESSAGES, STOPS, Case, Repeat, run
from tests.faults.commands import off_track_after
from tests.faults.harness import Cell
from tests.faults.relay import PROPOSAL, STATES

JOINTS = ("joint_states",)
LOAD_CELL = ("load_cell/wrench",)
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


def state(name: str, text: str, reasons: str, detection: float, fault: str, **figures: object) -> Relayed:
    """A joint state fault that stops the arm."""
    case = Case(f"state_{name}", f"joint state: {text}", STOPS, tuple(reasons.split()), detection)
    return Relayed(case, JOINTS, fault, figures)


def sensor(name: str, text: str, reason: str, detection: float, fault: str, /, **figures: object) -> Relayed:
    """A load cell fault that makes the arm hold."""
    case = Case(f"load_cell_{name}", f"load cell: {text}", HOLDS, (reason,), detection)
    return Relayed(case, LOAD_CELL, fault, figures)


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


NAN, INF = math.nan, math.inf
INVALID, STALE, OLD = "STATE_INVALID", "STATE_STALE", "PROPOSAL_STALE"
DRIVER = "DRIVER_FAULT"
OUTSIDE, OFF_TRACK = "STATE_OUT_OF_LIMITS", "TRACKING_ERROR"
PATIENCE = CLOCKS["tracking_cycles"] * MONITOR_PERIOD  # [s]
CASES = (
    # Contents of the joint state
    state("nan", "a position is NaN", INVALID, AT_ONCE, "position", joint=3, value=NAN),
    state("inf", "a position is infinite", INVALID, AT_ONCE, "position", joint=2, value=INF),
    state("speed_nan", "a velocity is NaN", INVALID, AT_ONCE, "velocity", joint=5, value=NAN),
    state("range", "a joint beyond its limit", OUTSIDE, AT_ONCE, "position", joint=3, value=2.7),
    state("names", "other names", STALE, STATE, "joints", kind="renamed"),
    state("twice", "a name twice", INVALID, AT_ONCE, "joints", kind="twice"),
    state("six", "six joints", INVALID, AT_ONCE, "joints", kind="six"),
    state("count", "seven names, six positions", INVALID, AT_ONCE, "joints", kind="six values"),
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
    goes_on("state_reversed", "joint state: names and values reversed", JOINTS, "joints", kind="reversed"),
    goes_on("state_gripper", "joint state: a joint more", JOINTS, "joints", kind="gripper"),
    goes_on("state_gripper_alone", "joint state: a gripper's in between", JOINTS, "gripper_between"),
    goes_on("state_turn", "joint state: a continuous joint a turn further", JOINTS, "joints", kind="turned"),
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
    state("clock_ahead", "the driver's clock is 0.1 s ahead", DRIVER, AT_ONCE, "shift_stamp", seconds=0.1),
    state(
        "clock_behind",
        "the driver's clock is 5 s behind",
        f"{STALE} {DRIVER}",
        STATE,
        "shift_stamp",
        seconds=-5.0,
    ),
    goes_on("state_lost_1", "all sensors: 1 % lost", STATES, "lose", share=0.01),
    goes_on("state_lost_10", "all sensors: 10 % lost", STATES, "lose", share=0.1),
    goes_on("state_lost_50", "all sensors: 50 % lost", STATES, "lose", share=0.5),
    goes_on("state_delayed", "all sensors: delayed by 20 ms", STATES, "delay", seconds=0.02),
    goes_on("state_duplicated", "all sensors: each message comes twice", STATES, "duplicate", times=2),
    goes_on("state_reordered", "all sensors: each second message overtakes one", STATES, "reorder"),
    # The task's sensors
    sensor("lost", "all lost", "SENSOR_STALE", SENSOR, "lose", share=1.0),
    sensor("frozen", "value and stamp frozen", "SENSOR_STALE", SENSOR, "freeze"),
    sensor("frame", "in another frame", "SENSOR_INVALID", AT_ONCE, "frame", frame_id="tool0"),
    sensor("nan", "NaN", "SENSOR_INVALID", AT_ONCE, "force", value=NAN),
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
    goes_on("proposal_flood", "proposal: ten times as many", PROPOSALS, "duplicate", times=10, spacing=0.005),
    goes_on("proposal_twice", "proposal: each comes twice", PROPOSALS, "duplicate", times=2),
)


@pytest.mark.parametrize("relayed", CASES, ids=lambda relayed: relayed.case.name)
def test_fault_in_a_message(cell: Cell, relayed: Relayed) -> None:
    def once() -> Repeat:
        cell.ready()
        fault = cell.order(relayed.topics, relayed.fault, **relayed.figures)
        return cell.answer(relayed.case, fault)

    run(relayed.case, once)


def test_values_that_stand_still_while_the_arm_moves(cell: Cell) -> None:
    """The stamps advance: only the tracking error reveals the fault."""
    case = Case(
        "state_values_frozen", "joint state: values frozen, stamps advance", STOPS, ("TRACKING_ERROR",)
    )

    def once() -> Repeat:
        cell.ready()
        fault = cell.order(JOINTS, "freeze_values")
        cell.notes.read()
        seen = cell.notes.states[-1].q
        cell.until(lambda: cell.resting(fault), 0.0, "rest")
        off_track = off_track_after(cell.notes, seen, fault) - fault
        patience = CLOCKS["tracking_cycles"] * MONITOR_PERIOD
        bound = off_track + patience + 2.0 * MONITOR_PERIOD + MESSAGES
        return cell.answer(case, fault, bound)

    run(case, once)
