"""Everything that may happen to the gate, mode by mode: a bench that brings it there, and the events.

Needs no ROS. What the gate makes of them: `monitor_states`.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import mujoco
import numpy as np

from sim.cell_model import guard_model_xml
from spillguard_core.arm import ACTION_SCALE, GEN3_LIMITS, Vec
from spillguard_core.decision import (
    Decision,
    GateConfig,
    Inputs,
    Mode,
    Proposal,
    Request,
    SuspensionRequest,
)
from spillguard_core.gate import Models, decide, initial_decision
from spillguard_core.kinematics import NOMINAL_POSTURE, ArmKinematics
from spillguard_core.observation import POUR_TERMS, Measurement
from spillguard_core.world import World

CONFIG = GateConfig(
    limits=GEN3_LIMITS, period=0.01, command_timeout=0.1, teleop_timeout=0.25, state_timeout=0.1,
    sensor_timeout=0.2, position_tolerance=0.01, max_tracking_error=0.05, tracking_cycles=3,
    tracking_lag=0.06, settle_time=1.0, still_speed=0.02, coast_time=0.04, clearance=0.005,
    critic_threshold=0.5, critic_release=0.9, free_tilt=0.9, max_suspension=60.0,
)  # fmt: skip
LONG_AGO = 5.0  # [s]; longer than every timeout
TILTING = np.array([0.0, 0.0, 0.0, 0.5])
FORWARD, UPWARD = np.array([0.1, 0.0, 0.0, 0.0]), np.array([0.0, 0.0, 0.1, 0.0])
NO_TWIST = np.full(4, math.nan)
WISH = SuspensionRequest("the cup is empty", 1.0)
SENSELESS = SuspensionRequest("", 1.0)


def _q_c(dangerous: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda obs, action: np.where(dangerous(action), 0.9, 0.1).astype(np.float32)


CALM = _q_c(lambda action: action[:, 0] > math.inf)
OBJECTING = _q_c(lambda action: np.abs(action).max(axis=1) > 0.3)
TERRIFIED = _q_c(lambda action: action[:, 0] < math.inf)


def _broken(obs: Any, action: Any) -> Any:
    return np.full(len(action), np.nan, dtype=np.float32)


class _InTheWay(World):
    """Something stands in the way of every motion."""

    def __init__(self) -> None:
        """Needs no geometry."""

    def clearance(self, start: Vec, end: Vec, target: Vec) -> float:
        """Touches as soon as it moves."""
        return 1.0 if np.array_equal(start, end) else -1.0


@cache
def _kinematics() -> ArmKinematics:
    return ArmKinematics(mujoco.MjModel.from_xml_string(guard_model_xml()))


class Bench:
    """The gate with an arm that does exactly what it is told, and with a clock moved by hand."""

    def __init__(self, mode: Mode) -> None:
        """Brought into `mode` by what an operator would do."""
        self.config, self.models = CONFIG, Models(_kinematics(), CALM, POUR_TERMS, None)
        self.now, self.decision = 100.0, initial_decision()
        self.q, self.qd = NOMINAL_POSTURE.copy(), np.zeros(7)
        self.speaks = mode is Mode.TELEOP
        if mode is not Mode.STOPPED:
            self.tick(lambda inputs: asking(inputs, Request.RESET))
        if mode in (Mode.FOLLOWING, Mode.TELEOP):
            self.tick(lambda inputs: asking(inputs, Request.RESUME))
            for _ in range(10):
                self.tick()
        if self.decision.mode is not mode:
            raise RuntimeError(f"wanted {mode}, got {self.decision.mode}")

    def inputs(self) -> Inputs:
        """Everything is well, the policy proposes; in TELEOP the teleoperator speaks, too."""
        seen = Measurement(self.q, self.qd, 0.0, 0.1, np.array([0.6, 0.0, 0.12]))
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


Change = Callable[[Bench, Inputs], Inputs]


@dataclass(frozen=True)
class Event:
    """What may happen to the gate. It lasts for `cycles` decisions."""

    change: Change
    cycles: int = 1

    def befall(self, bench: Bench) -> Decision:
        """The decision in which it has had its effect."""
        for _ in range(self.cycles):
            decision = bench.tick(lambda inputs: self.change(bench, inputs))
        return decision


def asking(inputs: Inputs, *requests: Request) -> Inputs:
    """The operator asks for something."""
    return replace(inputs, requests=requests)


def ask(*requests: Any) -> Event:
    """The operator asks for these in one period."""
    return Event(lambda bench, inputs: asking(inputs, *requests))


def with_(**changed: Any) -> Event:
    """These inputs are others."""
    return Event(lambda bench, inputs: replace(inputs, **changed))


def teleop(twist: Vec, age: float) -> Event:
    """A teleoperator's twist, received `age` [s] ago."""
    return Event(lambda bench, i: replace(i, teleop=Proposal(twist, i.now - age, math.nan)))


def _proposal(**changed: Any) -> Event:
    def change(bench: Bench, inputs: Inputs) -> Inputs:
        assert inputs.proposal is not None
        return replace(inputs, proposal=replace(inputs.proposal, **changed))

    return Event(change)


def _wanted(twist: Vec) -> Event:
    """Of whoever drives."""

    def change(bench: Bench, inputs: Inputs) -> Inputs:
        spoken = Proposal(twist, inputs.now, inputs.now)
        return replace(inputs, proposal=spoken, teleop=spoken if bench.speaks else None)

    return Event(change)


