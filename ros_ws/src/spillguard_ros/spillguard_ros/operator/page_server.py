"""The web server of the operator page: viser's, without the features that would expose the page elsewhere.

Connection headers are accessed through private names of viser, hence its exact pin in pyproject.toml.
"""

import threading
from collections.abc import Callable
from http import HTTPStatus

import viser
from viser.infra import WebsockClientConnection

from spillguard_ros.operator import page_access, page_limits
from spillguard_ros.operator.page_client import ClientPage
from spillguard_ros.operator.page_connection import address, limited
from spillguard_ros.operator.page_limits import Visitor

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
        self._visitors: dict[int, str] = {}  # address of every connection, the oldest first
        self._doors = page_limits.Doors(page_limits.WINDOWS, page_limits.WINDOWS_AT_ONCE)
        with limited():
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
        where = address(socket.remote_address)
        if not self._doors.admits(where):
            socket.transport.abort()
            return
        headers = socket.request.headers if socket.request is not None else {}
        if not page_access.same_site(headers.get("Origin"), headers.get("Host"), self._loopback):
            await socket.close(1008, HTTPStatus.FORBIDDEN.phrase)
            return
        self._visitors[number] = where
        pages = self.pages()
        leaving = page_limits.crowded_out({
            visitor: Visitor(page_limits.origin(home), visitor in pages and pages[visitor].unlocked)
            for visitor, home in self._visitors.items()
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
