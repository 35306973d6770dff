"""The tests' own arm and task through the real nodes: nothing of them is installed with ours."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from sensor_msgs.msg import JointState

from sim.pouring.deployed_config import deployed_config
from spillguard_core.bundle.bundle import load_bundle
from spillguard_core.robot.arm import Vec, load_robot
from spillguard_ros.node import convert
from spillguard_ros.node.sensors import SENSOR_QOS
from spillguard_ros.operator.client import Operator
from spillguard_ros.recording.recording import read_flight, replay
from spillguard_ros.recording.review import explained, replay_main
from spillguard_sim.graph import Graph
from tests.made_up.bundle import offered, touch_bundle
from tests.made_up.driver import BALL
from tests.made_up.touch import ROBOT, Stick
from tests.ros.browser import free_port
from tests.ros.harness import PATIENCE
from tests.ros.private_graph import private_ros

REOPEN = 3.0  # [s] after which a gate that a busy machine may have stopped is opened again
CLEARANCE, SLACK = 0.008, 2e-3  # [m] as deployed; between two postures that the gate samples


@dataclass
class Stage:
    """The running graph."""

    graph: Graph
    operator: Operator
    bundle: Path
    flight: Path


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with pytest.MonkeyPatch.context() as patch, private_ros() as environment:
        installed, flight = offered(tmp_path / "site-packages"), tmp_path / "flight.mcap"
        patch.syspath_prepend(installed)
        bundle, operator = touch_bundle(tmp_path / "bundle"), Operator()
        path = os.pathsep.join([str(installed), environment["PYTHONPATH"]])
        try:
            with Graph(tmp_path / "logs", {**environment, "PYTHONPATH": path}) as graph:
                told = {"bundle": bundle, "robot": ROBOT}
                graph.start("driver", "sim_arm", {}, module="tests.made_up.driver")
                graph.start("policy", "policy", {**told, "patience": 0.0})
                graph.start("safety_monitor", "safety_monitor", told | {
                    "record": flight, "allow_uncalibrated": True, "driver_controller": "",
                })  # fmt: skip
                graph.start("operator_page", "operator_page", told | {"port": free_port()})
                yield Stage(graph, operator, bundle, flight)
        finally:
            operator.close()


def test_the_policy_leads_the_tip_towards_the_ball_behind_the_monitor(
    stage: Stage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    robot, operator = load_robot(str(ROBOT)), stage.operator
    bundle = load_bundle(stage.bundle, robot)
    tool, seen = Stick(bundle.guard, robot), list[Vec]()
    world = bundle.models(deployed_config(bundle, None)).world
    assert world is not None
    operator.node.create_subscription(
        JointState,
        "joint_states",
        lambda m: seen.append(convert.joint_state(m, robot.joint_names)[0]),
        SENSOR_QOS,
    )

    def near() -> bool:
        return bool(seen) and float(np.linalg.norm(tool.pose(seen[-1]).position - BALL)) < 0.1

    assert operator.wait(lambda: bool(seen), PATIENCE), "no joint states"
    start, deadline = float(np.linalg.norm(tool.pose(seen[0]).position - BALL)), time.monotonic() + PATIENCE
    while not operator.wait(near, REOPEN):
        assert time.monotonic() < deadline, {
            name: stage.graph.log(name).read_text()[-2000:] for name in ("driver", "policy", "safety_monitor")
        }
        operator.open_gate(PATIENCE)
    assert start > 0.2
    # To the gate the ball is an obstacle.
    assert min(world.near([q], [BALL]).least for q in seen) >= CLEARANCE - SLACK
    page = stage.graph.log("operator_page")
    assert operator.wait(lambda: "operator page" in page.read_text(), PATIENCE), page.read_text()
    stage.graph.stop()

    assert replay_main([str(stage.flight), "--bundle", str(stage.bundle), "--robot", str(ROBOT)]) == 0
    assert replay_main([str(stage.flight), "--bundle", str(stage.bundle)]) == 2
    assert "robot 'stick' has no" in capsys.readouterr().err
    recorded = read_flight(stage.flight)
    assert len(recorded.cycles) > 50
    assert replay(recorded, bundle.models(recorded.config)) == []
    words = dict(explained(recorded, len(recorded.cycles) - 1))
    assert "margin: clearance" in words and "margin: tilt" not in words
    from spillguard_ros.recording.flight_plot import save_moment, save_plot

    save_plot(recorded, [], bundle.task, bundle.tool(), tmp_path / "flight.png")
    save_moment(recorded, len(recorded.cycles) - 1, 1.0, tmp_path / "moment.png")
    assert (tmp_path / "flight.png").stat().st_size > 10_000
