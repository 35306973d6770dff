"""Requests of clients that are gone: they hold up nothing, and are not carried out long after. Real nodes."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
import rclpy
from rclpy.node import Node
from rclpy.qos import qos_profile_parameters
from std_srvs.srv import Trigger

from spillguard_ros.node.rounds import LATEST, NodeRounds, even_late
from tests.ros.harness import PATIENCE
from tests.ros.private_graph import private_ros

MANY = 300  # the queue of a parameter service holds 1000
DEAD = f"""
import os, rclpy, time
from rclpy.qos import qos_profile_parameters
from rclpy.node import Node
from std_srvs.srv import Trigger
rclpy.init()
node = Node("dead")
client = node.create_client(Trigger, "ask", qos_profile=qos_profile_parameters)
assert client.wait_for_service({PATIENCE})
for _ in range({MANY}):
    client.call_async(Trigger.Request())
    time.sleep(0.001)
{{}}
"""
KILLED, LEFT = "os._exit(0)", "rclpy.shutdown()"

Answer = Callable[[Trigger.Request, Trigger.Response], Trigger.Response]


@pytest.fixture
def served() -> Iterator[Node]:
    with private_ros():
        node = Node("served")
        yield node
        node.destroy_node()


def counting(done: list[float]) -> Answer:
    def answer(_: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        done.append(time.monotonic())
        return response

    return answer


def asked_by_one_who_died(node: Node, callback: Answer, end: str = LEFT) -> NodeRounds:
    """A service with the requests of a process that no longer exists in its queue."""
    node.create_service(Trigger, "ask", callback, qos_profile=qos_profile_parameters)
    subprocess.run([sys.executable, "-c", DEAD.format(end)], check=True, timeout=PATIENCE)
    return NodeRounds(node)


@pytest.mark.parametrize("end", [KILLED, LEFT])
@pytest.mark.parametrize("others", [False, True])
def test_requests_of_a_client_that_is_gone_hold_up_nothing(served: Node, end: str, others: bool) -> None:
    """The middleware waits 0.1 s with each answer to a client that has left: half a minute of late cycles."""
    done, ticks = list[float](), list[float]()
    if others:
        served.create_client(Trigger, "ask", qos_profile=qos_profile_parameters)
    rounds = asked_by_one_who_died(served, counting(done), end)
    served.create_timer(0.01, lambda: ticks.append(time.monotonic()))
    stop = time.monotonic() + 2.0
    while time.monotonic() < stop:
        rounds.once()
    late = [after - before for before, after in pairwise(ticks) if after - before > 0.09]
    assert len(late) <= 2 and len(ticks) > 50, late  # one wait, and one that the machine may need


@pytest.mark.parametrize("safer", [False, True])
def test_a_request_that_waited_too_long_is_carried_out_only_if_that_is_safer(
    served: Node, safer: bool
) -> None:
    done: list[float] = []
    callback = counting(done)
    rounds = asked_by_one_who_died(served, even_late(callback) if safer else callback)
    time.sleep(1.5 * LATEST)
    began = time.monotonic()
    for _ in range(100):
        rounds.once()
    assert bool(done) is safer
    assert time.monotonic() - began < PATIENCE  # none was answered


def test_a_client_that_is_there_gets_its_answer(served: Node) -> None:
    done: list[float] = []
    served.create_service(Trigger, "ask", counting(done))
    asking = Node("asking")
    client, rounds = asking.create_client(Trigger, "ask"), NodeRounds(served)
    end = time.monotonic() + PATIENCE
    while not client.service_is_ready():
        assert time.monotonic() < end
        rounds.once()
    future = client.call_async(Trigger.Request())
    while not future.done():
        assert time.monotonic() < end
        rounds.once()
        rclpy.spin_once(asking, timeout_sec=0.0)
    asking.destroy_node()
    assert len(done) == 1
