"""Lifecycle of the monitor: an inactive one moves nothing, and coming back means starting closed."""

from collections.abc import Iterator

import numpy as np
import pytest
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters

from tests.ros.harness import MOVED, MakeStage, Stage


@pytest.fixture(scope="module")
def cell(make_stage: MakeStage) -> Iterator[Stage]:
    with make_stage("sim_arm", "policy", "safety_monitor") as stage:
        yield stage


@pytest.fixture
def stage(cell: Stage) -> Stage:
    """The monitor is active, whatever was before."""
    for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
        change(cell, transition)  # refused where that has been done
    return cell


def change(stage: Stage, transition: int) -> bool:
    """Ask the monitor for a transition; whether it was made."""
    client = stage.witness.node.create_client(ChangeState, "safety_monitor/change_state")
    assert stage.witness.wait(client.service_is_ready, 15.0)
    future = client.call_async(ChangeState.Request(transition=Transition(id=transition)))
    assert stage.witness.wait(future.done, 15.0)
    return bool(future.result().success)


def test_deactivated_monitor_stops_the_arm_first_and_starts_closed_again(stage: Stage) -> None:
    witness = stage.witness
    witness.open_gate()
    stage.until(witness.moving, 5.0, "motion")
    witness.heard.clear()
    assert change(stage, Transition.TRANSITION_DEACTIVATE)
    witness.spin(0.5)
    last = witness.heard.commands[-1][1].points
    speeds = [float(np.abs(point.velocities).max()) for point in last]
    assert speeds == sorted(speeds, reverse=True)
    assert speeds[-1] == 0.0
    assert witness.still()
    witness.heard.clear()
    assert not witness.call("safety_monitor/reset")[0]
    witness.spin(0.3)
    assert not witness.heard.commands

    assert change(stage, Transition.TRANSITION_ACTIVATE)
    witness.heard.clear()
    witness.spin(0.5)
    assert not witness.heard.commands
    assert witness.travel() < MOVED
    witness.open_gate()
    stage.until(witness.moving, 5.0, "motion after reset and resume")


def test_reconfigured_monitor_works_again(stage: Stage) -> None:
    for transition in (
        Transition.TRANSITION_DEACTIVATE,
        Transition.TRANSITION_CLEANUP,
        Transition.TRANSITION_CONFIGURE,
        Transition.TRANSITION_ACTIVATE,
    ):
        assert change(stage, transition)
    stage.witness.heard.clear()
    stage.witness.open_gate()
    stage.until(stage.witness.moving, 5.0, "motion")


def test_safety_value_cannot_be_changed_while_the_node_runs(stage: Stage) -> None:
    client = stage.witness.node.create_client(SetParameters, "safety_monitor/set_parameters")
    assert stage.witness.wait(client.service_is_ready, 15.0)
    value = ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=0.5)
    request = SetParameters.Request(parameters=[Parameter(name="state_timeout", value=value)])
    future = client.call_async(request)
    assert stage.witness.wait(future.done, 15.0)
    (result,) = future.result().results
    assert not result.successful
    assert "read-only" in result.reason
