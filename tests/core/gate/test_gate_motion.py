"""What the gate passes, and what replaces the rest."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sim.pouring.gen3 import GEN3_LIMITS
from spillguard_core.gate import reasons
from spillguard_core.gate.limits import Hard, Start, feasible, whole
from spillguard_core.gate.reasons import Verdict
from spillguard_core.gate.rule import Motion, Surroundings
from spillguard_core.gate.task import observe
from spillguard_core.robot.motion import ramp
from spillguard_core.tasks.pouring import TASK as POURING
from spillguard_core.tasks.pouring.observation import POUR_TERMS
from tests.core.conftest import at, resensed

FORWARD = np.array([0.0, 0.0, 0.1, 0.0])


def test_safe_proposal_passes_bit_for_bit(rig):
    rig.follow()
    twist = np.array([0.03, -0.02, 0.01, 0.1])
    q, qd = rig.decision.q, rig.decision.qd
    decision = rig.tick(twist)
    assert decision.twist_sent is twist
    goal = rig.models.tool.joint_velocity(q, twist)
    positions, velocities = ramp(q, qd, goal, GEN3_LIMITS.acceleration, 0.01, 1)
    np.testing.assert_array_equal(decision.q, positions[0])
    np.testing.assert_array_equal(decision.qd, velocities[0])


def test_proposal_above_the_action_scale_keeps_its_direction(rig):
    rig.follow()
    decision = rig.tick(np.array([0.1, 0.0, 0.5, 0.0]))
    np.testing.assert_allclose(decision.twist_sent, [0.05, 0.0, 0.25, 0.0])  # halved
    assert (decision.verdict, decision.reason) == (Verdict.LIMIT, reasons.TWIST_LIMIT)


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_lip_stops_at_the_wall_of_its_workspace(rig, axis, sign):
    twist = np.zeros(4)
    twist[axis] = sign * 0.25
    rig.follow(2, twist)
    inside = []
    for _ in range(500):
        rig.tick(twist)
        lip = rig.models.tool.pose(rig.q).position
        inside.append(np.minimum(lip - GEN3_LIMITS.workspace_min, GEN3_LIMITS.workspace_max - lip).min())
    assert min(inside) > -1e-3  # the braking path bends by less than a millimetre
    assert rig.decision.reason in (reasons.WORKSPACE_LIMIT, reasons.POSITION_LIMIT, reasons.OK)


def test_lip_slides_along_a_wall_rather_than_sticking_to_it(rig):
    down_and_out = np.array([0.0, -0.05, -0.25, 0.0])
    rig.follow(2, down_and_out)
    rig.run(300, down_and_out)
    y = rig.models.tool.pose(rig.q).position[1]
    rig.run(100, down_and_out)
    assert rig.decision.reason is reasons.WORKSPACE_LIMIT
    assert rig.models.tool.pose(rig.q).position[1] < y - 0.02


def test_lip_outside_its_workspace_may_come_back_but_not_go_further(make_rig):
    low, high = GEN3_LIMITS.workspace_min.copy(), GEN3_LIMITS.workspace_max.copy()
    low[2], high[2] = 0.5, 0.7
    narrow = replace(GEN3_LIMITS, workspace_min=low, workspace_max=high)
    base = make_rig()
    rig = make_rig(config=replace(base.config, limits=narrow))
    height = [rig.models.tool.pose(rig.q).position[2]]
    rig.follow(30, np.array([0.0, 0.0, -0.1, 0.0]))
    height.append(rig.models.tool.pose(rig.q).position[2])
    rig.run(30, np.array([0.0, 0.0, 0.1, 0.0]))
    height.append(rig.models.tool.pose(rig.q).position[2])
    assert height[0] < 0.5
    assert height[1] == pytest.approx(height[0], abs=1e-3)
    assert height[2] > height[1] + 0.01


def critic_above(limit: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    """A critic that gives 0.9 to the actions for which `limit` is true."""

    def q_c(obs: Any, action: Any) -> Any:
        del obs
        return np.where(limit(action), 0.9, 0.1).astype(np.float32)

    return q_c


def with_critic(rig, critic):
    rig.models = replace(rig.models, critic=critic)
    rig.follow(2, np.zeros(4))
    return rig


def test_dangerous_proposal_is_scaled_down_to_what_the_critic_accepts(rig):
    with_critic(rig, critic_above(lambda action: np.abs(action[:, 2]) > 0.6))
    decision = rig.tick(np.array([0.0, 0.0, 0.25, 0.0]))
    np.testing.assert_allclose(decision.twist_sent, [0.0, 0.0, 0.125, 0.0])  # half: 0.75 is too fast
    assert (decision.verdict, decision.reason) == (Verdict.LIMIT, reasons.CRITIC)
    assert decision.q_c == pytest.approx(0.1)


def test_dangerous_tilt_is_turned_back_while_the_path_goes_on(rig):
    rig.follow(20, np.array([0.0, 0.0, 0.0, 0.5]))
    with_critic(rig, critic_above(lambda action: action[:, 3] > -0.01))
    sent = rig.tick(np.array([0.2, 0.0, 0.0, 0.1])).twist_sent
    np.testing.assert_array_equal(sent[:3], [0.2, 0.0, 0.0])
    assert sent[3] < 0.0


def test_cup_is_brought_upright_when_every_candidate_is_dangerous(rig):
    rig.follow(60, np.array([0.0, 0.0, 0.0, 0.8]))
    tilted = rig.models.tool.state(rig.q, rig.qd).tilt
    assert tilted > 0.2
    rig.models = replace(rig.models, critic=critic_above(lambda a: a[:, 0] < 2.0))
    decision = rig.tick(np.array([0.0, 0.0, 0.0, 0.8]))
    assert (decision.verdict, decision.reason) == (Verdict.RECOVER, reasons.CRITIC_RECOVERY)
    rig.run(300, np.array([0.0, 0.0, 0.0, 0.8]))
    assert abs(rig.models.tool.state(rig.q, rig.qd).tilt) < 0.02
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
        obs[0], observe(POURING, POUR_TERMS, rig.inputs().measurement, rig.models.tool)
    )
    np.testing.assert_allclose(action[0], [1.0, -0.5, 0.0, 0.5])
    assert obs.dtype == action.dtype == np.float32


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_critic_without_a_finite_answer_holds(rig, bad):
    with_critic(rig, lambda obs, action: np.full(len(obs), bad, dtype=np.float32))
    decision = rig.tick(FORWARD)
    assert (decision.verdict, decision.reason) == (Verdict.HOLD, reasons.CRITIC_INVALID)
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
    lip = rig.models.tool.pose(rig.decision.q).position
    wall = np.minimum(lip - GEN3_LIMITS.workspace_min, GEN3_LIMITS.workspace_max - lip).min()
    assert margins["workspace"] == pytest.approx(wall, abs=0.02)
    assert 0.0 < margins["position"] < np.pi
    assert margins["critic"] == pytest.approx(0.5)
    assert margins["tracking"] == pytest.approx(0.05, abs=1e-3)


def of_rows(*values):
    """A critic that returns a given value for each candidate."""
    return lambda obs, action: np.array(values, dtype=np.float32)[: len(obs)]


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


@pytest.mark.parametrize("breaking", [{5}, {2, 3}])
def test_candidate_that_breaks_a_hard_limit_is_passed_over(rig, breaking):
    """The critic's closest choices hit the ceiling; rest, the second or the third, does not."""
    rig.follow(200, np.array([0.0, 0.0, 0.25, 0.0]))  # up to the ceiling
    with_critic(rig, of_rows(*(0.1 if row in {4} | breaking else 0.9 for row in range(10))))
    decision = rig.tick(np.array([0.0, 0.0, 0.25, 1.0]))
    assert decision.candidate == 4
    assert decision.reason is reasons.CRITIC and not decision.twist_sent.any()


