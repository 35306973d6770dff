"""How old the measurements are that the commands of the last minute answer: measured, not assumed."""

import math
from collections import deque

import numpy as np

from spillguard_core.gate.decision import Decision, Inputs, Mode
from spillguard_core.gate.reasons import Verdict

WINDOW = 60.0  # [s]
FEWEST = 100  # answers in the window, below which nothing is said
ALLOWED = 0.1  # share of the answers that may be older than any in training


class Latency:
    """Ages [s] from a measurement to the decision that follows its answer, over the last `WINDOW`.

    As long as a proposal is followed, it answers an older and older state: an age counts the whole of it.
    """

    def __init__(self, trained: float | None) -> None:
        """`trained` [s]: the oldest measurement answered in the policy's training; None: not known."""
        self._trained, self._ages = math.inf if trained is None else trained, deque[tuple[float, float]]()
        self.median = self.highest = float("nan")
        """[s] 50th and 99th percentile when last summed up."""
        self.warning = ""
        """That the graph is slower than what the policy was trained for; empty if not, or not known."""

    def add(self, inputs: Inputs, decision: Decision) -> None:
        """Count one decision, if it follows the policy."""
        if inputs.proposal is None or decision.mode is not Mode.FOLLOWING or decision.verdict >= Verdict.HOLD:
            return
        age = inputs.state_stamp - inputs.proposal.stamp + inputs.now - inputs.state_received
        self._ages.append((inputs.now, age))

    def sum_up(self, now: float) -> None:
        """Renew the percentiles and the warning; `now` [s] on the steady clock. For once a second."""
        while self._ages and self._ages[0][0] < now - WINDOW:
            self._ages.popleft()
        self.median, self.highest, self.warning = float("nan"), float("nan"), ""
        if len(self._ages) < FEWEST:
            return
        ages = np.array([age for _, age in self._ages])
        self.median, self.highest = np.percentile(ages, (50, 99)).tolist()
        share = float((ages > self._trained).mean())
        if share > ALLOWED:
            self.warning = (
                f"{100 * share:.0f} % of the answers are to measurements older than "
                f"{1e3 * self._trained:.0f} ms, the oldest of the policy's training"
            )
