"""Whatever starts first, nothing moves before an operator has reset and resumed."""

from itertools import permutations

import numpy as np
import pytest
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState

from tests.faults.harness import Cell
from tests.ros.harness import PATIENCE

NODES = ("arm", "policy", "safety_monitor")
MOVED = 5e-3  # [rad]


def change(cell: Cell, node: str, *transitions: int) -> None:
    """Take a node through its lifecycle."""
    node = cell.arm.node if node == "arm" else node
    client = cell.watcher.node.create_client(ChangeState, f"{node}/change_state")
    cell.until(client.service_is_ready, PATIENCE, f"{node}/change_state")
    for transition in transitions:
        future = client.call_async(ChangeState.Request(transition=Transition(id=transition)))
        cell.until(future.done, PATIENCE, f"an answer of {node}")
        assert future.result().success, (node, transition)
    cell.watcher.node.destroy_client(client)


@pytest.mark.parametrize("order", tuple(permutations(NODES)), ids="-".join)
def test_nothing_moves_in_any_order_of_start(cell: Cell, order: tuple[str, ...]) -> None:
    cell.ready()
    cell.watcher.bring_to_rest()
    for node in NODES:
        change(cell, node, Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP)
    cell.watcher.spin(0.1)
    cell.notes.clear()
    for node in order:
        change(cell, node, Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE)
        cell.watcher.spin(0.2)
    cell.until(lambda: cell.notes.read() or len(cell.notes.states) > 50, PATIENCE, "an arm that is observed")
    assert cell.notes.commands == []
    positions = np.array([state.q for state in cell.notes.states])
    assert np.ptp(positions, axis=0).max() < MOVED
