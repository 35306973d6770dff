"""Steps/s of each locomotion task over Gymnasium's v5: same model, observation, start and actions.

Processor time, which other processes disturb less than wall time; all in one thread, without wrappers.
"""

import time
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import gymnasium
import numpy as np
import tyro
from numpy.typing import NDArray

from benchmarks.record import Ratio, report
from sim.registration import ENVIRONMENTS
from sim.tasks.cost_env import CostEnv

TURN = 50  # steps
Array = NDArray[np.float32]


@dataclass
class LocomotionBenchArguments:
    """Benchmark of the locomotion tasks."""

    repeats: int = 9
    """Repeats, each the same steps in our environment and in Gymnasium's, in turns."""
    steps: int = 1000
    """Steps of a repeat."""


def tasks() -> dict[str, type[CostEnv]]:
    """Every registered task that adds a cost to one of Gymnasium's."""
    found = {}
    for name, (entry_point, _) in ENVIRONMENTS.items():
        module, _, attribute = entry_point.partition(":")
        cls = getattr(import_module(module), attribute)
        if issubclass(cls, CostEnv):
            found[name] = cls
    return found


def plain(cls: type[CostEnv]) -> gymnasium.Env[Any, Any]:
    """Gymnasium's environment that ours extends, with the same options."""
    below = next(c for c in cls.__mro__ if c.__module__.startswith("gymnasium.envs.mujoco."))
    return below(**cls.options)  # type: ignore[call-arg]


def seconds(env: gymnasium.Env[Any, Any], actions: Array) -> float:
    """[s] for these steps, the resets of ended episodes included."""
    step, start = env.step, time.process_time()
    for action in actions:
        if step(action)[2]:
            env.reset()
    return time.process_time() - start


def repeat(ours: Any, theirs: Any, steps: int, seed: int) -> tuple[float, float]:
    """[s] of ours and theirs. An error if the physics is not bit-equal."""
    space = ours.action_space
    actions = np.random.default_rng(seed).uniform(-1.0, 1.0, (steps, space.shape[0])).astype(np.float32)
    own, other = actions * space.high, actions * theirs.action_space.high
    ours.reset(seed=seed)
    theirs.reset(seed=seed)
    passed = np.zeros(2)
    for first in range(0, steps, TURN):
        turn = slice(first, first + TURN)
        if (first // TURN + seed) % 2:
            passed += (seconds(ours, own[turn]), seconds(theirs, other[turn]))
        else:
            later = seconds(theirs, other[turn])
            passed += (seconds(ours, own[turn]), later)
    if not np.array_equal(ours.state_vector(), theirs.state_vector()):
        raise RuntimeError("Gymnasium's environment ended in another state than ours: not the same physics")
    return float(passed[0]), float(passed[1])


def main() -> None:
    """Print the ratios."""
    args = tyro.cli(LocomotionBenchArguments)
    ratios, figures = [], {}
    for name, cls in tasks().items():
        ours, theirs = cls(), plain(cls)
        times = np.array([repeat(ours, theirs, args.steps, seed) for seed in range(args.repeats)])
        short = name.removeprefix("spillguard/")
        ratios.append(Ratio(f"{short} over v5", (times[:, 1] / times[:, 0]).tolist(), aim=0.9))
        rates = args.steps / np.median(times, axis=0)
        figures[f"{short}, v5: steps/s (median)"] = f"{rates[0]:.0f}, {rates[1]:.0f}"
    report("locomotion", ratios, figures, ("mujoco", "gymnasium", "numpy"))


if __name__ == "__main__":
    main()
