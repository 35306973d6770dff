"""Subscriptions with a size limit: the cost of a message is bounded before it is deserialised.

Deserialising takes time in proportion to the content: a joint state with a million joints took 1.25 s of
processor time, taking its 28 MB as raw bytes 0.045 s. So messages are taken as raw bytes, and large ones are
refused with the reason.
"""

from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message
from rclpy.subscription import Subscription

from spillguard_ros.node.rounds import newest_of

LARGEST = (
    1 << 14
)  # [B]; a joint state of 7 joints has 300, a controller manager's status of 50 controllers 9000


def reader(kind: type, take: Callable[[Any], None], refuse: Callable[[str], None], mark: str = "") -> Any:
    """Handler of a message's raw bytes: `take` the message of type `kind`, or `refuse` with the reason.

    Messages whose bytes do not contain `mark` are ignored: they are meant for another receiver.
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

    return read


def subscribe(
    node: Node,
    kind: type,
    topic: str,
    take: Callable[[Any], None],
    refuse: Callable[[str], None],
    qos: QoSProfile | int,
    mark: str = "",
    newest: str = "",
) -> Subscription[Any]:
    """A subscription that passes each message to `take`, or its fault to `refuse`; see `reader`.

    With `newest` only the newest of those with and of those without this string, as `rounds.newest_of` says.
    """
    read = reader(kind, take, refuse, mark)
    if newest:
        # As one string of the message: its length ends with a zero byte before it, and a zero byte ends it.
        read = newest_of(read, b"\0" + newest.encode() + b"\0")
    return node.create_subscription(kind, topic, read, qos, raw=True)
