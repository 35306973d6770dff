"""The gate of a bundle and a simulated arm behind it, in one process and simulated time.

The arm is a joint trajectory controller and position servos that trail their command, as in `scene.py`.
"""

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from sim.pouring.arms import Drive
from sim.pouring.controller import JointTrajectoryController
from sim.pouring.deployed_config import deployed_config
from sim.pouring.guarded import seen_at_rest
from sim.reaching.scene import SERVO_LAG
from spillguard_core.bundle.bundle import Bundle
from spillguard_core.gate.decision import Inputs, Measurement, Proposal, Request
from spillguard_core.gate.gate import decide
from spillguard_core.gate.trajectory import braking_trajectory
from spillguard_core.robot.arm import Vec

SOONEST = 1e-9  # [s] a stamp of 0 would mean none


class GuardedArm:
    """Decides every period of the monitor; the policy's place is the caller's."""

    def __init__(
        self, bundle: Bundle, q: Vec, sensed: dict[str, Vec] | None = None,
        states: Callable[[Vec], Vec] = lambda q: q, speed: float = 1.0, longest_chunk: float = 0.0,
    ) -> None:  # fmt: skip
        """At rest at q (J,) [rad]; `sensed`: readings of the task's sensors. `states`: what the driver makes
        of the joints (J,) in its joint states; `speed`: share of the arm's; `longest_chunk` [s], 0: as the
        bundle says."""
        deployed = deployed_config(bundle, None)
        self.bundle, self.config = (
            bundle,
            replace(deployed, speed_scale=speed, longest_chunk=longest_chunk or deployed.longest_chunk),
        )
        self.models, self.sensed, self._states = bundle.models(self.config), dict(sensed or {}), states
        turns = np.array(bundle.robot.limits.turn) > 0.0
        self._controller = JointTrajectoryController(q, turns)
        self._drive, self.now = Drive(self._controller, q, SERVO_LAG), 0.0
        self.decided_in = 0.0  # [s] of processor time, the last decision
        self.decision = seen_at_rest(self.measured(), self.config, self.models)

    @property
    def position(self) -> Vec:
        """(J,) [rad] where the joints truly are."""
        return self._drive.servo.q

    def measured(self) -> Measurement:
        """What the driver and the sensors say."""
        q, qd = self._states(self.position), self._drive.servo.qd
        return Measurement(q, qd, self.sensed)

    def period(self, action: Vec | Proposal | None, *requests: Request) -> None:
        """One decision about an action (A,) in the task's units, just proposed, or about a proposal; and what
        the arm makes of it."""
        proposal = Proposal(action, self.now, self.now) if isinstance(action, np.ndarray) else action
        self.decide(self.inputs(proposal, *requests))

    def inputs(self, proposal: Proposal | None, *requests: Request) -> Inputs:
        """Of a decision now."""
        now = self.now
        return Inputs(now, self.measured(), now, now, now, proposal, requests)

    def decide(self, inputs: Inputs) -> None:
        """One decision, and what the arm makes of it."""
        now, begun = self.now, time.process_time()
        self.decision = decide(inputs, self.decision, self.config, self.models)
        self.decided_in = time.process_time() - begun
        if self.decision.send:
            path = braking_trajectory(self.decision, self.config)
            self._controller.accept(path, max(now, SOONEST), now)
        self._drive.advance(now, self.config.period, self.config.period)
        self.now += self.config.period

    def open(self, rest: Vec) -> None:
        """An operator's reset and resume, with a policy that proposes `rest` (A,)."""
        self.period(rest, Request.RESET)
        self.period(rest, Request.RESUME)
