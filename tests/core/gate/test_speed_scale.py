"""`speed_scale`: the whole motion at a share of its speed, along the same path, and full braking."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.pouring.gen3 import GEN3_LIMITS
from spillguard_core.bundle.certificate import UNCALIBRATED, at_speed
from spillguard_core.gate import reasons
from spillguard_core.gate.decision import Request
from spillguard_core.gate.interpolator import trajectory_fault
from spillguard_core.gate.trajectory import braking_trajectory
from spillguard_core.tasks.pouring.action import ACTION_SCALE
from spillguard_core.tasks.pouring.zone import TILT_LIMIT
from tests.core.conftest import CONFIG, FORWARD, KINEMATICS, Rig, models
from tests.data.make_gate_decisions import EPISODES, Adversity, configured, policy_says, shipped

SHARES = st.floats(0.01, 1.0)
ENTRIES = st.lists(st.floats(-1.5, 1.5), min_size=4, max_size=4).map(
    lambda each: np.array(each) * ACTION_SCALE
)


def at_share(share: float, **changed) -> Rig:
    return Rig(config=replace(CONFIG, speed_scale=share), **changed)


@settings(max_examples=60, deadline=None)
@given(SHARES, st.lists(ENTRIES, min_size=1, max_size=4), st.booleans())
def test_no_commanded_joint_is_faster_than_its_share(share, twists, teleop):
    rig = at_share(share)
    rig.tick(None, Request.RESET)
    rig.tick(twists[0], Request.RESUME)
    limit = share * GEN3_LIMITS.velocity * (1.0 + 1e-9)
    for twist in twists:
        for _ in range(12):
            more = {"teleop": replace(rig.inputs(twist).proposal, received=rig.now + 0.01)} if teleop else {}
            decision = rig.tick(twist, **more)
            assert (np.abs(decision.qd) <= limit).all()
            assert (np.abs(braking_trajectory(decision, rig.config).velocities) <= limit).all()
            assert (np.abs(decision.twist_sent) <= share * ACTION_SCALE * (1.0 + 1e-9)).all()


@settings(max_examples=60, deadline=None)
@given(SHARES, ENTRIES)
def test_where_no_limit_acts_the_twist_keeps_its_direction_and_has_its_share(share, twist):
    rig = at_share(share)
    made = rig.follow(30, 0.2 * twist)  # 0.3 s: every joint has reached what it was led towards
    if rig.decision.reason is not reasons.OK:
        return
    np.testing.assert_allclose(made.twist_sent, share * (0.2 * twist), rtol=1e-12)
    # The same joint motion, slower: not the tool's path alone, but that of every joint.
    full = KINEMATICS.joint_velocity(made.start_q, 0.2 * twist)
    np.testing.assert_allclose(made.qd, share * full, atol=1e-12)
    asked, done = KINEMATICS.lip_twist(made.start_q, full), KINEMATICS.lip_twist(made.start_q, made.qd)
    np.testing.assert_allclose(done, share * asked, atol=1e-12)


def test_a_slow_arm_goes_the_same_way_in_ten_times_the_time():
    begun = KINEMATICS.pose(Rig().q).position
    full, slow = Rig(), at_share(0.1)
    assert full.follow(60).reason is slow.follow(600).reason is reasons.OK
    gone, slowly = (KINEMATICS.pose(rig.q).position - begun for rig in (full, slow))
    # A little further and straighter: it has its speed at once, the fast one needs 20 ms.
    assert np.linalg.norm(slowly) == pytest.approx(np.linalg.norm(gone), rel=0.1)
    np.testing.assert_allclose(slowly / np.linalg.norm(slowly), gone / np.linalg.norm(gone), atol=5e-3)
    share = np.linalg.norm(slowly) / np.linalg.norm(gone)
    np.testing.assert_allclose(slow.q - Rig().q, share * (full.q - Rig().q), atol=5e-3)


def test_braking_keeps_its_full_acceleration():
    slow = at_share(0.1)
    moving = slow.follow(40)
    held = slow.tick(FORWARD, Request.HOLD)
    change = np.abs(held.qd - moving.qd)
    needed = max(np.abs(moving.qd) / CONFIG.limits.acceleration)
    if needed > CONFIG.period:
        assert max(change / CONFIG.limits.acceleration) == pytest.approx(CONFIG.period)
    else:
        assert not held.qd.any()


def test_the_fallback_is_slow_too():
    """What the critic and the task put in the place of a proposal: retreat and tilting back."""
    fast = np.array([0.25, 0.0, 0.0, 1.2])
    rig = at_share(0.1, models=models(lambda obs, action: np.where(action[:, 3] < 0.0, 0.0, 1.0)))
    rig.tick(None, Request.RESET)
    rig.tick(fast, Request.RESUME)
    limit = 0.1 * ACTION_SCALE * (1.0 + 1e-9)
    for _ in range(40):
        decision = rig.tick(fast)
        assert (np.abs(decision.twist_sent) <= limit).all()
        assert (np.abs(decision.qd) <= 0.1 * GEN3_LIMITS.velocity * (1.0 + 1e-9)).all()


def test_the_critic_is_asked_about_what_is_really_done():
    """In the units of its training: a tenth of the speed is a tenth of the action."""
    asked = []

    def critic(obs, action):
        asked.append(action[0].copy())
        return np.zeros(len(obs), dtype=np.float32)

    rig = at_share(0.1, models=models(critic))
    rig.tick(None, Request.RESET)
    rig.tick(ACTION_SCALE * 0.5, Request.RESUME)
    np.testing.assert_allclose(asked[-1], np.full(4, 0.05), rtol=1e-6)


def test_full_speed_is_the_default_and_changes_no_bit():
    one, other = Rig(), at_share(1.0)
    a, b = one.follow(30), other.follow(30)
    np.testing.assert_array_equal(a.qd, b.qd)
    assert a.twist_sent is FORWARD and b.twist_sent is FORWARD


@pytest.mark.parametrize("share", [0.0, -0.1, 0.009, 1.001, 2.0, float("nan"), float("inf")])
def test_it_can_only_slow(share):
    with pytest.raises(ValueError, match="speed_scale must be in"):
        replace(CONFIG, speed_scale=share)


def test_nothing_is_promised_of_a_slower_arm():
    said = at_speed("broken rule in at most 3 %", 0.1)
    assert said.startswith(UNCALIBRATED)
    assert "made at full speed, here the arm moves at 10 % of it" in said
    assert at_speed("broken rule in at most 3 %", 1.0) == "broken rule in at most 3 %"


def test_what_a_slowed_gate_sends_the_slowed_streamer_takes_and_nothing_faster():
    """Both are slowed by the same parameter: what joins a late trajectory is slow, too."""
    limits = replace(GEN3_LIMITS, velocity=0.1 * GEN3_LIMITS.velocity)
    slow, full = at_share(0.1), Rig()
    slow.tick(None, Request.RESET)
    slow.tick(FORWARD, Request.RESUME)
    for _ in range(60):
        decision = slow.tick(10.0 * FORWARD)  # its velocity limits act
        assert trajectory_fault(braking_trajectory(decision, slow.config), limits) == ""
    too_fast = braking_trajectory(full.follow(60, 2.0 * FORWARD), full.config)
    assert trajectory_fault(too_fast, limits) == "it is faster than the velocity limits"


@pytest.mark.parametrize("share", [0.02, 0.1, 0.6])
def test_nothing_that_befalls_a_slowed_gate_makes_it_faster(share):
    """Obstacles, critic, joint limits, teleoperators, faults and late decisions: the stream of adversity."""
    bundle = shipped()
    config = replace(configured(bundle), speed_scale=share)
    gate = bundle.models(config)
    limit = share * config.limits.velocity * (1.0 + 1e-9)
    seen = set()
    for number in range(EPISODES):
        for decision in Adversity(gate, config, policy_says(bundle, gate), number).decisions():
            seen.add(decision.reason.name)
            assert (np.abs(decision.qd) <= limit).all()
            assert (np.abs(decision.twist_sent) <= share * gate.scale * (1.0 + 1e-9)).all()
    assert {"OK", "TWIST_LIMIT", "COLLISION", "TELEOP_SILENT", "STATE_STALE", "TRACKING_ERROR"} <= seen


ROOM = 0.01  # [m, rad]


@pytest.mark.parametrize(
    ("twist", "reason", "near"),
    [
        (FORWARD, reasons.WORKSPACE_LIMIT, lambda q: {"limits": _walled(q)}),
        (np.array([0.0, 0.0, 0.0, 1.2]), TILT_LIMIT, lambda q: {"settings": {"free_tilt": ROOM}}),
        (FORWARD, reasons.POSITION_LIMIT, lambda q: {"limits": _stopped(q)}),
    ],
    ids=["wall", "tilt", "joint"],
)
def test_a_slowed_gate_stops_before_a_limit_and_its_ways_out_are_slow(twist, reason, near):
    rig = at_share(0.1)
    rig.config = replace(rig.config, **near(rig.q))
    rig.tick(None, Request.RESET)
    rig.tick(twist, Request.RESUME)
    seen = set()
    for _ in range(300):
        decision = rig.tick(twist)
        seen.add(decision.reason)
        assert decision.margins["workspace"] >= -1e-6 and decision.margins["tilt"] >= -1e-6
        assert (np.abs(decision.qd) <= 0.1 * GEN3_LIMITS.velocity * (1.0 + 1e-9)).all()
        assert (np.abs(decision.twist_sent) <= 0.1 * ACTION_SCALE * (1.0 + 1e-9)).all()
    assert seen == {reasons.OK, reason}


def test_a_cup_that_leans_too_far_is_turned_back_at_its_share():
    """The task's rule names its way out at full speed."""
    rig = at_share(0.1)
    rig.follow(100, np.array([0.0, 0.0, 0.0, 1.2]))
    leans = KINEMATICS.pose(rig.q).tilt
    rig.config = replace(rig.config, settings={"free_tilt": 0.5 * leans})
    decision = rig.run(20, FORWARD)
    assert decision.reason is TILT_LIMIT
    assert -0.12 * (1.0 + 1e-9) <= decision.twist_sent[3] < -0.1
    assert (np.abs(decision.qd) <= 0.1 * GEN3_LIMITS.velocity * (1.0 + 1e-9)).all()
    assert KINEMATICS.pose(rig.q).tilt < leans


def _walled(q):
    place = KINEMATICS.pose(q).position
    return replace(GEN3_LIMITS, workspace_min=place - 0.5, workspace_max=place + ROOM)


def _stopped(q):
    return replace(GEN3_LIMITS, position_min=q - 5.0 * ROOM, position_max=q + 5.0 * ROOM)
