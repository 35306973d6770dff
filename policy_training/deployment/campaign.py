"""Episodes of a deployed bundle behind the monitor, by many policies, in parallel and resumable.

An arm of a campaign is a policy, whether the monitor is on, how its critic chooses, and the threshold. Each
episode of an arm depends on its seed alone, so an interrupted campaign can be resumed.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from policy_training.deployment.bad_policies import Behaviour, behaviours
from policy_training.experience.episodes import ActionRule
from policy_training.networks.plain import plain_policy
from policy_training.pool import Pool, ordered
from policy_training.runs.trained import load_policy
from sim.pouring.branch import Moment, breaks_a_rule
from sim.pouring.deployed_config import deployed_config, pouring_bundle
from sim.pouring.domain_file import spread_of
from sim.pouring.guard import accepts_all
from sim.pouring.guarded import Pour, Stack
from sim.pouring.scenario import sample_scenario
from spillguard_core.bundle.bundle import Bundle
from spillguard_core.gate import reasons
from spillguard_core.gate.decision import GateConfig
from spillguard_core.gate.gate import Models
from spillguard_core.gate.screening import Choice, Critic, Scene, Screen, evaluated, screened
from spillguard_core.tasks.pouring.action import ACTION_SCALE, RECOVERY, back

SCENARIOS, POLICIES = 3_000_000, 4_000_000  # first seeds; no other part of the project uses these
CHUNK = 5  # episodes that a process takes at a time
ORACLE_HOLD = 0.2  # [s] for which an action that is tried passes, as in the critic's labels
SAMPLES, SPREAD = 100, 0.3  # of the resampling fallback, as in SQRL; the standard deviation is ours


@dataclass(frozen=True)
class Condition:
    """One row of a campaign."""

    policy: str  # name in `bad_policies.behaviours`
    guarded: bool = True
    fallback: str = "closest"
    critic: bool = True  # False: Q_c is logged and does not act
    tilt_check: bool = True  # False: the tilt is not limited, and only the critic guards against a spill
    oracle: bool = False  # every action is tried in a copy of the cell first: what the fallback could save


@dataclass(frozen=True)
class CampaignPolicies:
    """The subject: a bundle and, for one of the bad policies, a run trained on reward alone."""

    bundle: str
    reckless: str = ""
    threshold: float | None = None  # None: the bundle's own
    domain: str = "pours"  # what the cells differ in


def always_hold(critic: Critic, scene: Scene, threshold: float | None, release: float) -> list[Choice]:
    """Hold instead of any proposal that the critic does not accept."""
    choice = screened(critic, scene, threshold, release)[0]
    if choice.reason in (reasons.OK, reasons.CRITIC_INVALID):
        return [choice]
    return [Choice(np.zeros(4), choice.q_c, reasons.CRITIC, RECOVERY)]


def resampled(critic: Critic, scene: Scene, threshold: float | None, release: float) -> list[Choice]:
    """As SQRL does (Srinivasan et al. 2020): draw actions around the proposal, take one of the accepted.

    If none is, take the one of the lowest Q_c. A bundle holds the mean of the policy only, so the spread is
    ours. The draw depends on the observation alone, which keeps the gate a pure function.
    """
    choice = screened(critic, scene, threshold, release)[0]
    if threshold is None or choice.reason in (reasons.OK, reasons.CRITIC_INVALID):
        return [choice]
    rng = np.random.default_rng(crc32(scene.obs.tobytes()))
    rows = (scene.twist + SPREAD * ACTION_SCALE * rng.standard_normal((SAMPLES, 4))).clip(
        -ACTION_SCALE, ACTION_SCALE
    )
    q_c = evaluated(critic, scene, rows)
    if q_c is None:
        return [Choice(np.zeros(4), math.nan, reasons.CRITIC_INVALID, RECOVERY)]
    accepted = np.flatnonzero(q_c <= threshold)
    row = int(rng.choice(accepted)) if len(accepted) else int(np.argmin(q_c))
    return [Choice(rows[row], float(q_c[row]), reasons.CRITIC, 1)]


SCREENS: dict[str, Screen] = {"closest": screened, "always hold": always_hold, "resampling": resampled}


@cache
def _loaded(subject: CampaignPolicies) -> tuple[Bundle, dict[str, Behaviour]]:
    bundle = pouring_bundle(Path(subject.bundle))
    reckless = None
    if subject.reckless:
        reckless = plain_policy(load_policy(Path(subject.reckless)).policy.actor)
    return bundle, behaviours(lambda obs: bundle.policy(obs[None])[0], bundle.own_critic, reckless)


def episode(subject: CampaignPolicies, arm: Condition, number: int) -> Pour:
    """Episode `number` of an arm; the same cell and the same random numbers for every arm."""
    bundle, known = _loaded(subject)
    if arm.policy not in known:
        raise ValueError(f"unknown policy {arm.policy!r}; known are {', '.join(known)}")
    threshold = bundle.manifest.threshold.value if subject.threshold is None else subject.threshold
    config = deployed_config(bundle, threshold if arm.critic else None)
    if not arm.tilt_check:
        config = replace(config, settings={**config.settings, "free_tilt": math.pi})
    models = replace(bundle.models(config), screen=SCREENS[arm.fallback])
    behaviour = known[arm.policy]
    stack = Stack(models, config, arm.guarded, behaviour.delay)
    rule = behaviour.maker(np.random.default_rng(POLICIES + number))
    if arm.oracle:
        rule = foreseeing(rule, stack, models, config, np.random.default_rng([POLICIES, number]))
    scenario = sample_scenario(np.random.default_rng(SCENARIOS + number), spread_of(subject.domain))
    return stack.pour(rule, scenario)


def foreseeing(
    rule: ActionRule, stack: Stack, models: Models, config: GateConfig, rng: np.random.Generator
) -> ActionRule:
    """The rule, with the fallback in place of every action that breaks a rule in a copy of the cell."""
    open_gate, trusting = replace(config, critic_threshold=None), replace(models, critic=accepts_all)

    def watched(obs: NDArray[np.float32]) -> NDArray[np.float32]:
        action = rule(obs)
        moment = Moment(stack.cell, stack.decision, trusting, open_gate)
        if not breaks_a_rule(moment, action * ACTION_SCALE, ORACLE_HOLD, rng):
            return action
        seen = stack.cell.measure()
        tilt = models.tool.state(seen.joint_position, seen.joint_velocity).tilt
        return np.asarray(back(tilt) / ACTION_SCALE, dtype=np.float32)

    return watched


def _chunk(subject: CampaignPolicies, arm: Condition, numbers: Sequence[int]) -> list[Pour]:
    return [episode(subject, arm, number) for number in numbers]


def pours(
    subject: CampaignPolicies,
    wanted: Sequence[tuple[Condition, Sequence[int]]],
    pool: Pool,
    note: Callable[[Condition, int, Pour], None] = lambda arm, number, pour: None,
) -> Iterator[tuple[Condition, int, Pour]]:
    """Every wanted episode of every arm, in order, chunk by chunk; `note` is called with each."""
    jobs = [
        (subject, arm, numbers[i : i + CHUNK])
        for arm, numbers in wanted
        for i in range(0, len(numbers), CHUNK)
    ]
    for (_, arm, numbers), found in zip(jobs, ordered(_chunk, jobs, pool), strict=True):
        for number, pour in zip(numbers, found, strict=True):
            note(arm, number, pour)
            yield arm, number, pour
