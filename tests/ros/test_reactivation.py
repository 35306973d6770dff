"""What a recording keeps if the monitor is deactivated and activated again."""

import signal
from pathlib import Path

import numpy as np
from lifecycle_msgs.msg import Transition

from spillguard_core.bundle.bundle import load_bundle
from spillguard_ros.recording.recording import read_flight, replay
from tests.ros.harness import PATIENCE, MakeStage, change


def test_what_was_recorded_before_an_interruption_is_kept(make_stage: MakeStage, tmp_path: Path) -> None:
    """Cycle numbers continue: the second activation reuses no number of the first."""
    path = tmp_path / "flight.mcap"
    with make_stage("sim_arm", "policy") as stage:
        stage.start("safety_monitor", record=path)
        stage.drive()
        assert change(stage, Transition.TRANSITION_DEACTIVATE)
        assert change(stage, Transition.TRANSITION_ACTIVATE)
        stage.drive()
        stage.witness.bring_to_rest()
        stage.graph.signal("safety_monitor", signal.SIGINT)
        assert stage.graph.wait("safety_monitor", PATIENCE) == 0
        bundle = load_bundle(stage.bundle)
    flown = read_flight(path)
    numbers = np.array([cycle.decision.cycle for cycle in flown.cycles])
    assert flown.losses == () and len(numbers) > 20
    assert (np.diff(numbers) > 0).all() and (np.diff(flown.steady) > 0.0).all()
    assert (np.diff(numbers) > 1).sum() == 1  # the reactivation skips one number
    assert replay(flown, bundle.models(flown.config)) == []
