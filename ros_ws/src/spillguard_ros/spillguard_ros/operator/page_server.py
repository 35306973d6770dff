"""The web server of the operator page: viser's, without the features that would expose the page elsewhere.

Connection headers are accessed through private names of viser, hence its exact pin in pyproject.toml.
"""

import asyncio
import threading
from asyncio import selector_events
from collections.abc import Callable
from http import HTTPStatus

import viser
from viser.infra import WebsockClientConnection
from websockets.asyncio.server import ServerConnection
from websockets.typing import Data

from spillguard_ros.operator import page_access, page_limits
from spillguard_ros.operator.page_client import ClientPage
from spillguard_ros.operator.page_limits import Bucket, Visitor

CAMERA, LOOK_AT = (1.75, -1.15, 0.95), (0.4, 0.02, 0.24)  # [m] base frame
FIELD_OF_VIEW = 0.75  # [rad] vertical
AMBIENT = 2.0  # ambient light, strong enough to show surfaces facing away from the lamps


class PageServer(viser.ViserServer):
    """Accepts same-origin connections only, never opens a public tunnel, and takes no more from a connection
    than leaves the others their turn."""

    def __init__(self, host: str, port: int, make: Callable[[viser.ClientHandle, str], ClientPage]) -> None:
        """`make` builds the page of a newly connected browser, whose address it is told. ValueError if it
        cannot listen."""
        page_access.check_address(host, port)
        # What one connection has sent is parsed to its end before the next one is looked at: a quarter of a
        # megabyte of pings takes a second. The size of a read is a private constant of asyncio's.
        selector_events._SelectorTransport.max_size = page_limits.READ  # type: ignore[attr-defined]
        self._visitors: dict[int, str] = {}  # address of every connection, the oldest first
        self._doors = page_limits.Doors()
        super().__init__(host, port, verbose=False)
        if self.get_port() != port:  # it was taken in the meantime, and viser used the next one
            taken_by = f"port {port} was taken just now, give another"
            self.stop()
            raise ValueError(taken_by)
        self._loopback = page_access.is_loopback(host)
        self._make, self._lock = make, threading.Lock()
        self._pages: dict[int, ClientPage] = {}
        self.gui.configure_theme(show_logo=False, show_share_button=False)
        self.initial_camera.position, self.initial_camera.look_at = CAMERA, LOOK_AT
        self.initial_camera.fov = FIELD_OF_VIEW
        self.gui.set_panel_label("Operator page")
        self._light()
        self._websock_server.on_client_connect(self._admit)
        self._websock_server.on_client_disconnect(self._leave)
        self._websock_server.disconnect_all_clients()  # earlier connections come again
        self.on_client_connect(self._on_connect)
        self.on_client_disconnect(self._on_disconnect)

    def _light(self) -> None:
        """Without shadows and reflections, which delay a machine without a graphics card by seconds."""
        self.scene.configure_default_lights(cast_shadow=False)
        self.scene.configure_environment_map(None)
        self.scene.add_light_hemisphere("/light", intensity=AMBIENT)

    def request_share_url(self, verbose: bool = True) -> str | None:
        """Any browser may request this. It would expose the page to the internet, so it is always refused."""
        del verbose
        return None

    async def _admit(self, connection: WebsockClientConnection) -> None:
        """Reject other sites open in the operator's browser, and floods. Runs before anything is sent."""
        number = connection.client_id
        socket = self._websock_server._live_connections[number]
        address = _address(socket)
        if not self._doors.admits(address):
            socket.transport.abort()
            return
        headers = socket.request.headers if socket.request is not None else {}
        if not page_access.same_site(headers.get("Origin"), headers.get("Host"), self._loopback):
            await socket.close(1008, HTTPStatus.FORBIDDEN.phrase)
            return
        _limit(socket)
        self._visitors[number] = address
        pages = self.pages()
        leaving = page_limits.crowded_out({
            visitor: Visitor(page_limits.origin(address), visitor in pages and pages[visitor].unlocked)
            for visitor, address in self._visitors.items()
        })  # fmt: skip
        if leaving is not None:
            self._visitors.pop(leaving)
            if (other := self._websock_server._live_connections.get(leaving)) is not None:
                other.transport.abort()

    def _leave(self, connection: WebsockClientConnection) -> None:
        self._visitors.pop(connection.client_id, None)

    def _on_connect(self, client: viser.ClientHandle) -> None:
        page = self._make(client, self._visitors.get(client.client_id, "unknown"))
        with self._lock:
            self._pages[client.client_id] = page

    def _on_disconnect(self, client: viser.ClientHandle) -> None:
        with self._lock:
            self._pages.pop(client.client_id, None)

    def pages(self) -> dict[int, ClientPage]:
        """The open pages, by client number."""
        with self._lock:
            return dict(self._pages)


def _address(socket: ServerConnection) -> str:
    """Without the port; through a tunnel it is the tunnel's end."""
    where = socket.remote_address
    return str(where[0]) if isinstance(where, tuple) and where else "unknown"


def _limit(socket: ServerConnection) -> None:
    """Take messages no faster than a person's browser sends them, and none that is larger: the others wait at
    the sender. Viser takes them in one loop for all connections, as fast as they come."""
    receive, bucket = socket.recv, Bucket(page_limits.MESSAGES, page_limits.MESSAGES_AT_ONCE)

    async def receive_slowly(decode: bool | None = None) -> Data:
        await asyncio.sleep(bucket.wait())  # 0 lets others have their turn, too
        return await receive(decode)

    socket.recv = receive_slowly  # type: ignore[method-assign,assignment]
    socket.protocol.max_message_size = page_limits.LARGEST
