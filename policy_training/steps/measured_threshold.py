"""A threshold that follows the measured share of violating episodes (ours).

A person can say which share delta of the episodes may break a rule. Which threshold eps on the safety critic
gives that share nobody knows: Q_c is discounted, averaged over a replay and never quite right. Here the units
are measured. v is the violating share of the policy's finished episodes, q the mean of E_B[Q_c(s, a_phi)] at
the same times, both forgotten over the same N episodes:

    (1)  v += (y - v) / min(n, N),   q += (Q - q) / min(n, N)     after the n-th episode, y in {0, 1}
    (2)  eps* = delta q / v_s,   v_s = (N v + delta) / (N + 1)    v_s > 0 where nothing was violated yet
    (3)  logit eps += g clip(logit eps* - logit eps, -1, 1)       per update

The multiplier rests only at Q = eps, (3) only at eps = delta Q / v: so v = delta, from any start and in
whatever units the critic speaks, as long as neither multiplier nor threshold is at its end (`watch` says so).
How soon it gets there does depend on the units: the multiplier moves by nu_lr (Q - eps). eps follows at the
rate g and forms no second integrator behind the multiplier. One forgetting for both averages is what makes
them comparable. N holds five violations at delta where it can; a delta below 1 in 1,000 is refused. With
`eps_form` clamp the steps of (3) are in eps itself.

Before the policy knows how to do its task it violates out of ignorance. A multiplier that grows on that
teaches it to stand still, where it learns nothing more. So until half of the last episodes have succeeded
once, or `wait` updates are over, the multiplier may only fall.
"""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TypeVar

from scipy.stats import binomtest
from torch import Tensor

from policy_training.checkpoint import State
from policy_training.experience.replay import EpisodeOutcome

SUCCEEDING = 0.5  # share of recent episodes after which the task counts as learned
FEWEST = 10  # episodes behind that share
SHORTEST, LONGEST, PER_EVENT = 30, 5_000, 5.0  # N: as many episodes as hold so many violations at delta
LONG = 1000  # [updates] at an end after which it is no passing state
SURE = 0.999  # confidence behind a complaint: the question is asked again at every episode
LOWEST = 1e-6  # of the cap: how low eps may go; a critic may say little and still be right in proportion
Number = TypeVar("Number", float, Tensor)
logger = logging.getLogger(__name__)


def memory_of(asked: float) -> int:
    """N [episodes]: long enough to tell `asked` from nothing, short enough to follow the policy."""
    return round(min(max(PER_EVENT / asked, SHORTEST), LONGEST))


def ended(largest: bool, lowest: bool) -> str:
    """In words, which of multiplier and threshold are at the end that is the stricter one; empty if none."""
    said = {"the multiplier at its largest": largest, "the threshold at its lowest": lowest}
    return " and ".join(words for words, true in said.items() if true)


@dataclass
class MeasuredThreshold:
    """What has been measured, and the threshold that follows from it."""

    asked: float  # delta
    wait: int  # [updates]
    violating: float = 0.0  # v
    succeeding: float = 0.0
    predicted: float = 0.0  # q
    episodes: int = 0  # n
    updates: int = 0
    awake: bool = False
    q_sum: float = 0.0  # of Q since the last episode
    q_count: int = 0
    stuck: int = 0  # [updates] for which multiplier or threshold have been at their end
    stuck_episodes: int = 0  # that ended meanwhile, and of these
    stuck_violations: int = 0
    told: bool = False  # that what was asked is not reached

    def see(self, outcomes: Sequence[EpisodeOutcome], q_c: float) -> None:
        """One update: the mean Q_c in it, and the episodes that have ended since the one before. (1)"""
        self.updates += 1
        self.q_sum, self.q_count = self.q_sum + q_c, self.q_count + 1
        longest = memory_of(self.asked)
        for outcome in outcomes:
            self.episodes += 1
            weight = 1.0 / min(self.episodes, longest)
            self.violating += weight * (outcome.violated - self.violating)
            self.succeeding += (outcome.success - self.succeeding) / min(self.episodes, SHORTEST)
            self.predicted += weight * (self.q_sum / self.q_count - self.predicted)
            self.stuck_episodes += bool(self.stuck)
            self.stuck_violations += bool(self.stuck) and outcome.violated
        if outcomes:
            self.q_sum, self.q_count = 0.0, 0
        learned = self.episodes >= FEWEST and self.succeeding >= SUCCEEDING
        if not self.awake and (learned or self.updates >= self.wait):
            self.awake = True
            logger.info(
                "from update %d on measured episodes set the threshold: %.0f %% succeed, %.1f %% violate",
                self.updates, 100.0 * self.succeeding, 100.0 * self.violating,
            )  # fmt: skip

    def excess(self, q_c: Number, eps: Number) -> Number:
        """What the multiplier ascends along: Q_c - eps, at most 0 while the task is not learned."""
        found = q_c - eps
        return found if self.awake or found < 0.0 else 0.0 * found

    def wanted(self) -> float | None:
        """eps* of (2); none before anything is known."""
        if not (self.awake and self.episodes >= FEWEST and self.predicted > 0.0):
            return None
        longest = min(self.episodes, memory_of(self.asked))
        return self.asked * self.predicted * (longest + 1.0) / (longest * self.violating + self.asked)

    def watch(self, end: str) -> None:
        """Say once if, held at an `end` (its words, or empty) for long, what was asked is not reached."""
        if not (end and self.awake):
            self.stuck = self.stuck_episodes = self.stuck_violations = 0
            return
        self.stuck += 1
        count, bad = self.stuck_episodes, self.stuck_violations
        if self.told or self.stuck < LONG or count < FEWEST:
            return
        found = binomtest(bad, count).proportion_ci(SURE, method="wilson")
        if found.low <= self.asked:
            return
        self.told = True
        logger.warning(
            "at most %.3g %% of the episodes were to violate; %.3g %% of the last %d did, with %s for %d "
            "updates. It is not reached like this: allow more (--violations), a larger --nu-max, a larger "
            "--nu-lr, or more steps; the task may not allow it at all",
            100.0 * self.asked, 100.0 * bad / count, count, end, self.stuck,
        )  # fmt: skip

    def state_dict(self) -> State:
        """All fields."""
        return asdict(self)

    def load_state_dict(self, state: State) -> None:
        """Inverse of `state_dict`; what is asked stays as configured."""
        for name, value in state.items():
            if name not in ("asked", "wait"):
                setattr(self, name, value)
