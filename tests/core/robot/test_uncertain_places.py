"""Distances to a body that may stand beside where it is sensed."""

from dataclasses import replace

import numpy as np
import pytest

from sim.pouring.cell_model import RIM_HEIGHT
from sim.pouring.gen3 import JOINT_NAMES, NOMINAL_POSTURE
from spillguard_core.gate import reasons
from spillguard_core.robot.world import SIDES, SURE, Tolerance, World
from spillguard_core.tasks.pouring import TASK as POURING
from tests.core.robot.towards import ASIDE, LEFT, LEVEL, run_towards

UNSURE = Tolerance(beside=0.012, above=0.004)


@pytest.mark.parametrize("tolerance", [SURE, UNSURE])
def test_the_clearance_is_kept_to_a_cup_that_stands_beside_where_it_is_seen(guarded, model, tolerance):
    """Driven towards the cup, which stands 12 mm closer than it is reported."""
    clearance, joints = guarded.config.clearance, (JOINT_NAMES, POURING.placed)
    guarded.models = replace(guarded.models, world=World(model, clearance, *joints, tolerance))
    lip = guarded.models.tool.pose(NOMINAL_POSTURE).position
    stands = np.array([lip[0], lip[1] + 0.2, lip[2] + 0.01])  # at the height of the held cup
    truth, least, said = World(model, 0.05, *joints), np.inf, set()
    guarded.follow(2, np.zeros(4))
    for _ in range(200):
        run_towards(guarded, LEFT, stands + np.array([0.0, 0.012, 0.0]), 1)
        least = min(least, truth.near([guarded.q], [stands]).least)
        said.add(guarded.decision.reason)
    assert reasons.COLLISION in said
    assert (least >= clearance - 1e-3) is (tolerance is UNSURE)
    assert least < clearance + 0.01  # it did go there


@pytest.mark.parametrize("start", [0.0085, 0.012, 0.016])
@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_an_arm_that_starts_within_the_tolerance_does_not_slide_to_where_the_cup_stands(
    guarded, model, start, side
):
    """The cup is reported 12 mm beside where it stands, and driven round that place towards the real one."""
    clearance, joints = 0.008, (JOINT_NAMES, POURING.placed)
    guarded.config = replace(
        guarded.config, clearance=clearance, target_tolerance=0.012, target_height_tolerance=0.004
    )
    guarded.models = replace(guarded.models, world=World(model, clearance, *joints, UNSURE))
    truth = World(model, 0.05, *joints)
    lip = guarded.models.tool.pose(NOMINAL_POSTURE).position

    def stands(away):
        return np.array([lip[0], lip[1] + away, lip[2] + 0.01])

    near, far = 0.05, 0.3  # [m] beside the lip, between which the cup stands `start` away from the arm
    for _ in range(30):
        middle = 0.5 * (near + far)
        closer = truth.near([NOMINAL_POSTURE], [stands(middle)]).least < start
        near, far = (middle, far) if closer else (near, middle)
    stands_at = stands(far)
    reported = stands_at + np.array([0.012 * side, 0.0, 0.0])
    least = truth.near([guarded.q], [stands_at]).least
    guarded.follow(1, np.zeros(4))
    for number in range(200):  # round the reported place, a little inwards or outwards
        cup = guarded.models.tool.pose(guarded.q).position + np.array([0.0, 0.035, 0.0])
        inwards = (reported - cup) * LEVEL
        inwards /= np.linalg.norm(inwards)
        round_it = np.array([-inwards[1], inwards[0], 0.0])
        round_it *= -np.sign(round_it[0] * side)
        turn = (-0.05, -0.02, 0.0, 0.02, 0.05)[number % 5]
        twist = 0.2 * (np.cos(turn) * round_it + np.sin(turn) * inwards)
        run_towards(guarded, np.append(twist, 0.0), reported, 1)
        least = min(least, truth.near([guarded.q], [stands_at]).least)
    assert least >= min(start, clearance) - 5e-4
    away = guarded.models.tool.pose(guarded.q).position - stands_at
    away[2] = 0.0
    run_towards(guarded, np.append(0.25 * away / np.linalg.norm(away), 0.0), reported, 60)  # it may leave
    assert truth.near([guarded.q], [stands_at]).least > least + 0.005


