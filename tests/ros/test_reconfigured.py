"""A node that is configured again and again leaves nothing behind."""

from pathlib import Path

import pytest
import rclpy
from rclpy.signals import SignalHandlerOptions

from spillguard_ros.monitor.safety_monitor import SafetyMonitor
from spillguard_ros.node.runtime import ShellNode
from spillguard_ros.policy import Policy
from spillguard_ros.position_streamer import PositionStreamer
from spillguard_sim.graph import launch_file
from spillguard_sim.sim_arm import SimArm
from tests.ros.private_graph import private_ros

BUNDLE = Path(__file__).parents[2] / "artifacts" / "pour_coffee"
NODES: dict[str, type[ShellNode]] = {
    "policy": Policy,
    "safety_monitor": SafetyMonitor,
    "position_streamer": PositionStreamer,
    "sim_arm": SimArm,
}


@pytest.mark.parametrize("name", NODES)
def test_no_entity_of_an_earlier_configuration_is_left(name: str) -> None:
    words = [
        "--ros-args",
        "--params-file",
        str(launch_file(f"params/{name}.yaml")),
        "-p",
        "realtime_priority:=0",
    ]
    if name in ("policy", "safety_monitor"):
        words += ["-p", f"bundle:={BUNDLE}"]
    counts = []
    with private_ros():
        rclpy.shutdown()
        rclpy.init(args=words, signal_handler_options=SignalHandlerOptions.NO)
        node: object = NODES[name]()
        assert isinstance(node, ShellNode)
        for _ in range(3):
            assert node.trigger_configure() and node.trigger_cleanup()
            entities = (node._managed_entities, node.publishers, node.subscriptions, node.services)
            counts.append([len([*found]) for found in entities])
        node.destroy_node()
    assert counts[0][0] == 0
    assert counts[0] == counts[1] == counts[2]
