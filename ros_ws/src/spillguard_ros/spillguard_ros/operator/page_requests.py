"""What the buttons of the operator page ask of the monitor: pressed in the web server's threads, sent and
answered in the node's.

A stop overtakes what waits, and calls it off: a resume that somebody pressed before it must not follow it.
"""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.srv import SetParametersAtomically
from rclpy.client import Client
from rclpy.node import Node
from rclpy.task import Future
from std_srvs.srv import Trigger

from spillguard_ros.node.signed import CHALLENGE, OUT_OF_DATE, SIGNED, SIGNED_SERVICE, Signer
from spillguard_ros.operator.page_client import OTHERS, STOP

ANSWER_TIMEOUT = 1.0  # [s]; the monitor answers within a cycle
MOST_WAITING = 8  # presses of one window
ATTEMPTS = 3  # with a new challenge each, where another operator was quicker
MONITOR = "safety_monitor"
UNREACHED = "DID NOT REACH THE MONITOR"
CALLED_OFF = "not sent: STOP was pressed"
TOO_MANY = f"{UNREACHED}: too many presses at once"

Say = Callable[[int, str, bool, str, bool], None]
"""Told of a client's number, the service, if it went well, what there is to say, and if that is the end."""


class Presses:
    """Presses that wait, of each window in its own order. No window takes another's place."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[int, deque[str]] = {}
        self._dropped: dict[tuple[str, int], str] = {}  # and why

    def add(self, service: str, client: int) -> None:
        """From any thread. A stop always gets in."""
        with self._lock:
            if service == STOP:
                for other, own in self._waiting.items():
                    self._dropped |= {(name, other): CALLED_OFF for name in own if name != STOP}
                    self._waiting[other] = deque(name for name in own if name == STOP)
            own = self._waiting.setdefault(client, deque())
            if service == STOP and STOP in own:
                return
            if len(own) >= MOST_WAITING:
                self._dropped[service, client] = TOO_MANY
                return
            own.append(service)

    def take(self) -> tuple[list[tuple[str, int]], dict[tuple[str, int], str]]:
        """One press of every window, stops first; and those that were dropped, with the reason."""
        with self._lock:
            dropped, self._dropped = self._dropped, {}
            taken = [(own.popleft(), client) for client, own in self._waiting.items() if own]
            self._waiting = {client: own for client, own in self._waiting.items() if own}
        return sorted(taken, key=lambda press: press[0] != STOP), dropped


@dataclass(eq=False)
class _Asked:
    """A request under way; `challenged`: its challenge is asked for, and nothing is asked of the arm yet."""

    clients: list[int]
    since: float  # [s] steady time
    client: Client
    future: Future
    challenged: bool = False
    attempts: int = 1


class Requests:
    """Calls the monitor's services; signed, if there is a key and the monitor wants it."""

    def __init__(self, node: Node, signer: Signer | None, say: Say) -> None:
        self._signer, self._say, self._presses = signer, say, Presses()
        self._asked: dict[str, _Asked] = {}
        self._plain: dict[str, Client] = {
            name: node.create_client(Trigger, f"{MONITOR}/{name}") for name in (STOP, *OTHERS)
        }
        self._challenge: Client = node.create_client(Trigger, f"{MONITOR}/{CHALLENGE}")
        self._signed: Client = node.create_client(SetParametersAtomically, f"{MONITOR}/{SIGNED_SERVICE}")
        self._monitor = node.resolve_service_name(f"{MONITOR}/{CHALLENGE}").rpartition("/")[0]
        self.clients: list[Client] = [*self._plain.values(), self._challenge, self._signed]
        """To be destroyed with the node's topics."""

    def press(self, service: str, client: int) -> None:
        """From any thread; answered later, through `say`."""
        self._presses.add(service, client)

    def serve(self, now: float) -> None:
        """Send what was pressed, look for answers; `now`: steady time [s]."""
        pressed, dropped = self._presses.take()
        for (service, client), why in dropped.items():
            self._say(client, service, False, f"{service} {why}", True)
        for service, client in pressed:
            self._send(service, client, now)
        for service, asked in list(self._asked.items()):
            if asked.future.done():
                self._answered(service, asked, now)
            elif now - asked.since > ANSWER_TIMEOUT:
                asked.client.remove_pending_request(asked.future)
                self._end(service, False, f": NO ANSWER from the monitor within {ANSWER_TIMEOUT:.0f} s")

    def _send(self, service: str, client: int, now: float) -> None:
        if service == STOP:
            for name in [name for name, asked in self._asked.items() if asked.challenged]:
                self._end(name, False, f" {CALLED_OFF}")
        if service in self._asked:  # it is on its way: this window gets the same answer
            self._asked[service].clients.append(client)
            return
        guarded = self._signer is not None and service in SIGNED
        offer = self._challenge if guarded else self._plain[service]
        if not offer.service_is_ready():
            text = f"{service} {UNREACHED}: there is none. Use the emergency stop."
            self._say(client, service, False, text, True)
            return
        self._asked[service] = _Asked([client], now, offer, offer.call_async(Trigger.Request()), guarded)
        self._say(client, service, True, f"{service} asked for ...", False)

    def _answered(self, service: str, asked: _Asked, now: float) -> None:
        answer: Any = asked.future.result()
        if answer is None:
            self._end(service, False, ": no answer")
        elif asked.challenged:
            self._go_on(service, asked, answer, now)
        elif asked.client is not self._signed:
            self._judged(service, bool(answer.success), str(answer.message))
        elif str(answer.result.reason).startswith(OUT_OF_DATE) and asked.attempts < ATTEMPTS:
            self._again(asked, self._challenge, Trigger.Request(), now)
            asked.challenged, asked.attempts = True, asked.attempts + 1
        else:
            self._judged(service, bool(answer.result.successful), str(answer.result.reason))

    def _judged(self, service: str, granted: bool, message: str) -> None:
        self._end(service, granted, f": {message}" if granted else f" refused by the monitor: {message}")

    def _go_on(self, service: str, asked: _Asked, answer: Any, now: float) -> None:
        asked.challenged = False
        if not answer.success or self._signer is None:  # no signature is wanted here
            self._again(asked, self._plain[service], Trigger.Request(), now)
        else:
            request = self._signer.request(self._monitor, service, str(answer.message))
            self._again(asked, self._signed, request, now)

    def _again(self, asked: _Asked, offer: Client, request: object, now: float) -> None:
        asked.client, asked.future, asked.since = offer, offer.call_async(request), now

    def _end(self, service: str, good: bool, said: str) -> None:
        for client in self._asked.pop(service).clients:
            self._say(client, service, good, f"{service}{said}", True)
