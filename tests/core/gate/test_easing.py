"""Before a limit the arm eases off and slides along it; beyond one it is led back inside."""

from dataclasses import replace

import mujoco
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.pouring.cell_model import RIM_HEIGHT, guard_model_xml
from sim.pouring.gen3 import JOINT_NAMES
from spillguard_core.gate import reasons
from spillguard_core.gate.easing import EASING_TIME, Slope, eased, slopes
from spillguard_core.robot.world import World
from spillguard_core.tasks.pouring import TASK as POURING
from spillguard_core.tasks.pouring.action import ACTION_SCALE
from spillguard_core.tasks.pouring.zone import TILT_LIMIT
from tests.core.conftest import resensed

SCALE = np.array([0.25, 0.25, 0.25, 1.2])
ALL = [0, 1, 2, 3]
shares = st.floats(-1.0, 1.0, allow_nan=False)
vectors = st.lists(shares, min_size=4, max_size=4).map(np.array)
steep = vectors.filter(lambda g: g.dot(g) > 0.1)


# Pure


@given(vectors, steep, st.floats(-0.02, 0.1))
def test_one_slope_is_kept_at_the_least_change(share, gradient, margin) -> None:
    """The projection on a half-space, Boyd and Vandenberghe 2004, section 8.1.3."""
    got = eased(share * SCALE, SCALE, ALL, [Slope(margin, gradient)]) / SCALE
    lacking = max(0.0, -margin / EASING_TIME - gradient.dot(share)) / gradient.dot(gradient)
    nearest = share + lacking * gradient
    if np.abs(nearest).max() <= np.abs(share).max():
        np.testing.assert_allclose(got, nearest, atol=1e-9)


@given(vectors, steep, steep, st.floats(0.0, 0.05), st.floats(0.0, 0.05))
def test_two_slopes_are_kept_together_where_both_can_be(share, first, second, one, other) -> None:
    if first.dot(second) < -0.5 * np.linalg.norm(first) * np.linalg.norm(second):
        return  # they nearly oppose each other: a few sweeps do not settle that
    slopes = [Slope(one, first), Slope(other, second)]
    got = eased(0.4 * share * SCALE, SCALE, ALL, slopes) / SCALE
    if np.abs(got).max() < np.abs(0.4 * share).max():
        for margin, gradient in slopes:
            assert gradient.dot(got) >= -margin / EASING_TIME - 0.02


@given(vectors, steep)
def test_nothing_exceeds_the_largest_share_that_was_asked_for(share, gradient) -> None:
    got = np.abs(eased(share * SCALE, SCALE, [0, 1, 2], [Slope(-1.0, gradient)])) / SCALE
    assert (got <= np.abs(share).max() + 1e-12).all()


@given(vectors, steep, st.floats(-1.0, 0.1))
def test_what_was_not_to_be_turned_is_not_turned(share, gradient, margin) -> None:
    got = eased(share * SCALE, SCALE, [0, 1, 2], [Slope(margin, gradient)])[3]
    assert min(0.0, share[3] * SCALE[3]) <= got <= max(0.0, share[3] * SCALE[3])


def test_slope_of_a_plane() -> None:
    jacobian = np.arange(28.0).reshape(7, 4) / 10.0
    normal = np.linspace(-1.0, 1.0, 7)
    margins = lambda q: {"wall": 0.3 + normal.dot(q), "far": 0.4}  # noqa: E731
    (found,) = slopes(margins, lambda a: jacobian.dot(a), np.zeros(7), SCALE, {"wall": 0.2})
    assert found.margin == 0.2
    np.testing.assert_allclose(found.gradient, normal.dot(jacobian) * SCALE, rtol=1e-6)


def test_a_pair_that_is_left_behind_is_judged_from_the_other_side() -> None:
    """Distances are known only near the clearance."""
    jacobian = np.vstack((np.eye(4), np.zeros((3, 4))))
    gap = lambda q: 0.5 * q[0] - 0.2 * q[1]  # noqa: E731
    margins = lambda q: {"pair": gap(q)} if gap(q) <= 0.0 else {}  # noqa: E731
    (found,) = slopes(margins, lambda a: jacobian.dot(a), np.zeros(7), SCALE, {})
    assert found.margin == 0.0
    np.testing.assert_allclose(found.gradient, [0.5 * 0.25, -0.2 * 0.25, 0.0, 0.0], atol=1e-9)


@pytest.mark.parametrize("margin", [0.3, np.nan, np.inf])
def test_where_a_margin_does_not_depend_on_the_action_there_is_no_slope(margin) -> None:
    assert (
        slopes(lambda q: {0: margin}, lambda a: np.ones((7, 4)).dot(a), np.zeros(7), SCALE, {0: margin}) == []
    )


