"""Floods of the operator page from one client, and how long another's STOP takes meanwhile.

    python -m tests.ros.page_flood

prints a table for the documentation: real page, monitor and simulated arm, the press in one connection,
floods from a process of their own in others. Times depend on the machine; the tests assert what does not.
"""

import argparse
import multiprocessing
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec.msgpack
import viser
from rich.console import Console

from spillguard_sim.graph import Graph
from tests.ros.browser import free_port
from tests.ros.bundles import Orbit, make_bundle
from tests.ros.forged_client import ForgedClient
from tests.ros.harness import PATIENCE, Stage, Witness
from tests.ros.private_graph import private_ros

TOKEN = "sixteen-or-longer-4711"  # as in test_page_server
PRESSES = 20
PING = b"\x89\x80\0\0\0\0"  # masked with nothing, as a client has to
FRAGMENT = b"\x00\x81\0\0\0\0x"


def entry(client: ForgedClient) -> str:
    """Id of the token's field."""
    client.buttons()
    return next(str(message["uuid"]) for message in client.heard if message["type"] == "GuiTextMessage")


def guesses(port: int) -> None:
    """Wrong tokens, as fast as they are taken."""
    with ForgedClient(port) as client:
        field, number = entry(client), 0
        while True:
            number += 1
            client.press(field, f"wrong-but-long-enough-{number}")


def presses(port: int) -> None:
    """STOP and reset without the token."""
    with ForgedClient(port) as client:
        buttons = client.buttons()
        while True:
            client.press(buttons["STOP"])
            client.press(buttons["hold"], "reset")


def large(port: int) -> None:
    """Messages of 10 kB, about nothing."""
    with ForgedClient(port) as client:
        while True:
            client.press("nothing", "x" * 10_000)


def upgraded(port: int) -> socket.socket:
    """A connection after its handshake, for bytes of any kind."""
    raw = socket.create_connection(("127.0.0.1", port))
    request = (
        f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Protocol: viser-v{viser.__version__}\r\n\r\n"
    )
    raw.sendall(request.encode())
    return raw


def _bytes(port: int, data: bytes, first: bytes = b"") -> None:
    raw = upgraded(port)
    time.sleep(0.5)
    raw.sendall(first)
    raw.settimeout(0.01)
    while True:
        with suppress(TimeoutError):
            raw.sendall(data)
        with suppress(TimeoutError):
            while raw.recv(1 << 16):
                pass


def pings(port: int) -> None:
    """Pings, each of which asks for an answer."""
    _bytes(port, PING * 5000)


def fragments(port: int) -> None:
    """One message in fragments of one byte."""
    _bytes(port, FRAGMENT * 5000, b"\x02\x81\0\0\0\0x")


def connections(port: int) -> None:
    """A new connection with a window of its own, as fast as they are accepted."""
    camera = msgspec.msgpack.encode({"type": "ViewerCameraMessage"})
    frame = bytes([0x82, 0x80 | len(camera)]) + b"\0\0\0\0" + camera
    held: list[socket.socket] = []
    while True:
        with suppress(OSError):
            raw = upgraded(port)
            raw.sendall(frame)
            held.append(raw)
        if len(held) > 50:
            held.pop(0).close()


def downloads(port: int) -> None:
    """The page itself, again and again."""
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)) as raw:
            raw.sendall(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
            while raw.recv(1 << 20):
                pass


FLOODS: dict[str, Callable[[int], None]] = {
    flood.__name__: flood for flood in (guesses, presses, large, pings, fragments, connections, downloads)
}


def _again(flood: Callable[[int], None], port: int) -> None:
    os.nice(15)  # another computer's flood would not take this one's processors
    while True:  # whoever is thrown out comes back
        with suppress(Exception):
            flood(port)
        time.sleep(0.05)


@contextmanager
def flooded(name: str, port: int, processes: int = 1) -> Iterator[None]:
    """So many processes do it meanwhile."""
    context = multiprocessing.get_context("fork")
    running = [
        context.Process(target=_again, args=(FLOODS[name], port), daemon=True) for _ in range(processes)
    ]
    for process in running:
        process.start()
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.join()


def unlocked(port: int) -> tuple[ForgedClient, dict[str, str]]:
    """A window with the token entered, and its buttons."""
    client = ForgedClient(port)
    buttons, deadline = client.buttons(), time.monotonic() + PATIENCE
    client.press(entry(client), TOKEN)
    while "Unlocked" not in str(client.heard):
        assert time.monotonic() < deadline, client.heard
        client.listen(0.1)
    return client, buttons


def stop_time(client: ForgedClient, button: str, timeout: float = PATIENCE) -> float:
    """Time [s] from a press of STOP to the monitor's answer in the same window."""
    client.heard.clear()
    pressed = time.monotonic()
    client.press(button)
    while "stop: stopped" not in str(client.heard):
        assert time.monotonic() - pressed < timeout, client.heard[-5:]
        client.listen(0.005)
    return time.monotonic() - pressed


@contextmanager
def running(folder: Path) -> Iterator[int]:
    """The port of a page with a graph."""
    port, token = free_port(), folder / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    with private_ros() as environment:
        witness = Witness()
        with Graph(folder / "logs", environment) as graph:
            stage = Stage(graph, witness, make_bundle(folder / "bundle", Orbit()), "")
            for node in ("sim_arm", "safety_monitor"):
                stage.start(node)
            stage.start("operator_page", port=port, token_file=token)
            log = graph.log("operator_page")
            stage.until(lambda: "operator page" in log.read_text(), PATIENCE, "a page")
            stage.settle()
            yield port
        witness.close()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--floods", nargs="*", default=list(FLOODS), choices=list(FLOODS))
    asked = parser.parse_args()
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"commit {commit}, Python {sys.version.split()[0]}, {os.cpu_count()} processors\n")
    console.print("| flood by one client | median, ms | longest of 20, ms |\n| --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as port:
        client, buttons = unlocked(port)
        for name in ("none", *asked.floods):
            with flooded(name, port, int(name != "none")):
                client.listen(3.0)
                times = []
                for _ in range(PRESSES):
                    client.listen(0.3)
                    times.append(1e3 * stop_time(client, buttons["STOP"]))
            console.print(f"| {name} | {statistics.median(times):.0f} | {max(times):.0f} |")
            client.listen(2.0)


if __name__ == "__main__":
    main()
