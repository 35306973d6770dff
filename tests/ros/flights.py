"""Cycles made without a gate, and recordings of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from spillguard_core.gate.decision import Decision, Inputs
from spillguard_core.gate.gate import initial_decision
from spillguard_core.tasks.pouring.observation import measured
from spillguard_ros.recording import flight
from spillguard_ros.recording.recorder import FlightRecorder
from tests.ros.harness import PATIENCE

NAMES = {"config": "{}", "manifest": '{"threshold": {"value": 0.25}}'}


def cycle(number: int) -> flight.CycleRecord:
    """One cycle of a flight at 100 Hz, with noise so that it does not compress away."""
    noise = np.random.default_rng(number)
    measurement = measured(noise.normal(size=7), noise.normal(size=7), 0.1, 0.0, noise.normal(size=3))
    now = 50.0 + 0.01 * number
    inputs = Inputs(now, measurement, now, now, now, None)
    decision: Decision = replace(initial_decision(7, 4), cycle=number, decided=now, q=noise.normal(size=7))
    return flight.CycleRecord(inputs, decision, 1e-3, 0.01)


def record(path: Path, first: int, count: int) -> None:
    """A finished recording of these cycles."""
    recorder = FlightRecorder(path, NAMES)
    for number in range(first, first + count):
        recorder.add(flight.TOPIC, cycle(number), number * 10_000_000)
    assert recorder.close(PATIENCE)
    recorder._thread.join()
    assert not recorder.error and not recorder.dropped
