"""Every event that the gate may meet, in groups. `states` tabulates its decisions. Needs no ROS."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from spillguard_core.gate.decision import (
    Decision,
    Inputs,
    Measurement,
    Proposal,
    Request,
    SuspensionRequest,
)
from spillguard_core.robot.arm import Vec
from spillguard_core.tasks.pouring.action import ACTION_SCALE
from studies.monitor_states.bench import (
    BROKEN,
    CONFIG,
    OBJECTING,
    TERRIFIED,
    UPWARD,
    GateBench,
    InTheWay,
    asking,
    failing,
)

LONG_AGO = 5.0  # [s]; longer than every timeout
LONG = 120  # decisions, longer than `policy_timeout`
LATELY = 0.5  # [s]; longer than the timeout of a proposal, but not long
TILTING = np.array([0.0, 0.0, 0.0, 0.5])
NO_TWIST = np.full(4, math.nan)
WISH = SuspensionRequest("the cup is empty", 1.0)
SENSELESS = SuspensionRequest("", 1.0)

Change = Callable[[GateBench, Inputs], Inputs]


@dataclass(frozen=True)
class Event:
    """An event at the gate's inputs. It lasts for `cycles` decisions."""

    change: Change
    cycles: int = 1

    def befall(self, bench: GateBench) -> Decision:
        """The decision in which it has had its effect."""
        for _ in range(self.cycles):
            decision = bench.tick(lambda inputs: self.change(bench, inputs))
        return decision


def ask(*requests: Any) -> Event:
    """Several requests of the operator in one period."""
    return Event(lambda bench, inputs: asking(inputs, *requests))


def with_(**changed: Any) -> Event:
    """Some inputs are replaced."""
    return Event(lambda bench, inputs: replace(inputs, **changed))


def teleop(twist: Vec, age: float) -> Event:
    """A teleoperator's twist, received `age` [s] ago."""
    return Event(lambda bench, i: replace(i, teleop=Proposal(twist, i.now - age, math.nan)))


def _proposal(**changed: Any) -> Event:
    def change(bench: GateBench, inputs: Inputs) -> Inputs:
        assert inputs.proposal is not None
        return replace(inputs, proposal=replace(inputs.proposal, **changed))

    return Event(change)


def _silent(age: float) -> Event:
    """The newest proposal was received `age` [s] ago."""

    def change(bench: GateBench, inputs: Inputs) -> Inputs:
        assert inputs.proposal is not None
        return replace(inputs, proposal=replace(inputs.proposal, received=inputs.now - age))

    return Event(change)


def _wanted(twist: Vec) -> Event:
    """Of whoever drives."""

    def change(bench: GateBench, inputs: Inputs) -> Inputs:
        spoken = Proposal(twist, inputs.now, inputs.now)
        return replace(inputs, proposal=spoken, teleop=spoken if bench.speaks else None)

    return Event(change)


def _seen(cycles: int = 1, **added: Vec | float) -> Event:
    """The measurement has this offset."""

    def change(bench: GateBench, inputs: Inputs) -> Inputs:
        seen = inputs.measurement
        assert seen is not None
        sensed = {name: value + added.get(name, 0.0) for name, value in seen.sensed.items()}
        q, qd = (getattr(seen, name) + added.get(name, 0.0) for name in ("joint_position", "joint_velocity"))
        return replace(inputs, measurement=Measurement(q, qd, sensed))

    return Event(change, cycles)


def _models(suspended: bool = False, **changed: Any) -> Event:
    def change(bench: GateBench, inputs: Inputs) -> Inputs:
        bench.models = replace(bench.models, **changed)
        return replace(inputs, suspend=WISH if suspended else None)

    return Event(change)


def _limits(around: Callable[[GateBench], Mapping[str, Vec]]) -> Event:
    def change(bench: GateBench, inputs: Inputs) -> Inputs:
        limits = replace(bench.config.limits, **around(bench))
        bench.config = replace(bench.config, limits=limits)
        return inputs

    return Event(change)


def _no_free_tilt(bench: GateBench, inputs: Inputs) -> Inputs:
    bench.config = replace(bench.config, settings={"free_tilt": 0.0})
    return _wanted(TILTING).change(bench, inputs)


def _tight(bench: GateBench) -> Mapping[str, Vec]:
    return {"position_min": bench.q - 1e-4, "position_max": bench.q + 1e-4}


def _boxed(bench: GateBench) -> Mapping[str, Vec]:
    lip = bench.models.tool.pose(bench.q).position
    return {"workspace_min": lip - 1e-4, "workspace_max": lip + 1e-4}


def _slow(bench: GateBench) -> Mapping[str, Vec]:
    return {"velocity": np.full(7, 0.1)}


def _resumed_with_teleop(bench: GateBench, inputs: Inputs) -> Inputs:
    return asking(teleop(UPWARD, 0.0).change(bench, inputs), Request.RESUME)


def _reset_on_the_move(bench: GateBench, inputs: Inputs) -> Inputs:
    moving = replace(bench.decision.stillness, moved=inputs.now - 0.5 * bench.config.still_time)
    bench.decision = replace(bench.decision, stillness=moving)
    return asking(inputs, Request.RESET)


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
        "proposal is stale": _silent(LATELY),
        "is silent for long": _silent(LONG_AGO),
        "proposal answers an old state": _proposal(stamp=0.0),
        "proposal is no finite twist": _proposal(twist=NO_TWIST),
        "says nothing of use for long": Event(_proposal(twist=NO_TWIST).change, LONG),
    },
    "task sensors": {
        "a sensor is stale": with_(sensors_received=0.0),
        "a sensor is not finite": _seen(poured_mass=math.nan),
        "the target is where none can be": _seen(target_position=np.array([3.0, 0.0, 0.0])),
    },
    "critic": {
        "objects": _models(critic=OBJECTING),
        "objects to every candidate": _models(critic=TERRIFIED),
        "gives no finite value": _models(critic=BROKEN),
        "ends with an error": _models(critic=failing),
        "objects to every candidate, suspended": _models(True, critic=TERRIFIED),
        "gives no finite value, suspended": _models(True, critic=BROKEN),
    },
    "hard limits": {
        "twist above the action scale": _wanted(2.0 * ACTION_SCALE),
        "joint velocity limit": _limits(_slow),
        "joint position limit ahead": _limits(_tight),
        "workspace limit ahead": _limits(_boxed),
        "cup tilted beside the target": Event(_no_free_tilt),
        "obstacle ahead": _models(world=InTheWay()),
        "obstacle ahead, critic suspended": _models(True, world=InTheWay()),
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