# In the gate


@pytest.fixture
def walled(rig):
    """The rig among table, machine and receiving cup."""
    model = mujoco.MjModel.from_xml_string(guard_model_xml())
    rig.models = replace(rig.models, world=World(model, rig.config.clearance, JOINT_NAMES, POURING.placed))
    return rig


def lip(rig):
    return rig.models.tool.pose(rig.q).position


def near(rig, x, y, height=RIM_HEIGHT):
    """Where the receiving cup is said to stand: its rim's centre (3,) [m], beside the lip."""
    return np.array([lip(rig)[0] + x, lip(rig)[1] + y, height])


def go(rig, twist, ticks, place):
    """Follow a twist with the receiving cup at its place; the decisions and the lip's positions."""
    seen = []
    for _ in range(ticks):
        now = resensed(rig.inputs().measurement, target_position=place)
        seen.append((rig.tick(np.array(twist), measurement=now), lip(rig)))
    return seen


def test_the_cup_slides_over_the_receiving_one_instead_of_standing_before_it(walled) -> None:
    """Sideways and down onto the rim: the part that leads sideways is kept."""
    rig = walled
    place = near(rig, 0.0, 0.035)
    rig.follow(30, np.array([0.0, 0.0, 0.2, 0.0]))
    rig.follow(1, np.zeros(4))
    seen = go(rig, [0.0, 0.1, -0.1, 0.0], 300, place)
    margins = np.array([decision.margins["clearance"] for decision, _ in seen])
    assert margins.min() >= -1e-4  # of the 10 mm; round the rim's edge the path is looked at 3.5 mm apart
    (against,) = np.nonzero(margins < 0.002)
    assert len(against) > 20
    ways = np.array([place for _, place in seen])
    assert np.ptp(ways[against, 1]) > 0.02


def test_circling_at_a_rim_the_cup_comes_no_closer_than_it_may(walled) -> None:
    """Half a minute of pushing at the receiving cup while leaning to and fro; paths that are looked at 14 mm
    apart let the cups come 0.3 mm closer."""
    rig, rng = walled, np.random.default_rng(113672019)
    rig.config = replace(rig.config, target_reach=0.05, settings={"free_tilt": 3.0}, coast_time=0.04)
    rig.follow(1, np.zeros(4))
    start, least = lip(rig), rig.config.clearance
    while True:
        place = np.array([*(start[:2] + rng.uniform(-0.12, 0.12, 2)), RIM_HEIGHT])
        if rig.models.world.near([rig.q], [place]).least >= least:
            break
    deepest = np.inf
    for tick in range(3000):
        to = place - lip(rig)
        phase = 0.013 * tick
        swing = 0.25 * np.array([np.cos(phase), np.sin(phase), 0.4 * np.sin(2.3 * phase)])
        go(rig, [*(0.15 * to / np.linalg.norm(to) + swing), 1.2 * np.sin(0.7 * phase)], 1, place)
        deepest = min(deepest, rig.models.world.near([rig.q], [place]).least - least)
    assert deepest >= -5e-5


def test_in_a_corner_of_two_limits_the_arm_slides_along_both(walled) -> None:
    """Below a ceiling 1 cm above the lip to the machine, 34 cm aside, and on along the edge between them."""
    rig = walled
    rig.follow(1, np.zeros(4))
    ceiling = lip(rig)[2] + 0.01
    high, low = np.array([2.0, 2.0, ceiling]), np.full(3, -2.0)
    rig.config = replace(rig.config, limits=replace(rig.config.limits, workspace_max=high, workspace_min=low))
    seen = go(rig, [-0.1, 0.2, 0.2, 0.0], 350, near(rig, 0.0, 1.0))
    x, y, z = seen[-1][1]
    assert x < 0.43 and y == pytest.approx(0.342, abs=0.003) and z == pytest.approx(ceiling, abs=0.001)


def test_tilting_back_low_over_the_receiving_cup_moves_the_held_one_out_of_its_way(walled) -> None:
    """The bottom of a cup that is turned upright swings down; before, the arm stood there for ever."""
    rig = walled
    place = near(rig, 0.0, -0.03)
    rig.config = replace(rig.config, settings={"free_tilt": 3.0})
    rig.follow(1, np.zeros(4))
    go(rig, [0.0, 0.0, 0.0, 1.0], 200, place)  # lean by 2 rad
    go(rig, [0.0, 0.0, -0.2, 0.0], 300, place)  # low over the rim
    assert rig.models.tool.pose(rig.q).tilt > 1.8 and rig.decision.margins["clearance"] < 0.002
    for _ in range(600):
        tilt = rig.models.tool.pose(rig.q).tilt
        ((decision, _),) = go(rig, [0.0, 0.0, 0.0, max(-3.0 * tilt, -1.2)], 1, place)
        assert decision.margins["clearance"] >= -1e-9
    assert abs(tilt) < 0.1


