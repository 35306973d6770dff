"""A way for messages on which they take time, are delayed unevenly and get lost."""

from collections import deque
from typing import Generic, TypeVar

import numpy as np

from sim.pouring.domain import Domain
from spillguard_core.robot.arm import MONITOR_PERIOD

Message = TypeVar("Message")


class Channel(Generic[Message]):
    """Between a policy and whoever carries out what it asks for, in monitor periods."""

    def __init__(self, domain: Domain, seed: int) -> None:
        self._domain, self._rng = domain, np.random.default_rng([seed, 1])
        self._under_way: deque[tuple[int, Message]] = deque()

    def send(self, tick: int, message: Message) -> None:
        """`tick`: when the measurement was made that the message answers."""
        domain = self._domain
        if domain.dropped > 0.0 and self._rng.random() < domain.dropped:
            return
        delay = domain.delay
        if domain.jitter > 0.0:
            delay += self._rng.uniform(0.0, domain.jitter)
        # Who receives looks once a period; what a later message has overtaken is of no use to it.
        due = tick + int(np.ceil(delay / MONITOR_PERIOD - 1e-9))
        while self._under_way and self._under_way[-1][0] >= due:
            self._under_way.pop()
        self._under_way.append((due, message))

    def arrived(self, before: int) -> list[tuple[int, Message]]:
        """What arrived before this tick and was not yet asked for, in order, with the ticks of arrival."""
        found = []
        while self._under_way and self._under_way[0][0] < before:
            found.append(self._under_way.popleft())
        return found
