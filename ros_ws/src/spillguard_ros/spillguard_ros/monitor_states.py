"""What the gate makes of every event in every mode, as tables: nothing in them is typed by hand.

The real gate is brought into each mode, the event happens, and what it decides is written down. Needs no ROS.
"""

import math
from collections.abc import Callable, Mapping, Sequence
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
from spillguard_core.gate import Models, decide, initial_decision, refusal
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


def _ask(*requests: Any) -> Event:
    return Event(lambda bench, inputs: asking(inputs, *requests))


def _with(**changed: Any) -> Event:
    return Event(lambda bench, inputs: replace(inputs, **changed))


def _teleop(twist: Vec, age: float) -> Event:
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
    return asking(_teleop(UPWARD, 0.0).change(bench, inputs), Request.RESUME)


def _reset_on_the_move(bench: Bench, inputs: Inputs) -> Inputs:
    return asking(_seen(joint_velocity=np.full(7, 0.1)).change(bench, inputs), Request.RESET)


SETTLING = math.ceil(CONFIG.settle_time / CONFIG.period) + 2
UNCHANGED = math.ceil(CONFIG.state_timeout / CONFIG.period) + 2
HAND = np.eye(7)[5]

EVENTS: dict[str, dict[str, Event]] = {
    "operator": {
        "nothing": _ask(),
        "hold": _ask(Request.HOLD),
        "resume": _ask(Request.RESUME),
        "resume while a teleoperator speaks": Event(_resumed_with_teleop),
        "stop": _ask(Request.STOP),
        "reset": _ask(Request.RESET),
        "reset while the arm moves": Event(_reset_on_the_move),
        "reset and resume in one period": _ask(Request.RESET, Request.RESUME),
        "hold and resume in one period": _ask(Request.HOLD, Request.RESUME),
        "stop, reset and resume in one period": _ask(Request.STOP, Request.RESET, Request.RESUME),
        "suspend_critic": _with(suspend=WISH),
        "restore_critic": _ask(Request.RESTORE_CRITIC),
        "unknown request": _ask("dance"),
    },
    "teleoperator": {
        "speaks": _teleop(UPWARD, 0.0),
        "speaks, but no finite twist": _teleop(NO_TWIST, 0.0),
        "falls silent": _teleop(UPWARD, LONG_AGO),
        "speaks at no sensible time": _teleop(UPWARD, math.nan),
    },
    "policy": {
        "no proposal yet": _with(proposal=None),
        "proposal is stale": _proposal(received=0.0),
        "proposal answers an old state": _proposal(stamp=0.0),
        "proposal is no finite twist": _proposal(twist=NO_TWIST),
    },
    "task sensors": {
        "a sensor is stale": _with(sensors_received=0.0),
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
        "no joint state yet": _with(measurement=None),
        "joint state is stale": _with(state_received=0.0),
        "joint state's stamp stands still": Event(lambda b, i: replace(i, state_stamp=1.0), UNCHANGED),
        "joint state is not finite": _seen(joint_position=np.full(7, math.nan)),
        "joint outside its limits": _seen(joint_position=5.0 * HAND),
        "another node commands the arm": _with(command_writers=2),
        "arm off its command": _seen(CONFIG.tracking_cycles, joint_position=0.1 * HAND),
        "arm still moves long after it should rest": _seen(SETTLING, joint_velocity=np.full(7, 0.1)),
    },
}  # fmt: skip


@cache
def table() -> dict[tuple[Mode, str], Decision]:
    """What the gate decides, by mode and by event (its group and name)."""
    return {
        (mode, f"{group}: {name}"): event.befall(Bench(mode))
        for group, events in EVENTS.items()
        for name, event in events.items()
        for mode in Mode
    }


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _cell(decision: Decision) -> str:
    return f"{decision.mode.value}, **{decision.verdict.name}**<br>{decision.reason.value}"


def events_table() -> str:
    """Rows: events. Columns: modes."""
    decided = table()
    names = [f"{group}: {name}" for group, events in EVENTS.items() for name in events]
    rows = [[name, *(_cell(decided[mode, name]) for mode in Mode)] for name in names]
    return _markdown(["event", *(f"in {mode.value}" for mode in Mode)], rows)


SERVICES: dict[str, Request | SuspensionRequest] = {
    **{request.value: request for request in Request},
    "suspend_critic": WISH,
    "suspend_critic without a reason": SENSELESS,
    f"suspend_critic for {2.0 * CONFIG.max_suspension:.0f} s": replace(
        WISH, seconds=2.0 * CONFIG.max_suspension
    ),
}


def services_table() -> str:
    """Rows: services. Columns: modes. What is answered when all is well."""

    def answer(mode: Mode, request: Request | SuspensionRequest) -> str:
        bench = Bench(mode)
        refused = refusal(request, bench.inputs(), bench.decision, bench.config)
        return f"refused: {refused}" if refused else "granted"

    rows = [[name, *(answer(mode, request) for mode in Mode)] for name, request in SERVICES.items()]
    return _markdown(["service", *(f"in {mode.value}" for mode in Mode)], rows)


def _wait(seconds: float) -> Event:
    return Event(lambda bench, inputs: inputs, math.ceil(seconds / CONFIG.period))


SUSPENSIONS = {
    "nothing": _ask(),
    "half of the time is over": _wait(0.5 * WISH.seconds),
    "the time is over": _wait(WISH.seconds),
    "suspend_critic again, for longer": _with(suspend=SuspensionRequest("again", 2.0 * WISH.seconds)),
    "suspend_critic again, refused": _with(suspend=SENSELESS),
    "restore_critic": _ask(Request.RESTORE_CRITIC),
    "restore_critic and suspend_critic in one period": _with(
        suspend=WISH, requests=(Request.RESTORE_CRITIC,)
    ),
    "hold": _ask(Request.HOLD),
    "resume": _ask(Request.RESUME),
    "stop": _ask(Request.STOP),
    "joint state is stale": _with(state_received=0.0),
    "teleoperator speaks": _teleop(UPWARD, 0.0),
    "teleoperator falls silent": _teleop(UPWARD, LONG_AGO),
}


def suspended_bench(mode: Mode) -> Bench:
    """In `mode`, with the critic suspended."""
    bench = Bench(mode)
    bench.tick(lambda inputs: replace(inputs, suspend=WISH))
    return bench


def suspensions_table() -> str:
    """Rows: events. Columns: modes in which the critic may be suspended. What is left of it."""

    def left(mode: Mode, event: Event) -> str:
        decision = event.befall(suspended_bench(mode))
        running = decision.suspension
        return "acts" if running is None else f"suspended: {running.reason}"

    modes = [mode for mode in Mode if mode is not Mode.STOPPED]
    rows = [[name, *(left(mode, event) for mode in modes)] for name, event in SUSPENSIONS.items()]
    return _markdown(["event while suspended", *(f"in {mode.value}" for mode in modes)], rows)


def transitions() -> dict[tuple[Mode, Mode], list[str]]:
    """Events that change the mode, by the mode before and after."""
    found: dict[tuple[Mode, Mode], list[str]] = {}
    for (before, name), decision in table().items():
        if decision.mode is not before:
            found.setdefault((before, decision.mode), []).append(name)
    return found
