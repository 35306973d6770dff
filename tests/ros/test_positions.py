"""The whole graph with streamed positions: a cup is poured, and the stream begins, stays and ends as told."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest
from std_msgs.msg import Float64MultiArray

from sim.pouring.gen3 import GEN3_LIMITS
from spillguard_core.robot.arm import Vec
from spillguard_ros.monitor.driver import CONTROLLERS, JOINS
from spillguard_ros.node.outputs import FORWARD_CONTROLLER, POSITIONS
from tests.ros.harness import MOVED, PATIENCE, QUEUE, MakeStage, Stage
from tests.ros.pours import pour_a_cup

STREAMED = {"output": "positions"}


@dataclass
class Streamed:
    """A graph, and the positions that are streamed in it; a listener loses some."""

    stage: Stage
    positions: list[Vec] = field(default_factory=list)

    def silent(self) -> bool:
        """No position for a while."""
        before = len(self.positions)
        self.stage.witness.spin(0.5)
        return len(self.positions) == before


@pytest.fixture(scope="module")
def streamed(make_stage: MakeStage) -> Iterator[Streamed]:
    with make_stage() as stage:
        streamed = Streamed(stage)
        stage.witness.node.create_subscription(
            Float64MultiArray, POSITIONS, lambda msg: streamed.positions.append(np.array(msg.data)), QUEUE
        )
        stage.start("sim_arm", **STREAMED)
        driver = {"driver_status": CONTROLLERS, "driver_controller": FORWARD_CONTROLLER}
        # The parameter of the other controller is not asked for: nobody here would answer.
        stage.start("safety_monitor", **STREAMED, **driver, driver_parameter=JOINS)
        stage.start("policy", module="tests.ros.scripted_policy")
        stage.settle()
        yield streamed


def test_no_reset_is_granted_before_there_is_a_stream(streamed: Streamed) -> None:
    stage = streamed.stage

    def said() -> bool:
        granted, why = stage.witness.call("safety_monitor/reset")
        return not granted and "is the position streamer running?" in why

    stage.until(said, PATIENCE, "a refusal that names the streamer")
    assert not streamed.positions
    stage.start("position_streamer")


def test_a_stream_begins_where_the_arm_is(streamed: Streamed) -> None:
    stage, witness = streamed.stage, streamed.stage.witness
    witness.insist("safety_monitor/reset")
    stage.until(lambda: len(streamed.positions) > 0, PATIENCE, "a position")
    q = witness.heard.joints[-1][1]
    np.testing.assert_allclose(streamed.positions[0], q, atol=MOVED)
    stage.watch()
    assert witness.travel() < MOVED


def test_a_cup_is_poured(streamed: Streamed) -> None:
    outcome = pour_a_cup(streamed.stage)
    assert outcome["success"] == "true", outcome
    assert (outcome["contact"], outcome["limit_broken"]) == ("false", "false")
    assert streamed.stage.status["command_writers"] == "1"
    q = np.array(streamed.positions)
    assert ((GEN3_LIMITS.position_min <= q) & (q <= GEN3_LIMITS.position_max)).all()
    assert np.ptp(q, axis=0).max() > 10 * MOVED


def test_a_stopped_arm_hears_no_more_positions(streamed: Streamed) -> None:
    stage, witness = streamed.stage, streamed.stage.witness
    stage.drive()
    witness.bring_to_rest()
    stage.until(streamed.silent, PATIENCE, "silence")
    stage.rest()
    np.testing.assert_allclose(streamed.positions[-1], witness.heard.joints[-1][1], atol=MOVED)


def test_the_streamer_ends_at_rest(streamed: Streamed) -> None:
    """SIGINT while the arm moves: the last positions are those of the path to rest."""
    stage, witness = streamed.stage, streamed.stage.witness
    stage.drive()
    stage.graph.signal("position_streamer", 2)
    assert stage.graph.wait("position_streamer", PATIENCE) == 0
    stage.rest()
    last = np.array(streamed.positions[-3:])
    assert np.abs(np.diff(last, axis=0)).max() < 1e-4
    np.testing.assert_allclose(last[-1], witness.heard.joints[-1][1], atol=MOVED)
    stage.until(lambda: stage.news()["mode"] == "stopped", PATIENCE, "a stop")


def test_what_the_arm_does_not_take_is_refused_with_the_reason(streamed: Streamed) -> None:
    stage = streamed.stage
    stage.watch(5)
    publisher = stage.witness.node.create_publisher(Float64MultiArray, POSITIONS, 1)
    for data in ([0.0] * 6, [float("nan")] * 7):
        end = time.monotonic() + PATIENCE
        while f"7 finite positions are needed, got {data}" not in stage.logs():
            publisher.publish(Float64MultiArray(data=data))
            stage.witness.spin(0.1)
            assert time.monotonic() < end, stage.logs()
    stage.watch(20)
    assert stage.witness.travel() < MOVED
    stage.witness.node.destroy_publisher(publisher)
