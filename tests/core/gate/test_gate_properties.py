"""For any sequence of inputs: finite, within the limits, continuous, and at rest after silence."""

from dataclasses import replace

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim.pouring.gen3 import GEN3_LIMITS, NOMINAL_POSTURE
from spillguard_core.gate.decision import Request
from spillguard_core.gate.trajectory import braking_trajectory, sample
from tests.core.conftest import resensed

NUMBER = st.floats(-3.0, 3.0) | st.sampled_from([np.nan, np.inf, 1e300, -1e-300])
TWIST = st.lists(NUMBER, min_size=4, max_size=4).map(np.array)
REQUESTS = st.lists(st.sampled_from(Request), max_size=3).map(tuple)
FAULT = st.sampled_from(["none"] * 6 + ["silent", "frozen", "spoiled", "blind", "shifted", "no state"])
SEGMENT = st.tuples(st.integers(1, 40), TWIST | st.none(), REQUESTS, FAULT, st.floats(0.0, 1.0))
THOROUGH = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
SLACK = 1.0 + 1e-9
NARROW = replace(
    GEN3_LIMITS,
    position_min=NOMINAL_POSTURE - 0.2,
    position_max=NOMINAL_POSTURE + 0.2,
    velocity=np.full(7, 0.4),
    acceleration=np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]),
)
LIMITS = st.sampled_from([GEN3_LIMITS, NARROW])


def changed(rig, fault, strength):
    """Applies a fault to valid inputs."""
    healthy = rig.inputs()
    q = healthy.measurement.joint_position
    match fault:
        case "silent":
            return {"state_received": rig.now - 0.2 * strength}
        case "frozen":
            return {"state_stamp": 1.0}
        case "spoiled":
            return {"measurement": replace(healthy.measurement, joint_velocity=np.full(7, np.nan))}
        case "blind":
            return {"measurement": resensed(healthy.measurement, poured_mass=np.nan)}
        case "shifted":
            return {"measurement": replace(healthy.measurement, joint_position=q + 0.2 * strength)}
        case "no state":
            return {"measurement": None}
    return {}


def check_step(limits, before, decision):
    """The command continues from the previous one within the velocity and acceleration limits."""
    period = 0.01
    assert (np.abs(decision.qd - before.qd) <= limits.acceleration * period * SLACK).all()
    assert (np.abs(decision.q - before.q) <= limits.velocity * period * SLACK).all()


def check_command(rig, decision):
    assert np.isfinite(decision.q).all() and np.isfinite(decision.qd).all()
    assert np.isfinite(decision.twist_sent).all()
    limits = rig.config.limits
    assert (np.abs(decision.qd) <= limits.velocity * SLACK).all()
    trajectory = braking_trajectory(decision, rig.config)
    assert (np.diff(trajectory.times) > 0.0).all() and trajectory.times[0] == 0.0
    assert not trajectory.velocities[-1].any()
    for positions in trajectory.positions:
        assert (positions >= limits.position_min - 1e-9).all()
        assert (positions <= limits.position_max + 1e-9).all()


@given(LIMITS, st.lists(SEGMENT, min_size=1, max_size=6))
@THOROUGH
def test_any_input_sequence_stays_inside_every_limit(make_rig, limits, segments):
    rig = make_rig()
    rig.config = replace(rig.config, limits=limits)
    rig.follow(5)
    for ticks, twist, requests, fault, strength in segments:
        for tick in range(ticks):
            before = rig.decision
            decision = rig.tick(twist, *(requests if tick == 0 else ()), **changed(rig, fault, strength))
            if decision.send:
                check_command(rig, decision)
                if before.anchored:
                    check_step(limits, before, decision)


@given(st.lists(st.tuples(TWIST, st.integers(5, 60)), min_size=1, max_size=5))
@THOROUGH
def test_silence_at_any_moment_brings_the_arm_to_rest_inside_the_workspace(make_rig, moves):
    rig = make_rig()
    rig.follow(5)
    for twist, ticks in moves:
        rig.run(ticks, twist)
        start, q, qd = rig.told_at
        for t in np.linspace(0.0, 0.5, 26):
            there, speed = sample(rig.told, rig.now - start + t, q, qd)
            lip = rig.models.tool.pose(there).position
            assert (lip >= GEN3_LIMITS.workspace_min - 2e-3).all()
            assert (lip <= GEN3_LIMITS.workspace_max + 2e-3).all()
        assert not speed.any()
