"""The arms that the fault tests run on: what differs between them, and which cases run on which.

`SPILLGUARD_FAULT_ARM` names one arm, on which every case runs that makes sense for it. Without it every case
runs on the Gen3, and on the other arms those in `FEW`. What makes no sense for an arm stands with its reason
in `left_out.yaml`, and is not collected for it.
"""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import yaml

from spillguard_core.robot.arm import Robot, load_robot

ROOT = Path(__file__).parents[2]
LEFT_OUT = Path(__file__).with_name("left_out.yaml")
CHOSEN = os.environ.get("SPILLGUARD_FAULT_ARM", "")
PROPOSAL = "policy/proposal"
FEW = (
    "test_clock_faults.py::test_simulated_time_that_pauses_or_goes_back[clock_paused]",
    "test_driver_faults.py::test_driver_that_reports_a_fault",
    "test_file_faults.py::test_bundle_replaced_on_disk",
    "test_message_faults.py::test_fault_in_a_message[proposal_lost]",
    "test_message_faults.py::test_fault_in_a_message[sensor_frame]",
    "test_message_faults.py::test_fault_in_a_message[state_nan]",
    "test_message_faults.py::test_fault_in_a_message[state_reversed]",
    "test_process_faults.py::test_driver_that_hangs_stops_the_arm_until_a_reset",
    "test_process_faults.py::test_monitor_that_ends_and_is_started_again[killed]",
    "test_process_faults.py::test_policy_that_ends[policy_killed]",
    "test_stream_faults.py::test_another_node_that_streams_positions_stops_the_arm",
)
"""Of every kind of fault at least one, for arms other than the Gen3 in continuous integration."""


@dataclass(frozen=True)
class TaskSensor:
    """One sensor of the arm's task, into whose messages faults are injected."""

    name: str  # for people
    topic: str
    number: str  # name of the fault of `messages.py` that sets one of its numbers


@dataclass(frozen=True)
class FaultArm:
    """An arm with its task and its simulated driver."""

    robot: Robot
    node: str  # of its driver
    module: str  # that node with notes
    again: str  # service of the node, after which nothing counts as harmed
    states: tuple[str, ...]  # topics of joints and sensors
    sensor: TaskSensor
    harm: tuple[str, ...]  # what its outcome may not say
    bundle: (
        Path | None
    )  # shipped for it; the policy of the tests takes the place of its own. None: made by the tests

    @property
    def name(self) -> str:
        """In the names of tests, and in `SPILLGUARD_FAULT_ARM`."""
        return self.robot.name

    @property
    def joints(self) -> int:
        """How many."""
        return len(self.robot.joint_names)

    @cached_property
    def controller(self) -> str:
        """Name of its joint trajectory controller."""
        return self.robot.command_topic.rpartition("/")[0]

    @property
    def braking(self) -> float:
        """[s] from the arm's full speed."""
        return float(np.max(self.robot.limits.velocity / self.robot.limits.acceleration))

    def turns(self, joint: int) -> bool:
        """Whether the joint has no end stops."""
        return self.robot.limits.turn[joint] > 0.0

    @property
    def told(self) -> dict[str, object]:
        """Parameters of every node for this arm, besides the bundle."""
        return {"robot": self.robot.folder}


POURING = FaultArm(
    robot=load_robot("gen3"),
    node="sim_arm",
    module="tests.faults.arm",
    again="new_cup",
    states=("joint_states", "load_cell/wrench", "wrist/wrench", "target_pose"),
    sensor=TaskSensor("load cell", "load_cell/wrench", "force"),
    # Position bounds and servo setpoints are checked in the notes. A servo that catches up with a late
    # command may overshoot in speed, which this cell counts as a broken limit; by how much is proven in
    # simulated time (`test_late_commands`).
    harm=("contact",),
    bundle=None,
)


def reaching(name: str) -> FaultArm:
    """An arm that reaches for goals."""
    return FaultArm(
        robot=load_robot(name),
        node="any_arm",
        module="tests.faults.any_arm",
        again="new_goal",
        states=("joint_states", "goal_pose"),
        sensor=TaskSensor("goal", "goal_pose", "point"),
        harm=("contact", "limit_broken"),
        bundle=ROOT / f"artifacts/reach_{name}",
    )


ARMS = {arm.name: arm for arm in (POURING, reaching("ur5e"), reaching("fr3"))}


def chosen() -> list[str]:
    """Arms to run on. ValueError for one that is not known."""
    if CHOSEN and CHOSEN not in ARMS:
        raise ValueError(f"SPILLGUARD_FAULT_ARM is {CHOSEN!r}, known are {', '.join(ARMS)}")
    return [CHOSEN] if CHOSEN else list(ARMS)


def reason_left_out(test: str, arm: str) -> str:
    """Why a test, by its name as in `FEW`, makes no sense for this arm; empty if it does."""
    for entry in yaml.safe_load(LEFT_OUT.read_text()):
        if arm in entry["arms"] and test.startswith(entry["test"]):
            return str(entry["reason"])
    return ""


def wanted(test: str, arm: str) -> bool:
    """Whether a test that makes sense for an arm is to run on it now."""
    return arm == CHOSEN or arm == POURING.name or test in FEW
