"""Pours behind the gate, with arms as drivers move them: how well, `benchmarks/arm_forms.py` measures."""

import numpy as np
import pytest

from benchmarks.arm_forms import FORMS, pour
from benchmarks.bundles import SHIPPED
from sim.pouring.arms import without_past
from spillguard_core.gate.trajectory import Trajectory

JOINED = "not stamped, joined to the measured state"


@pytest.mark.parametrize("form", [form for form in FORMS if form != JOINED])
def test_a_cup_is_poured(form: str) -> None:
    poured = pour(SHIPPED, form, 0)
    assert (poured.success, poured.spill, poured.broken, poured.stopped) == (True, False, False, False)
    assert poured.acceleration < 2.0


def test_an_arm_whose_controller_joins_to_where_it_is_measured_shakes() -> None:
    """What a real one does with messages that have to be joined, by default."""
    poured = pour(SHIPPED, JOINED, 2)
    assert poured.stopped and not poured.success
    assert poured.acceleration > 100.0


@pytest.mark.parametrize(("points", "left"), [(2, 1), (3, 1), (4, 2)])
def test_a_command_without_its_past_ends_the_same(points: int, left: int) -> None:
    path = Trajectory(np.arange(points), np.arange(7 * points).reshape(points, 7), np.ones((points, 7)))
    rest = without_past(path)
    assert len(rest.times) == left
    np.testing.assert_array_equal(rest.positions[-1], path.positions[-1])
