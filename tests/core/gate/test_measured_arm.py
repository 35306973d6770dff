"""The gate checks the measured arm, pair by pair, and judges rest over a window."""

from dataclasses import replace

import numpy as np
import pytest

from sim.pouring.cell_model import RIM_HEIGHT
from sim.pouring.gen3 import JOINT_NAMES, NOMINAL_POSTURE
from spillguard_core.gate import gate, reasons
from spillguard_core.gate.arm_rules import ARM_RULES
from spillguard_core.gate.decision import Mode, Request
from spillguard_core.gate.limits import broken
from spillguard_core.gate.reasons import Verdict
from spillguard_core.gate.refusal import refusal
from spillguard_core.gate.rule import Motion, Pairs, Parts, Surroundings, Way
from spillguard_core.robot.world import Near, World
from spillguard_core.tasks.pouring import TASK as POURING
from spillguard_core.tasks.pouring.zone import TILT_LIMIT
from tests.core.conftest import KINEMATICS, resensed

ASIDE = np.array([0.6, 0.2, RIM_HEIGHT])
DOWN, FORWARD = np.array([0.0, 0.0, -0.25, 0.0]), np.array([0.1, 0.0, 0.0, 0.0])
TABLE = "table_top"
RULES = (*ARM_RULES, *POURING.rules)


def over_table(model, q):
    """Smallest distance [m] of anything on the arm to the table, by MuJoCo's own margin."""
    near = World(model, 0.1, JOINT_NAMES, POURING.placed).near([q], [np.array([5.0, 5.0, RIM_HEIGHT])]).close
    table = model.geom(TABLE).id
    return min((gap for pair, gap in near.items() if table in pair), default=np.inf)


def overlapping(rig, depth):
    """A target (3,) with a penetration of `depth` [m] into the arm at the nominal posture."""
    start = rig.models.tool.pose(rig.q).position
    for away in np.arange(0.15, 0.0, -0.001):
        target = np.array([start[0] + away, start[1] + 0.035, RIM_HEIGHT])
        if rig.models.world.depth(rig.q, [target]) >= depth:
            return target
    raise AssertionError("there is none")


def lowered(rig, height):
    """Move the lip down to a height [m] without telling the gate."""
    while rig.models.tool.pose(rig.q).position[2] > height:
        rig.q = rig.q + 0.01 * rig.models.tool.joint_velocity(rig.q, DOWN)
    rig.run(31)


MET, BROKEN, WORSE = (np.array(values) for values in ([0.1, 0.1], [-0.02, 0.1], [-0.03, 0.1]))
OTHER = np.array([-0.01, -0.01])  # one part is better than before, the other is broken now


def at_wall(position=MET, workspace=MET, tilt=MET, **gaps):
    """The margins; gaps [m] of geom pairs."""
    pairs = {(ord(name), ord(name)): gap for name, gap in gaps.items()}
    near = Near(min(gaps.values(), default=1.0), pairs)
    return Parts(position), Parts(workspace), Pairs(near, 0.008), Parts(tilt)


@pytest.mark.parametrize(
    ("now", "got", "reason"),
    [
        (at_wall(a=-0.02), at_wall(a=-0.02), reasons.OK),
        (at_wall(a=-0.02), at_wall(a=-0.01), reasons.OK),
        (at_wall(a=-0.02), at_wall(a=-0.021), reasons.COLLISION),
        (at_wall(a=-0.02), at_wall(a=-0.01, b=0.007), reasons.COLLISION),
        (at_wall(a=-0.02, b=0.007), at_wall(a=-0.02, b=0.007), reasons.OK),
        (at_wall(), at_wall(a=0.008), reasons.OK),
        (at_wall(a=np.nan), at_wall(a=np.nan), reasons.COLLISION),
        *[(at_wall(**{kind: BROKEN}), at_wall(**{kind: value}), result)
          for kind, reason in (("position", reasons.POSITION_LIMIT), ("workspace", reasons.WORKSPACE_LIMIT),
                               ("tilt", TILT_LIMIT))
          for value, result in ((BROKEN, reasons.OK), (WORSE, reason), (OTHER, reason),
                                (np.array([np.nan, 0.1]), reason))],
    ],
)  # fmt: skip
def test_what_is_broken_already_hides_nothing_else(now, got, reason):
    number = broken(got, now, RULES)
    assert (reasons.OK if number is None else RULES[number].reason) is reason


