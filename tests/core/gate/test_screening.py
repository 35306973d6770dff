"""What the critic accepts in place of a proposal: the choices, their order, and the candidates offered."""

from functools import partial

import numpy as np

from sim.pouring.gen3 import NOMINAL_POSTURE
from spillguard_core.gate import reasons
from spillguard_core.gate.screening import Scene, ranked, screened
from spillguard_core.tasks.pouring.action import ACTION_SCALE, candidates
from spillguard_core.tasks.pouring.lip import LipState
from tests.core.conftest import TARGET, at
from tests.core.gate.test_gate_motion import of_rows


def scene(twist, last=0, tilt=0.5):
    rows = partial(offered, np.asarray(twist), tilt, np.array([0.1, 0.0, 0.0]))
    return Scene(np.zeros(14, np.float32), np.asarray(twist), ACTION_SCALE, rows, last)


def offered(twist, tilt, away, scale=ACTION_SCALE):
    """Candidates for a cup that leans by `tilt` [rad], `away` (3,) [m] from the target."""
    lip = LipState(TARGET + away, np.eye(3), tilt, np.zeros(3), 0.0)
    return candidates(twist, at(NOMINAL_POSTURE, np.zeros(7)), lip, scale)


def test_choices_are_all_accepted_candidates_closest_first():
    wanted = scene([0.2, 0.0, 0.0, 1.0])
    q_c = of_rows(0.9, 0.9, 0.9, 0.1, 0.1, 0.9, 0.5, 0.9, 0.1, 0.1)
    choices = screened(q_c, wanted, 0.5, 0.45)
    assert {choice.candidate for choice in choices} == {3, 4, 6, 8, 9}
    far = [np.linalg.norm((choice.twist - wanted.twist) / ACTION_SCALE) for choice in choices]
    assert far == sorted(far)
    assert all(choice.reason is reasons.CRITIC for choice in choices)


def test_path_and_tilt_are_offered_apart():
    rows = offered(np.array([0.2, 0.1, 0.0, 1.0]), 0.5, np.zeros(3))
    np.testing.assert_array_equal(rows[5], [0.2, 0.1, 0.0, 0.0])
    np.testing.assert_array_equal(rows[6], [0.0, 0.0, 0.0, 1.0])


def test_critic_that_stepped_in_lets_go_below_the_release_only():
    calm = [0.1] * 9
    for q_c, last, passes in [(0.48, 0, True), (0.48, 2, False), (0.44, 2, True), (0.52, 0, False)]:
        choice = screened(of_rows(q_c, *calm), scene([0.2, 0.0, 0.0, 1.0], last), 0.5, 0.45)[0]
        assert (choice.candidate == 0) is passes, (q_c, last)


def test_retreat_is_up_and_away_from_the_target_while_tilting_back():
    """Half of full speed, along the horizontal line from the target to the lip."""
    rows = offered(np.array([0.2, 0.1, 0.0, 1.0]), 0.1, np.array([-0.03, 0.04, 0.2]))
    np.testing.assert_allclose(rows[8], [-0.6 * 0.125, 0.8 * 0.125, 0.125, -0.4])


def test_nan_is_never_below_the_threshold():
    twists = offered(np.full(4, 0.1), 0.5, np.zeros(3))
    assert ranked(twists, ACTION_SCALE, np.full(len(twists), np.nan, dtype=np.float32), 0.5, 0.45, 0) == []
    assert (
        screened(of_rows(*[0.9] * 10), scene(np.full(4, 0.1)), 0.5, 0.45)[0].reason is reasons.CRITIC_RECOVERY
    )


def test_every_candidate_is_within_the_action_scale():
    rng = np.random.default_rng(0)
    for _ in range(200):
        twist = rng.uniform(-1, 1, 4) * ACTION_SCALE
        tilt, away = rng.uniform(-3, 3), rng.normal(size=3)
        for share in (1.0, 0.3):  # a bundle may have a smaller scale
            rows = offered(share * twist, tilt, away, share * ACTION_SCALE)
            assert (np.abs(rows) <= share * ACTION_SCALE + 1e-12).all()
