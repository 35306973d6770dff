"""What the gate, with the shipped bundle and the deployed configuration, makes of a stream of adversity.

    python -m tests.data.make_gate_decisions

Writes ``tests/data/gate_decisions.npz``. In each of `EPISODES` an arm that follows its path exactly begins
near a receiving cup. The shipped policy or somebody worse proposes; messages come late, early, spoiled or not
at all; the target moves; an operator holds, stops, resets and resumes. All of it is drawn from one seed,
whatever the gate decides. What the policy said is kept, too: its graph rounds as the processor does.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sim.pouring.cell_model import RIM_HEIGHT
from sim.pouring.deployed_config import deployed_config
from sim.pouring.guarded import seen_at_rest
from sim.pouring.spacing import posture, unit
from spillguard_core.bundle.bundle import Bundle, load_bundle
from spillguard_core.gate.decision import (
    Decision,
    GateConfig,
    Inputs,
    Measurement,
    Mode,
    Proposal,
    Request,
    SuspensionRequest,
)
from spillguard_core.gate.gate import Models, decide
from spillguard_core.gate.reasons import Reason
from spillguard_core.gate.task import observe
from spillguard_core.gate.trajectory import state_at
from spillguard_core.robot.arm import Vec
from spillguard_core.tasks.pouring.action import ACTION_SCALE
from spillguard_core.tasks.pouring.observation import measured
from tests.core.conftest import resensed

ROOT = Path(__file__).parents[2]
BUNDLE = ROOT / "artifacts/pour_coffee"
PLACE = Path(__file__).with_name("gate_decisions.npz")
SEED, EPISODES, CYCLES = 9, 24, 90
TICKS = 5  # decisions to a proposal
MILD = 0.05  # chance of an event in a decision; an episode has one of the hard ones
MILDS = ("hold", "teleop", "suspend", "restore", "silence", "nan", "too fast", "target moved", "target gone",
         "sensor nan", "sensor stale", "old answer", "teleop nan")  # fmt: skip
HARDS = ("stop", "state stale", "state frozen", "state missing", "state nan", "beyond limits", "shifted",
         "driver", "writers", "unknown request")  # fmt: skip
LASTS = 8  # decisions
LOW_THRESHOLD = 0.008  # so that the critic has something to say, and now and then accepts nothing
ROOM = 0.04  # [rad, m] to joint limits and walls that are drawn close around the arm

Says = Callable[[Measurement], Vec]
"""What the policy proposes, (4,) as a twist."""


def shipped() -> Bundle:
    return load_bundle(BUNDLE)


def configured(bundle: Bundle) -> GateConfig:
    """As deployed when the table was made: one limit for both ages of a proposal, none for a long silence,
    and a target that stands where it is sensed."""
    config = deployed_config(bundle, bundle.manifest.threshold.value)
    return replace(
        config,
        answer_timeout=config.command_timeout,
        policy_timeout=1e9,
        target_tolerance=0.0,
        target_height_tolerance=0.0,
    )


def policy_says(bundle: Bundle, models: Models) -> Says:
    """The shipped policy."""

    def say(seen: Measurement) -> Vec:
        action = bundle.policy(observe(models.task, models.terms, seen, models.tool)[None])[0]
        return np.asarray(action, dtype=np.float64) * ACTION_SCALE

    return say


def table(decisions: list[Decision]) -> dict[str, np.ndarray]:
    """Columns of what is compared: names, and the command as float64."""
    return {
        "verdict": np.array([made.verdict.name for made in decisions]),
        "reason": np.array([made.reason.name for made in decisions]),
        "mode": np.array([made.mode.name for made in decisions]),
        "q": np.array([made.q for made in decisions]),
        "qd": np.array([made.qd for made in decisions]),
    }


def _tightened(config: GateConfig, number: int, q: Vec, lip: Vec) -> dict[str, Any]:
    """What is changed in an episode: every second is as deployed."""
    limits = config.limits
    match number % 8:
        case 1:
            return {"critic_threshold": LOW_THRESHOLD}
        case 3:
            return {"limits": replace(limits, position_min=q - ROOM, position_max=q + ROOM)}
        case 5:
            return {"critic_threshold": None}
        case 7:
            return {
                "limits": replace(limits, workspace_min=lip - ROOM, workspace_max=lip + ROOM),
                "target_reach": 1.0,
            }
    return {}


class Adversity:
    """One episode."""

    def __init__(self, models: Models, config: GateConfig, says: Says, number: int) -> None:
        self._models, self._says = models, says
        self._rng, self._number = np.random.default_rng([SEED, number]), number
        rng = self._rng
        lip = np.array([rng.uniform(0.60, 0.74), rng.uniform(-0.15, 0.15), rng.uniform(0.20, 0.32)])
        away = rng.uniform(0.08, 0.16) * unit(rng)
        self._target = np.array([*(lip[:2] + away), RIM_HEIGHT])
        self._q, self._qd, self._now = posture(models.tool, lip), np.zeros(7), 100.0
        self._config = config = replace(config, **_tightened(config, number, self._q, lip))
        self._decision = seen_at_rest(self._measured(), config, models, self._now)
        self._proposal: Proposal | None = None
        self._stubborn = np.zeros(4)
        self._event, self._left = "", 0
        self._hard_at, self._had_it = int(rng.integers(CYCLES // 3, CYCLES)), False
        self._stamp = self._now

    def decisions(self) -> Iterator[Decision]:
        for cycle in range(CYCLES):
            inputs = self._inputs(cycle)
            self._decision = decide(inputs, self._decision, self._config, self._models)
            yield self._decision
            self._pass_time()

    def _measured(self) -> Measurement:
        return measured(self._q.copy(), self._qd.copy(), 0.02, 0.12, self._target)

    def _pass_time(self) -> None:
        """Mostly one period; now and then early, late, or far too late."""
        kind, share = self._rng.random(2)
        period = self._config.period
        gap = period
        if kind < 0.04:
            gap = period * (0.2 + 0.6 * share)
        elif kind < 0.12:
            gap = period * (1.0 + 8.5 * share)
        self._now += gap
        if self._decision.anchored:
            made = self._decision
            self._q, self._qd = state_at(made, self._now - made.decided, made.coast, self._config)

    def _inputs(self, cycle: int) -> Inputs:
        rng, now, seen = self._rng, self._now, self._measured()
        chance, pick, turn, operator = rng.random(4)
        noise, direction = rng.normal(size=4), rng.choice([-1.0, 1.0, 0.0], 4, p=[0.4, 0.4, 0.2])
        if self._left == 0:
            self._event = ""
            if cycle >= self._hard_at and not self._had_it:
                self._event, self._left, self._had_it = HARDS[self._number % len(HARDS)], LASTS, True
            elif cycle > TICKS and chance < MILD:
                self._event, self._left = MILDS[int(pick * len(MILDS))], LASTS
            first = True
        else:
            first = False
        self._left = max(self._left - 1, 0)
        if self._event not in ("state frozen",):
            self._stamp = now
        if cycle % TICKS == 0 and self._event != "silence":
            twist = self._wanted(seen, direction, turn)
            self._proposal = Proposal(twist, now, self._stamp)
        inputs = Inputs(now, seen, now, self._stamp, now, self._proposal, self._asked(cycle, operator))
        return self._spoiled(inputs, noise, first) if self._event else inputs

    def _wanted(self, seen: Measurement, direction: Vec, turn: float) -> Vec:
        if self._number % 2 == 0:
            return self._says(seen)
        if turn < 0.15 or not self._stubborn.any():
            self._stubborn = direction * ACTION_SCALE
            if self._number % 8 == 5:
                self._stubborn = np.array([0.0, 0.0, 0.0, -ACTION_SCALE[3]])
        return self._stubborn

    def _asked(self, cycle: int, operator: float) -> tuple[Request, ...]:
        """An operator who opens what is closed, after a while."""
        if cycle < 2:
            return (Request.RESET,) if cycle == 0 else (Request.RESUME,)
        if self._decision.mode is Mode.STOPPED:
            return (Request.RESET, Request.RESUME) if operator < 0.2 else ()
        return (Request.RESUME,) if self._decision.mode is Mode.HELD and operator < 0.2 else ()

    def _spoiled(self, inputs: Inputs, noise: Vec, first: bool) -> Inputs:
        """What the event that goes on makes of healthy inputs."""
        seen, now, proposal = inputs.measurement, inputs.now, inputs.proposal
        assert seen is not None and proposal is not None
        nothing = np.full(4, np.nan)
        changes: dict[str, Callable[[], dict[str, Any]]] = {
            "hold": lambda: {"requests": (Request.HOLD,)} if first else {},
            "teleop": lambda: {"teleop": Proposal(0.05 * noise, now, float("nan"))},
            "teleop nan": lambda: {"teleop": Proposal(nothing, now, float("nan"))},
            "suspend": lambda: {"suspend": SuspensionRequest("the cup is empty", 0.3)} if first else {},
            "restore": lambda: {"requests": (Request.RESTORE_CRITIC,)},
            "nan": lambda: {"proposal": replace(proposal, twist=nothing)},
            "too fast": lambda: {"proposal": replace(proposal, twist=4.0 * noise * ACTION_SCALE)},
            "target moved": lambda: self._moved(inputs, noise) if first else {},
            "target gone": lambda: {"measurement": resensed(seen, target_position=self._target + 3.0)},
            "sensor nan": lambda: {"measurement": resensed(seen, poured_mass=float("nan"))},
            "sensor stale": lambda: {"sensors_received": now - 0.25},
            "old answer": lambda: {"proposal": replace(proposal, stamp=inputs.state_stamp - 0.2)},
            "stop": lambda: {"requests": (Request.STOP,)} if first else {},
            "state stale": lambda: {"state_received": now - 0.2},
            "state missing": lambda: {"measurement": None},
            "state nan": lambda: {"measurement": replace(seen, joint_velocity=np.full(7, np.nan))},
            "beyond limits": lambda: {"measurement": replace(seen, joint_position=seen.joint_position + 2.0)},
            "shifted": lambda: {"measurement": replace(seen, joint_position=seen.joint_position + 0.07)},
            "driver": lambda: {"driver_fault": "controller is inactive"},
            "writers": lambda: {"command_writers": 2},
            "unknown request": lambda: {"requests": ("open sesame",)},
        }  # fmt: skip
        return replace(inputs, **changes[self._event]()) if self._event in changes else inputs

    def _moved(self, inputs: Inputs, noise: Vec) -> dict[str, Any]:
        assert inputs.measurement is not None
        self._target = self._target + np.array([0.05 * noise[0], 0.05 * noise[1], 0.0])
        return {"measurement": resensed(inputs.measurement, target_position=self._target)}


def stream(bundle: Bundle, says: Says) -> list[Decision]:
    """All decisions of all episodes."""
    deployed = configured(bundle)
    models = bundle.models(deployed)
    decisions: list[Decision] = []
    for number in range(EPISODES):
        decisions += Adversity(models, deployed, says, number).decisions()
    return decisions


def main() -> None:
    bundle = shipped()
    policy = policy_says(bundle, bundle.models(configured(bundle)))
    said: list[Vec] = []

    def noted(seen: Measurement) -> Vec:
        said.append(policy(seen))
        return said[-1]

    made = table(stream(bundle, noted))
    np.savez_compressed(PLACE, said=np.array(said), **made)
    kinds, counts = np.unique(made["reason"], return_counts=True)
    lacking = set(Reason.known) - set(kinds)
    told = ", ".join(f"{kind} {count}" for kind, count in zip(kinds.tolist(), counts.tolist(), strict=True))
    sys.stdout.write(
        f"{PLACE.stat().st_size} bytes, {len(made['q'])} decisions: {told}; never {sorted(lacking)}\n"
    )


if __name__ == "__main__":
    main()
