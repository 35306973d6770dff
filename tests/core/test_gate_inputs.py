"""No bad number, in any input, ever reaches the arm."""

from dataclasses import replace

import numpy as np
import pytest

from spillguard_core.decision import GateConfig, Proposal, Reason, Verdict

FORWARD = np.array([0.0, 0.0, 0.1, 0.0])
BAD = [np.nan, np.inf, -np.inf]
SENSED = ["joint_position", "joint_velocity", "target_position", "poured_mass", "remaining_mass"]
CLOCKS = ["now", "state_received", "state_stamp", "sensors_received"]


def check_rests(rig, decision):
    """The verdict is at least HOLD, the command finite, and the arm slower than before or at rest."""
    assert decision.verdict >= Verdict.HOLD
    assert np.isfinite(decision.q).all() and np.isfinite(decision.qd).all()
    assert np.abs(decision.qd).max() < np.abs(rig.qd).max()
    assert not decision.twist_sent.any()


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("name", SENSED)
def test_bad_number_in_a_measurement_brakes_the_arm(rig, name, bad):
    rig.follow()
    value = getattr(rig.inputs().measurement, name)
    spoiled = bad if np.isscalar(value) else np.where(np.arange(len(value)) == 0, bad, value)
    seen = replace(rig.inputs().measurement, **{name: spoiled})
    check_rests(rig, rig.tick(FORWARD, measurement=seen))


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("name", CLOCKS)
def test_bad_number_in_a_clock_brakes_the_arm(rig, name, bad):
    rig.follow()
    check_rests(rig, rig.tick(FORWARD, **{name: bad}))


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("name", ["received", "stamp"])
def test_bad_number_in_the_proposals_clock_brakes_the_arm(rig, name, bad):
    rig.follow()
    proposal = replace(rig.inputs(FORWARD).proposal, **{name: bad})
    check_rests(rig, rig.tick(None, proposal=proposal))


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("entry", range(4))
def test_bad_number_in_the_twist_brakes_the_arm(rig, entry, bad):
    rig.follow()
    twist = FORWARD.copy()
    twist[entry] = bad
    decision = rig.tick(twist)
    check_rests(rig, decision)
    assert decision.reason is Reason.PROPOSAL_INVALID


@pytest.mark.parametrize("twist", [np.zeros(0), np.zeros(3), np.zeros(5), np.zeros((1, 4))])
def test_twist_of_another_shape_brakes_the_arm(rig, twist):
    rig.follow()
    check_rests(rig, rig.tick(twist))


@pytest.mark.parametrize("joints", [0, 6, 8])
def test_joint_state_of_another_length_stops(rig, joints):
    rig.follow()
    seen = replace(rig.inputs().measurement, joint_position=np.zeros(joints))
    decision = rig.tick(FORWARD, measurement=seen)
    check_rests(rig, decision)
    assert decision.reason is Reason.STATE_INVALID


def test_proposal_from_the_future_holds(rig):
    rig.follow()
    proposal = Proposal(FORWARD, rig.now + 1.0, rig.inputs().state_stamp)
    assert rig.tick(None, proposal=proposal).reason is Reason.PROPOSAL_STALE


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0, -1.0])
@pytest.mark.parametrize(
    "name", ["period", "command_timeout", "teleop_timeout", "state_timeout", "sensor_timeout",
             "max_tracking_error", "settle_time", "still_speed"],
)  # fmt: skip
def test_senseless_setting_is_refused(rig, name, bad):
    with pytest.raises(ValueError, match=name):
        replace(rig.config, **{name: bad})


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
def test_senseless_longest_suspension_is_refused(rig, bad):
    with pytest.raises(ValueError, match="max_suspension"):
        replace(rig.config, max_suspension=bad)


def test_teleop_timeout_below_the_period_is_refused(rig):
    with pytest.raises(ValueError, match=r"teleop_timeout 0.001 s .* must not be shorter than the period"):
        replace(rig.config, teleop_timeout=0.001)


@pytest.mark.parametrize("bad", [np.nan, -0.1, 1.1])
def test_senseless_threshold_is_refused(rig, bad):
    with pytest.raises(ValueError, match="critic_threshold"):
        replace(rig.config, critic_threshold=bad)


def test_no_setting_has_a_default():
    with pytest.raises(TypeError, match="required"):
        GateConfig()
