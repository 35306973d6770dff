"""Generalised advantage estimates of a rollout, for the reward and for every named cost."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import lfilter
from torch import Tensor

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Rollout:
    """One iteration's experience, ready for an update. T steps, M = 1 + K signals: reward, then costs."""

    obs: Tensor  # (T, O) float32
    action: Tensor  # (T, A)
    advantage: Tensor  # (M, T) as estimated, not standardised
    target: Tensor  # (M, T) targets of the value functions
    episode_return: float  # mean over the episodes that ended in this iteration
    episode_costs: tuple[float, ...]  # (K,) means of their undiscounted sums
    episodes: int
    episode_length: float  # mean steps of the episodes that ended


def gae(signal: Array, value: Array, final_value: float, gamma: float, lam: float) -> Array:
    """A_t = sum_l (gamma lam)^l delta_{t+l}, delta_t = x_t + gamma V_{t+1} - V_t, of one segment of an
    episode.

    signal, value (T,); `final_value` is V of where the segment ends: 0 where the episode terminated there, V
    of the last observation where it was truncated. Schulman et al. 2016, Eqs. 11 and 16. Returns (T,).
    """
    after = np.append(value[1:], final_value)
    delta = signal + gamma * after - value
    return np.asarray(lfilter([1.0], [1.0, -gamma * lam], delta[::-1])[::-1])


def standardised(advantage: Tensor) -> Tensor:
    """Zero mean and unit standard deviation over the batch (T,)."""
    return (advantage - advantage.mean()) / (advantage.std() + 1e-8)


def centred(advantage: Tensor) -> Tensor:
    """Zero mean over the batch (T,), in its own units."""
    return advantage - advantage.mean()


def as_tensor(array: NDArray[np.floating]) -> Tensor:
    """float32 copy."""
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
