"""Subscriptions with a size limit: the cost of a message is bounded before it is deserialised.

Deserialising takes time in proportion to the content: a joint state with a million joints took 1.25 s of
processor time, taking its 28 MB as raw bytes 0.045 s. So messages are taken as raw bytes, and large ones are
refused with the reason. Even a small one takes ten times as long to deserialise as to take: of a topic that
comes more often than it is used the bytes wait until somebody looks.
"""

import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message
from rclpy.subscription import Subscription

LARGEST = (
    1 << 14
)  # [B]; a joint state of 7 joints has 300, a controller manager's status of 50 controllers 9000


class Serialized(NamedTuple):
    """A message as it came."""

    kind: type
    data: bytes


Tell = Callable[[Serialized], None]


def reader(
    kind: type,
    take: Callable[[Any], None],
    refuse: Callable[[str], None],
    mark: str = "",
    tell: Tell | None = None,
) -> Callable[[bytes], None]:
    """Handler of a message's raw bytes: `take` the message of type `kind`, or `refuse` with the reason.

    Messages whose bytes do not contain `mark` are ignored: they are meant for another receiver. `tell` is
    called with each one that was taken.
    """
    wanted = mark.encode()

    def read(data: bytes) -> None:
        if wanted not in data:
            return
        if len(data) > LARGEST:
            refuse(f"got a message of {len(data)} bytes, at most {LARGEST} are read")
            return
        try:
            msg: Any = deserialize_message(data, kind)
        except RuntimeError as error:  # rclpy's RMWError
            refuse(f"got {len(data)} bytes that are no {kind.__name__} ({str(error)[:60]})")
            return
        take(msg)
        if tell is not None:
            tell(Serialized(kind, data))

    return read


class Unread:
    """Callback of a raw subscription that keeps messages unread until somebody looks: the newest of those
    that hold equally many of some names, and the newest of those that are too large.

    So the arm's own joint states, those of a part of it, a gripper's and huge ones displace only their like.
    """

    at_once = True  # see `rounds`

    def __init__(self, names: Iterable[str]) -> None:
        # In a message the length of a string ends with a zero byte before it, and a zero byte ends it.
        self._names = [b"\0" + name.encode() + b"\0" for name in names]
        self._waiting: dict[int, tuple[float, bytes]] = {}

    def __call__(self, data: bytes, received: float | None = None) -> None:
        """Keep a message that came at `received` [s], else now, in place of the one of its sort before it."""
        sort = -1 if len(data) > LARGEST else sum([name in data for name in self._names])
        self._waiting.pop(sort, None)  # so that they stay in the order in which they came
        self._waiting[sort] = time.monotonic() if received is None else received, data

    def look(self) -> list[tuple[float, bytes]]:
        """Steady time [s] of arrival and bytes of what waits. Then it waits no more."""
        waiting = [*self._waiting.values()]
        self._waiting.clear()
        return waiting


def subscribe(
    node: Node,
    kind: type,
    topic: str,
    take: Callable[[Any, float], None],
    refuse: Callable[[str], None],
    qos: QoSProfile | int,
    mark: str = "",
    tell: Tell | None = None,
) -> Subscription[Any]:
    """A subscription that passes each message and its steady time of arrival [s] to `take`, or its fault to
    `refuse`; see `reader`."""

    def read(data: bytes, received: float | None = None) -> None:
        at = time.monotonic() if received is None else received
        reader(kind, lambda msg: take(msg, at), refuse, mark, tell)(data)

    return node.create_subscription(kind, topic, read, qos, raw=True)
