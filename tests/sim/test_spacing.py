"""For any spacing of the decisions, the arm stays on a path verified to rest inside every limit.

`python -m benchmarks.spacing` runs twenty thousand sequences; these are a sample.
"""

import os
from pathlib import Path

import pytest

from benchmarks.spacing import EDGE, passages
from spillguard_core.gate import gate
from spillguard_core.gate.gate import Models

SHIPPED = Path("artifacts/pour_coffee")
SEQUENCES = int(os.environ.get("SPILLGUARD_SPACING_SEQUENCES", "240"))


def test_no_sequence_breaks_a_limit_and_each_ends_at_rest():
    found = passages(SHIPPED, SEQUENCES, seed=1)
    assert [p for p in found if not p.safe] == []
    for kind in ("joint", "workspace", "clearance", "tilt"):
        assert sum(p.kind == kind and p.margin() < EDGE for p in found) >= SEQUENCES / 120  # at the edge
    assert {p.exact for p in found} == {True, False}


def test_sequences_would_show_a_gate_that_grants_itself_a_new_coast(monkeypatch):
    """Without a better verified motion, the last one gets another full coast, as in an earlier version."""
    rest = gate._rest
    monkeypatch.setattr(gate, "_rest", lambda cycle: rest(cycle)._replace(coast=cycle.config.coast_time))
    found = passages(SHIPPED, 120, seed=12345)
    assert min(p.margin() for p in found) < -0.005
    assert not all(p.safe for p in found)


@pytest.mark.parametrize("kind", ["clearance", "tilt"])
def test_sequences_would_show_a_gate_that_does_not_look(monkeypatch, kind):
    """A gate without one of the checks breaks that limit in the sequences made for it."""
    seen = Models.rules.func

    def others(models):
        return tuple(rule for rule in seen(models) if rule.name != kind)

    monkeypatch.setattr(Models, "rules", property(others))
    found = passages(SHIPPED, 120, seed=12345)
    assert min(getattr(p, kind) for p in found) < -0.005
