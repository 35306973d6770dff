"""Floods of the operator page: what they do not reach, and the STOP that gets through. Times are reported."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from spillguard_ros.operator import page_limits
from tests.ros.forged_client import ForgedClient
from tests.ros.harness import PATIENCE
from tests.ros.page_flood import FLOODS, TOKEN, entry, flooded, running, stop_time, unlocked
from tests.ros.test_page_server import Opened

Report = Callable[[str, object], None]


@pytest.fixture
def opened() -> Iterator[Opened]:
    made = Opened(looking_is_free=True)
    yield made
    made.server.stop()


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with running(tmp_path_factory.mktemp("flooded")) as listening:
        yield listening


def test_wrong_tokens_are_slowed_down_and_the_right_one_is_taken(
    opened: Opened, record_property: Report
) -> None:
    looked_at: list[str] = []
    matches = opened.token.matches
    opened.token.matches = lambda text: looked_at.append(text) or matches(text)  # type: ignore[method-assign,func-returns-value]
    with ForgedClient(opened.port) as client:
        field, began = entry(client), time.monotonic()
        for number in range(500):
            client.press(field, f"wrong-but-long-enough-{number}")
        client.press(field, TOKEN)
        while "Unlocked" not in str(client.heard):
            assert time.monotonic() - began < PATIENCE, client.heard[-3:]
            client.listen(0.1)
        took = time.monotonic() - began
    record_property("500 guesses and the right one [s]", took)
    doubling = 6  # waits before the longest
    assert len(looked_at) <= page_limits.FREE + doubling + took / page_limits.LONGEST + 1
    assert looked_at[-1] == TOKEN


def test_a_second_window_with_the_token_is_let_in_during_a_flood_of_guesses(opened: Opened) -> None:
    with flooded("guesses", opened.port):
        client, buttons = unlocked(opened.port)
        with client:
            client.press(buttons["STOP"])
            deadline = time.monotonic() + PATIENCE
            while not opened.pressed:
                assert time.monotonic() < deadline
                client.listen(0.05)
    assert {service for service, _ in opened.pressed} == {"stop"}


def test_connections_beyond_a_few_are_not_kept_and_an_unlocked_window_stays(opened: Opened) -> None:
    client, buttons = unlocked(opened.port)
    with client, flooded("connections", opened.port, 2):
        end = time.monotonic() + 5.0
        while time.monotonic() < end:
            client.listen(0.1)
            assert len(opened.server.pages()) <= page_limits.MOST_CLIENTS + 1  # one is about to go
        client.press(buttons["STOP"])
        while not opened.pressed:
            assert client.listen(0.1), "the unlocked window was thrown out"
            assert time.monotonic() < end + PATIENCE


def test_a_message_that_no_browser_sends_ends_its_connection_alone(opened: Opened) -> None:
    with ForgedClient(opened.port) as other, ForgedClient(opened.port) as client:
        buttons = other.buttons()
        client.press(entry(client), "x" * page_limits.LARGEST)
        while client.listen(0.1):
            pass
        other.press(buttons["STOP"])
        deadline = time.monotonic() + PATIENCE
        while "stop refused: enter the token first" not in str(other.heard):
            assert time.monotonic() < deadline
            other.listen(0.1)


@pytest.mark.parametrize("flood", sorted(FLOODS))
def test_a_flood_from_one_client_leaves_anothers_stop_its_way(
    port: int, flood: str, record_property: Report
) -> None:
    """To the monitor and back, in the same connection, as often as it is pressed."""
    client, buttons = unlocked(port)
    with closing(client._socket), flooded(flood, port):
        client.listen(1.0)
        times = [stop_time(client, buttons["STOP"]) for _ in range(3)]
    record_property("slowest STOP [s]", max(times))
    time.sleep(1.0)  # connections of this test count for the next
