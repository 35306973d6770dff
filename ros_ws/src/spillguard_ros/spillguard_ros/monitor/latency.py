"""How old the measurements are that the policy's answers are to, when the gate looks at them: measured, not
assumed, and also while the arm is held, so that it can be seen before anything moves.
"""

import math
from collections import deque

import numpy as np

from spillguard_core.gate.decision import Inputs
from spillguard_core.gate.proposals import answer_age

WINDOW = 60.0  # [s]
FEWEST = 100  # answers in the window, below which nothing is said
ALLOWED = 0.1  # share of the answers that may be older than any in training


class Latency:
    """Ages [s] as `answer_age` counts them, over the last `WINDOW`."""

    def __init__(self, trained: float | None) -> None:
        """`trained` [s]: the oldest measurement answered in the policy's training; None: not known."""
        self._trained, self._ages = math.inf if trained is None else trained, deque[tuple[float, float]]()
        self.median = self.highest = float("nan")
        """[s] 50th and 99th percentile when last summed up."""
        self.warning = ""
        """That the graph is slower than what the policy was trained for; empty if not, or not known."""

    def add(self, inputs: Inputs) -> None:
        """Count one decision, if the policy speaks."""
        age = answer_age(inputs)
        if not math.isnan(age):
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
