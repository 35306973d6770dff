"""The operator page's server, without ROS and without a browser: what a forged client may do."""

import socket
import time
from collections.abc import Callable, Iterator

import mujoco
import pytest

from sim.pouring.cell_model import guard_model_xml
from sim.pouring.gen3 import GEN3
from spillguard_core.tasks.pouring import TASK as POURING
from spillguard_ros.operator import page_access
from spillguard_ros.operator.page_client import ClientPage
from spillguard_ros.operator.page_feed import Feed
from spillguard_ros.operator.page_html import Reading
from spillguard_ros.operator.page_limits import Guesses
from spillguard_ros.operator.page_scene import CellKinematics, Sight, parts
from spillguard_ros.operator.page_server import PageServer
from tests.ros.browser import free_port
from tests.ros.forged_client import ForgedClient
from tests.ros.harness import PATIENCE

TOKEN = "sixteen-or-longer-4711"
NOTHING: list[Reading] = []


def status(verdict: str = "PASS", reason: str = "OK", **more: str) -> dict[str, str]:
    return {"verdict": verdict, "reason": reason, "q_c": "0.2", "margin_critic": "0.5", **more}


class Opened:
    """A server without a graph; the requests that the node would get are kept in `pressed`."""

    def __init__(self, looking_is_free: bool) -> None:
        model = mujoco.MjModel.from_xml_string(guard_model_xml())
        cell = parts(model), CellKinematics(model, GEN3, POURING)
        self.pressed: list[tuple[str, int]] = []
        self.notes: list[str] = []
        self.token = page_access.Token(TOKEN)
        access = page_access.Access(self.token, Guesses(), self.notes.append)
        self.port = free_port()
        self.server = PageServer(
            "127.0.0.1", self.port,
            lambda client, address: ClientPage(
                client, address, access, lambda *press: self.pressed.append(press), cell,
                looking_is_free=looking_is_free,
            ),
        )  # fmt: skip


@pytest.fixture
def opened() -> Iterator[Opened]:
    made = Opened(looking_is_free=True)
    yield made
    made.server.stop()


def until(condition: Callable[[], bool], client: ForgedClient) -> None:
    """Receive messages until the condition holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, client.heard
        client.listen(0.1)


def said(client: ForgedClient, text: str) -> bool:
    """Receive messages until the server has sent this text."""
    until(lambda: text in str(client.heard), client)
    return True


def entry(client: ForgedClient) -> str:
    """Id of the token's field."""
    return next(message["uuid"] for message in client.heard if message["type"] == "GuiTextMessage")


def test_a_client_presses_only_after_its_own_token(opened: Opened) -> None:
    with ForgedClient(opened.port) as first, ForgedClient(opened.port) as second:
        buttons, others = first.buttons(), second.buttons()
        first.press(buttons["hold"], "resume")
        assert said(first, "resume refused")
        first.press(buttons["STOP"])
        assert said(first, "stop refused")
        first.press(entry(first), TOKEN)
        assert said(first, "Unlocked")
        first.press(buttons["STOP"])
        first.press(buttons["hold"], "resume")
        second.press(others["STOP"])
        second.press(buttons["STOP"])  # the id of the unlocked client's button
        second.press(entry(second), TOKEN[:-1])
        second.press(others["hold"], "reset")
        assert said(second, "reset refused")
        until(lambda: len(opened.pressed) > 1, first)
        first.listen(0.5)  # and nothing more
    assert sorted(service for service, _ in opened.pressed) == ["resume", "stop"]
    assert len({client for _, client in opened.pressed}) == 1


def test_presses_keep_their_order(opened: Opened) -> None:
    wanted = ["hold", "resume", "stop", "reset", "resume"] * 4
    with ForgedClient(opened.port) as client:
        buttons = client.buttons()
        client.press(entry(client), TOKEN)
        assert said(client, "Unlocked")
        for name in wanted:
            client.press(buttons["STOP" if name == "stop" else "hold"], True if name == "stop" else name)
        until(lambda: len(opened.pressed) >= len(wanted), client)
    assert [name for name, _ in opened.pressed] == wanted


def test_a_client_cannot_invent_a_service(opened: Opened) -> None:
    with ForgedClient(opened.port) as client:
        buttons = client.buttons()
        client.press(entry(client), TOKEN)
        assert said(client, "Unlocked")
        client.press(buttons["hold"], "shutdown")
        assert said(client, "shutdown refused")
    assert not opened.pressed


def test_the_page_never_goes_through_a_public_tunnel(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr("viser._viser.ViserTunnel", lambda *arguments: asked.append(arguments))
    with ForgedClient(opened.port) as client:
        client.buttons()
        client.send({"type": "ShareUrlRequest"})
        client.listen(1.0)
    assert not asked


@pytest.mark.parametrize("host", [None, "evil.example"])
def test_another_site_in_the_same_browser_is_turned_away(opened: Opened, host: str | None) -> None:
    port = opened.port
    evil = "http://evil.example" if host is None else f"http://{host}:{port}"
    with ForgedClient(port, evil, host or "127.0.0.1") as client:
        assert not client.listen(PATIENCE)
        assert "STOP" not in str(client.heard)
    with ForgedClient(port, origin=f"http://127.0.0.1:{port}") as client:
        assert "STOP" in client.buttons()


def test_beyond_loopback_nothing_is_shown_before_the_token() -> None:
    made = Opened(looking_is_free=False)
    try:
        feed = Feed(started=0.0)
        feed.status(status("HOLD", detail="tell-tale"), "HOLD: tell-tale", 1.0, 0.0)
        poses = CellKinematics(mujoco.MjModel.from_xml_string(guard_model_xml()), GEN3, POURING).poses(
            None, None, Sight.NEVER, Sight.NEVER
        )
        with ForgedClient(made.port) as client:
            client.buttons()
            for page in made.server.pages().values():
                page.draw(feed, NOTHING, poses, 1.0)
            before = client.heard_text()
            client.press(entry(client), TOKEN)
            assert said(client, "Unlocked")
            for page in made.server.pages().values():
                page.draw(feed, NOTHING, poses, 1.0)
            said(client, "tell-tale")
            after = client.heard_text()
        assert "tell-tale" not in before and "MeshMessage" not in before
        assert "tell-tale" in after and "MeshMessage" in after
    finally:
        made.server.stop()


def test_an_address_that_is_taken_or_absent_is_refused() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        for host, port in (("127.0.0.1", other.getsockname()[1]), ("203.0.113.7", free_port())):
            with pytest.raises(ValueError, match=f"cannot listen on {host} port {port}"):
                page_access.check_address(host, port)
