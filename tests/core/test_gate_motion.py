"""What the gate lets through, and what it makes of the rest."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from spillguard_core.arm import ACTION_SCALE, GEN3_LIMITS
from spillguard_core.decision import Reason, Verdict
from spillguard_core.fallback import Scene, candidates, ranked, screened
from spillguard_core.gate import Models
from spillguard_core.motion import ramp
from spillguard_core.observation import POUR_TERMS, observe

FORWARD = np.array([0.0, 0.0, 0.1, 0.0])


def test_safe_proposal_passes_bit_for_bit(rig):
    rig.follow()
    twist = np.array([0.03, -0.02, 0.01, 0.1])
    q, qd = rig.decision.q, rig.decision.qd
    decision = rig.tick(twist)
    assert decision.twist_sent is twist
    goal = rig.models.kinematics.joint_velocity(q, twist)
    positions, velocities = ramp(q, qd, goal, GEN3_LIMITS.acceleration, 0.01, 1)
    np.testing.assert_array_equal(decision.q, positions[0])
    np.testing.assert_array_equal(decision.qd, velocities[0])


def test_proposal_above_the_action_scale_keeps_its_direction(rig):
    rig.follow()
    decision = rig.tick(np.array([0.1, 0.0, 0.5, 0.0]))
    np.testing.assert_allclose(decision.twist_sent, [0.05, 0.0, 0.25, 0.0])  # halved
    assert (decision.verdict, decision.reason) == (Verdict.LIMIT, Reason.TWIST_LIMIT)


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_lip_stops_at_the_wall_of_its_workspace(rig, axis, sign):
    twist = np.zeros(4)
    twist[axis] = sign * 0.25
    rig.follow(2, twist)
    inside = []
    for _ in range(500):
        rig.tick(twist)
        lip = rig.models.kinematics.lip_position(rig.q)
        inside.append(np.minimum(lip - GEN3_LIMITS.workspace_min, GEN3_LIMITS.workspace_max - lip).min())
    assert min(inside) > -1e-3  # the braking path bends by less than a millimetre
    assert rig.decision.reason in (Reason.WORKSPACE_LIMIT, Reason.POSITION_LIMIT, Reason.OK)


def test_lip_slides_along_a_wall_rather_than_sticking_to_it(rig):
    down_and_out = np.array([0.0, -0.05, -0.25, 0.0])
    rig.follow(2, down_and_out)
    rig.run(300, down_and_out)
    y = rig.models.kinematics.lip_position(rig.q)[1]
    rig.run(100, down_and_out)
    assert rig.decision.reason is Reason.WORKSPACE_LIMIT
    assert rig.models.kinematics.lip_position(rig.q)[1] < y - 0.02


def test_lip_outside_its_workspace_may_come_back_but_not_go_further(make_rig):
    low, high = GEN3_LIMITS.workspace_min.copy(), GEN3_LIMITS.workspace_max.copy()
    low[2], high[2] = 0.5, 0.7
    narrow = replace(GEN3_LIMITS, workspace_min=low, workspace_max=high)
    base = make_rig()
    rig = make_rig(config=replace(base.config, limits=narrow))
    height = [rig.models.kinematics.lip_position(rig.q)[2]]
    rig.follow(30, np.array([0.0, 0.0, -0.1, 0.0]))
    height.append(rig.models.kinematics.lip_position(rig.q)[2])
    rig.run(30, np.array([0.0, 0.0, 0.1, 0.0]))
    height.append(rig.models.kinematics.lip_position(rig.q)[2])
    assert height[0] < 0.5
    assert height[1] == pytest.approx(height[0], abs=1e-3)
    assert height[2] > height[1] + 0.01


def critic_above(limit: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    """A critic that finds an action dangerous (0.9) where `limit` says so."""

    def q_c(obs: Any, action: Any) -> Any:
        del obs
        return np.where(limit(action), 0.9, 0.1).astype(np.float32)

    return q_c


def with_critic(rig, critic):
    rig.models = Models(rig.models.kinematics, critic, POUR_TERMS, None)
    rig.follow(2, np.zeros(4))
    return rig


def test_dangerous_proposal_is_scaled_down_to_what_the_critic_accepts(rig):
    with_critic(rig, critic_above(lambda action: np.abs(action[:, 2]) > 0.6))
    decision = rig.tick(np.array([0.0, 0.0, 0.25, 0.0]))
    np.testing.assert_allclose(decision.twist_sent, [0.0, 0.0, 0.125, 0.0])  # half: 0.75 is too much
    assert (decision.verdict, decision.reason) == (Verdict.LIMIT, Reason.CRITIC)
    assert decision.q_c == pytest.approx(0.1)


def test_dangerous_tilt_is_turned_back_while_the_path_goes_on(rig):
    rig.follow(20, np.array([0.0, 0.0, 0.0, 0.5]))
    with_critic(rig, critic_above(lambda action: action[:, 3] > -0.01))
    sent = rig.tick(np.array([0.2, 0.0, 0.0, 0.1])).twist_sent
    np.testing.assert_array_equal(sent[:3], [0.2, 0.0, 0.0])
    assert sent[3] < 0.0


def test_cup_is_brought_upright_when_every_candidate_is_dangerous(rig):
    rig.follow(60, np.array([0.0, 0.0, 0.0, 0.8]))
    tilted = rig.models.kinematics.lip(rig.q, rig.qd).tilt
    assert tilted > 0.2
    rig.models = Models(rig.models.kinematics, critic_above(lambda a: a[:, 0] < 2.0), POUR_TERMS, None)
    decision = rig.tick(np.array([0.0, 0.0, 0.0, 0.8]))
    assert (decision.verdict, decision.reason) == (Verdict.RECOVER, Reason.CRITIC_RECOVERY)
    rig.run(300, np.array([0.0, 0.0, 0.0, 0.8]))
    assert abs(rig.models.kinematics.lip(rig.q, rig.qd).tilt) < 0.02
    assert np.abs(rig.qd).max() < 0.02


def test_critic_sees_the_observation_and_the_action_of_training(rig):
    seen = []

    def spy(obs: Any, action: Any) -> Any:
        seen.append((obs, action))
        return np.zeros(len(obs), dtype=np.float32)

    with_critic(rig, spy)
    twist = np.array([0.25, -0.125, 0.0, 0.6])
    rig.tick(twist)
    obs, action = seen[-1]
    np.testing.assert_array_equal(
        obs[0], observe(POUR_TERMS, rig.inputs().measurement, rig.models.kinematics)
    )
    np.testing.assert_allclose(action[0], [1.0, -0.5, 0.0, 0.5])
    assert obs.dtype == action.dtype == np.float32


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_critic_without_a_finite_answer_holds(rig, bad):
    with_critic(rig, lambda obs, action: np.full(len(obs), bad, dtype=np.float32))
    decision = rig.tick(FORWARD)
    assert (decision.verdict, decision.reason) == (Verdict.HOLD, Reason.CRITIC_INVALID)
    assert not decision.qd.any()


def test_uncalibrated_critic_is_reported_and_does_not_act(rig):
    rig.config = replace(rig.config, critic_threshold=None)
    with_critic(rig, lambda obs, action: np.full(len(obs), 0.99, dtype=np.float32))
    decision = rig.tick(FORWARD)
    assert decision.verdict is Verdict.PASS
    assert decision.q_c == pytest.approx(0.99)


def test_margins_say_how_far_each_boundary_is(rig):
    rig.follow(30)
    margins = rig.decision.margins
    lip = rig.models.kinematics.lip_position(rig.decision.q)
    wall = np.minimum(lip - GEN3_LIMITS.workspace_min, GEN3_LIMITS.workspace_max - lip).min()
    assert margins.workspace == pytest.approx(wall, abs=0.02)
    assert 0.0 < margins.position < np.pi
    assert margins.critic == pytest.approx(0.5)
    assert margins.tracking == pytest.approx(0.05, abs=1e-3)


def scene(twist, last=0, tilt=0.5):
    return Scene(np.zeros(14, np.float32), np.asarray(twist), tilt, np.array([0.1, 0.0, 0.0]), last)


def of_rows(*values):
    """A critic that gives each candidate its value."""
    return lambda obs, action: np.array(values, dtype=np.float32)[: len(obs)]


def test_choices_are_all_accepted_candidates_closest_first():
    wanted = scene([0.2, 0.0, 0.0, 1.0])
    q_c = of_rows(0.9, 0.9, 0.9, 0.1, 0.1, 0.9, 0.5, 0.9, 0.1, 0.1)
    choices = screened(q_c, wanted, 0.5, 0.45)
    assert {choice.candidate for choice in choices} == {3, 4, 6, 8, 9}
    far = [np.linalg.norm((choice.twist - wanted.twist) / ACTION_SCALE) for choice in choices]
    assert far == sorted(far)
    assert all(choice.reason is Reason.CRITIC for choice in choices)


def test_path_and_tilt_are_offered_apart():
    rows = candidates(np.array([0.2, 0.1, 0.0, 1.0]), tilt=0.5, away=np.zeros(3))
    np.testing.assert_array_equal(rows[5], [0.2, 0.1, 0.0, 0.0])
    np.testing.assert_array_equal(rows[6], [0.0, 0.0, 0.0, 1.0])


def test_critic_that_stepped_in_lets_go_below_the_release_only():
    calm = [0.1] * 9
    for q_c, last, passes in [(0.48, 0, True), (0.48, 2, False), (0.44, 2, True), (0.52, 0, False)]:
        choice = screened(of_rows(q_c, *calm), scene([0.2, 0.0, 0.0, 1.0], last), 0.5, 0.45)[0]
        assert (choice.candidate == 0) is passes, (q_c, last)


@pytest.mark.parametrize(("release", "fewest", "most"), [(1.0, 20, 200), (0.8, 1, 1)])
def test_noise_in_the_critic_does_not_make_the_gate_chatter(rig, release, fewest, most):
    rng = np.random.default_rng(0)

    def noisy(obs: Any, action: Any) -> Any:
        q_c = np.full(len(obs), 0.1, dtype=np.float32)
        q_c[0] = 0.48 + 0.03 * rng.standard_normal()
        return q_c

    with_critic(rig, noisy)
    rig.config = replace(rig.config, critic_release=release)
    replaced = [rig.tick(np.array([0.0, 0.0, 0.05, 0.1])).candidate > 0 for _ in range(200)]
    assert fewest <= np.abs(np.diff(replaced, prepend=False)).sum() <= most


def test_candidate_that_breaks_a_hard_limit_is_passed_over(rig):
    """The closest choice of the critic runs into the ceiling, the next one does not."""
    rig.follow(200, np.array([0.0, 0.0, 0.25, 0.0]))  # up to the ceiling
    with_critic(rig, of_rows(0.9, 0.9, 0.9, 0.9, 0.1, 0.1, 0.9, 0.9, 0.9, 0.9))
    decision = rig.tick(np.array([0.0, 0.0, 0.25, 1.0]))  # without tilt it is still upwards; rest is next
    assert decision.candidate == 4
    assert decision.reason is Reason.CRITIC and not decision.twist_sent.any()


def test_nan_is_never_below_the_threshold():
    twists = candidates(np.full(4, 0.1), tilt=0.5, away=np.zeros(3))
    assert ranked(twists, np.full(len(twists), np.nan, dtype=np.float32), 0.5, 0.45, 0) == []
    assert (
        screened(of_rows(*[0.9] * 10), scene(np.full(4, 0.1)), 0.5, 0.45)[0].reason is Reason.CRITIC_RECOVERY
    )


def test_every_candidate_is_within_the_action_scale():
    rng = np.random.default_rng(0)
    for _ in range(200):
        twist = rng.uniform(-1, 1, 4) * ACTION_SCALE
        rows = candidates(twist, rng.uniform(-3, 3), rng.normal(size=3))
        assert (np.abs(rows) <= ACTION_SCALE + 1e-12).all()
