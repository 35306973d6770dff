"""A client of the operator page that is not a browser and can send anything."""

import socket
import time
from contextlib import suppress
from typing import Any

import msgspec.msgpack
import viser
import zstandard
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

CAMERA = {
    "type": "ViewerCameraMessage", "wxyz": (1.0, 0.0, 0.0, 0.0), "position": (1.0, 0.0, 0.0), "fov": 1.0,
    "near": 0.01, "far": 100.0, "image_height": 100, "image_width": 100, "look_at": (0.0, 0.0, 0.0),
    "up_direction": (0.0, 0.0, 1.0),
}  # fmt: skip


class ForgedClient:
    """Speaks viser's protocol over a raw socket to 127.0.0.1, whatever `host` it claims."""

    def __init__(self, port: int, origin: str | None = None, host: str = "127.0.0.1") -> None:
        protocol: Any = f"viser-v{viser.__version__}"
        self._socket = connect(
            f"ws://{host}:{port}", sock=socket.create_connection(("127.0.0.1", port)),
            subprotocols=[protocol], origin=origin, max_size=None, proxy=None,  # type: ignore[arg-type]
        )  # fmt: skip
        self.heard: list[dict[str, Any]] = []
        with suppress(ConnectionClosed):  # reported by `listen`
            self.send(CAMERA)

    def __enter__(self) -> "ForgedClient":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, message: dict[str, Any]) -> None:
        """One message to the server."""
        self._socket.send(msgspec.msgpack.encode(message))

    def listen(self, duration: float) -> bool:
        """Receive messages for `duration` [s]; False once the server has disconnected."""
        end = time.monotonic() + duration
        while (left := end - time.monotonic()) > 0.0:
            try:
                frame = self._socket.recv(timeout=left)
            except TimeoutError:
                return True
            except ConnectionClosed:
                return False
            assert isinstance(frame, bytes)
            packed = int.from_bytes(frame[8:16], "little")
            plain = zstandard.ZstdDecompressor().decompress(frame[16 : 16 + packed])
            self.heard += msgspec.msgpack.decode(plain)["messages"]
        return True

    def buttons(self) -> dict[str, str]:
        """Label or first option of every button received, with its id."""
        deadline = time.monotonic() + 120.0
        while time.monotonic() < deadline and not any("STOP" in str(m.get("props")) for m in self.heard):
            self.listen(0.5)
        self.listen(0.5)
        kinds = ("GuiButtonMessage", "GuiButtonGroupMessage")
        return {
            message["props"].get("label") or message["value"]: message["uuid"]
            for message in self.heard
            if message["type"] in kinds
        }

    def press(self, uuid: str, value: object = True) -> None:
        """Send what a browser sends when a button is pressed."""
        self.send({"type": "GuiUpdateMessage", "uuid": uuid, "updates": {"value": value}})

    def heard_text(self, duration: float = 1.0) -> str:
        """All text received from the server so far."""
        self.listen(duration)
        return str(self.heard)
