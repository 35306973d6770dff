"""Faults in the messages between nodes, injected by a relay: what the arm does, and how soon."""

import math
from dataclasses import dataclass, field

import pytest

from spillguard_core.arm import MONITOR_PERIOD, POLICY_PERIOD
from tests.faults.commands import off_track_after
from tests.faults.harness import (
    CLOCKS,
    GOES_ON,
    HOLDS,
    MESSAGES,
    STOPS,
    Case,
    Cell,
    Repeat,
    conclude,
    repeated,
)
from tests.faults.relay import PROPOSAL, STATES

JOINTS = ("joint_states",)
LOAD_CELL = ("load_cell/wrench",)
PROPOSALS = (PROPOSAL,)
AT_ONCE = MONITOR_PERIOD  # [s] one decision
STATE, SENSOR, COMMAND = (CLOCKS[f"{name}_timeout"] for name in ("state", "sensor", "command"))


@dataclass(frozen=True)
class Relayed:
    """A case and the order that the relay gets."""

    case: Case
    topics: tuple[str, ...]
    fault: str
    figures: dict[str, object] = field(default_factory=dict)


def stops(
    name: str,
    text: str,
    topics: tuple[str, ...],
    reason: str,
    detection: float,
    fault: str,
    **figures: object,
) -> Relayed:
    return Relayed(Case(name, text, STOPS, tuple(reason.split()), detection), topics, fault, figures)


def holds(
    name: str,
    text: str,
    topics: tuple[str, ...],
    reason: str,
    detection: float,
    fault: str,
    **figures: object,
) -> Relayed:
    return Relayed(Case(name, text, HOLDS, tuple(reason.split()), detection), topics, fault, figures)


def goes_on(name: str, text: str, topics: tuple[str, ...], fault: str, **figures: object) -> Relayed:
    return Relayed(Case(name, text, GOES_ON), topics, fault, figures)


