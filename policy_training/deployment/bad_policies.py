"""Policies that the safety monitor has to withstand: the good one perturbed, arbitrary ones, an adversarial
attack. Each is made anew for every episode from a seed, so that episodes do not depend on their order.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from policy_training.experience.episodes import ActionRule
from spillguard_core.gate.screening import Critic

Array = NDArray[np.float32]
Maker = Callable[[np.random.Generator], ActionRule]

NOISE = 0.1  # standard deviation of the time-correlated noise, as in the prior episodes of training
CORRELATION = 0.9  # from one step to the next
DELAY = 20  # monitor periods, 200 ms
FREEZE_WITHIN = 80  # steps, 4 s: the policy freezes at a random step of these
HOLD_STEPS = 10  # steps, 0.5 s, between changes of direction of bang-bang
TILT = 3  # entry of the action
ATTACK_STEPS, ATTACK_RATE, ATTACK_REACH, PROBE = 5, 0.2, 0.5, 0.02  # of an action in [-1, 1]


@dataclass(frozen=True)
class Behaviour:
    """A policy of a campaign."""

    maker: Maker
    delay: int = 0  # monitor periods on top of the scenario's


def noisy(good: ActionRule, deviation: float) -> Maker:
    """Time-correlated noise on every action."""

    def make(rng: np.random.Generator) -> ActionRule:
        noise = np.zeros(4)

        def rule(obs: Array) -> Array:
            nonlocal noise
            noise = CORRELATION * noise + np.sqrt(1.0 - CORRELATION**2) * rng.standard_normal(4)
            return np.clip(good(obs) + deviation * noise, -1.0, 1.0).astype(np.float32)

        return rule

    return make


def wrong_tilt(good: ActionRule) -> Maker:
    """The sign of the tilt axis is inverted."""
    flip = np.array([1.0, 1.0, 1.0, -1.0], dtype=np.float32)
    return lambda rng: lambda obs: good(obs) * flip


def uniform(rng: np.random.Generator) -> ActionRule:
    """Another random action at every step."""
    return lambda obs: rng.uniform(-1.0, 1.0, 4).astype(np.float32)


def bang_bang(rng: np.random.Generator) -> ActionRule:
    """Full speed in a random direction, another one every half second."""
    action, left = np.zeros(4, np.float32), 0

    def rule(obs: Array) -> Array:
        nonlocal action, left
        if left == 0:
            action, left = rng.choice([-1.0, 1.0], 4).astype(np.float32), HOLD_STEPS
        left -= 1
        return action

    return rule


def frozen(good: ActionRule) -> Maker:
    """From a random step on it repeats its last action; process and time stamps stay healthy."""

    def make(rng: np.random.Generator) -> ActionRule:
        left, action = int(rng.integers(FREEZE_WITHIN)), np.zeros(4, np.float32)

        def rule(obs: Array) -> Array:
            nonlocal left, action
            if left >= 0:
                action, left = good(obs), left - 1
            return action

        return rule

    return make


def attack(critic: Critic) -> Maker:
    """Tilts and drifts at random, each action changed until the safety critic accepts it.

    Projected gradient descent on Q_c within `ATTACK_REACH` of the harmful action (the attack of Madry et al.
    2018, ICLR), with central differences through the deployed graph, so that the graph that runs is the one
    attacked.
    """

    def make(rng: np.random.Generator) -> ActionRule:
        harm = np.array([*rng.uniform(-1.0, 1.0, 3), rng.choice([-1.0, 1.0])])
        probes = np.vstack([PROBE * np.eye(4), -PROBE * np.eye(4)])

        def rule(obs: Array) -> Array:
            action = harm
            for _ in range(ATTACK_STEPS):
                points = (action + probes).astype(np.float32)
                q_c = critic(np.repeat(obs[None], len(points), axis=0), points).astype(np.float64)
                action = action - ATTACK_RATE * np.sign(q_c[:4] - q_c[4:])
                action = np.clip(action, harm - ATTACK_REACH, harm + ATTACK_REACH).clip(-1.0, 1.0)
            return action.astype(np.float32)

        return rule

    return make


def behaviours(good: ActionRule, critic: Critic, reckless: ActionRule | None = None) -> dict[str, Behaviour]:
    """All policies by name; `reckless` is a policy trained on reward alone, if there is one."""
    every = {
        "good policy": Behaviour(lambda rng: good),
        "good, 5x noise": Behaviour(noisy(good, 5.0 * NOISE)),
        "good, 200 ms late": Behaviour(lambda rng: good, DELAY),
        "good, tilt axis reversed": Behaviour(wrong_tilt(good)),
        "uniform random": Behaviour(uniform),
        "bang-bang": Behaviour(bang_bang),
        "frozen": Behaviour(frozen(good)),
        "attack on the critic": Behaviour(attack(critic)),
    }
    return every if reckless is None else every | {"trained on reward alone": Behaviour(lambda rng: reckless)}