def _seen(cycles: int = 1, **added: Vec | float) -> Event:
    """The measurement is off by this much."""

    def change(bench: Bench, inputs: Inputs) -> Inputs:
        seen = inputs.measurement
        off = {name: getattr(seen, name) + value for name, value in added.items()}
        return replace(inputs, measurement=replace(seen, **off))  # type: ignore[type-var]

    return Event(change, cycles)


def _models(suspended: bool = False, **changed: Any) -> Event:
    def change(bench: Bench, inputs: Inputs) -> Inputs:
        bench.models = replace(bench.models, **changed)
        return replace(inputs, suspend=WISH if suspended else None)

    return Event(change)


def _limits(around: Callable[[Bench], Mapping[str, Vec]]) -> Event:
    def change(bench: Bench, inputs: Inputs) -> Inputs:
        limits = replace(bench.config.limits, **around(bench))
        bench.config = replace(bench.config, limits=limits)
        return inputs

    return Event(change)


def _no_free_tilt(bench: Bench, inputs: Inputs) -> Inputs:
    bench.config = replace(bench.config, free_tilt=0.0)
    return _wanted(TILTING).change(bench, inputs)


def _tight(bench: Bench) -> Mapping[str, Vec]:
    return {"position_min": bench.q - 1e-4, "position_max": bench.q + 1e-4}


def _boxed(bench: Bench) -> Mapping[str, Vec]:
    lip = bench.models.kinematics.lip_position(bench.q)
    return {"workspace_min": lip - 1e-4, "workspace_max": lip + 1e-4}


def _slow(bench: Bench) -> Mapping[str, Vec]:
    return {"velocity": np.full(7, 0.1)}


def _resumed_with_teleop(bench: Bench, inputs: Inputs) -> Inputs:
    return asking(teleop(UPWARD, 0.0).change(bench, inputs), Request.RESUME)


def _reset_on_the_move(bench: Bench, inputs: Inputs) -> Inputs:
    return asking(_seen(joint_velocity=np.full(7, 0.1)).change(bench, inputs), Request.RESET)


SETTLING = math.ceil(CONFIG.settle_time / CONFIG.period) + 2
UNCHANGED = math.ceil(CONFIG.state_timeout / CONFIG.period) + 2
HAND = np.eye(7)[5]

EVENTS: dict[str, dict[str, Event]] = {
    "operator": {
        "nothing": ask(),
        "hold": ask(Request.HOLD),
        "resume": ask(Request.RESUME),
        "resume while a teleoperator speaks": Event(_resumed_with_teleop),
        "stop": ask(Request.STOP),
        "reset": ask(Request.RESET),
        "reset while the arm moves": Event(_reset_on_the_move),
        "reset and resume in one period": ask(Request.RESET, Request.RESUME),
        "hold and resume in one period": ask(Request.HOLD, Request.RESUME),
        "stop, reset and resume in one period": ask(Request.STOP, Request.RESET, Request.RESUME),
        "suspend_critic": with_(suspend=WISH),
        "restore_critic": ask(Request.RESTORE_CRITIC),
        "unknown request": ask("dance"),
    },
    "teleoperator": {
        "speaks": teleop(UPWARD, 0.0),
        "speaks, but no finite twist": teleop(NO_TWIST, 0.0),
        "falls silent": teleop(UPWARD, LONG_AGO),
        "speaks at no sensible time": teleop(UPWARD, math.nan),
    },
    "policy": {
        "no proposal yet": with_(proposal=None),
        "proposal is stale": _proposal(received=0.0),
        "proposal answers an old state": _proposal(stamp=0.0),
        "proposal is no finite twist": _proposal(twist=NO_TWIST),
    },
    "task sensors": {
        "a sensor is stale": with_(sensors_received=0.0),
        "a sensor is not finite": _seen(poured_mass=math.nan),
    },
    "critic": {
        "objects": _models(critic=OBJECTING),
        "objects to every candidate": _models(critic=TERRIFIED),
        "gives no finite value": _models(critic=_broken),
        "objects to every candidate, suspended": _models(True, critic=TERRIFIED),
        "gives no finite value, suspended": _models(True, critic=_broken),
    },
    "hard limits": {
        "twist above the action scale": _wanted(2.0 * ACTION_SCALE),
        "joint velocity limit": _limits(_slow),
        "joint position limit ahead": _limits(_tight),
        "workspace limit ahead": _limits(_boxed),
        "cup tilted beside the target": Event(_no_free_tilt),
        "obstacle ahead": _models(world=_InTheWay()),
        "obstacle ahead, critic suspended": _models(True, world=_InTheWay()),
    },
    "arm": {
        "no joint state yet": with_(measurement=None),
        "joint state is stale": with_(state_received=0.0),
        "joint state's stamp stands still": Event(lambda b, i: replace(i, state_stamp=1.0), UNCHANGED),
        "joint state is not finite": _seen(joint_position=np.full(7, math.nan)),
        "joint outside its limits": _seen(joint_position=5.0 * HAND),
        "another node commands the arm": with_(command_writers=2),
        "driver reports a fault": with_(driver_fault="joint_trajectory_controller is inactive"),
        "arm off its command": _seen(CONFIG.tracking_cycles, joint_position=0.1 * HAND),
        "arm still moves long after it should rest": _seen(SETTLING, joint_velocity=np.full(7, 0.1)),
    },
}  # fmt: skip
