"""Regression test of the gate against a stored table: shipped bundle, deployed limits, adversarial inputs.

An intended change of the gate regenerates the table with `tests/data/make_gate_decisions.py`, and says so.
"""

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.testing import assert_allclose

from spillguard_core.gate import reasons
from spillguard_core.gate.decision import GUARDED, Measurement
from spillguard_core.gate.reasons import Reason, Verdict
from spillguard_core.robot.arm import Vec
from spillguard_core.tasks.pouring.zone import TILT_LIMIT
from tests.data.make_gate_decisions import PLACE, shipped, stream, table

ROUNDING = 1e-12  # [rad, rad/s]; the last bits of sums and products differ between processors


@pytest.fixture(scope="module")
def kept() -> dict[str, np.ndarray]:
    with np.load(PLACE) as file:
        return dict(file)


@pytest.fixture(scope="module")
def made(kept: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The present gate's decisions for the policy outputs stored in the table."""
    said: Iterator[Vec] = iter(kept["said"])

    def says(_: Measurement) -> Vec:
        return next(said)

    return table(stream(shipped(), says))


def test_table_holds_every_mode_verdict_and_reason(kept: dict[str, np.ndarray]) -> None:
    """Except those that a valid bundle and an arm that tracks its commands cannot cause, and the shadow."""
    elsewhere = {
        reasons.CRITIC_INVALID, reasons.NOT_RESET, reasons.NOT_SETTLING, reasons.PROPOSAL_MISSING,
        reasons.POLICY_SILENT, reasons.CHECK_FAILED,
    }  # fmt: skip
    own = {reason for reason in vars(reasons).values() if isinstance(reason, Reason)} | {TILT_LIMIT}
    assert set(kept["reason"]) == {reason.name for reason in own - elsewhere}
    assert set(kept["verdict"]) == {verdict.name for verdict in Verdict}
    assert set(kept["mode"]) == {mode.name for mode in GUARDED}


@pytest.mark.parametrize("column", ["verdict", "reason", "mode"])
def test_every_decision_is_of_the_kind_that_it_was(
    kept: dict[str, np.ndarray], made: dict[str, np.ndarray], column: str
) -> None:
    assert made[column].shape == kept[column].shape
    (different,) = np.nonzero(made[column] != kept[column])
    shown = [f"{i}: {kept[column][i]} is now {made[column][i]}" for i in different[:5].tolist()]
    assert shown == []


@pytest.mark.parametrize("column", ["q", "qd"])
def test_every_command_is_what_it_was(
    kept: dict[str, np.ndarray], made: dict[str, np.ndarray], column: str
) -> None:
    assert_allclose(made[column], kept[column], rtol=0.0, atol=ROUNDING)
