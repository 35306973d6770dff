"""The latency that the monitor measures: no processes needed."""

import math
from dataclasses import replace

import numpy as np
import pytest

from spillguard_core.gate.decision import Inputs, Proposal
from spillguard_core.gate.proposals import SILENT
from spillguard_ros.monitor.latency import FEWEST, WINDOW, Latency

CLOCKS_APART = 12345.0  # [s] the driver's clock and ours


def inputs(now: float, age: float) -> Inputs:
    """A decision on the answer to a measurement `age` [s] old, while the newest state is 4 ms old."""
    received = now - 0.004
    proposal = Proposal(np.zeros(4), now, received - (age - 0.004) - CLOCKS_APART)
    return Inputs(now, None, received, received - CLOCKS_APART, now, proposal)


def fed(ages: np.ndarray, trained: float | None = 0.09) -> Latency:
    latency = Latency(trained)
    for number, age in enumerate(ages):
        latency.add(inputs(100.0 + 0.01 * number, float(age)))
    latency.sum_up(100.0 + 0.01 * len(ages))
    return latency


def test_percentiles_are_of_the_whole_way_from_measurement_to_decision() -> None:
    ages = np.random.default_rng(0).uniform(0.03, 0.08, 1000)
    latency = fed(ages)
    assert latency.median == pytest.approx(np.percentile(ages, 50), abs=1e-6)
    assert latency.highest == pytest.approx(np.percentile(ages, 99), abs=1e-6)
    assert latency.warning == ""


@pytest.mark.parametrize(("share", "warns"), [(0.05, False), (0.09, False), (0.11, True), (1.0, True)])
def test_a_graph_outside_the_training_is_told_so(share: float, warns: bool) -> None:
    ages = np.where(np.arange(1000) < 1000 * share, 0.15, 0.05)
    said = fed(ages).warning
    assert bool(said) is warns
    if warns:
        assert said.startswith(f"{100 * share:.0f} % of the answers are to measurements older than 90 ms")


def test_nothing_is_said_without_answers_or_without_a_bundle_that_says_what_it_was_trained_for() -> None:
    few = fed(np.full(FEWEST - 1, 0.3))
    assert math.isnan(few.median) and few.warning == ""
    unknown = fed(np.full(500, 0.3), trained=None)
    assert unknown.median == pytest.approx(0.3) and unknown.warning == ""


def test_only_the_last_minute_and_only_a_policy_that_speaks_counts() -> None:
    latency = fed(np.full(500, 0.3))
    spoken = inputs(110.0, 5.0)
    assert spoken.proposal is not None
    latency.add(replace(spoken, proposal=None))
    for received in (110.0 - 2.0 * SILENT, math.nan, 111.0):
        latency.add(replace(spoken, proposal=replace(spoken.proposal, received=received)))
    latency.sum_up(110.0)
    assert latency.highest == pytest.approx(0.3)
    latency.sum_up(106.0 + WINDOW)
    assert math.isnan(latency.median) and latency.warning == ""
