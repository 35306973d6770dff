"""spillguard/PourCoffee-v0: a Kinova Gen3 pours granules from a held cup into a cup on a load cell."""

import math
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from sim.pouring.cell import PourCell, guard_world
from sim.pouring.channel import Channel
from sim.pouring.domain_file import spread_of
from sim.pouring.gen3 import GEN3_LIMITS
from sim.pouring.guard import Guard
from sim.pouring.outcome import Outcome
from sim.pouring.scenario import Scenario, sample_scenario
from sim.pouring.scripted import pour_potential
from spillguard_core.gate.decision import Proposal
from spillguard_core.gate.task import observation_scaling, observation_width, observe
from spillguard_core.gate.trajectory import stop_position
from spillguard_core.robot.arm import MONITOR_PERIOD, Vec
from spillguard_core.robot.motion import ramp
from spillguard_core.robot.ways import straight
from spillguard_core.tasks.pouring import TASK as POURING
from spillguard_core.tasks.pouring.action import ACTION_SCALE, TWIST_NAMES
from spillguard_core.tasks.pouring.observation import POUR_TERMS, TARGET

TIME_LIMIT = 10.0  # [s]
FILL_REWARD = 10.0  # for the whole content
SUCCESS_REWARD = 10.0
TIME_PENALTY = 0.02  # per step
ACCELERATION_PENALTY = 0.02  # times the mean square of joint acceleration over its limit
TORQUE_PENALTY = 0.02  # times the mean square of motor torque over its peak
NOISE_CORRELATION = 0.9  # of the disturbance between consecutive steps

Observation = NDArray[np.float32]


