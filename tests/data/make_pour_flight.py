"""A pour by the shipped policy through three ROS 2 processes, cut to what tests read.

    python -m tests.data.make_pour_flight

Writes ``tests/data/pour_flight.mcap``. An operator suspends and restores the critic, a teleoperator takes
over and falls silent, and the policy pours on. Kept, byte for byte as the recorder wrote them: every control
cycle within `AROUND` of a change, and the first `OTHERS` messages of every other topic.
"""

import os
import sys
import tempfile
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import rclpy
from geometry_msgs.msg import TwistStamped
from mcap.reader import make_reader
from mcap.writer import CompressionType, Writer

from spillguard_ros.recording import flight
from spillguard_ros.recording.recorder import CHUNK_SIZE
from spillguard_ros.recording.recording import read_flight
from spillguard_sim.demo import Demo, Operator
from spillguard_sim.graph import Graph, private_environment
from tests.arithmetic import MADE_ON, fingerprint

PLACE = Path(__file__).with_name("pour_flight.mcap")
BUNDLE = Demo().folder.resolve()
AROUND = 12  # cycles
OTHERS = 3
SEED = 4  # of the cell
PATIENCE = 60.0  # [s]


def fly(folder: Path) -> Path:
    """Pour one cup; the recording of it."""
    recording, environment = folder / "flight.mcap", private_environment()
    os.environ.update(environment)
    rclpy.init(args=[])
    with Graph(folder, environment) as graph:
        graph.start("sim_arm", "sim_arm", {"seed": SEED})
        graph.start("safety_monitor", "safety_monitor", {"bundle": BUNDLE, "record": recording})
        graph.start("policy", "policy", {"bundle": BUNDLE})
        operator = Operator()
        pour(operator)
        operator.close()
    return recording


def pour(operator: Operator) -> None:
    """With one event of each kind before the cup tilts."""
    assert operator.wait(operator.hears_a_graph, PATIENCE)
    hand = operator.node.create_publisher(TwistStamped, "teleop/twist", 1)
    operator.open_gate()
    operator.spin(0.3)
    assert operator.suspend_critic("a recording of every kind of cycle", 5.0)[0]
    operator.spin(0.2)
    assert operator.call("safety_monitor/restore_critic")[0]
    twist = TwistStamped()
    twist.header.frame_id = "base_link"
    twist.twist.linear.z = 0.03
    for _ in range(4):
        twist.header.stamp = operator.node.get_clock().now().to_msg()
        hand.publish(twist)
        operator.spin(0.05)
    operator.spin(0.4)
    operator.insist("safety_monitor/resume", PATIENCE)
    assert operator.wait(lambda: operator.outcome.get("success") == "true", PATIENCE), operator.outcome
    operator.bring_to_rest()


def kept_cycles(recording: Path) -> set[int]:
    """Numbers of the cycles near one that differs in kind from the one before."""
    cycles = read_flight(recording).cycles
    changes = [0, *(i for i, (one, two) in enumerate(pairwise(cycles), 1) if kind(one) != kind(two))]
    near = {i + step for i in changes for step in range(-AROUND, AROUND)}
    return {cycle.decision.cycle for i, cycle in enumerate(cycles) if i in near}


def kind(cycle: flight.CycleRecord) -> tuple[Any, ...]:
    """What makes a cycle worth reading."""
    made = cycle.decision
    return made.mode, made.verdict, made.reason, made.send, made.suspension, cycle.inputs.requests


def cut(recording: Path, place: Path) -> None:
    """Copy what is kept."""
    wanted, seen, channels = kept_cycles(recording), Counter[str](), dict[str, int]()
    with recording.open("rb") as source, place.open("wb") as target:
        reader, writer = make_reader(source), Writer(target, CHUNK_SIZE, CompressionType.ZSTD)
        writer.start(profile="ros2", library="spillguard")
        for record in reader.iter_metadata():
            writer.add_metadata(record.name, record.metadata)
        writer.add_metadata(MADE_ON, {"arithmetic": fingerprint()})
        for schema, channel, message in reader.iter_messages():
            assert schema is not None
            seen[channel.topic] += 1
            is_cycle = channel.topic == flight.TOPIC
            keep = (
                flight.decode(message.data).decision.cycle in wanted
                if is_cycle
                else seen[channel.topic] <= OTHERS
            )
            if not keep:
                continue
            if channel.topic not in channels:
                number = writer.register_schema(schema.name, schema.encoding, schema.data)
                channels[channel.topic] = writer.register_channel(
                    channel.topic, channel.message_encoding, number
                )
            writer.add_message(channels[channel.topic], message.log_time, message.data, message.publish_time)
        writer.finish()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        cut(fly(Path(folder)), PLACE)
    kept = read_flight(PLACE)
    sys.stdout.write(f"{PLACE.name}: {PLACE.stat().st_size} bytes, {len(kept.cycles)} cycles\n")


if __name__ == "__main__":
    main()
