"""How high the safety critic may go before the monitor steps in: a first choice from validation episodes.

eps bounds the mean of Q_c over all states that training visits; the monitor judges one state at a time, and
safe pours pass through moments above that mean. So the threshold is the highest Q_c on episodes that went
well: what the policy does when it succeeds is let pass, anything riskier is not. This is no statistical
promise yet; it says nothing of how many violations stay below it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from rich.progress import track
from torch import nn

from policy_training.episodes import VALIDATION_SEEDS, make_env
from spillguard_core.manifest import Threshold

NOISE = 0.3  # standard deviation of the time-correlated noise that makes a policy fail
CORRELATION = 0.9


@dataclass(frozen=True)
class Peak:
    """One episode in the critic's eyes."""

    highest: float  # Q_c
    success: bool
    violation: bool


def peaks(
    policy: nn.Module, critic: nn.Module, env_id: str, seeds: Iterable[int], noise: float = 0.0
) -> list[Peak]:
    """Highest Q_c of each episode of the deterministic policy, with noise on its actions if asked for."""
    env, rng, found = make_env(env_id), np.random.default_rng(0), []
    for seed in seeds:
        obs, _ = env.reset(seed=seed)
        highest, ended, disturbance = 0.0, False, np.zeros(env.action_space.shape or ())
        while not ended:
            fresh = rng.standard_normal(disturbance.shape)
            disturbance = CORRELATION * disturbance + np.sqrt(1.0 - CORRELATION**2) * fresh
            with torch.no_grad():
                state = torch.as_tensor(obs)[None]
                action = policy(state) + torch.as_tensor(noise * disturbance, dtype=torch.float32)
                action = action.clamp(-1.0, 1.0)
                highest = max(highest, float(critic(state, action)))
            obs, _, terminated, truncated, info = env.step(action[0].numpy())
            ended = terminated or truncated
        found.append(Peak(highest, bool(info.get("success", False)), float(info.get("cost", 0.0)) > 0.0))
    env.close()
    return found


def measured_threshold(policy: nn.Module, critic: nn.Module, env_id: str, episodes: int = 100) -> Threshold:
    """The highest Q_c of `episodes` validation episodes that succeeded, and what it would have caught."""
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