def test_wherever_a_body_stands_within_its_tolerance_it_is_no_closer_than_reported(model, guarded):
    rng, near_it, above_it = np.random.default_rng(5), 0, 0
    unsure = World(model, 0.05, JOINT_NAMES, POURING.placed, UNSURE)
    sure = World(model, 0.05 + sum(UNSURE), JOINT_NAMES, POURING.placed)
    lip = guarded.models.tool.pose(NOMINAL_POSTURE).position
    for _ in range(600):
        seen = np.array([*(lip[:2] + rng.uniform(-0.15, 0.15, 2)), RIM_HEIGHT + 0.01])
        q = NOMINAL_POSTURE + rng.uniform(-0.15, 0.15, 7)
        reported = unsure.near([q], [seen]).least
        way = rng.standard_normal(2)
        across, rise = UNSURE.beside * way / np.linalg.norm(way), rng.uniform(-UNSURE.above, UNSURE.above)
        stands = seen + np.array([*across, rng.choice([UNSURE.above, rise])])
        assert reported <= sure.near([q], [stands]).least + 1e-6
        near_it += reported < unsure.near([q], [ASIDE]).least
        above_it += reported > sure.near([q], [seen]).least - 0.6 * UNSURE.beside and reported < 0.05
    assert near_it > 100
    assert above_it > 10  # where a connection is steep, less than the horizontal tolerance is taken off


@pytest.mark.parametrize(("where", "less"), [("above", UNSURE.above), ("beside", UNSURE.beside)])
def test_a_level_connection_takes_the_tolerance_beside_and_an_upright_one_that_above(
    model, guarded, where, less
):
    lip = guarded.models.tool.pose(NOMINAL_POSTURE).position
    pair = tuple(sorted((model.geom("source").id, model.geom("receiver").id)))
    place = lip + np.array({"above": [0.0, 0.035, -0.11], "beside": [0.0, 0.15, 0.0]}[where])
    sure, unsure = (World(model, 0.2, JOINT_NAMES, POURING.placed, each) for each in (SURE, UNSURE))
    before, after = (world.near([NOMINAL_POSTURE], [place]).close[pair] for world in (sure, unsure))
    assert before - after == pytest.approx(less, abs=1e-4)


def test_a_tolerance_counts_for_bodies_that_are_sensed_and_not_as_depth(model, guarded):
    sure = World(model, 0.04, JOINT_NAMES, POURING.placed)
    unsure = World(model, 0.04, JOINT_NAMES, POURING.placed, UNSURE)
    lip = guarded.models.tool.pose(NOMINAL_POSTURE).position
    cup = set(np.flatnonzero(model.geom_bodyid == model.body("receiver").id).tolist())
    beside = np.array([lip[0], lip[1] + 0.13, lip[2]])
    before, after = (world.near([NOMINAL_POSTURE], [beside]).close for world in (sure, unsure))
    assert before.keys() <= after.keys()
    assert any(cup & set(pair) for pair in before)
    for pair, gap in before.items():
        least, most = (UNSURE.above, np.hypot(*UNSURE)) if cup & set(pair) else (0.0, 0.0)
        assert gap - most - 2e-4 <= after[pair] <= gap - least + 2e-4
    into = np.array([lip[0], lip[1] + 0.105, lip[2]])  # a little
    for place in (into, beside, ASIDE):
        depths = [world.depth(NOMINAL_POSTURE, [place]) for world in (sure, unsure)]
        assert depths[0] == pytest.approx(depths[1], abs=2e-4)
    assert unsure.depth(NOMINAL_POSTURE, [into]) > 0.0 == unsure.depth(NOMINAL_POSTURE, [ASIDE])


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -0.001])
@pytest.mark.parametrize("place", [0, 1])
def test_a_tolerance_that_is_none_is_refused(model, wrong, place):
    tolerance = [0.0, 0.0]
    tolerance[place] = wrong
    with pytest.raises(ValueError, match="a tolerance must be finite and at least 0 m"):
        World(model, 0.008, JOINT_NAMES, POURING.placed, Tolerance(*tolerance))


def test_what_is_close_is_also_looked_at_where_the_body_stands_its_tolerance_aside_and_higher(model, guarded):
    """Over the rim: by the number of the place, eight round about and one above."""
    sure, unsure = (World(model, 0.3, JOINT_NAMES, POURING.placed, each) for each in (SURE, UNSURE))
    lip = guarded.models.tool.pose(NOMINAL_POSTURE).position
    seen = np.array([lip[0], lip[1] + 0.035, RIM_HEIGHT + 0.01])
    pair = tuple(sorted((model.geom("source").id, model.geom("receiver").id)))
    beside = unsure.near([NOMINAL_POSTURE], [seen]).beside
    assert beside is not None
    turns = 2.0 * np.pi * np.arange(SIDES) / SIDES
    round_about = UNSURE.beside * np.stack([np.cos(turns), np.sin(turns)], axis=1)
    for number, across in enumerate([*round_about, np.zeros(2)]):
        place = seen + np.array([*across, UNSURE.above])
        true = sure.near([NOMINAL_POSTURE], [place]).close[pair]
        assert beside()[number, pair] == pytest.approx(true, abs=1e-4)
