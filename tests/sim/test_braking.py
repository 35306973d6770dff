"""From any state that the gate has accepted the arm comes to rest, without a violation or a contact.

`python -m benchmarks.braking` runs twenty thousand sequences; these are a sample.
"""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.braking import EDGE, endings
from benchmarks.sequences import no_danger
from sim.pouring.braking import run
from sim.pouring.deployed_config import deployed_config
from spillguard_core.bundle.bundle import load_bundle

SHIPPED = Path("artifacts/pour_coffee")
SEQUENCES = int(os.environ.get("SPILLGUARD_BRAKING_SEQUENCES", "1000"))


def test_every_sequence_ends_at_rest_with_nothing_broken():
    found = endings(SHIPPED, SEQUENCES, seed=12345)
    assert [e for e in found if not e.safe] == []
    assert {e.kind for e in found} == {"bang-bang", "stubborn", "uniform", "towards the cup"}
    assert np.mean([e.edge < EDGE for e in found]) > 0.3  # they do reach the limits


@pytest.mark.parametrize("blind", ["no world", "no clearance"])
def test_sequences_would_show_a_gate_that_does_not_look(blind):
    """Without the world model, or with far too small a margin, the same sequences end in contacts."""
    bundle = load_bundle(SHIPPED)
    config = deployed_config(bundle, None)
    models = replace(bundle.models(config), critic=no_danger)
    if blind == "no world":
        models = replace(models, world=None)
    else:
        config = replace(
            config, clearance=0.0, target_tolerance=0.0, target_height_tolerance=0.0, coast_time=0.0
        )
        models = replace(models, world=bundle.models(config).world)
    found = list(run(models, config, 400, seed=12345))
    assert any(e.contact for e in found)