INVALID, STALE = "STATE_INVALID", "STATE_STALE"
CASES = (
    # Joint states: what they say
    stops("state_nan", "joint state: a position is NaN", JOINTS, INVALID, AT_ONCE, "position", joint=3, value=math.nan),
    stops("state_inf", "joint state: a position is infinite", JOINTS, INVALID, AT_ONCE, "position", joint=2, value=math.inf),
    stops("state_speed_nan", "joint state: a velocity is NaN", JOINTS, INVALID, AT_ONCE, "velocity", joint=5, value=math.nan),
    stops("state_range", "joint state: a joint beyond its limit", JOINTS, "STATE_OUT_OF_LIMITS", AT_ONCE, "position",
          joint=3, value=2.7),
    stops("state_names", "joint state: other names", JOINTS, INVALID, AT_ONCE, "joints", kind="renamed"),
    stops("state_twice", "joint state: a name twice", JOINTS, INVALID, AT_ONCE, "joints", kind="twice"),
    stops("state_six", "joint state: six joints", JOINTS, INVALID, AT_ONCE, "joints", kind="six"),
    stops("state_count", "joint state: seven names, six positions", JOINTS, INVALID, AT_ONCE, "joints", kind="six values"),
    stops("state_swapped", "joint state: values in another order than names", JOINTS,
          "TRACKING_ERROR STATE_OUT_OF_LIMITS", CLOCKS["tracking_cycles"] * MONITOR_PERIOD, "joints",
          kind="values swapped"),
    stops("state_offset", "joint state: a joint reads 0.3 rad too much", JOINTS, "TRACKING_ERROR",
          CLOCKS["tracking_cycles"] * MONITOR_PERIOD, "position", joint=1, value=0.3, add=True),
    goes_on("state_reversed", "joint state: names and values reversed", JOINTS, "joints", kind="reversed"),
    goes_on("state_gripper", "joint state: a joint more", JOINTS, "joints", kind="gripper"),
    goes_on("state_turn", "joint state: a continuous joint a turn further", JOINTS, "joints", kind="turned"),
    # Joint states: when they come, and their stamps
    stops("state_lost", "joint state: all lost", JOINTS, STALE, STATE, "lose", share=1.0),
    stops("state_late", "states: delayed by 0.5 s", STATES, STALE, STATE, "delay", seconds=0.5),
    stops("state_frozen", "joint state: values and stamp frozen", JOINTS, STALE, STATE, "freeze"),
    stops("state_stamp_frozen", "joint state: stamp frozen (the driver's clock is paused)", JOINTS, STALE, STATE, "freeze_stamp"),
    stops("state_stamp_zero", "joint state: no stamp", JOINTS, STALE, STATE, "zero_stamp"),
    stops("state_stamp_past", "joint state: stamp an hour back (the driver's clock jumps)", JOINTS, STALE, STATE,
          "shift_stamp", seconds=-3600.0),
    goes_on("state_lost_1", "states: 1 % lost", STATES, "lose", share=0.01),
    goes_on("state_lost_10", "states: 10 % lost", STATES, "lose", share=0.1),
    goes_on("state_delayed", "states: delayed by 20 ms", STATES, "delay", seconds=0.02),
    goes_on("state_duplicated", "states: each comes twice", STATES, "duplicate", times=2),
    goes_on("state_reordered", "states: each second one overtakes", STATES, "reorder"),
    # The task's sensors
    holds("load_cell_lost", "load cell: all lost", LOAD_CELL, "SENSOR_STALE", SENSOR, "lose", share=1.0),
    holds("load_cell_frozen", "load cell: value and stamp frozen", LOAD_CELL, "SENSOR_STALE", SENSOR, "freeze"),
    holds("load_cell_nan", "load cell: NaN", LOAD_CELL, "SENSOR_INVALID", AT_ONCE, "force", value=math.nan),
    holds("target_lost", "target pose: all lost", ("target_pose",), "SENSOR_STALE", SENSOR, "lose", share=1.0),
    # Proposals
    holds("proposal_nan", "proposal: NaN", PROPOSALS, "PROPOSAL_INVALID", AT_ONCE, "twist", value=math.nan),
    holds("proposal_inf", "proposal: infinite", PROPOSALS, "PROPOSAL_INVALID", AT_ONCE, "twist", value=math.inf),
    holds("proposal_lost", "proposal: all lost, the policy is alive", PROPOSALS, "PROPOSAL_STALE", COMMAND, "lose", share=1.0),
    holds("proposal_thin", "proposal: one of ten arrives", PROPOSALS, "PROPOSAL_STALE", COMMAND, "thin", every=10),
    holds("proposal_past", "proposal: stamp 1 s back", PROPOSALS, "PROPOSAL_STALE", AT_ONCE, "shift_stamp", seconds=-1.0),
    holds("proposal_future", "proposal: stamp 1 s ahead", PROPOSALS, "PROPOSAL_STALE", AT_ONCE, "shift_stamp", seconds=1.0),
    holds("proposal_frozen", "proposal: the first one again and again", PROPOSALS, "PROPOSAL_STALE",
          COMMAND + POLICY_PERIOD, "freeze"),
    holds("proposal_late", "proposal: delayed by 0.15 s", PROPOSALS, "PROPOSAL_STALE", COMMAND, "delay", seconds=0.15),
    goes_on("proposal_huge", "proposal: a thousand times too fast", PROPOSALS, "scale", factor=1000.0),
    goes_on("proposal_flood", "proposal: ten times as many", PROPOSALS, "duplicate", times=10, spacing=0.005),
    goes_on("proposal_twice", "proposal: each comes twice", PROPOSALS, "duplicate", times=2),
)  # fmt: skip


@pytest.mark.parametrize("relayed", CASES, ids=lambda relayed: relayed.case.name)
def test_fault_in_a_message(cell: Cell, relayed: Relayed) -> None:
    def once() -> Repeat:
        cell.ready()
        fault = cell.order(relayed.topics, relayed.fault, **relayed.figures)
        return cell.answer(relayed.case, fault)

    conclude(relayed.case, repeated(relayed.case, once))


def test_values_that_stand_still_while_the_arm_moves(cell: Cell) -> None:
    """The stamps go on: only that the arm seems not to follow can tell."""
    case = Case(
        "state_values_frozen", "joint state: values frozen, stamps advance", STOPS, ("TRACKING_ERROR",)
    )

    def once() -> Repeat:
        cell.ready()
        fault = cell.order(JOINTS, "freeze_values")
        cell.notes.read()
        seen = cell.notes.states[-1].q
        cell.poll(lambda: cell.resting(fault), 3.0)
        off_track = off_track_after(cell.notes, seen, fault) - fault
        patience = CLOCKS["tracking_cycles"] * MONITOR_PERIOD
        bound = off_track + patience + 2.0 * MONITOR_PERIOD + MESSAGES
        return cell.answer(case, fault, bound)

    conclude(case, repeated(case, once))
