"""The tilt check: no learning, and no way round it."""

from dataclasses import replace

import mujoco
import numpy as np
import pytest

from sim.cell_model import guard_model_xml
from spillguard_core.decision import Reason, Verdict
from spillguard_core.pouring import FALL_TIME, ZONE, allowed_tilt, outside, tilt_margin
from spillguard_core.world import World

TARGET = np.array([0.68, 0.0, 0.12])
FREE = 0.9
OVER = np.add(TARGET, [0.0, 0.03, 0.03])  # where the lip pours into the target
POUR, POUR_BACK = np.array([0.0, 0.0, 0.0, 1.2]), np.array([0.0, 0.0, 0.0, -1.2])


def test_tilt_is_free_inside_the_zone_and_bounded_outside():
    assert outside(OVER, TARGET) == 0.0
    assert allowed_tilt(OVER, TARGET, FREE) == np.inf
    for beside in ([0.3, 0, 0], [0, 0.3, 0], [0, -0.3, 0], [0, 0, 0.3], [0, 0, -0.3]):
        assert allowed_tilt(np.add(OVER, beside), TARGET, FREE) == FREE


def test_allowed_tilt_falls_steadily_from_the_edge_of_the_zone():
    ways = np.linspace(1e-6, ZONE.reach * 1.5, 40)
    tilts = [allowed_tilt(np.add(OVER, [ZONE.half_width + way, 0, 0]), TARGET, FREE) for way in ways]
    assert tilts[0] == pytest.approx(ZONE.edge_tilt, abs=1e-3) and tilts[-1] == FREE
    assert (np.diff(tilts) <= 0.0).all()


def test_backwards_only_the_free_tilt_is_allowed_even_over_the_target():
    assert tilt_margin(OVER, -1.0, TARGET, FREE) == pytest.approx(FREE - 1.0)


@pytest.mark.parametrize("axis", range(3))
def test_unknown_place_allows_nothing(axis):
    lip = OVER.copy()
    lip[axis] = np.nan
    assert not tilt_margin(lip, 0.1, TARGET, FREE) >= 0.0


@pytest.fixture
def guarded(rig):
    world = World(mujoco.MjModel.from_xml_string(guard_model_xml()), rig.config.clearance)
    rig.models = replace(rig.models, world=world)
    rig.follow(5)
    return rig


def pour(rig, twist, offset, ticks=300):
    """Follow `twist` with the target `offset` (3,) from the lip; the largest |tilt| on the way [rad]."""
    most = 0.0
    for _ in range(ticks):
        lip = rig.models.kinematics.lip(rig.q, rig.qd)
        most = max(most, abs(lip.tilt))
        seen = replace(rig.inputs().measurement, target_position=lip.position - offset)
        rig.tick(twist, measurement=seen)
    return most


@pytest.mark.parametrize("twist", [POUR, POUR_BACK])
def test_cup_beside_the_target_never_leans_beyond_the_free_tilt(guarded, twist):
    assert FREE - 0.1 < pour(guarded, twist, np.array([0.2, 0.2, 0.2])) <= FREE + 1e-6
    assert (guarded.decision.verdict, guarded.decision.reason) == (Verdict.LIMIT, Reason.TILT_LIMIT)
    assert guarded.decision.margins.tilt == pytest.approx(0.0, abs=0.02)


def test_cup_over_the_target_is_emptied(guarded):
    assert pour(guarded, POUR, np.array([0.0, 0.03, 0.03])) > 1.8


def test_path_goes_on_while_the_tilt_is_held_back(guarded):
    pour(guarded, POUR, np.array([0.2, 0.2, 0.2]))
    decision = guarded.tick(np.array([0.0, 0.0, 0.1, 1.2]))
    assert decision.twist_sent[2] > 0.02 and decision.twist_sent[3] <= 0.0


def test_tilted_cup_that_loses_its_target_may_only_turn_back(guarded):
    """The target is taken away while it pours: whatever is proposed, the cup leans no further."""
    pour(guarded, POUR, np.array([0.0, 0.03, 0.03]), 150)
    tilts = []
    for _ in range(150):
        lip = guarded.models.kinematics.lip(guarded.q, guarded.qd)
        tilts.append(lip.tilt)
        seen = replace(guarded.inputs().measurement, target_position=lip.position - [0.2, 0.2, 0.2])
        guarded.tick(POUR, measurement=seen)
    rise = np.maximum.accumulate(tilts) - tilts[0]
    assert rise[-1] < 0.2  # the way it needs to brake
    assert tilts[-1] < tilts[0]


def test_stream_that_would_be_carried_beside_the_target_is_held_back(guarded):
    """The lip is inside the zone and will rest inside it, but its speed throws what falls now out of it."""
    pour(guarded, POUR, np.array([0.0, 0.03, 0.03]), 150)
    fast = np.array([0.25, 0.0, 0.0, 0.0])
    speeds = []
    for _ in range(10):
        lip = guarded.models.kinematics.lip(guarded.q, guarded.qd)
        seen = replace(guarded.inputs().measurement, target_position=lip.position - [0.0, 0.03, 0.03])
        guarded.tick(fast, measurement=seen)
        speeds.append(guarded.models.kinematics.lip(guarded.decision.q, guarded.decision.qd).velocity[0])
    assert lip.tilt > ZONE.edge_tilt
    assert max(speeds) * FALL_TIME <= ZONE.half_width + ZONE.reach
    assert guarded.decision.reason is Reason.TILT_LIMIT
