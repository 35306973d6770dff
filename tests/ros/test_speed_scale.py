"""`speed_scale` through real processes: what the arm is told is at its share, and everybody is told so."""

import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sim.pouring.gen3 import GEN3_LIMITS
from spillguard_core.bundle.bundle import load_bundle
from spillguard_core.bundle.certificate import UNCALIBRATED
from spillguard_core.gate.decision import Mode
from spillguard_ros.recording.recording import read_flight, replay
from tests.ros.harness import MOVED, PATIENCE, MakeStage, Stage

SHARE = 0.1


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("slow") / "slow.mcap"


@pytest.fixture(scope="module")
def stage(make_stage: MakeStage, recording: Path) -> Iterator[Stage]:
    """The bundle's critic is certified, at full speed."""
    with make_stage("sim_arm", "policy") as stage:
        stage.start("safety_monitor", speed_scale=SHARE, record=recording)
        stage.news()
        yield stage


def test_the_arm_is_told_no_more_than_its_share_and_moves(stage: Stage) -> None:
    witness = stage.witness
    stage.watch(5)

    def moved() -> bool:
        if stage.status["mode"] in ("stopped", "held"):
            witness.open_gate()
        return witness.travel() > MOVED and stage.status["mode"] == "following"

    stage.until(moved, PATIENCE, "a slow motion")
    told = [np.abs(point.velocities) for _, msg in witness.heard.commands for point in msg.points]
    assert np.max(told, axis=0).max() > 0.0
    assert (np.max(told, axis=0) <= SHARE * GEN3_LIMITS.velocity * (1.0 + 1e-6)).all()


def test_every_status_says_at_which_speed_and_that_nothing_is_promised_of_it(stage: Stage) -> None:
    seen = stage.news()
    assert seen["speed"] == "10 %"
    assert "at 10 % speed" in stage.witness.heard.status[-1].status[0].message
    assert seen["calibration"].startswith(UNCALIBRATED)
    assert "here the arm moves at 10 % of it; at full speed: broken rule" in seen["calibration"]


def test_the_recording_replays_at_that_speed(stage: Stage, recording: Path) -> None:
    stage.graph.signal("safety_monitor", signal.SIGINT)
    stage.graph.wait("safety_monitor", PATIENCE)
    recorded = read_flight(recording)
    assert recorded.config.speed_scale == SHARE
    assert any(cycle.decision.mode is Mode.FOLLOWING for cycle in recorded.cycles)
    assert replay(recorded, load_bundle(stage.bundle).models(recorded.config)) == []


@pytest.mark.parametrize("share", [0.0, 1.5])
def test_a_speed_that_is_none_is_refused(stage: Stage, share: float) -> None:
    name = f"refused_at_{share}"
    stage.graph.start(
        name, "safety_monitor", {"bundle": stage.bundle, "speed_scale": share}, "-r", f"__ns:=/{name[:7]}"
    )
    log = stage.graph.log(name)
    stage.until(lambda: "speed_scale" in log.read_text(errors="replace"), PATIENCE, "a refusal")
    assert "it has to be float, from 0.01 to 1.0" in log.read_text(errors="replace")