def test_hard_limit_speaks_where_the_critics_choices_all_break_it(rig):
    rig.follow(200, np.array([0.0, 0.0, 0.25, 0.0]))  # up to the ceiling
    with_critic(rig, of_rows(0.9, 0.1, 0.1, 0.1, *[0.9] * 6))
    decision = rig.tick(np.array([0.0, 0.0, 0.25, 0.0]))
    assert (decision.candidate, decision.reason) == (1, reasons.WORKSPACE_LIMIT)


def test_choice_that_the_joints_are_too_slow_for_is_not_taken_whole(rig):
    slow = replace(rig.config, limits=replace(rig.config.limits, velocity=np.full(7, 0.01)))
    start, seen = Start(rig.q, rig.qd, np.zeros(7), Motion(rig.q, rig.qd, 0.0)), at(rig.q, rig.qd)
    hard, slowed = (
        Hard(
            rig.models.rules,
            POURING,
            Surroundings(config, rig.models.tool, None, seen, ()),
            rig.models.scale,
            lambda action: True,
        )
        for config in (rig.config, slow)
    )
    assert whole(start, FORWARD, hard) is not None
    assert whole(start, FORWARD, slowed) is None
    kept = feasible(start, FORWARD, slowed)
    assert kept.reason is reasons.VELOCITY_LIMIT and 0.0 < kept.twist[2] < 0.5 * FORWARD[2]
    assert np.abs(kept.motion.qd).max() <= 0.01 * (1.0 + 1e-9)


def test_retreat_leads_from_the_target_to_the_lip(rig):
    """The critic accepts only the retreat, and the cup stands to the right of the lip."""
    with_critic(rig, of_rows(*(0.1 if row == 8 else 0.9 for row in range(10))))
    target = rig.models.tool.pose(rig.q).position - [0.0, 0.2, 0.1]
    seen = resensed(rig.inputs().measurement, target_position=target)
    decision = rig.tick(FORWARD, measurement=seen)
    assert decision.candidate == 8
    assert decision.twist_sent[1] == pytest.approx(0.125, abs=1e-3)


def test_margin_of_tracking_is_what_is_left_of_it(rig):
    rig.follow(30, np.zeros(4))
    off = replace(rig.inputs().measurement, joint_position=rig.q + 0.02 * np.eye(7)[2])
    assert rig.tick(np.zeros(4), measurement=off).margins["tracking"] == pytest.approx(0.03, abs=1e-3)
