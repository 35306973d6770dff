"""What the operator page asks of the monitor, step by step, with clients that the test answers. No graph."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rcl_interfaces.srv import SetParametersAtomically
from std_srvs.srv import Trigger

from spillguard_ros.node.keys import make_keys
from spillguard_ros.node.signed import OUT_OF_DATE, Signer
from spillguard_ros.operator.page_requests import ANSWER_TIMEOUT, ATTEMPTS, CALLED_OFF, UNREACHED, Requests


class Answered:
    """A service's client that keeps what was asked, until the test answers."""

    def __init__(self) -> None:
        self.asked: list[object] = []
        self.ready, self._answer = True, None

    def service_is_ready(self) -> bool:
        return self.ready

    def call_async(self, request: object) -> Any:
        self.asked.append(request)
        self._answer = None
        return SimpleNamespace(done=lambda: self._answer is not None, result=lambda: self._answer)

    def remove_pending_request(self, future: object) -> None:
        self._answer = None

    def answer(self, response: Any) -> None:
        self._answer = response


class Bench:
    """The requests of a page, in time that the test sets."""

    def __init__(self, signer: Signer | None) -> None:
        self.clients: dict[str, Answered] = {}
        self.said: list[tuple[int, str, bool]] = []
        node: Any = SimpleNamespace(
            create_client=lambda _, name: self.clients.setdefault(name.rpartition("/")[2], Answered()),
            resolve_service_name=lambda name: f"/left/{name}",
        )
        self.requests = Requests(node, signer, self._say)

    def _say(self, client: int, service: str, good: bool, text: str, over: bool) -> None:
        if over:
            self.said.append((client, text, good))

    def press(self, service: str, client: int = 1) -> None:
        self.requests.press(service, client)
        self.requests.serve(0.0)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(Signer(make_keys("page", tmp_path)[0]))


CHALLENGE = Trigger.Response(success=True, message="0" * 64)


def signed(granted: bool, reason: str) -> SetParametersAtomically.Response:
    response = SetParametersAtomically.Response()
    response.result.successful, response.result.reason = granted, reason
    return response


def test_a_reset_is_signed_and_a_stop_is_not(bench: Bench) -> None:
    bench.press("reset")
    bench.clients["challenge"].answer(CHALLENGE)
    bench.requests.serve(0.1)
    bench.clients["signed"].answer(signed(True, "reset and holding"))
    bench.requests.serve(0.2)
    bench.press("stop")
    bench.clients["stop"].answer(Trigger.Response(success=True, message="stopped"))
    bench.requests.serve(0.3)
    assert bench.said == [(1, "reset: reset and holding", True), (1, "stop: stopped", True)]
    assert not bench.clients["reset"].asked
    assert [len(bench.clients[name].asked) for name in ("challenge", "signed", "stop")] == [1, 1, 1]


def test_a_stop_calls_off_a_reset_that_waits_for_its_challenge(bench: Bench) -> None:
    """Signed after the stop, it would undo it."""
    bench.press("reset")
    bench.press("stop", client=2)
    bench.clients["challenge"].answer(CHALLENGE)
    bench.requests.serve(0.1)
    assert bench.said == [(1, f"reset {CALLED_OFF}", False)]
    assert not bench.clients["signed"].asked and len(bench.clients["stop"].asked) == 1


def test_every_window_that_asked_meanwhile_gets_the_answer(bench: Bench) -> None:
    for client in (1, 2, 3):
        bench.press("stop", client)
    bench.clients["stop"].answer(Trigger.Response(success=True, message="stopped"))
    bench.requests.serve(0.1)
    assert bench.said == [(client, "stop: stopped", True) for client in (1, 2, 3)]
    assert len(bench.clients["stop"].asked) == 1


def test_another_challenge_is_asked_for_where_somebody_was_quicker_but_not_for_ever(bench: Bench) -> None:
    bench.press("resume")
    for _ in range(ATTEMPTS):
        bench.clients["challenge"].answer(CHALLENGE)
        bench.requests.serve(0.1)
        bench.clients["signed"].answer(signed(False, f"{OUT_OF_DATE}: ask for a new one"))
        bench.requests.serve(0.1)
    assert len(bench.clients["signed"].asked) == ATTEMPTS
    assert bench.said == [(1, f"resume refused by the monitor: {OUT_OF_DATE}: ask for a new one", False)]


def test_a_monitor_without_keys_is_asked_as_ever(bench: Bench) -> None:
    bench.press("resume")
    bench.clients["challenge"].answer(Trigger.Response(success=False, message="not needed"))
    bench.requests.serve(0.1)
    bench.clients["resume"].answer(Trigger.Response(success=False, message="stopped: reset first"))
    bench.requests.serve(0.2)
    assert bench.said == [(1, "resume refused by the monitor: stopped: reset first", False)]


def test_a_page_without_a_key_signs_nothing() -> None:
    bench = Bench(None)
    bench.press("reset")
    assert bench.clients["reset"].asked and not bench.clients["challenge"].asked


def test_a_monitor_that_is_silent_or_not_there_is_called_so(bench: Bench) -> None:
    bench.press("hold")
    bench.requests.serve(ANSWER_TIMEOUT + 0.1)
    assert bench.said[-1] == (1, "hold: NO ANSWER from the monitor within 1 s", False)
    bench.clients["stop"].ready = False
    bench.press("stop")
    assert bench.said[-1][1].startswith(f"stop {UNREACHED}")
