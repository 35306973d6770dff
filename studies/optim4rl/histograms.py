"""Gradients at the start, in the middle and at the end of training: of an agent, and of supervised learning.

Both networks are trained by RMSProp; a histogram counts log10(|g| + 1e-8) over all parameters and a window of
updates. The agent is A2C in big_dense_long; the classifier reads scikit-learn's 8 x 8 digits, batch 64, with
the agent's hidden layer of 32.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from policy_training.files import write_atomically
from policy_training.meta_learning.tasks import TASKS
from policy_training.meta_learning.units import Agents
from policy_training.optimizers.learned import LearnedOptimizer, parse_optimizer
from policy_training.optimizers.registry import RULES

EDGES = np.linspace(-8.0, 1.0, 91)  # of log10(|g| + 1e-8)
STAGES = ("start", "middle", "end")
TASK, ALPHA, BATCH, HIDDEN = "big_dense_long", 3e-3, 64, 32


@dataclass(frozen=True)
class Histogram:
    """Shares of gradients in bins, and summary statistics."""

    shares: list[float]  # of all, by bin of EDGES
    zero: float  # share that is exactly 0
    mean: float  # of log10(|g| + 1e-8) where g is not 0
    std: float


def histogram(gradients: NDArray[np.float64]) -> Histogram:
    """Of any number of gradients."""
    logarithms = np.log10(np.abs(gradients) + 1e-8)
    moving = logarithms[gradients != 0.0]
    counts, _ = np.histogram(logarithms, EDGES)
    return Histogram(
        (counts / len(logarithms)).round(6).tolist(), float((gradients == 0.0).mean()), float(moving.mean()),
        float(moving.std()),
    )  # fmt: skip


def stages(gradients: Iterator[Tensor], updates: int, window: int) -> dict[str, Histogram]:
    """Histograms of the first, the middle and the last updates."""
    firsts = {"start": 0, "middle": (updates - window) // 2, "end": updates - window}
    kept: dict[str, list[NDArray[np.float64]]] = {stage: [] for stage in STAGES}
    for number, gradient in enumerate(gradients):
        for stage, first in firsts.items():
            if first <= number < first + window:
                kept[stage].append(gradient.double().numpy().reshape(-1))
    return {stage: histogram(np.concatenate(parts)) for stage, parts in kept.items()}


def agent_gradients(updates: int, games: int, seed: int) -> Iterator[Tensor]:
    """The gradients of RMSProp before clipping, update by update."""
    agents = Agents(
        TASKS[TASK], RULES["rmsprop"], 1, games=games, steps=20, alpha=ALPHA, scale=1.0, seed=seed,
        lifetime=updates,
    )  # fmt: skip
    for _ in range(updates):
        rollout = agents.rollout()
        yield agents.ahead(rollout)[0]
        agents.update(torch.zeros(0), rollout)


def digit_gradients(updates: int, seed: int) -> Iterator[Tensor]:
    """The same of a classifier of digits. ModuleNotFoundError without scikit-learn."""
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "the digits come with scikit-learn: pip install scikit-learn, or leave out --parts histograms"
        ) from error
    digits = load_digits()
    images, labels = torch.tensor(digits.data / 16.0, dtype=torch.float32), torch.tensor(digits.target)
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(images.shape[1], HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 10))
    optimizer = LearnedOptimizer(network.parameters(), parse_optimizer("rmsprop"), ALPHA)
    rng = torch.Generator().manual_seed(seed)
    for _ in range(updates):
        rows = torch.randint(len(images), (BATCH,), generator=rng)
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(images[rows]), labels[rows]).backward()
        yield torch.cat([p.grad.reshape(-1) for p in network.parameters() if p.grad is not None])
        optimizer.step()


def write_histograms(path: Path, updates: int, window: int, games: int) -> None:
    """Write both to a file, unless it is there with the same settings."""
    wanted = {"updates": updates, "window": window, "games": games}
    if path.is_file() and json.loads(path.read_text())["settings"] == wanted:
        return
    found = {
        "agent": stages(agent_gradients(updates, games, seed=1), updates, window),
        "digits": stages(digit_gradients(updates, seed=1), updates, window),
    }
    plain = {name: {s: vars(h) for s, h in by_stage.items()} for name, by_stage in found.items()}
    write_atomically(path, json.dumps({"settings": wanted, **plain}).encode())
