"""What the cell's sensors make of the truth: filters, noise, errors, resolution."""

import copy
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sim.pouring.domain import JOINTS, Domain
from spillguard_core.gate.decision import Measurement
from spillguard_core.robot.arm import GRAVITY, Vec
from spillguard_core.tasks.pouring.observation import measured

FINEST = 1e-9  # [kg] below which a resolution makes no difference
NOISE_DRAWN = 256  # pairs drawn at once


@lru_cache(maxsize=64)
def first_order(steps: int, timestep: float, lag: float) -> tuple[float, Vec]:
    """First-order filter of time constant `lag` [s] over `steps`: weight of its old value, and weights
    (steps,) of the new ones."""
    kept = np.exp(-timestep / lag)
    shares: Vec = kept ** np.arange(steps, -1.0, -1.0)
    return float(shares[0]), (1.0 - kept) * shares[1:]


def _normal_pairs(rng: np.random.Generator) -> Iterator[list[float]]:
    """Pairs of standard normal numbers, drawn in batches: a call of the generator is mostly overhead."""
    while True:
        yield from rng.standard_normal((NOISE_DRAWN, 2)).tolist()


class CellSensors:
    """Load cell, wrist, encoders, and whatever sees the target."""

    def __init__(self, domain: Domain, content: float, target: Vec, rng: np.random.Generator) -> None:
        """`content` [kg] of the held cup, `target` (3,) [m] where the centre of the other's rim is."""
        self._domain, self._noise, self._rng = (
            domain,
            _normal_pairs(rng),
            np.random.default_rng(rng.integers(2**31)),
        )
        self._poured, self._remaining = 0.0, content  # [kg] filtered
        self._target = target + np.array(domain.target_error)
        self._offset = np.array(domain.encoder_offset)

    def branch(self, rng: np.random.Generator) -> "CellSensors":
        """Another one in the same state, with noise of its own."""
        twin = copy.copy(self)
        twin._noise, twin._rng = _normal_pairs(rng), np.random.default_rng(rng.integers(2**31))
        return twin

    def weigh(self, poured: NDArray[np.float64], remaining: NDArray[np.float64]) -> None:
        """Upward forces (N,) [N] on the two cups, one for each physics step."""
        domain, steps = self._domain, len(poured)
        kept, weights = first_order(steps, domain.timestep, domain.load_cell_lag)
        self._poured = kept * self._poured + float(weights.dot(poured)) / GRAVITY
        kept, weights = first_order(steps, domain.timestep, domain.wrist_lag)
        self._remaining = kept * self._remaining + float(weights.dot(remaining)) / GRAVITY

    def measure(self, q: Vec, qd: Vec, now: float) -> Measurement:
        """Readings `now` [s] after the tare; q, qd: (7,) the truth [rad, rad/s]."""
        domain = self._domain
        load_cell, wrist = next(self._noise)
        poured = self._poured + domain.load_cell_noise * load_cell
        poured += domain.load_cell_bias + domain.load_cell_drift * now
        remaining = self._remaining + domain.wrist_noise * wrist
        remaining += domain.wrist_bias + domain.wrist_drift * now
        q = q + self._offset
        if domain.encoder_noise > 0.0 or domain.velocity_noise > 0.0:
            q_noise, qd_noise = self._rng.standard_normal((2, JOINTS))
            q, qd = q + domain.encoder_noise * q_noise, qd + domain.velocity_noise * qd_noise
        return measured(
            q, qd.copy(), _stepped(poured, domain.load_cell_step), _stepped(remaining, domain.wrist_step),
            self._target.copy(),
        )  # fmt: skip


def _stepped(value: float, step: float) -> float:
    return round(value / step) * step if step > FINEST else value
