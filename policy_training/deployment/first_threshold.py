"""A first threshold of the safety critic, above which the monitor intervenes, from validation episodes.

eps bounds the mean of Q_c over all states that training visits; the monitor judges one state at a time, and
safe pours pass through states above that mean. So the threshold is the highest Q_c in successful episodes:
what the policy does when it succeeds passes, anything riskier does not. This is no statistical guarantee yet:
the share of violations that stay below it is unknown.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from rich.progress import track
from torch import nn

from policy_training.experience.environments import Array, LearnersEnv, make_env
from policy_training.experience.episodes import VALIDATION_SEEDS, transitions
from spillguard_core.bundle.manifest import Threshold

NOISE = 0.3  # standard deviation of the time-correlated noise that makes a policy fail
CORRELATION = 0.9


@dataclass(frozen=True)
class Peak:
    """The critic's values in one episode."""

    highest: float  # Q_c
    success: bool
    violation: bool


def peaks(
    policy: nn.Module, critic: nn.Module, env_id: str, seeds: Iterable[int], noise: float = 0.0
) -> list[Peak]:
    """Highest Q_c of each episode of the deterministic policy, with noise on its actions if asked for."""
    env, rng = make_env(env_id), np.random.default_rng(0)
    found = [_peak(env, policy, critic, seed, noise, rng) for seed in seeds]
    env.close()
    return found


def _peak(
    env: LearnersEnv, policy: nn.Module, critic: nn.Module, seed: int, noise: float, rng: np.random.Generator
) -> Peak:
    """One episode of `peaks`."""
    highest, disturbance = 0.0, np.zeros(env.action_space.shape or ())

    def rule(obs: Array) -> Array:
        nonlocal highest, disturbance
        fresh = rng.standard_normal(disturbance.shape)
        disturbance = CORRELATION * disturbance + np.sqrt(1.0 - CORRELATION**2) * fresh
        with torch.no_grad():
            state = torch.as_tensor(obs)[None]
            action = policy(state) + torch.as_tensor(noise * disturbance, dtype=torch.float32)
            action = action.clamp(-1.0, 1.0)
            highest = max(highest, float(critic(state, action)))
        taken: Array = action[0].numpy()
        return taken

    *_, last = transitions(env, rule, seed)
    return Peak(highest, bool(last.info.get("success", False)), float(last.info.get("cost", 0.0)) > 0.0)


def measured_threshold(policy: nn.Module, critic: nn.Module, env_id: str, episodes: int = 100) -> Threshold:
    """The highest Q_c of `episodes` validation episodes that succeeded, and the share of violations that it
    would have caught."""
    seeds = range(VALIDATION_SEEDS, VALIDATION_SEEDS + episodes)
    clean = peaks(policy, critic, env_id, track(seeds, "threshold: the policy's own episodes"))
    good = [p.highest for p in clean if p.success]
    if not good:
        raise ValueError(
            f"none of {episodes} validation episodes succeeded; say --threshold or --uncalibrated"
        )
    value = max(good)
    shaken = peaks(policy, critic, env_id, track(seeds, "threshold: disturbed episodes"), NOISE)
    bad = [p.highest > value for p in shaken if p.violation]
    return Threshold(
        value,
        f"highest Q_c on {len(good)} successful of {episodes} validation episodes; it was exceeded before "
        f"{sum(bad)} of {len(bad)} violations of the same policy under action noise of {NOISE}",
    )
