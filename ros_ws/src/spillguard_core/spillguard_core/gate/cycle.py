"""Start of one decision: its inputs, and how far the arm has moved along the previous decision's path."""

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from spillguard_core.gate import reasons
from spillguard_core.gate.decision import (
    Decision,
    GateConfig,
    Inputs,
    Measurement,
    Mode,
    Proposal,
    Stillness,
    Suspension,
)
from spillguard_core.gate.plausible import joint_state_doubt
from spillguard_core.gate.proposals import proposal_fault
from spillguard_core.gate.stillness import observed
from spillguard_core.gate.trajectory import state_at
from spillguard_core.robot.arm import Vec, joint_differences

ON_TIME = 1e-6  # [s]; a joint moves at most 2e-6 rad in this time


class Cycle(NamedTuple):
    """Inputs of one decision, with what follows from them and from the previous decision."""

    inputs: Inputs
    last: Decision
    config: GateConfig
    stamp: float  # [s] newest stamp of the joint state
    advanced: float  # [s] steady time at which it was first seen
    elapsed: float  # [s] since the last decision was made
    q: Vec  # (J,) [rad] present position on the last decision's path
    qd: Vec  # (J,) [rad/s]
    strayed: Vec  # (J,) [rad] measured minus commanded, beyond the normal tracking lag; zero if unknown
    tracking_error: float  # [rad]; NaN without a command or a usable state
    off_track: int  # consecutive decisions with too large a tracking error
    wanted: Proposal | None  # the policy's, or the teleoperator's while it drives
    suspension: Suspension | None  # of the critic
    stillness: Stillness
    spoken: float  # [s] steady time at which the policy last said something of use; NaN: never
    doubt: str  # what is wrong with the measured joint positions and velocities; empty if nothing


def elapsed(last: Decision, now: float, config: GateConfig) -> float:
    """Time [s] since the last decision; one period if there was none or the time is invalid."""
    gap = now - last.decided
    return config.period if not gap >= 0.0 or abs(gap - config.period) <= ON_TIME else gap


def begin(inputs: Inputs, last: Decision, config: GateConfig) -> Cycle:
    """Advance clocks and counters to this decision, which may come early or late."""
    gap = elapsed(last, inputs.now, config)
    q, qd = state_at(last, gap, last.coast, config) if last.anchored else (last.q, last.qd)
    stamp, advanced = last.state_stamp, last.state_advanced
    # A stamp that repeats or goes back is not a new state. While stopped, any change counts as new, so that a
    # driver whose clock was set back can be used again after a reset; in shadow nobody resets.
    stopped = last.mode is Mode.STOPPED
    if math.isfinite(inputs.state_stamp) and (
        inputs.state_stamp != stamp if stopped or config.shadow else inputs.state_stamp > stamp
    ):
        stamp, advanced = inputs.state_stamp, inputs.now
    seen = inputs.measurement
    doubt = "" if seen is None else joint_state_doubt(seen.joint_position, seen.joint_velocity, config.limits)
    usable = seen is not None and not doubt
    if config.shadow:
        last, (q, qd) = (
            replace(last, mode=Mode.SHADOW, anchored=False),
            _looked_on(seen, usable, last, config),
        )
    strayed = _strayed(seen, q, qd, config) if seen is not None and usable and last.anchored else None
    error = math.nan if strayed is None else max(map(abs, strayed.tolist()))
    off_track = 0 if stopped or config.shadow or error <= config.max_tracking_error else last.off_track + 1
    return Cycle(
        inputs, last, config, stamp, advanced, gap, q, qd, np.zeros_like(q) if strayed is None else strayed,
        error, off_track, inputs.proposal, None,
        observed(inputs, last.stillness, advanced, gap, config, usable), _spoken(inputs, last, config), doubt,
    )  # fmt: skip


def _looked_on(seen: Measurement | None, usable: bool, last: Decision, config: GateConfig) -> tuple[Vec, Vec]:
    """Where a gate begins that follows none of its own decisions: position and velocity (J,) as measured."""
    if seen is None or not usable:
        return last.q, np.zeros_like(last.qd)
    return np.clip(
        seen.joint_position, config.limits.position_min, config.limits.position_max
    ), seen.joint_velocity


def _spoken(inputs: Inputs, last: Decision, config: GateConfig) -> float:
    """[s] steady time at which the policy last said something of use."""
    fault, _ = proposal_fault(inputs, len(last.twist_sent), config)
    return inputs.now if fault is reasons.OK else last.spoken


def _strayed(measurement: Measurement, q: Vec, qd: Vec, config: GateConfig) -> Vec:
    """Deviation (J,) [rad] of each joint from its command, continuous joints wrapped.

    A healthy arm lags its command by up to `tracking_lag` seconds, so that part is not an error.
    """
    ahead = joint_differences(measurement.joint_position, q, config.limits.turn)
    trails = (config.tracking_lag * qd).tolist()
    beyond = [gap + min(max(-gap, min(trail, 0.0)), max(trail, 0.0))
              for gap, trail in zip(ahead, trails, strict=True)]  # fmt: skip
    return np.array(beyond)
