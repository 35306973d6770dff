"""The residual of one recording: predicted readings minus those of the sensors, in units of their noise.

Rows are means over `BIN` of a joint's position [rad], velocity [rad/s] or torque [N m], without the unknown
zeros of encoders and torque sensors; `fit.py` says why.

Shapes: T states, N grid points, J = 7 joints.
"""

import math
from collections.abc import Sequence

import numpy as np

from sim.identification.arm_model import compensation, lead
from sim.identification.motion import MOVED, ArmMotion, Commands
from sim.pouring import cell_model as geometry
from sim.pouring.arms import UPDATES
from sim.pouring.controller import PERIOD
from sim.pouring.domain import JOINTS, NOMINAL, Domain
from spillguard_core.robot.arm import Vec

SETTLE = 0.3  # [s] after that
TORQUE_ZERO = 0.115  # [N m] standard deviation of a torque sensor's zero: ±0.2, assumed
FLOORS = (1e-5, 5e-4, 0.005)  # [rad, rad/s, N m] no reading is trusted more than this
BIN = 0.05  # [s] over which readings are averaged: how a message arrives matters to what is faster
BLOCK = 0.2  # [s]
TIMESTEP = geometry.TIMESTEP


class Residual:
    """The residual of one recording, in the form that `mujoco.sysid` minimises."""

    def __init__(self, motion: ArmMotion) -> None:
        from scipy.signal import lfilter

        self._filter = lfilter
        self._lead = lead()
        self._start = float(motion.stamps[0])
        steps = math.ceil((float(motion.times[-1]) - self._start) / TIMESTEP) + 1
        self._grid: Vec = self._start + PERIOD * np.arange(1.0, steps * UPDATES + 1)
        self.ends: Vec = self._start + TIMESTEP * np.arange(1.0, steps + 1)
        self._motion = motion
        self._commands = Commands(motion, self._grid)
        at = self._commands.mean(NOMINAL.command_delay, NOMINAL.command_jitter)
        self._readings, self.start = [motion.q, motion.qd], at[0]
        if motion.effort is not None:
            self._readings.append(motion.effort)
        self.moved = np.abs(motion.q - motion.q[0]).max(axis=0) > MOVED
        self._first = np.array([self._forgotten(joint) for joint in range(JOINTS)])
        self.sigma = [np.full(JOINTS, floor) for floor in FLOORS[: len(self._readings)]]
        bins = ((motion.times - self._start) / BIN + 1e-6).astype(int)
        self._bins = [np.unique(bins[first:], return_index=True)[1] for first in self._first]
        within = [bins[first:][starts] for first, starts in zip(self._first, self._bins, strict=True)]
        self.blocks = np.concatenate([*within] * len(self._readings)) // round(BLOCK / BIN)

    def _forgotten(self, joint: int) -> int:
        """First state that counts for a joint."""
        motion = self._motion
        away = np.abs(motion.q[:, joint] - motion.q[0, joint]) > MOVED
        if not away.any():
            return len(motion.times) - 2
        since = motion.times[int(np.argmax(away))] + SETTLE
        return min(int(np.searchsorted(motion.times, since)), len(motion.times) - 2)

    def servo_targets(self, domain: Domain) -> Vec:
        """(N, J) [rad] for the position loops at the ends of the physics steps: `PositionServo`."""
        command, lag = self._commands.mean(domain.command_delay, domain.command_jitter), domain.lag
        kept = math.exp(-PERIOD / lag) if lag > 0.0 else 0.0
        q, _ = self._filter([1.0 - kept], [1.0, -kept], command, axis=0, zi=kept * command[:1])
        qd = np.diff(q, axis=0, prepend=command[:1]) / PERIOD
        targets: Vec = (q + self._lead * qd)[UPDATES - 1 :: UPDATES]
        return targets

    def compensate(self, predicted: Sequence[Vec]) -> None:
        """Take what the controller adds to the motors' torques off the reported ones; at the predicted
        posture, for the zeros of the encoders are unknown."""
        if self._motion.effort is not None:
            # The torques of a state are those of the step that led to it.
            before = predicted[0] - TIMESTEP * predicted[1]
            self._readings[2] = self._motion.effort - compensation(before)

    def predicted(self, state: Vec, torque: Vec) -> list[Vec]:
        """Readings, each (T, J), from states and torques at the ends of the physics steps."""
        rows = [state[:, 1 : 1 + JOINTS], state[:, 1 + JOINTS : 1 + 2 * JOINTS], torque][
            : len(self._readings)
        ]
        after = np.clip(np.searchsorted(self.ends[: len(state)], self._motion.times), 1, len(state) - 1)
        share = (self._motion.times - self.ends[after - 1]) / TIMESTEP
        share = np.clip(share, 0.0, 1.0)[:, None]
        return [(1.0 - share) * row[after - 1] + share * row[after] for row in rows]

    def errors(self, predicted: Sequence[Vec]) -> list[list[Vec]]:
        """Prediction minus reading of each kind and joint, from where it counts, as means over `BIN`."""
        told = []
        for one, read in zip(predicted, self._readings, strict=True):
            error = one - read
            told.append([
                np.add.reduceat(error[first:, joint], starts)
                / np.diff(starts, append=len(error) - first)
                for joint, (first, starts) in enumerate(zip(self._first, self._bins, strict=True))
            ])  # fmt: skip
        return told

    def rows(self, predicted: Sequence[Vec]) -> Vec:
        """Residual of the data, in units of the noise; the means of the torques come last."""
        found, means = [], []
        for kind, errors in enumerate(self.errors(predicted)):
            for joint, error in enumerate(errors):
                mean = error.mean() if kind != 1 else 0.0
                found.append((error - mean) / self.sigma[kind][joint])
                if kind == 2:
                    means.append(mean / self._zero(joint))
        return np.concatenate([*found, np.array(means)])

    def scale(self) -> Vec:
        """The noise that each row of `rows` is in units of."""
        sigma = [
            np.repeat(self.sigma[kind], [len(starts) for starts in self._bins])
            for kind in range(len(self._readings))
        ]
        zeros = [self._zero(joint) for joint in range(JOINTS)] if len(self._readings) > 2 else []
        return np.concatenate([*sigma, np.array(zeros)])

    def _zero(self, joint: int) -> float:
        """[N m] uncertainty of a mean torque."""
        return math.hypot(TORQUE_ZERO, self.sigma[2][joint] / math.sqrt(len(self._bins[joint])))

    def set_noise(self, predicted: Sequence[Vec], *, smooth: bool) -> None:
        """Noise of each reading: what is left of the errors; `smooth`: of their differences alone, where the
        prediction is not yet good."""
        for kind, errors in enumerate(self.errors(predicted)):
            for joint, error in enumerate(errors):
                told = np.std(np.diff(error)) / math.sqrt(2.0) if smooth else np.std(error)
                self.sigma[kind][joint] = max(float(told), FLOORS[kind])
