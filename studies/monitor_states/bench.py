"""The gate on a bench, with an arm that follows its commands exactly. Needs no ROS."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import mujoco
import numpy as np

from sim.pouring.cell_model import guard_model_xml
from sim.pouring.gen3 import GEN3, GEN3_LIMITS, NOMINAL_POSTURE
from spillguard_core.gate.decision import (
    Decision,
    GateConfig,
    Inputs,
    Mode,
    Proposal,
    Request,
)
from spillguard_core.gate.gate import Models, decide, initial_decision
from spillguard_core.robot.arm import Vec
from spillguard_core.robot.ways import Lead
from spillguard_core.robot.world import Near, World
from spillguard_core.tasks.pouring import TASK as POURING
from spillguard_core.tasks.pouring.action import ACTION_SCALE
from spillguard_core.tasks.pouring.lip import LipKinematics
from spillguard_core.tasks.pouring.observation import POUR_TERMS, measured

CONFIG = GateConfig(
    limits=GEN3_LIMITS, period=0.01, command_timeout=0.1, answer_timeout=0.1, policy_timeout=1.0,
    teleop_timeout=0.25, state_timeout=0.1, sensor_timeout=0.2, position_tolerance=0.01,
    max_tracking_error=0.05, tracking_cycles=3, tracking_lag=0.06, settle_time=1.0, still_speed=0.02,
    still_time=0.3, coast_time=0.04, clearance=0.005, target_tolerance=0.0, target_height_tolerance=0.0,
    target_reach=1.0,
    critic_threshold=0.5, critic_release=0.9, max_suspension=60.0,
    settings={"free_tilt": 0.9},
)  # fmt: skip
FORWARD, UPWARD = np.array([0.1, 0.0, 0.0, 0.0]), np.array([0.0, 0.0, 0.1, 0.0])


def _critic(q_c: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda obs, action: q_c(action).astype(np.float32)


CALM = _critic(lambda action: np.full(len(action), 0.1))
OBJECTING = _critic(lambda action: np.where(np.abs(action).max(axis=1) > 0.3, 0.9, 0.1))
TERRIFIED = _critic(lambda action: np.full(len(action), 0.9))
BROKEN = _critic(lambda action: np.full(len(action), np.nan))


def failing(obs: Any, action: Any) -> Any:
    """A critic whose call ends with an error."""
    raise RuntimeError("out of memory")


class InTheWay(World):
    """An obstacle in the way of every motion."""

    def __init__(self) -> None:
        """Needs no geometry."""

    def near(
        self, postures: Iterable[Vec], places: Sequence[Vec], leads: Sequence[Lead | None] = (None,)
    ) -> Near:
        """Deeper with every step away from the nominal posture."""
        del places, leads
        deepest = min(-float(np.abs(q - NOMINAL_POSTURE).max()) for q in postures)
        return Near(deepest, {(0, 1): deepest})

    def depth(self, q: Vec, places: Sequence[Vec]) -> float:
        """The target is elsewhere."""
        del q, places
        return 0.0


def asking(inputs: Inputs, *requests: Request) -> Inputs:
    """A request of the operator."""
    return replace(inputs, requests=requests)


@cache
def _kinematics() -> LipKinematics:
    return LipKinematics(mujoco.MjModel.from_xml_string(guard_model_xml()), GEN3)


class GateBench:
    """The gate with an arm that follows its commands exactly, and a clock moved by hand."""

    def __init__(self, mode: Mode) -> None:
        """Brought into `mode` by an operator's requests."""
        self.config, self.models = (
            CONFIG,
            Models(POURING, _kinematics(), CALM, POUR_TERMS, ACTION_SCALE, None),
        )
        self.now, self.decision = 100.0, initial_decision(7, 4)
        self.q, self.qd = NOMINAL_POSTURE.copy(), np.zeros(7)
        self.speaks = mode is Mode.TELEOP
        for _ in range(round(CONFIG.still_time / CONFIG.period) + 1):
            self.tick()  # seen at rest
        if mode is not Mode.STOPPED:
            self.tick(lambda inputs: asking(inputs, Request.RESET))
        if mode in (Mode.FOLLOWING, Mode.TELEOP):
            self.tick(lambda inputs: asking(inputs, Request.RESUME))
            for _ in range(10):
                self.tick()
        if self.decision.mode is not mode:
            raise RuntimeError(f"wanted {mode}, got {self.decision.mode}")

    def inputs(self) -> Inputs:
        """All inputs are healthy and the policy proposes; in TELEOP the teleoperator commands, too."""
        seen = measured(self.q, self.qd, 0.0, 0.1, np.array([0.6, 0.0, 0.12]))
        teleop = Proposal(UPWARD, self.now, math.nan) if self.speaks else None
        return Inputs(
            now=self.now, measurement=seen, state_received=self.now, state_stamp=self.now,
            sensors_received=self.now, proposal=Proposal(FORWARD, self.now, self.now), teleop=teleop,
        )  # fmt: skip

    def tick(self, change: Callable[[Inputs], Inputs] = lambda inputs: inputs) -> Decision:
        """One period."""
        self.now += self.config.period
        self.decision = decide(change(self.inputs()), self.decision, self.config, self.models)
        if self.decision.send:
            self.q, self.qd = self.decision.q, self.decision.qd
        return self.decision
