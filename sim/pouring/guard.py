"""The safety monitor as an environment has it: all of the gate but the critic, which is not trained yet."""

import numpy as np
from numpy.typing import NDArray

from sim.pouring.cell import guard_kinematics, guard_world
from sim.pouring.deployed_config import uncritical_config
from sim.pouring.guarded import asked_for, seen_at_rest
from spillguard_core.gate.decision import Decision, Inputs, Measurement, Proposal
from spillguard_core.gate.gate import Models, decide
from spillguard_core.robot.world import Tolerance
from spillguard_core.tasks.pouring import TASK as POURING
from spillguard_core.tasks.pouring.action import ACTION_SCALE
from spillguard_core.tasks.pouring.observation import POUR_TERMS


def accepts_all(obs: NDArray[np.float32], action: NDArray[np.float32]) -> NDArray[np.float32]:
    """Q_c (B,) of observations (B, O) and actions (B, A): no violation is expected."""
    del action
    return np.zeros(len(obs), dtype=np.float32)


class Guard:
    """One gate, as deployed, for a series of episodes."""

    def __init__(self) -> None:
        self._config = uncritical_config()
        unsure = Tolerance(self._config.target_tolerance, self._config.target_height_tolerance)
        world = guard_world(self._config.clearance, unsure)
        self._models = Models(POURING, guard_kinematics(), accepts_all, POUR_TERMS, ACTION_SCALE, world)

    def reset(self, measured: Measurement) -> None:
        """The arm stands still; the operator's reset comes with the first period."""
        self._decision = seen_at_rest(measured, self._config, self._models)

    def decide(self, tick: int, measured: Measurement, proposal: Proposal | None) -> Decision:
        """What is sent in a period of the monitor."""
        now = tick * self._config.period
        asked = asked_for(tick, proposal, self._decision)
        inputs = Inputs(now, measured, now, now, now, proposal, asked)
        self._decision = decide(inputs, self._decision, self._config, self._models)
        return self._decision