def test_a_joint_beyond_its_limit_leaves_the_others_theirs(rig):
    """One joint is 9 mrad beyond its end stop; the others are still limited by theirs."""
    stop = rig.q + 0.05
    stop[1] = rig.q[1] - 0.009
    rig.config = replace(
        rig.config, limits=replace(rig.config.limits, position_max=stop, position_min=rig.q - 0.05)
    )
    for twist in (DOWN, -DOWN, FORWARD, -FORWARD):
        rig.follow(120, twist)
        assert (rig.q >= rig.config.limits.position_min - 1e-6).all()
        assert (np.delete(rig.q, 1) <= np.delete(stop, 1) + 1e-6).all()


def test_a_target_reported_at_the_held_cup_does_not_open_the_way_to_the_table(guarded, model):
    lowered(guarded, 0.13)
    target, leaving = overlapping(guarded, 0.009), np.array([-0.01, 0.0, -0.25, 0.0])
    seen = lambda: resensed(guarded.inputs().measurement, target_position=target)  # noqa: E731
    guarded.tick(None, Request.RESET, measurement=seen())
    guarded.tick(leaving, Request.RESUME, measurement=seen())
    for _ in range(200):
        assert guarded.tick(leaving, measurement=seen()).mode is Mode.FOLLOWING
        assert over_table(model, guarded.q) >= guarded.config.clearance - 1e-3


@pytest.mark.parametrize("place", ["in the arm", "outside the room", "behind the wall"])
def test_a_target_where_none_can_be_holds_and_says_where(guarded, place):
    lowered(guarded, 0.15)
    guarded.config = replace(guarded.config, target_reach=0.1)
    if place != "in the arm":
        box = replace(guarded.config.limits, workspace_min=np.zeros(3), workspace_max=np.ones(3))
        guarded.config = replace(guarded.config, limits=box)
    target = {
        "in the arm": overlapping(guarded, 0.02),
        "outside the room": np.array([0.6, -0.11, RIM_HEIGHT]),
        "behind the wall": np.array([1.11, 0.2, RIM_HEIGHT]),
    }[place]
    seen = lambda place: resensed(guarded.inputs().measurement, target_position=place)  # noqa: E731
    guarded.tick(None, Request.RESET, measurement=seen(ASIDE))
    assert guarded.tick(FORWARD, Request.RESUME, measurement=seen(ASIDE)).verdict < Verdict.HOLD
    decision = guarded.tick(FORWARD, measurement=seen(target))
    assert (decision.verdict, decision.reason) == (Verdict.HOLD, reasons.TARGET_IMPOSSIBLE)
    assert f"at ({target[0]:.3f}, {target[1]:.3f}, 0.120) m" in decision.detail
    assert ("deep in the arm" if place == "in the arm" else "allowed is") in decision.detail
    assert guarded.tick(FORWARD, measurement=seen(ASIDE)).verdict < Verdict.HOLD  # the cup has moved away


@pytest.mark.parametrize("off", [0.045, -0.045])
@pytest.mark.parametrize("joint", [1, 3, 5])
def test_the_measured_arm_keeps_its_distance_too(guarded, model, off, joint):
    """A joint off its command, within the tracking error: both arm and command must clear the table."""
    stray = off * np.eye(7)[joint]
    guarded.follow(2, np.zeros(4))
    for _ in range(400):
        seen = resensed(guarded.inputs().measurement, joint_position=guarded.q + stray, target_position=ASIDE)
        decision = guarded.tick(DOWN, measurement=seen)
    assert decision.reason is reasons.COLLISION
    slack = 1e-3
    assert over_table(model, guarded.q) >= guarded.config.clearance - slack
    assert over_table(model, guarded.q + stray) >= guarded.config.clearance - slack
    assert decision.margins["clearance"] == pytest.approx(0.0, abs=6e-3)


