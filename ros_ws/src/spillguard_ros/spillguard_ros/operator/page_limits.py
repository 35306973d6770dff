"""How much one browser may ask of the operator page, so that none delays another's STOP. No ROS, no browser.

Nobody who has the token is ever locked out: a guess waits, `LONGEST` at most, and is then looked at, and a
window that was unlocked before waits for nothing. What limits a flood is that each connection waits for
itself: what it sends too fast stays with its sender.
"""

import ipaddress
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from typing import NamedTuple

MESSAGES, MESSAGES_AT_ONCE = 100.0, 200  # [1/s] of one connection; turning the view sends 50 a second
CONNECTIONS, CONNECTIONS_AT_ONCE = 4.0, 40  # [1/s] from one address; a browser makes several for one window
WINDOWS, WINDOWS_AT_ONCE = 1.0, 8  # [1/s] from one address
MOST_CLIENTS = 10  # windows at a time
LARGEST = 1 << 14  # [B] of a message from a browser; its own are below 1000
READ = 1 << 9  # [B] taken from one connection before the others have their turn
READS, READS_AT_ONCE = 100.0, 200  # [1/s] of one connection: a ping costs as much as a message, in 6 B
FREE, FREE_FOR_ALL = 10, 40  # wrong guesses from one address, and from all, before one has to wait
FIRST, LONGEST, LONGEST_FOR_ALL = 0.25, 4.0, 1.0  # [s] the first wait, and to what it doubles
FORGOTTEN = 30.0  # [s] after which one wrong guess is
MOST_ADDRESSES = 1000  # remembered; the oldest gives way

Clock = Callable[[], float]


class Bucket:
    """So many at once, and so many a second after that."""

    def __init__(self, rate: float, at_once: int, clock: Clock = time.monotonic) -> None:
        self._rate, self._most, self._clock = rate, float(at_once), clock
        self._left, self._since = float(at_once), clock()

    def wait(self) -> float:
        """Take one, and wait so long [s] before it is used."""
        now = self._clock()
        self._left = min(self._most, self._left + self._rate * (now - self._since)) - 1.0
        self._since = now
        return max(0.0, -self._left / self._rate)

    def has(self) -> bool:
        """Take one if there is one."""
        taken = self.wait() == 0.0
        if not taken:
            self._left += 1.0  # who was sent away has taken nothing
        return taken


class BackOff:
    """Waits that double with every wrong guess and are forgotten with time."""

    def __init__(self, free: int, longest: float) -> None:
        self._free, self._longest = free, longest
        self._wrong, self._since = 0.0, 0.0

    def wrong(self, now: float) -> None:
        """One more; `now` [s]."""
        most = self._free + 16  # by then the longest wait is reached: what is over would only be kept longer
        self._wrong = min(self._count(now) + 1.0, most)
        self._since = now

    def wait(self, now: float) -> float:
        """Time [s] that the next guess waits."""
        over = self._count(now) - self._free
        return 0.0 if over <= 0.0 else min(self._longest, FIRST * 2.0 ** (over - 1.0))

    def _count(self, now: float) -> float:
        return max(0.0, self._wrong - (now - self._since) / FORGOTTEN)


class Guesses:
    """How long a guess at the token waits, by where it comes from."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock, self._all = clock, BackOff(FREE_FOR_ALL, LONGEST_FOR_ALL)
        self._from: OrderedDict[str, BackOff] = OrderedDict()

    def wait(self, address: str) -> float:
        """Time [s]; 0 unless there were many wrong ones, from there or from everywhere."""
        now, own = self._clock(), self._from.get(origin(address))
        return max(self._all.wait(now), 0.0 if own is None else own.wait(now))

    def wrong(self, address: str) -> None:
        """A guess from there was wrong."""
        now, where = self._clock(), origin(address)
        own = self._from.pop(where, None) or BackOff(FREE, LONGEST)
        own.wrong(now)
        self._from[where] = own  # the newest last
        self._all.wrong(now)
        if len(self._from) > MOST_ADDRESSES:
            self._from.popitem(last=False)

    def right(self, address: str) -> None:
        """A guess from there was right: forget the wrong ones."""
        self._from.pop(origin(address), None)


class Visitor(NamedTuple):
    """An open connection."""

    origin: str
    unlocked: bool


class Doors:
    """Who may come in, by how many came from the same place."""

    def __init__(self, rate: float, at_once: int, clock: Clock = time.monotonic) -> None:
        """As of a `Bucket`, for each place."""
        self._rate, self._at_once, self._clock = rate, at_once, clock
        self._rates: OrderedDict[str, Bucket] = OrderedDict()

    def admits(self, address: str) -> bool:
        """Whether one more from there comes slowly enough."""
        where = origin(address)
        rate = self._rates.pop(where, None) or Bucket(self._rate, self._at_once, self._clock)
        self._rates[where] = rate
        if len(self._rates) > MOST_ADDRESSES:
            self._rates.popitem(last=False)
        return rate.has()


def crowded_out(visitors: Mapping[int, Visitor], most: int = MOST_CLIENTS) -> int | None:
    """Who has to leave of connections in the order in which they came; None if there is room.

    The oldest that is locked, of the address that has the most of them: many from one place displace each
    other, and an unlocked window stays while any other can go. If all are unlocked it is the newcomer.
    """
    if len(visitors) <= most:
        return None
    locked = {number: visitor.origin for number, visitor in visitors.items() if not visitor.unlocked}
    counts = Counter(locked.values())
    return min(locked, key=lambda number: (-counts[locked[number]], number), default=max(visitors))


def origin(address: str) -> str:
    """What counts as one place: an IPv4 address, or a whole network of IPv6, of which one has 2^64."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
