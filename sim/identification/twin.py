"""An arm that differs from the nominal one, excited behind the gate in simulated time: what identification is
tried on. The controller, the servos and the gate are the classes of the rest of the program, not those of the
fit.
"""

from dataclasses import dataclass

import mujoco
import numpy as np

from sim.identification.arm_model import ARM, arm_model, lead
from sim.identification.motion import ArmMotion
from sim.pouring.arms import SOONEST, DrivenArm
from sim.pouring.cell import FASTEST, POSITION_TOLERANCE, guard_kinematics
from sim.pouring.domain import Domain
from sim.pouring.gen3 import NOMINAL_POSTURE
from sim.pouring.guarded import seen_at_rest
from sim.pouring.sensing import CellSensors
from spillguard_core.gate.decision import GateConfig, Inputs, Measurement, Mode, Proposal, Request
from spillguard_core.gate.gate import Models, decide
from spillguard_core.gate.reasons import OPERATOR_HOLD
from spillguard_core.gate.trajectory import braking_trajectory
from spillguard_core.robot.arm import Vec
from spillguard_core.tasks.pouring.excitation import Excitation

ASIDE = np.array([0.66, -0.25, 0.12])  # [m] where the receiving cup stands, out of the way
AFTER = 0.5  # [s] recorded after the last proposal


@dataclass(frozen=True)
class TorqueSensors:
    """What the joints' torque sensors make of the truth. Assumed: no `Domain` has it, no policy uses it."""

    noise: float = 0.1  # [N m] standard deviation
    zero: tuple[float, ...] = (0.0,) * 7  # [N m]


class BareArm:
    """An arm with an empty cup and nothing to touch, as `DrivenArm` moves a cell."""

    def __init__(self, domain: Domain, seed: int, torque_sensors: TorqueSensors) -> None:
        self.domain, self._model = domain, arm_model(domain)
        self._data = mujoco.MjData(self._model)
        self._lead, self._rng = lead(), np.random.default_rng([seed, 2])
        self._sensors = CellSensors(domain, 0.0, ASIDE, np.random.default_rng(seed))
        self._torque_sensors, self.now = torque_sensors, 0.0
        self.too_fast = False
        self._zero = np.array(domain.encoder_offset)
        self._data.qpos[ARM] = NOMINAL_POSTURE - self._zero
        self.follow(np.tile(NOMINAL_POSTURE, (200, 1)), np.zeros((200, 7)))
        self.now = 0.0

    def follow(self, q: Vec, qd: Vec) -> None:
        """As `PourCell.follow`."""
        for target, speed in zip(q, qd, strict=True):
            self._data.ctrl[ARM] = target + self._lead * speed - self._zero
            mujoco.mj_step(self._model, self._data)
            self.too_fast |= bool((np.abs(self._data.qvel[ARM]) > FASTEST).any())

    def measure(self) -> Measurement:
        """Joint states with their noise; an empty cup."""
        return self._sensors.measure(self._data.qpos[ARM].copy(), self._data.qvel[ARM].copy(), self.now)

    def effort(self) -> Vec:
        """Torques (7,) [N m] as the joints report them."""
        told = self._data.qfrc_actuator[ARM] + self._data.qfrc_gravcomp[ARM]
        noise = self._torque_sensors.noise * self._rng.standard_normal(7)
        return np.asarray(told + noise + np.array(self._torque_sensors.zero))

    @property
    def read_position(self) -> Vec:
        """As `PourCell.read_position`."""
        q: Vec = self.q + self._zero
        return q

    @property
    def q(self) -> Vec:
        """(7,) [rad] the truth."""
        q: Vec = self._data.qpos[ARM]
        return q


@dataclass(frozen=True)
class Excited:
    """What an excitation leaves."""

    motion: ArmMotion
    violations: int  # cycles in which a joint was outside its limits, too fast, or the lip outside its box
    stopped: str  # why the gate stopped for good; empty if it did not
    share: float  # of cycles in which the gate let the proposal through unchanged


def excited(
    domain: Domain, models: Models, config: GateConfig, seed: int, *, seconds: float = np.inf,
    torque_sensors: TorqueSensors | None = None,
) -> Excited:  # fmt: skip
    """One excitation, or its first `seconds`, of this arm behind the gate."""
    arm = BareArm(domain, seed, torque_sensors or TorqueSensors())
    driven = DrivenArm(
        lag=domain.lag, delay=(domain.command_delay, domain.command_delay + domain.command_jitter)
    )
    driven.reset(arm.read_position, seed)
    kinematics, rng = guard_kinematics(), np.random.default_rng([seed, 3])
    seen = arm.measure()
    excitation = Excitation(kinematics.pose(seen.joint_position))
    decision = seen_at_rest(seen, config, models)
    proposal: Proposal | None = None
    under_way: list[tuple[float, Vec, float]] = []
    states, efforts, stamps, paths, latencies = [], [], [], [], []
    asked_for = violations = through = following = 0
    lasts = min(excitation.duration, seconds)
    for tick in range(round((lasts + AFTER) / config.period)):
        now = tick * config.period
        arm.now, seen = now, arm.measure()
        states.append((now, *seen.joint_position, *seen.joint_velocity))
        efforts.append(arm.effort())
        if tick == round(asked_for / domain.policy_rate / config.period) and now < lasts:
            asked_for += 1
            if not rng.random() < domain.dropped:
                pose = kinematics.pose(seen.joint_position)
                due = now + domain.delay + domain.jitter * rng.random()
                under_way.append((due, excitation.twist(now, pose), now))
        for due, twist, measured in [message for message in under_way if message[0] <= now]:
            proposal = Proposal(twist, due, measured)
            latencies.append(due - measured)
        under_way = [message for message in under_way if message[0] > now]
        requests: tuple[Request, ...] = (Request.RESET,) if tick == 0 else ()
        if proposal is not None and decision.reason is OPERATOR_HOLD and tick:
            requests = (Request.RESUME,)
        decision = decide(Inputs(now, seen, now, now, now, proposal, requests), decision, config, models)
        if decision.send:
            stamps.append(max(now, SOONEST))
            paths.append(braking_trajectory(decision, config))
        if decision.mode is Mode.STOPPED and tick > 1:
            break
        following += decision.mode is Mode.FOLLOWING
        through += decision.verdict.name == "PASS" and decision.mode is Mode.FOLLOWING
        driven.follow(arm, decision, config)  # type: ignore[arg-type]
        violations += _outside(arm.q, config) or arm.too_fast
    recorded = np.array(states)
    motion = ArmMotion(
        np.array(stamps), tuple(paths), recorded[:, 0], recorded[:, 1:8], recorded[:, 8:],
        np.array(efforts), np.array(latencies),
    )  # fmt: skip
    stopped = decision.reason.value if decision.mode is Mode.STOPPED else ""
    return Excited(motion, violations, stopped, through / max(following, 1))


def _outside(q: Vec, config: GateConfig) -> bool:
    limits, lip = config.limits, guard_kinematics().pose(q).position
    inside = (q >= limits.position_min - POSITION_TOLERANCE) & (q <= limits.position_max + POSITION_TOLERANCE)
    boxed = (lip >= limits.workspace_min - POSITION_TOLERANCE) & (
        lip <= limits.workspace_max + POSITION_TOLERANCE
    )
    return not (inside.all() and boxed.all())
