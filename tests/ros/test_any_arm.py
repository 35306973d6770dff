"""The simulated arm of any kind as a node: it can be taken through its lifecycle, as every driver can."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState

from spillguard_ros.operator.client import Operator
from spillguard_sim.graph import Graph
from tests.ros.harness import PATIENCE, ROOT
from tests.ros.private_graph import private_ros

ROUND = (
    Transition.TRANSITION_DEACTIVATE,
    Transition.TRANSITION_CLEANUP,
    Transition.TRANSITION_CONFIGURE,
    Transition.TRANSITION_ACTIVATE,
)


@pytest.fixture(params=["trajectory", "positions"])
def operator(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Operator]:
    with private_ros() as environment, Graph(tmp_path, environment) as graph:
        operator = Operator(arm="any_arm")
        told = {"bundle": ROOT / "artifacts/reach_ur5e", "robot": "ur5e", "output": request.param}
        graph.start("any_arm", "any_arm", told)
        yield operator
        operator.close()


def test_it_goes_through_its_lifecycle_and_speaks_again(operator: Operator) -> None:
    operator.outcome_now(PATIENCE)
    client = operator.node.create_client(ChangeState, "any_arm/change_state")
    assert operator.wait(client.service_is_ready, PATIENCE)
    for transition in ROUND:
        future = client.call_async(ChangeState.Request(transition=Transition(id=transition)))
        assert operator.wait(future.done, PATIENCE), "no answer"
        assert future.result().success
    operator.outcome_now(PATIENCE)
