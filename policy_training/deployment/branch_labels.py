"""Labels for the gate's critic: what comes of actions, from states that many policies visit.

Each episode is poured by one behaviour behind the monitor without its tilt rule, in a cell of the domain.
At some of its steps the cell is branched (`sim.pouring.branch`) with the policy's own action, a changed
one, an extreme one, and one that the fallback could take in its place: a critic that knows proposals alone
lets bad substitutes pass. Nothing comes of an upright cup, so most steps that are looked at are those with
a tilt.

Shapes: N labels, O observation, A action.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from policy_training.deployment.bad_policies import Behaviour, behaviours, noisy
from policy_training.experience.episodes import ActionRule
from sim.pouring.branch import Moment, breaks_a_rule
from sim.pouring.deployed_config import deployed_config, pouring_bundle
from sim.pouring.domain_file import spread_of
from sim.pouring.guard import accepts_all
from sim.pouring.guarded import Stack
from sim.pouring.scenario import sample_scenario
from sim.pouring.scripted import pour_controller
from spillguard_core.bundle.bundle import Bundle
from spillguard_core.tasks.pouring.action import ACTION_SCALE, candidates

SCENARIOS = 5_000_000  # first seed; no other part of the project uses these
HELD_BACK = ("bang-bang", "frozen", "good, tilt axis reversed")
"""Behaviours of `bad_policies` on which no critic is trained: those by which it is judged."""
LEAN = math.cos(0.9)  # vertical part of the cup's axis, above which a label is hardly ever positive
CHANGE = 0.3  # standard deviation of a changed action
JOLT, JOLT_STEPS = 0.05, 6  # probability of one at a step, and its length


class Sampling(NamedTuple):
    """How labels are gathered."""

    bundle: str  # the policy to be guarded, and in later rounds the critic of the round before
    hold: float  # [s] for which an action passes
    domain: str
    threshold: float | None = None  # of the bundle's critic; None: it does not act
    upright_share: float = 0.01  # of the steps with a cup that leans little, at which labels are made
    tilted_share: float = 0.15  # of the others


@dataclass(frozen=True, eq=False)
class Labels:
    """N branches."""

    obs: NDArray[np.float32]  # (N, O)
    action: NDArray[np.float32]  # (N, A) in [-1, 1]
    broken: NDArray[np.bool_]  # (N,) a rule, if the action passes
    doomed: NDArray[np.bool_]  # (N,) a rule, even if the fallback takes over at once
    own: NDArray[np.bool_]  # (N,) the behaviour's own action
    behaviour: NDArray[np.str_]  # (N,)
    episode: NDArray[np.int64]  # (N,) which must not be split between fitting and judging

    def taken(self, rows: NDArray[Any]) -> "Labels":
        """Some of them."""
        return Labels(**{f.name: getattr(self, f.name)[rows] for f in fields(Labels)})


def joined(parts: Sequence[Labels]) -> Labels:
    """All labels of several chunks."""
    return Labels(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Labels)})


def jolted(good: ActionRule) -> "Any":
    """Now and then it does something else for 0.3 s."""

    def make(rng: np.random.Generator) -> ActionRule:
        left, odd = 0, np.zeros(4, np.float32)

        def rule(obs: NDArray[np.float32]) -> NDArray[np.float32]:
            nonlocal left, odd
            if left == 0 and rng.random() < JOLT:
                left, odd = JOLT_STEPS, rng.uniform(-1.0, 1.0, 4).astype(np.float32)
            left = max(left - 1, 0)
            return odd if left else good(obs)

        return rule

    return make


def taught(good: ActionRule, bundle: Bundle, held_back: bool = False) -> Mapping[str, Behaviour]:
    """The behaviours whose states are labelled, or those that are held back, by name."""
    known = behaviours(good, bundle.own_critic)
    if held_back:
        return {name: known[name] for name in HELD_BACK}
    mine = {name: how for name, how in known.items() if name not in HELD_BACK}
    return mine | {
        "good, 2x noise": Behaviour(noisy(good, 0.2)),
        "good, jolted": Behaviour(jolted(good)),
        "scripted": Behaviour(lambda rng: pour_controller),
        "scripted, 3x noise": Behaviour(noisy(pour_controller, 0.3)),
        "scripted, 300 ms late": Behaviour(lambda rng: pour_controller, 30),
    }


@cache
def _loaded(path: str) -> tuple[Bundle, ActionRule]:
    bundle = pouring_bundle(Path(path))
    return bundle, lambda obs: bundle.policy(obs[None])[0]


def gathered(sampling: Sampling, name: str, number: int, held_back: bool = False) -> Labels:
    """The labels of one episode: of behaviour `name` in the cell of seed `number`."""
    bundle, good = _loaded(sampling.bundle)
    config = deployed_config(bundle, sampling.threshold)
    config = replace(config, settings={**config.settings, "free_tilt": math.pi})
    models = bundle.models(config)
    open_gate, trusting = replace(config, critic_threshold=None), replace(models, critic=accepts_all)
    behaviour = taught(good, bundle, held_back)[name]
    rng = np.random.default_rng([SCENARIOS, number])
    act, stack = behaviour.maker(rng), Stack(models, config, delay=behaviour.delay)
    rows: list[tuple[Any, ...]] = []

    def watched(obs: NDArray[np.float32]) -> NDArray[np.float32]:
        action = act(obs)
        share = sampling.upright_share if stack.cell.lean > LEAN else sampling.tilted_share
        if rng.random() < share:
            moment = Moment(stack.cell, stack.decision, trusting, open_gate)
            doomed = breaks_a_rule(moment, np.zeros(4), 0.0, rng)
            for at, tried in enumerate(_tries(action, stack, models, rng)):
                broken = breaks_a_rule(moment, tried * ACTION_SCALE, sampling.hold, rng)
                rows.append((obs, tried, broken, doomed, at == 0))
        return action

    stack.pour(
        watched, sample_scenario(np.random.default_rng(SCENARIOS + number), spread_of(sampling.domain))
    )
    return _labels(
        rows, name, number, len(bundle.manifest.action), sum(t.width for t in bundle.manifest.observation)
    )


def _tries(
    action: NDArray[np.float32], stack: Stack, models: Any, rng: np.random.Generator
) -> list[NDArray[np.float32]]:
    """The action itself, a changed one, an extreme one, one of the fallback's."""
    seen = stack.cell.measure()
    tool = models.tool.state(seen.joint_position, seen.joint_velocity)
    rows = candidates(action * ACTION_SCALE, seen, tool, ACTION_SCALE)[1:] / ACTION_SCALE
    tried = (
        action,
        np.clip(action + CHANGE * rng.standard_normal(4), -1.0, 1.0),
        rng.choice([-1.0, 1.0], 4),
        rows[rng.integers(len(rows))],
    )
    return [np.asarray(row, dtype=np.float32) for row in tried]


def _labels(rows: list[tuple[Any, ...]], name: str, number: int, entries: int, width: int) -> Labels:
    obs, action, broken, doomed, own = zip(*rows, strict=True) if rows else ((),) * 5
    count = len(rows)
    return Labels(
        np.array(obs, np.float32).reshape(count, width), np.array(action, np.float32).reshape(count, entries),
        np.array(broken, bool), np.array(doomed, bool), np.array(own, bool),
        np.full(count, name, dtype="U40"), np.full(count, number),
    )  # fmt: skip
