"""From any state that the gate has accepted the arm comes to rest, nothing broken, nothing touched.

`python -m benchmarks.braking` runs twenty thousand sequences; here are some of them.
"""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.braking import EDGE, endings, no_danger
from policy_training.deployed import deployed_config
from sim.braking import run
from spillguard_core.arm import JOINT_NAMES
from spillguard_core.bundle import load_bundle

SHIPPED = Path("artifacts/pour_coffee")
SEQUENCES = int(os.environ.get("SPILLGUARD_BRAKING_SEQUENCES", "1000"))


def test_every_sequence_ends_at_rest_with_nothing_broken():
    found = endings(SHIPPED, SEQUENCES, seed=12345)
    assert [e for e in found if not e.safe] == []
    assert {e.kind for e in found} == {"bang-bang", "stubborn", "uniform", "towards the cup"}
    assert np.mean([e.edge < EDGE for e in found]) > 0.3  # they do go where it matters


@pytest.mark.parametrize("blind", ["no world", "no clearance"])
def test_sequences_would_show_a_gate_that_does_not_look(blind):
    """Without the world model, or with a margin far too small, the same sequences end in contacts."""
    bundle = load_bundle(SHIPPED, JOINT_NAMES)
    config = deployed_config(bundle, None)
    models = replace(bundle.models(config.clearance), critic=no_danger)
    if blind == "no world":
        models = replace(models, world=None)
    else:
        config = replace(config, clearance=0.0, coast_time=0.0)
        models = replace(models, world=bundle.models(0.0).world)
    found = list(run(models, config, 400, seed=12345))
    assert any(e.contact for e in found)
