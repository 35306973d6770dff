"""The tilt check: no learning, and no way around it."""

from dataclasses import replace

import numpy as np
import pytest

from spillguard_core.gate.reasons import Verdict
from spillguard_core.tasks.pouring.zone import (
    FALL_TIME,
    TILT_LIMIT,
    ZONE,
    allowed_tilt,
    outside,
    tilt_margin,
    unsure_zone,
)
from tests.core.conftest import resensed

TARGET = np.array([0.68, 0.0, 0.12])
FREE = 0.9
EMPTIED = 2.2  # [rad] largest tilt that the good policy needs
OVER = np.add(TARGET, [0.0, 0.03, 0.03])  # lip position from which it pours into the target
POUR, POUR_BACK = np.array([0.0, 0.0, 0.0, 1.2]), np.array([0.0, 0.0, 0.0, -1.2])


def test_tilt_is_free_inside_the_zone_and_bounded_outside():
    assert outside(OVER, TARGET) == 0.0
    assert allowed_tilt(OVER, TARGET, FREE) > EMPTIED
    for beside in ([0.3, 0, 0], [0, 0.3, 0], [0, -0.3, 0], [0, 0, 0.3], [0, 0, -0.3]):
        assert allowed_tilt(np.add(OVER, beside), TARGET, FREE) == FREE


def test_allowed_tilt_falls_steadily_from_the_edge_of_the_zone():
    ways = np.linspace(1e-6, ZONE.reach * 1.5, 40)
    tilts = [allowed_tilt(np.add(OVER, [ZONE.half_width + way, 0, 0]), TARGET, FREE) for way in ways]
    assert tilts[0] == pytest.approx(ZONE.edge_tilt, abs=1e-3) and tilts[-1] == FREE
    assert (np.diff(tilts) <= 0.0).all()


def test_backwards_only_the_free_tilt_is_allowed_even_over_the_target():
    assert tilt_margin(OVER, -1.0, TARGET, FREE) == pytest.approx(FREE - 1.0)


def test_further_forwards_or_higher_the_cup_may_lean_less():
    for way in ([0.0, -1.0, 0.0], [0.0, 0.0, 1.0]):
        lips = OVER + np.linspace(0.0, 0.09, 30)[:, None] * way
        tilts = [allowed_tilt(lip, TARGET, FREE) for lip in lips]
        assert (np.diff(tilts) <= 1e-9).all()
        assert tilts[0] > EMPTIED and tilts[-1] < ZONE.edge_tilt


@pytest.mark.parametrize("tolerance", [0.0, 0.012])
@pytest.mark.parametrize("height", [0.0, 0.02, 0.05, 0.08])
def test_slow_and_fast_granules_land_inside_the_rim_from_everywhere_in_the_zone(height, tolerance):
    """Granules thrown horizontally over the lip, integrated in small time steps; the target stands a
    tolerance before or behind where it is sensed."""
    spans, zone = [], unsure_zone(tolerance)
    for y in np.linspace(-0.05, 0.15, 81):
        lip = np.add(TARGET, [0.0, y, height])
        if outside(lip, TARGET, zone) > 0.0:
            continue
        lean = allowed_tilt(lip, TARGET, FREE, zone)
        for speed in (ZONE.slowest, ZONE.fastest + ZONE.quickening * (lean - ZONE.edge_tilt)):
            at, up, rise = y, height + ZONE.above, 0.0
            while up > 0.0:
                rise -= 9.81 * 1e-4
                at, up = at - 1e-4 * speed, up + 1e-4 * rise
            spans += [at - tolerance, at + tolerance]
    assert len(spans) > 10 and max(np.abs(spans)) <= ZONE.landing + 1e-3


@pytest.mark.parametrize(
    ("lip", "tilt"),
    [
        ([0.001, 0.012, 0.091], 1.73),
        ([0.004, 0.019, 0.057], 1.87),
        ([-0.015, 0.023, 0.060], 1.90),
        ([-0.010, -0.004, 0.043], 1.32),
        ([0.016, 0.007, 0.037], 1.54),
    ],
)
def test_leans_that_threw_granules_over_the_target_are_too_far(lip, tilt):
    """Lip positions at which granules left that missed, from episodes of a noisy policy."""
    assert tilt_margin(np.add(TARGET, lip), tilt, TARGET, FREE) < 0.0


@pytest.mark.parametrize("axis", range(3))
def test_unknown_place_allows_nothing(axis):
    lip = OVER.copy()
    lip[axis] = np.nan
    assert not tilt_margin(lip, 0.1, TARGET, FREE) >= 0.0


@pytest.fixture
def guarded(rig):
    """No world model: targets float here wherever a lip of that place can pour into them."""
    rig.follow(5)
    return rig


