"""A rig that drives the gate with an ideal arm and a manual clock."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import mujoco
import numpy as np
import pytest

from sim.pouring.cell_model import guard_model_xml
from sim.pouring.gen3 import GEN3, GEN3_LIMITS, JOINT_NAMES, NOMINAL_POSTURE
from spillguard_core.gate.decision import (
    Decision,
    GateConfig,
    Inputs,
    Measurement,
    Proposal,
    Request,
    Stillness,
)
from spillguard_core.gate.gate import Models, decide, initial_decision
from spillguard_core.gate.screening import Critic
from spillguard_core.gate.trajectory import Trajectory, braking_trajectory, sample
from spillguard_core.robot.arm import Vec
from spillguard_core.robot.world import World
from spillguard_core.tasks.pouring import TASK as POURING
from spillguard_core.tasks.pouring.action import ACTION_SCALE
from spillguard_core.tasks.pouring.lip import LipKinematics
from spillguard_core.tasks.pouring.observation import POUR_TERMS, measured

PERIOD = 0.01
CONFIG = GateConfig(
    limits=GEN3_LIMITS, period=PERIOD, command_timeout=0.1, answer_timeout=0.1, policy_timeout=1.0,
    teleop_timeout=0.2, state_timeout=0.05, sensor_timeout=0.2, position_tolerance=0.01,
    max_tracking_error=0.05, tracking_cycles=3, tracking_lag=0.05, settle_time=1.0, still_speed=0.02,
    still_time=0.3, coast_time=0.02, clearance=0.01, target_tolerance=0.0, target_height_tolerance=0.0,
    target_reach=1.0, critic_threshold=0.5, critic_release=0.9, max_suspension=60.0,
    settings={"free_tilt": 0.9},
)  # fmt: skip
KINEMATICS = LipKinematics(mujoco.MjModel.from_xml_string(guard_model_xml()), GEN3)
FORWARD = np.array([0.0, 0.0, 0.1, 0.0])
MASS, TARGET = 0.1, np.array([0.6, 0.0, 0.12])


def calm(obs: Any, action: Any) -> Any:
    """A critic that considers every action safe."""
    del action
    return np.zeros(len(obs), dtype=np.float32)


def models(critic: Critic = calm) -> Models:
    return Models(POURING, KINEMATICS, critic, POUR_TERMS, ACTION_SCALE, None)


def at(q: Vec, qd: Vec, **sensors: Any) -> Measurement:
    values: dict[str, Any] = {"poured_mass": 0.0, "remaining_mass": MASS, "target_position": TARGET}
    return measured(q, qd, **(values | sensors))


def resensed(measurement: Measurement, **changed: Any) -> Measurement:
    """The measurement with other joint values, or other readings of the task's sensors by name."""
    own = {name: changed.pop(name) for name in list(changed) if name in measurement.sensed}
    sensed = {**measurement.sensed, **{name: np.atleast_1d(value) for name, value in own.items()}}
    return replace(measurement, sensed=sensed, **changed)


def seen_at_rest(q: Vec) -> Decision:
    """The decision of a closed gate that has seen the arm at rest for long enough."""
    return replace(initial_decision(7, 4), stillness=Stillness(q.copy(), np.zeros(7), 99.9, 0.0))


@dataclass
class Rig:
    """Ticks the gate. The arm executes its last command exactly, as the joint trajectory controller does."""

    config: GateConfig = CONFIG
    models: Models = field(default_factory=models)
    now: float = 100.0
    q: Vec = field(default_factory=NOMINAL_POSTURE.copy)
    qd: Vec = field(default_factory=lambda: np.zeros(7))
    decision: Decision = field(default_factory=lambda: seen_at_rest(NOMINAL_POSTURE))
    last_inputs: Inputs | None = None  # of the last decision
    told: Trajectory | None = None
    told_at: tuple[float, Vec, Vec] = (0.0, NOMINAL_POSTURE, np.zeros(7))

    def inputs(self, twist: Vec | None = None, *requests: Request, **changed: Any) -> Inputs:
        """Valid inputs at `now`, then `changed`."""
        stamp = self.now - 3.0  # the driver's clock is a different one
        proposal = None if twist is None else Proposal(twist, self.now, stamp)
        healthy = Inputs(self.now, at(self.q, self.qd), self.now, stamp, self.now, proposal, requests)
        return replace(healthy, **changed)

    def tick(self, twist: Vec | None = None, *requests: Request, **changed: Any) -> Decision:
        """One period: the arm advances, then the gate decides."""
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


@pytest.fixture
def model() -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_string(guard_model_xml())


@pytest.fixture
def guarded(rig: Rig, model: mujoco.MjModel) -> Rig:
    """A rig whose gate knows the cell, with a workspace box too wide to have an effect."""
    wide = replace(rig.config.limits, workspace_min=np.full(3, -2.0), workspace_max=np.full(3, 2.0))
    rig.config = replace(rig.config, limits=wide)
    rig.models = replace(rig.models, world=World(model, rig.config.clearance, JOINT_NAMES, POURING.placed))
    return rig
