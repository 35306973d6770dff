"""A rig that drives the gate with an ideal arm and a clock moved by hand."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import mujoco
import numpy as np
import pytest

from sim.cell_model import guard_model_xml
from spillguard_core.arm import GEN3_LIMITS, Vec
from spillguard_core.decision import Decision, GateConfig, Inputs, Proposal, Request
from spillguard_core.fallback import Critic
from spillguard_core.gate import Models, decide, initial_decision
from spillguard_core.kinematics import NOMINAL_POSTURE, ArmKinematics
from spillguard_core.observation import POUR_TERMS, Measurement
from spillguard_core.trajectory import Trajectory, braking_trajectory, sample

PERIOD = 0.01
CONFIG = GateConfig(
    limits=GEN3_LIMITS, period=PERIOD, command_timeout=0.1, teleop_timeout=0.2, state_timeout=0.05,
    sensor_timeout=0.2, position_tolerance=0.01, max_tracking_error=0.05, tracking_cycles=3,
    tracking_lag=0.05, settle_time=1.0, still_speed=0.02, coast_time=0.02, clearance=0.01,
    critic_threshold=0.5, critic_release=0.9, free_tilt=0.9, max_suspension=60.0,
)  # fmt: skip
KINEMATICS = ArmKinematics(mujoco.MjModel.from_xml_string(guard_model_xml()))
FORWARD = np.array([0.0, 0.0, 0.1, 0.0])
MASS, TARGET = 0.1, np.array([0.6, 0.0, 0.12])


def calm(obs: Any, action: Any) -> Any:
    """A critic that finds nothing dangerous."""
    del action
    return np.zeros(len(obs), dtype=np.float32)


def models(critic: Critic = calm) -> Models:
    return Models(KINEMATICS, critic, POUR_TERMS, None)


def at(q: Vec, qd: Vec, **sensors: Any) -> Measurement:
    values: dict[str, Any] = {"poured_mass": 0.0, "remaining_mass": MASS, "target_position": TARGET}
    return Measurement(q, qd, **(values | sensors))


@dataclass
class Rig:
    """Ticks the gate. The arm does exactly what it was last told, as the joint trajectory controller does."""

    config: GateConfig = CONFIG
    models: Models = field(default_factory=models)
    now: float = 100.0
    q: Vec = field(default_factory=NOMINAL_POSTURE.copy)
    qd: Vec = field(default_factory=lambda: np.zeros(7))
    decision: Decision = field(default_factory=initial_decision)
    last_inputs: Inputs | None = None  # of that decision
    told: Trajectory | None = None
    told_at: tuple[float, Vec, Vec] = (0.0, NOMINAL_POSTURE, np.zeros(7))

    def inputs(self, twist: Vec | None = None, *requests: Request, **changed: Any) -> Inputs:
        """Healthy inputs at `now`, then `changed`."""
        stamp = self.now - 3.0  # the driver's clock is another one
        proposal = None if twist is None else Proposal(twist, self.now, stamp)
        healthy = Inputs(self.now, at(self.q, self.qd), self.now, stamp, self.now, proposal, requests)
        return replace(healthy, **changed)

    def tick(self, twist: Vec | None = None, *requests: Request, **changed: Any) -> Decision:
        """One period: the arm moves on, then the gate decides."""
        self.now += self.config.period
        self.move()
        self.last_inputs = self.inputs(twist, *requests, **changed)
        self.decision = decide(self.last_inputs, self.decision, self.config, self.models)
        if self.decision.send:
            self.told = braking_trajectory(self.decision, self.config)
            self.told_at = (self.now, self.q, self.qd)
        return self.decision

    def move(self) -> None:
        if self.told is not None:
            start, q, qd = self.told_at
            self.q, self.qd = sample(self.told, self.now - start, q, qd)

    def run(self, ticks: int, twist: Vec | None = None, **changed: Any) -> Decision:
        for _ in range(ticks):
            self.tick(twist, **changed)
        return self.decision

    def follow(self, ticks: int = 20, twist: Vec = FORWARD) -> Decision:
        """Reset, resume, and follow `twist`."""
        self.tick(None, Request.RESET)
        self.tick(twist, Request.RESUME)
        return self.run(ticks - 1, twist)


@pytest.fixture
def rig() -> Rig:
    return Rig()


@pytest.fixture
def make_rig() -> Callable[..., Rig]:
    return Rig