class PourCoffeeEnv(gymnasium.Env[Observation, NDArray[np.float32]]):
    """Pour everything, no spill, no contact, source upright again, within 10 s.

    Observation (14,) float32: `POUR_TERMS` of `spillguard_core.tasks.pouring`, measurable in the real cell.
    Action (4,) in [-1, 1]: tool twist over `ACTION_SCALE`, 20 Hz.
    Cost 1 and termination: a granule outside both cups, a contact of arm, gripper or held cup, or a broken
    joint, speed or workspace limit. Reward: 10 times the newly landed share, 10 on success, minus penalties
    for time, joint acceleration and torque. Success terminates. The weights are our choice.

    `domain` is a name in `sim.pouring.domain.SPREADS` or a domain file: what the cells differ in. Where the
    policy's rate is lower than nominal, a step takes longer.

    In a `guarded_share` [-] of the episodes the safety monitor is between policy and arm, all of it but the
    critic: the policy learns in what it will meet. In the others it is on its own.

    Three more arguments make training harder than the task, so that the learned policy keeps a margin; all
    are off by default. With a `clearance` [m], braking from the commanded motion must not come closer than
    that to anything, which the monitor also requires (`spillguard_core.gate.limits`); without the monitor
    coming closer counts as a contact. `full_share` [-] of the cups are drawn from the fullest. With a
    `disturbance` [-] the action carries time-correlated noise, whose standard deviation is drawn from 0 to
    that value for each episode.
    """

    observation_scaling = observation_scaling(POURING, POUR_TERMS)
    potential = staticmethod(pour_potential)
    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012

    def __init__(
        self, render_mode: str | None = None, clearance: float = 0.0, full_share: float = 0.0,
        disturbance: float = 0.0, domain: str = "pours", guarded_share: float = 0.0,
    ) -> None:  # fmt: skip
        if not (0.0 <= clearance < math.inf and 0.0 <= disturbance < math.inf):
            raise ValueError(
                f"clearance [m] and disturbance must be finite and >= 0; got {clearance}, {disturbance}"
            )
        if not (0.0 <= full_share <= 1.0 and 0.0 <= guarded_share <= 1.0):
            raise ValueError(
                f"full_share and guarded_share must lie in [0, 1]; got {full_share}, {guarded_share}"
            )
        self.render_mode, self.clearance = render_mode, clearance
        self.full_share, self.disturbance, self.guarded_share = full_share, disturbance, guarded_share
        self.spread, self._monitor = spread_of(domain), Guard() if guarded_share > 0.0 else None
        self._world = guard_world(clearance) if clearance > 0.0 else None
        self.observation_space = gymnasium.spaces.Box(
            -np.inf, np.inf, (observation_width(POURING, POUR_TERMS),), np.float32
        )
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (len(TWIST_NAMES),), np.float32)
        self.cell = PourCell()
        self._camera: Any = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Sample a scenario, or take the one in ``options["scenario"]``."""
        super().reset(seed=seed)
        scenario = (options or {}).get("scenario") or sample_scenario(
            self.np_random, self.spread, self.full_share
        )
        self.scenario: Scenario = scenario
        self.cell.reset(scenario)
        self._q = self.cell.read_position
        self._qd = np.zeros(7)
        self._goal = np.zeros(7)  # [rad/s]
        self._tick = self._steps = 0
        self._channel = Channel[tuple[Vec, float]](scenario.domain, scenario.seed)
        self._proposal: Proposal | None = None
        always_or_never = self.guarded_share in (0.0, 1.0)
        guarded = always_or_never or self.np_random.random() < self.guarded_share
        self._guard = self._monitor if guarded else None
        if self._guard is not None:
            self._guard.reset(self.cell.measure())
        self._landed = 0
        self._noise = np.zeros(len(TWIST_NAMES))
        self._shake = self.np_random.uniform(0.0, self.disturbance) if self.disturbance > 0.0 else 0.0
        return self._observe(), self._info(self.cell.outcome())

    def _observe(self) -> Observation:
        return observe(POURING, POUR_TERMS, self.cell.measure(), self.cell.kinematics)

    @staticmethod
    def _info(outcome: Outcome) -> dict[str, Any]:
        terms = {
            "spill": float(outcome.spilled > 0),
            "contact": float(outcome.contact),
            "limit": float(outcome.limit_broken),
        }
        return {"cost": float(any(terms.values())), "cost_terms": terms, "success": outcome.success}

    def _act(self, twist: Vec) -> None:
        """Send the twist on its way, and move until the policy's next step."""
        self._channel.send(self._tick, (twist, self._tick * MONITOR_PERIOD))
        self._steps += 1
        end = round(self._steps / self.scenario.domain.policy_rate / MONITOR_PERIOD)
        if self._guard is None:
            self.cell.advance(*self._unguarded(end))
            return
        for tick in range(self._tick, end):
            for due, (asked, measured) in self._channel.arrived(tick + 1):
                self._proposal = Proposal(asked, due * MONITOR_PERIOD, measured)
            decision = self._guard.decide(tick, self.cell.measure(), self._proposal)
            if decision.send:
                self._q, self._qd = decision.q, decision.qd
            self.cell.advance(self._q[None], self._qd[None])
        self._tick = end

    def _unguarded(self, end: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Commanded positions and velocities (K, 7) until the tick `end`: the old goal until the new one has
        arrived."""
        parts = []
        for due, message in [*self._channel.arrived(end), (end, None)]:
            if due > self._tick:
                q, qd = ramp(
                    self._q, self._qd, self._goal, GEN3_LIMITS.acceleration, MONITOR_PERIOD, due - self._tick
                )
                parts.append((q, qd))
                self._q, self._qd, self._tick = q[-1], qd[-1], due
            if message is not None:
                self._goal = self.cell.kinematics.joint_velocity(self._q, message[0])
        if len(parts) == 1:
            return parts[0]
        positions, velocities = zip(*parts, strict=True)
        return np.concatenate(positions), np.concatenate(velocities)

    def step(self, action: NDArray[np.float32]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """One policy period."""
        wish: Vec = np.asarray(action, dtype=np.float64)
        if not all(map(math.isfinite, wish.tolist())):
            raise ValueError(f"the action must be finite, got {wish}")
        if self.disturbance > 0.0:
            fresh = self.np_random.standard_normal(len(TWIST_NAMES))
            self._noise = NOISE_CORRELATION * self._noise + math.sqrt(1.0 - NOISE_CORRELATION**2) * fresh
            wish = wish + self._shake * self._noise
        before, start = self._qd, self._tick
        bounded = np.minimum(np.maximum(wish, -1.0), 1.0)  # np.clip takes five times as long
        self._act(bounded * ACTION_SCALE)
        outcome = self.cell.outcome()
        if self._world is not None and self._guard is None and self._too_close():
            outcome = outcome._replace(contact=True)
        info = self._info(outcome)
        lasted = (self._tick - start) * MONITOR_PERIOD  # [s] longer than nominal where the policy is slower
        acceleration = (self._qd - before) / (lasted * GEN3_LIMITS.acceleration)
        torque = self.cell.torque_share()
        effort = ACCELERATION_PENALTY * float(acceleration.dot(acceleration)) / 7.0
        effort += TORQUE_PENALTY * float(torque.dot(torque)) / 7.0
        reward = FILL_REWARD * (outcome.landed - self._landed) / outcome.total
        reward += SUCCESS_REWARD * info["success"] - TIME_PENALTY - effort
        self._landed = outcome.landed
        info["effort"] = effort
        ended = info["cost"] > 0.0 or info["success"]
        return self._observe(), reward, ended, self._tick * MONITOR_PERIOD >= TIME_LIMIT, info

    def _too_close(self) -> bool:
        """Whether braking from the commanded motion comes closer than `clearance` to anything, the receiving
        cup being where it is reported."""
        assert self._world is not None
        rest = stop_position(self._q, self._qd, GEN3_LIMITS.acceleration, 0.0)
        near = self._world.near(straight(self._q, rest), [self.cell.measure().sensed[TARGET]])
        return not near.least >= self.clearance

    def render(self) -> NDArray[np.uint8]:
        """One image (H, W, 3) of the cell."""
        from sim.render import Camera

        if self._camera is None:
            self._camera = Camera()
        picture: NDArray[np.uint8] = self._camera.picture(self.cell)
        return picture

    def close(self) -> None:
        """Free the renderer."""
        if self._camera is not None:
            self._camera.close()
            self._camera = None