def pour(rig, twist, offset, ticks=300):
    """Follow `twist` with the target at `offset` (3,) from the lip; the largest |tilt| reached [rad]."""
    most = 0.0
    for _ in range(ticks):
        lip = rig.models.tool.state(rig.q, rig.qd)
        most = max(most, abs(lip.tilt))
        seen = resensed(rig.inputs().measurement, target_position=lip.position - offset)
        rig.tick(twist, measurement=seen)
    return most


@pytest.mark.parametrize("twist", [POUR, POUR_BACK])
def test_cup_beside_the_target_never_leans_beyond_the_free_tilt(guarded, twist):
    assert FREE - 0.1 < pour(guarded, twist, np.array([0.2, 0.2, 0.2])) <= FREE + 1e-6
    assert (guarded.decision.verdict, guarded.decision.reason) == (Verdict.LIMIT, TILT_LIMIT)
    assert guarded.decision.margins["tilt"] == pytest.approx(0.0, abs=0.02)


def test_cup_over_the_target_is_emptied(guarded):
    assert pour(guarded, POUR, np.array([0.0, 0.03, 0.03])) > 1.8


@pytest.mark.parametrize("tolerance", [0.0, 0.012])
def test_over_a_target_of_unknown_place_the_cup_leans_only_as_far_as_the_stream_lands_inside(
    guarded, tolerance
):
    """Close behind the front edge of the zone: where the target stands for certain, further than where it
    may stand 12 mm further back."""
    guarded.config = replace(guarded.config, target_tolerance=tolerance)
    offset = np.array([0.0, 0.018, 0.022])
    most = pour(guarded, POUR, offset)
    # The lip moves as the cup turns, and the target with it.
    assert most <= allowed_tilt(offset, np.zeros(3), FREE, unsure_zone(tolerance)) + 0.15
    assert (most > 2.0) is (tolerance == 0.0)


def test_path_goes_on_while_the_tilt_is_held_back(guarded):
    pour(guarded, POUR, np.array([0.2, 0.2, 0.2]))
    decision = guarded.tick(np.array([0.0, 0.0, 0.1, 1.2]))
    assert decision.twist_sent[2] > 0.02 and decision.twist_sent[3] <= 0.001


def test_tilted_cup_that_loses_its_target_may_only_turn_back(guarded):
    """The target is moved away during the pour: whatever is proposed, the tilt does not increase."""
    pour(guarded, POUR, np.array([0.0, 0.03, 0.03]), 150)
    tilts = []
    for _ in range(150):
        lip = guarded.models.tool.state(guarded.q, guarded.qd)
        tilts.append(lip.tilt)
        seen = resensed(guarded.inputs().measurement, target_position=lip.position - [0.2, 0.2, 0.2])
        guarded.tick(POUR, measurement=seen)
    rise = np.maximum.accumulate(tilts) - tilts[0]
    assert rise[-1] < 0.2  # the braking distance
    assert tilts[-1] < tilts[0]


def test_stream_that_would_be_carried_beside_the_target_is_held_back(guarded):
    """The lip is inside the zone and will rest inside it, but its speed throws the falling stream outside."""
    pour(guarded, POUR, np.array([0.0, 0.03, 0.03]), 150)
    fast = np.array([0.25, 0.0, 0.0, 0.0])
    speeds = []
    for _ in range(10):
        lip = guarded.models.tool.state(guarded.q, guarded.qd)
        seen = resensed(guarded.inputs().measurement, target_position=lip.position - [0.0, 0.03, 0.03])
        guarded.tick(fast, measurement=seen)
        speeds.append(guarded.models.tool.state(guarded.decision.q, guarded.decision.qd).velocity[0])
    assert lip.tilt > ZONE.edge_tilt
    assert max(speeds) * FALL_TIME <= ZONE.half_width + ZONE.reach
    assert guarded.decision.reason is TILT_LIMIT


def test_cup_that_comes_upright_goes_on_doing_so_while_its_path_is_held_back(guarded):
    """Full, over the target, told to leave while turning back: the turn passes, the translation waits."""
    pour(guarded, POUR, np.array([0.0, 0.03, 0.03]), 170)
    start = guarded.models.tool.state(guarded.q, guarded.qd)
    target = start.position - [0.0, 0.03, 0.03]
    leave, held_back, rates = np.array([0.0, 0.25, 0.0, -1.2]), 0, []
    for _ in range(40):
        seen = resensed(guarded.inputs().measurement, target_position=target)
        decision = guarded.tick(leave, measurement=seen)
        rates.append(decision.twist_sent[3])
        held_back += decision.reason is TILT_LIMIT and decision.twist_sent[1] > 0.01
    assert start.tilt > 1.8 and held_back > 0
    assert max(rates) <= -0.25


def test_over_a_target_that_may_stand_anywhere_only_the_free_tilt_is_allowed():
    assert allowed_tilt(OVER, TARGET, FREE, unsure_zone(0.2)) == FREE
    for wrong in (np.nan, np.inf, -0.01):
        with pytest.raises(ValueError, match="a tolerance must be finite"):
            unsure_zone(wrong)
