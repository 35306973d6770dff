"""Places to go to and chunks, compared with what the arm did in shadow."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.arms import still
from sim.pouring.deployed_config import deployed_config
from spillguard_core.gate.decision import Chunk, Inputs, Measurement, Proposal
from spillguard_core.gate.gate import decide, initial_decision
from spillguard_core.robot.tool import towards
from spillguard_ros.recording import flight
from spillguard_ros.recording.judged import compared, judged
from spillguard_ros.recording.recording import Flight

PERIOD = 0.05  # [s] between two actions of a chunk


@pytest.mark.parametrize("chunked", [False, True])
def test_an_arm_that_goes_where_it_was_asked_to_differs_in_nothing(chunked: bool) -> None:
    bundle = still("ur5e", "joint_positions")
    config = replace(deployed_config(bundle, None), shadow=True, longest_chunk=1.0)
    models, decision, made = bundle.models(config), initial_decision(6, 6), []
    q = bundle.robot.rest.copy()
    target = q + 0.3
    chunk = Chunk(np.tile(target, (10, 1)), PERIOD * np.arange(1.0, 11.0)) if chunked else None
    for number in range(30):
        now, qd = 100.0 + number * config.period, towards(target, q, config.limits)
        inputs = Inputs(now, Measurement(q, qd), now, now, now, Proposal(target, now, now, chunk))
        decision = decide(inputs, decision, config, models)
        made.append(flight.CycleRecord(inputs, decision, 1e-3, config.period))
        q = q + config.period * qd
    metadata = flight.metadata(bundle, config, models)
    recorded = Flight(np.arange(30.0), tuple(made), metadata)
    found = compared(recorded, judged(recorded), bundle.task, models.tool)
    assert len(found.index) == 30
    np.testing.assert_allclose(found.joints, 0.0, atol=1e-9)
    np.testing.assert_allclose(found.asked, np.tile(target, (30, 1)))


def test_of_a_chunk_the_action_that_was_due_is_compared() -> None:
    bundle = still("ur5e", "joint_velocities")
    config = replace(deployed_config(bundle, None), shadow=True, longest_chunk=1.0)
    models, decision, made = bundle.models(config), initial_decision(6, 6), []
    speeds = 0.01 * np.arange(1.0, 11.0)[:, None] * np.ones(6)
    chunk, begun = Chunk(speeds, PERIOD * np.arange(1.0, 11.0)), 100.0
    for number in range(40):
        now = begun + 0.002 + number * config.period
        measured = Measurement(bundle.robot.rest, np.zeros(6))
        # Said anew each time, so that each is compared; of the same state, so that its clock goes on.
        inputs = Inputs(now, measured, now, now, now, Proposal(speeds[0], now, begun, chunk))
        decision = decide(inputs, decision, config, models)
        made.append(flight.CycleRecord(inputs, decision, 1e-3, config.period))
    recorded = Flight(np.arange(40.0), tuple(made), flight.metadata(bundle, config, models))
    found = compared(recorded, judged(recorded), bundle.task, models.tool)
    due = 0.01 * (1 + np.floor((0.002 + config.period * np.arange(40)) / PERIOD))
    np.testing.assert_allclose(found.asked[:, 0], due, rtol=1e-9)
