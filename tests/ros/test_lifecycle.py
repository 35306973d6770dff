"""Lifecycle of the monitor: an inactive one moves nothing, and reactivation starts closed."""

from collections.abc import Iterator

import pytest
from lifecycle_msgs.msg import Transition
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters

from tests.ros.harness import MOVED, PATIENCE, MakeStage, Stage, asks_for_rest, change


@pytest.fixture(scope="module")
def cell(make_stage: MakeStage) -> Iterator[Stage]:
    with make_stage("sim_arm", "policy", "safety_monitor") as stage:
        yield stage


@pytest.fixture
def stage(cell: Stage) -> Stage:
    """The monitor is active, whatever the previous test left."""
    for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
        change(cell, transition)  # refused if already done
    return cell


def test_deactivated_monitor_stops_the_arm_first_and_starts_closed_again(stage: Stage) -> None:
    witness = stage.witness
    stage.drive()
    stage.until(lambda: bool(witness.heard.commands), PATIENCE, "a command")
    assert change(stage, Transition.TRANSITION_DEACTIVATE)
    stage.until(lambda: asks_for_rest(witness.heard.commands[-1][1]), PATIENCE, "a last command to rest")
    stage.rest()
    assert not witness.call("safety_monitor/reset")[0]
    stage.watch()
    assert not witness.heard.commands
    assert witness.travel() < MOVED

    assert change(stage, Transition.TRANSITION_ACTIVATE)
    stage.watch()
    assert not witness.heard.commands
    assert witness.travel() < MOVED
    stage.drive()


def test_reconfigured_monitor_works_again(stage: Stage) -> None:
    for transition in (
        Transition.TRANSITION_DEACTIVATE,
        Transition.TRANSITION_CLEANUP,
        Transition.TRANSITION_CONFIGURE,
        Transition.TRANSITION_ACTIVATE,
    ):
        assert change(stage, transition)
    stage.drive()


def test_safety_value_cannot_be_changed_while_the_node_runs(stage: Stage) -> None:
    client = stage.witness.node.create_client(SetParameters, "safety_monitor/set_parameters")
    assert stage.witness.wait(client.service_is_ready, PATIENCE)
    value = ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=0.5)
    request = SetParameters.Request(parameters=[Parameter(name="state_timeout", value=value)])
    future = client.call_async(request)
    assert stage.witness.wait(future.done, PATIENCE)
    (result,) = future.result().results
    assert not result.successful
    assert "read-only" in result.reason