@pytest.mark.parametrize("off", [0.04, -0.04])
def test_the_measured_cup_leans_as_far_as_it_is_measured_to(rig, off):
    """The last joint is off its command: the larger of commanded and measured tilt counts."""
    tilted = rig.q + 0.5 * np.eye(7)[6]
    still, tilt = Motion(tilted, np.zeros(7), 0.0), POURING.rules[0]
    seen = resensed(rig.inputs().measurement, target_position=ASIDE)
    around = Surroundings(rig.config, KINEMATICS, None, seen, (ASIDE,))
    margins = lambda stray: tilt.margin(Way(still, stray * np.eye(7)[6], around)).each  # noqa: E731
    lean = lambda stray: abs(KINEMATICS.pose(tilted + stray * np.eye(7)[6]).tilt)  # noqa: E731
    assert abs(lean(off) - lean(0.0)) == pytest.approx(0.04, abs=1e-3)
    expected = rig.config.settings["free_tilt"] - max(lean(0.0), lean(off))
    np.testing.assert_allclose(margins(off), [expected, expected], atol=1e-9)


def test_an_arm_in_the_table_says_nothing_of_a_target_that_stands_free(guarded):
    while guarded.models.world.near([guarded.q], [ASIDE]).least > -0.02:
        guarded.q = guarded.q + 0.01 * guarded.models.tool.joint_velocity(guarded.q, DOWN)
    assert guarded.models.world.depth(guarded.q, [ASIDE]) == 0.0


def test_what_the_arm_trails_on_its_way_is_no_stray(guarded):
    """A healthy arm lags its command while it moves; that does not reduce the margins."""
    guarded.follow(40, FORWARD)
    trailing = guarded.q - 0.9 * guarded.config.tracking_lag * guarded.qd
    alone = guarded.decision
    decision = guarded.tick(
        FORWARD, measurement=replace(guarded.inputs().measurement, joint_position=trailing)
    )
    assert decision.margins["tracking"] == pytest.approx(guarded.config.max_tracking_error, abs=2e-3)
    assert decision.margins["position"] == pytest.approx(alone.margins["position"], abs=0.01)


def test_reset_is_refused_while_an_arm_brakes_whose_driver_reports_no_speed(rig):
    """If granted, the command would jump by the arm's actual speed."""
    silent = lambda: replace(rig.inputs().measurement, joint_velocity=np.zeros(7))  # noqa: E731
    rig.tick(None, Request.RESET)
    rig.tick(FORWARD, Request.RESUME)
    for _ in range(60):
        rig.tick(np.array([0.25, 0.0, 0.0, 0.0]), measurement=silent())
    rig.tick(None, Request.STOP, measurement=silent())
    granted = []
    while np.abs(rig.qd).max() > 0.05:
        before = rig.decision.qd
        decision = rig.tick(None, Request.RESET, measurement=silent())
        granted.append(decision.mode is not Mode.STOPPED)
        assert (np.abs(decision.qd - before) <= rig.config.limits.acceleration * 0.01 + 1e-9).all()
    assert not any(granted)
    rig.run(60)
    assert rig.tick(None, Request.RESET).mode is Mode.HELD


@pytest.mark.parametrize("seed", range(10))
def test_noise_in_the_velocity_of_a_resting_arm_refuses_no_reset(rig, seed):
    rng = np.random.default_rng(seed)

    def noisy():
        seen = rig.inputs().measurement
        return replace(
            seen, joint_velocity=rng.normal(0.0, 0.05, 7), joint_position=rig.q + rng.normal(0.0, 5e-4, 7)
        )

    for _ in range(60):
        rig.tick(None, measurement=noisy())
    assert refusal(Request.RESET, rig.inputs(measurement=noisy()), rig.decision, rig.config) == ""
    assert rig.tick(None, Request.RESET, measurement=noisy()).mode is Mode.HELD
    for _ in range(300):
        assert rig.tick(None, measurement=noisy()).mode is Mode.HELD  # and it does not count as unsettled