def test_a_policy_that_pushes_beyond_a_broken_limit_is_led_back_inside(rig) -> None:
    rig.follow(1, np.zeros(4))
    ceiling = lip(rig)[2] - 0.02  # the arm is 2 cm above where it may be
    high = rig.config.limits.workspace_max.copy()
    high[2] = ceiling
    rig.config = replace(rig.config, limits=replace(rig.config.limits, workspace_max=high))
    heights = [lip(rig)[2]]
    for _ in range(300):
        rig.tick(np.array([0.0, 0.0, 0.2, 0.0]))
        heights.append(lip(rig)[2])
    assert np.diff(heights).max() < 1e-4 and heights[-1] < ceiling + 0.001


@pytest.mark.parametrize("told", [0.0, 1e-9, 0.002])  # [m/s]; a network never says exactly nothing
def test_an_arm_that_is_hardly_told_to_move_beyond_a_limit_hardly_moves(rig, told) -> None:
    """Nothing moves by itself."""
    rig.follow(1, np.zeros(4))
    high = rig.config.limits.workspace_max.copy()
    high[2] = lip(rig)[2] - 0.02
    rig.config = replace(rig.config, limits=replace(rig.config.limits, workspace_max=high))
    before = lip(rig)
    rig.run(100, np.array([0.0, 0.0, told, 0.0]))
    np.testing.assert_allclose(lip(rig), before, atol=2e-4 + told)


def test_what_eases_off_keeps_to_the_bundles_scale(walled) -> None:
    rig = walled
    rig.models = replace(rig.models, scale=0.1 * ACTION_SCALE)
    rig.follow(1, np.zeros(4))
    for decision, _ in go(rig, [0.0, 0.01, -0.025, 0.0], 600, near(rig, 0.0, 0.035)):
        assert (np.abs(decision.twist_sent) <= 0.1 * ACTION_SCALE * (1.0 + 1e-9)).all()


def test_what_eases_off_keeps_to_the_gates_own_speed_limits(rig) -> None:
    """The tool scales to those of the arm; here the gate has a twentieth of them."""
    rig.follow(1, np.zeros(4))
    limits, high = rig.config.limits, rig.config.limits.workspace_max.copy()
    high[2] = lip(rig)[2] - 0.05  # it is led back from 5 cm above
    rig.config = replace(
        rig.config, limits=replace(limits, workspace_max=high, velocity=0.05 * limits.velocity)
    )
    seen = [rig.tick(np.array([0.0, 0.0, 0.2, 0.0])) for _ in range(100)]
    eased_off = [decision for decision in seen if decision.reason is reasons.WORKSPACE_LIMIT]
    shares = [np.abs(decision.qd / limits.velocity).max() for decision in eased_off]
    assert len(shares) > 50 and 0.045 < max(shares) <= 0.05 + 1e-9


def test_the_critic_judges_what_nobody_asked_for(walled) -> None:
    """A critic that calls everything but the proposal dangerous: the arm stands before the limit."""
    rig = walled
    asked = np.array([0.1, 0.0, -0.25, 0.0])

    def wary(obs, action):
        own = np.isclose(action, asked / ACTION_SCALE, atol=1e-5).all(axis=1)
        return np.where(own, 0.1, 0.9).astype(np.float32)

    rig.models = replace(rig.models, critic=wary)
    rig.follow(1, np.zeros(4))
    (*_, (decision, _)) = go(rig, asked, 300, near(rig, 0.0, 0.035))
    assert decision.reason is reasons.COLLISION
    assert np.linalg.norm(rig.qd) < 1e-3


def test_a_pour_that_asks_for_more_tilt_than_its_place_allows_is_led_to_where_it_may(rig) -> None:
    """Behind the zone: the tilt goes on growing while the lip moves into it."""
    rig.follow(1, np.zeros(4))
    go(rig, [0.0, 0.0, 0.0, 0.6], 400, near(rig, 0.0, -0.075, lip(rig)[2] - 0.05))
    assert rig.decision.reason in (TILT_LIMIT, reasons.OK, reasons.WORKSPACE_LIMIT)
    assert rig.models.tool.pose(rig.q).tilt > 1.2
    assert rig.decision.margins["tilt"] >= -1e-9
