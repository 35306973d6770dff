"""A browser's connection to the operator page, of which no more is taken than a person's browser sends.

Viser handles messages in one loop for all connections, as fast as they come. What one of them sends too fast
waits at its sender instead, and so keeps nobody else waiting. Viser does not hand these options on to the
library beneath, hence `limited`.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from websockets.asyncio import server
from websockets.asyncio.server import ServerConnection
from websockets.typing import Data

from spillguard_ros.operator import page_limits
from spillguard_ros.operator.page_limits import Bucket, Doors

BACKLOG = 8  # connections that are accepted before those that are open have their turn
TURNED_AWAY, MOST_AWAY = 1.0, 50  # [s] for which one that came too soon waits in vain, and how many do


class PageConnection(ServerConnection):
    """Limited in messages, since each costs some work, and in what is read, for pings and fragments of
    messages cost as much and are none."""

    def __init__(self, *arguments: Any, doors: Doors, away: set[Any], **options: Any) -> None:
        """`doors`: which addresses may connect now; `away`: transports that were turned away and wait, of all
        connections. The rest is the base class's."""
        super().__init__(*arguments, **options)
        self._doors, self._away, self._admitted = doors, away, False
        self._messages = Bucket(page_limits.MESSAGES, page_limits.MESSAGES_AT_ONCE)
        self._reads = Bucket(page_limits.READS, page_limits.READS_AT_ONCE)
        self.protocol.max_message_size = page_limits.LARGEST

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Before a byte is read: a handshake costs more than all that is done here."""
        self._admitted = self._doors.admits(address(transport.get_extra_info("peername")))
        if not self._admitted:
            self._turn_away(transport)
            return
        # What was read is parsed to its end before another connection has its turn. Private to asyncio: a
        # quarter of a megabyte.
        transport.max_size = page_limits.READ  # type: ignore[attr-defined]
        super().connection_made(transport)

    def _turn_away(self, transport: Any) -> None:
        """Not at once: who is thrown out comes back as fast as that goes."""
        if len(self._away) >= MOST_AWAY:
            transport.abort()
            return
        self._away.add(transport)
        transport.pause_reading()

        def leave() -> None:
            self._away.discard(transport)
            transport.abort()

        self.loop.call_later(TURNED_AWAY, leave)

    def connection_lost(self, exc: Exception | None) -> None:
        """The base class knows nothing of a connection that was turned away."""
        if self._admitted:
            super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what was read, and read no more for as long as that was too much."""
        super().data_received(data)
        if (wait := self._reads.wait()) > 0.0:
            self.transport.pause_reading()
            self.loop.call_later(wait, self.transport.resume_reading)

    async def recv(self, decode: bool | None = None) -> Data:  # type: ignore[override]
        """The next message, when its turn has come."""
        await asyncio.sleep(self._messages.wait())  # 0 lets others have their turn, too
        return await super().recv(decode)


def address(peer: object) -> str:
    """Of the other end, without its port; through a tunnel it is the tunnel's end."""
    return str(peer[0]) if isinstance(peer, tuple) and peer else "unknown"


@contextmanager
def limited() -> Iterator[None]:
    """Servers that viser starts in this context take their connections so."""
    doors = Doors(page_limits.CONNECTIONS, page_limits.CONNECTIONS_AT_ONCE)
    plain: Any = server.serve
    made = partial(PageConnection, doors=doors, away=set())
    server.serve = partial(plain, create_connection=made, backlog=BACKLOG)  # type: ignore[misc,assignment]
    try:
        yield
    finally:
        server.serve = plain  # type: ignore[misc]