def test_speeds_that_contradict_a_standing_position_are_no_rest(rig):
    """Constant encoder positions while the velocities report motion."""
    for _ in range(60):
        rig.tick(None, measurement=replace(rig.inputs().measurement, joint_velocity=np.full(7, 0.2)))
    assert "seen at rest" in refusal(Request.RESET, rig.inputs(), rig.decision, rig.config)


def test_an_arm_that_was_not_watched_has_not_been_seen_at_rest(rig):
    rig.run(60)
    rig.now += 1.0
    assert "seen at rest" in refusal(Request.RESET, rig.inputs(), rig.tick(), rig.config)
    rig.run(31)
    assert refusal(Request.RESET, rig.inputs(), rig.decision, rig.config) == ""
    rig.run(10, measurement=None)
    rig.tick()
    assert "seen at rest" in refusal(Request.RESET, rig.inputs(), rig.decision, rig.config)


@pytest.mark.parametrize(
    ("reason", "inputs"),
    [
        (reasons.OK, {}),
        (reasons.TWIST_LIMIT, {"twist": np.array([9.0, 0.0, 0.0, 0.0])}),
        (reasons.PROPOSAL_MISSING, {"twist": None}),
        (reasons.SENSOR_STALE, {"sensors_received": 0.0}),
        (reasons.OPERATOR_HOLD, {"requests": (Request.HOLD,)}),
    ],
)
def test_a_reason_without_a_verdict_stops_the_arm_whatever_came_of_it(rig, monkeypatch, reason, inputs):
    """Including one found only after the motion was chosen."""
    rig.follow(40, np.array([0.25, 0.0, 0.0, 0.0]))
    monkeypatch.setattr(reason, "verdict", Verdict.STOP)
    before = rig.decision
    changed = {"requests": (), "twist": FORWARD} | inputs
    decision = rig.tick(changed.pop("twist"), **changed)
    assert (decision.verdict, decision.mode, decision.reason) == (Verdict.STOP, Mode.STOPPED, reason)
    assert (np.abs(decision.qd) < np.abs(before.qd)).all() and decision.coast == 0.0
    rig.run(60, FORWARD)
    assert rig.decision.mode is Mode.STOPPED and not rig.qd.any()


def test_a_start_counts_as_rest_only_after_a_while(make_rig):
    rig = make_rig(decision=gate.initial_decision(7, 4))
    rig.run(20)
    assert "so far 0.1" in refusal(Request.RESET, rig.inputs(), rig.decision, rig.config)
    assert rig.tick(None, Request.RESET).mode is Mode.STOPPED
    rig.run(20)
    np.testing.assert_array_equal(rig.tick(None, Request.RESET).q, NOMINAL_POSTURE)


@pytest.mark.parametrize("ramp", range(1, 12))
@pytest.mark.parametrize("period", [0.01, 0.0099, 0.0101])
def test_a_stopped_arm_that_has_come_to_rest_hears_nothing_more(rig, ramp, period):
    """Including braking over a whole number of periods, where a rounding error remains of the speed."""
    rig.follow(ramp, FORWARD)
    rig.tick(FORWARD, Request.STOP)
    for _ in range(100):
        rig.now += period - rig.config.period
        rig.tick(FORWARD)
    assert not rig.decision.send and not rig.decision.qd.any()


@pytest.mark.parametrize("spoiled", [{"state_received": np.nan}, {"now": np.nan}, {"now": 1e4}])
def test_a_clock_that_was_no_clock_is_no_rest_and_passes(rig, spoiled):
    rig.run(60, **spoiled)
    assert rig.tick(None, Request.RESET).mode is Mode.STOPPED
    rig.run(32)
    assert rig.tick(None, Request.RESET).mode is Mode.HELD
