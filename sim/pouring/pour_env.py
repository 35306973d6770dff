"""spillguard/PourCoffee-v0: a Kinova Gen3 pours granules from a held cup into a cup on a load cell."""

import math
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from sim.pouring.cell import PourCell, guard_world
from sim.pouring.gen3 import GEN3_LIMITS
from sim.pouring.outcome import Outcome
from sim.pouring.scenario import Scenario, sample_scenario
from sim.pouring.scripted import pour_potential
from spillguard_core.gate.task import observation_scaling, observation_width, observe
from spillguard_core.gate.trajectory import stop_position
from spillguard_core.robot.arm import MONITOR_PERIOD, POLICY_PERIOD, Vec
from spillguard_core.robot.motion import ramp
from spillguard_core.robot.world import straight
from spillguard_core.tasks.pouring import TASK as POURING
from spillguard_core.tasks.pouring.action import ACTION_SCALE, TWIST_NAMES
from spillguard_core.tasks.pouring.observation import POUR_TERMS

TICKS = round(POLICY_PERIOD / MONITOR_PERIOD)
FILL_REWARD = 10.0  # for the whole content
SUCCESS_REWARD = 10.0
TIME_PENALTY = 0.02  # per step
ACCELERATION_PENALTY = 0.02  # times the mean square of joint acceleration over its limit
TORQUE_PENALTY = 0.02  # times the mean square of motor torque over its peak
NOISE_CORRELATION = 0.9  # of the disturbance between consecutive steps
MOST_CHANGE = POLICY_PERIOD * GEN3_LIMITS.acceleration  # (7,) [rad/s] of joint velocity in a step

Observation = NDArray[np.float32]


class PourCoffeeEnv(gymnasium.Env[Observation, NDArray[np.float32]]):
    """Pour everything, no spill, no contact, source upright again, within 10 s.

    Observation (14,) float32: `POUR_TERMS` of `spillguard_core.tasks.pouring`, measurable in the real cell.
    Action (4,) in [-1, 1]: tool twist over `ACTION_SCALE`, 20 Hz.
    Cost 1 and termination: a granule outside both cups, a contact of arm, gripper or held cup, or a broken
    joint, speed or workspace limit. Reward: 10 times the newly landed share, 10 on success, minus penalties
    for time, joint acceleration and torque. Success terminates. The weights are our choice.

    Three arguments make training harder than the task, so that the learned policy keeps a margin; all are off
    by default. With a `clearance` [m], braking from the commanded motion must not come closer than that to
    anything, which the monitor also requires (`spillguard_core.gate.limits`); coming closer counts as a
    contact. `full_share` [-] of the cups are drawn from the fullest. With a `disturbance` [-] the action
    carries time-correlated noise, whose standard deviation is drawn from 0 to that value for each episode.
    """

    observation_scaling = observation_scaling(POURING, POUR_TERMS)
    potential = staticmethod(pour_potential)
    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012

    def __init__(
        self, render_mode: str | None = None, clearance: float = 0.0, full_share: float = 0.0,
        disturbance: float = 0.0,
    ) -> None:  # fmt: skip
        if not (0.0 <= clearance < math.inf and 0.0 <= full_share <= 1.0 and 0.0 <= disturbance < math.inf):
            raise ValueError(
                "clearance [m] and disturbance must be finite and >= 0, full_share must lie in [0, 1]; "
                f"got {clearance}, {disturbance}, {full_share}"
            )
        self.render_mode, self.clearance = render_mode, clearance
        self.full_share, self.disturbance = full_share, disturbance
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
        scenario = (options or {}).get("scenario") or sample_scenario(self.np_random, self.full_share)
        self.scenario: Scenario = scenario
        self.cell.reset(scenario)
        self._q = self.cell.data.qpos[:7].copy()
        self._qd = np.zeros(7)
        still = np.tile(self._q, (scenario.delay_ticks, 1))
        self._ahead = still, np.zeros_like(still)  # commanded until the next action arrives
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

    def _command(self, twist: Vec) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Commanded positions and velocities (TICKS, 7): the old goal during the delay, then the new one."""
        goal = self.cell.kinematics.joint_velocity(self._q, twist)
        delay, (q, qd) = self.scenario.delay_ticks, self._ahead
        from_q, from_qd = (q[-1], qd[-1]) if delay else (self._q, self._qd)
        on_q, on_qd = ramp(from_q, from_qd, goal, GEN3_LIMITS.acceleration, MONITOR_PERIOD, TICKS)
        if delay:
            on_q, on_qd = np.concatenate((q, on_q)), np.concatenate((qd, on_qd))
            self._ahead = on_q[TICKS:], on_qd[TICKS:]
            on_q, on_qd = on_q[:TICKS], on_qd[:TICKS]
        self._q, self._qd = on_q[-1], on_qd[-1]
        return on_q, on_qd

    def step(self, action: NDArray[np.float32]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """One policy period of 50 ms."""
        wish: Vec = np.asarray(action, dtype=np.float64)
        if not all(map(math.isfinite, wish.tolist())):
            raise ValueError(f"the action must be finite, got {wish}")
        if self.disturbance > 0.0:
            fresh = self.np_random.standard_normal(len(TWIST_NAMES))
            self._noise = NOISE_CORRELATION * self._noise + math.sqrt(1.0 - NOISE_CORRELATION**2) * fresh
            wish = wish + self._shake * self._noise
        before = self._qd
        bounded = np.minimum(np.maximum(wish, -1.0), 1.0)  # np.clip takes five times as long
        self.cell.advance(*self._command(bounded * ACTION_SCALE))
        outcome = self.cell.outcome()
        if self._world is not None and self._too_close():
            outcome = outcome._replace(contact=True)
        info = self._info(outcome)
        acceleration = (self._qd - before) / MOST_CHANGE
        torque = self.cell.torque_share()
        effort = ACCELERATION_PENALTY * float(acceleration.dot(acceleration)) / 7.0
        effort += TORQUE_PENALTY * float(torque.dot(torque)) / 7.0
        reward = FILL_REWARD * (outcome.landed - self._landed) / outcome.total
        reward += SUCCESS_REWARD * info["success"] - TIME_PENALTY - effort
        self._landed = outcome.landed
        info["effort"] = effort
        return self._observe(), reward, info["cost"] > 0.0 or info["success"], False, info

    def _too_close(self) -> bool:
        """Whether braking from the commanded motion comes closer than `clearance` to anything."""
        assert self._world is not None
        rest = stop_position(self._q, self._qd, GEN3_LIMITS.acceleration, 0.0)
        near = self._world.near(straight(self._q, rest), [self.cell.target])
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
